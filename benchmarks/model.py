"""Vision, prefill and decode of the exported graphs beside transformers, full and pruned.

Usage: python benchmarks/model.py PAGE [--size NAME] [--layers N] [--vision-layers N]
                                  [--cuda | --one-thread]

A random model of the widths of a published one, with as many layers as asked for; in float32 on
the CPU, or in bfloat16 on CUDA. Every side runs in a process of its own.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from ppcli.imaging.presets import Preset

STEPS = 16
REPEATS = 3
IMAGE_TOKEN = 5
PROMPT = [1, *range(20, 30), 3, IMAGE_TOKEN, 4, *range(30, 60), 2]
SIDES = ("pixelprune", "transformers, eager attention", "transformers, sdpa attention")
Times = dict[str, float]


class Setting(NamedTuple):
    """Where the models run.

    Attributes:
        cuda: on a GPU.
        one_thread: with one thread, in processor time, so that others on the machine hardly count.
    """

    cuda: bool
    one_thread: bool

    def now(self) -> float:
        """Seconds on the clock that counts."""
        return time.process_time() if self.one_thread else time.perf_counter()

    def arguments(self) -> list[str]:
        """As the command takes it."""
        chosen = {"--cuda": self.cuda, "--one-thread": self.one_thread}
        return [name for name, given in chosen.items() if given]


def make_checkpoint(folder: Path, size: str, layers: int, vision_layers: int) -> None:
    """A random model; its settings are those of the tests."""
    import torch
    import transformers

    from ppcli.models.families.family_registry import family_of_size
    from tests.models.tiny_checkpoint import write_settings
    from tests.models.tiny_model import image_processor

    family = family_of_size(size)
    given, vision = (
        family.published_config(size, count, IMAGE_TOKEN) for count in (layers, vision_layers)
    )
    kind = getattr(transformers, family.architectures[0])
    given["text_config"] |= {"bos_token_id": 0, "eos_token_id": 2}  # of the tests' tokenizer
    config = kind.config_class(**given | {"vision_config": vision["vision_config"]})
    torch.manual_seed(0)
    kind(config).save_pretrained(folder)
    preset = family.preset
    settings = image_processor(
        preset.patch_size, [*preset.mean], [*preset.std], family.image_processors[0]
    )
    limits = {"shortest_edge": preset.min_pixels, "longest_edge": preset.max_pixels}
    write_settings(folder, settings | {"size": limits})


def page_tokens(page: str, preset: Preset) -> tuple[Any, Any, Any]:
    """The raster of a page, and its keep masks, full and pruned."""
    from ppcli import keep_mask
    from ppcli.files import LocalFile
    from ppcli.imaging.decode import ImageSource, pillow_limits
    from ppcli.imaging.fit import fit_image
    from ppcli.imaging.fit_options import FitOptions
    from ppcli.imaging.image_choices import WHITE

    with pillow_limits(1 << 28), ImageSource(LocalFile(page).open(), 1 << 28) as source:
        pixels = source.page(1, WHITE)
    fit = FitOptions.of_preset(preset)
    raster = fit_image(pixels, fit).raster
    kept = keep_mask(raster, tile=fit.tile)
    return raster, np.ones_like(kept), kept


def ours(folder: Path, page: str, setting: Setting) -> dict[str, Times]:
    """Times of the exported graphs, in milliseconds."""
    from ppcli.coding.patchset import cut_tiles
    from ppcli.imaging.pixels import pixel_values
    from ppcli.models.families.prompt_layout import layout_mrope
    from ppcli.models.kept_patches import KeptPatches
    from ppcli.models.model_choices import Device
    from ppcli.models.onnx.directory import ModelDirectory
    from ppcli.models.onnx.execution_device import ExecutionDevice
    from ppcli.models.onnx.sessions import open_sessions
    from ppcli.models.serving.runner import Runner

    model = ModelDirectory.open(str(folder))
    device = ExecutionDevice(Device.CUDA if setting.cuda else Device.CPU)
    runner = Runner(model, open_sessions(model, device, int(setting.one_thread)))
    raster, *keeps = page_tokens(page, model.preset)
    times = {}
    for name, keep in zip(("full", "pruned"), keeps, strict=True):
        values = pixel_values(cut_tiles(raster, keep, model.config.tile), model.preset)
        image = KeptPatches(keep, values, model.config.vision_inputs(keep))
        prompt = layout_mrope(PROMPT, IMAGE_TOKEN, [keep])
        runner.reserve(prompt.length + STEPS)

        def run() -> Times:
            started = setting.now()
            features = runner.embed([image])  # noqa: B023
            seen = setting.now()
            token = int(runner.prefill(prompt, features).argmax())  # noqa: B023
            first = setting.now()
            for count in range(STEPS):
                position = prompt.next_position + count  # noqa: B023
                length = prompt.length + count + 1  # noqa: B023
                token = int(runner.step([token], [position], [length]).argmax())
            return _times(started, seen, first, setting.now())

        times[name] = _best(run) | {"tokens": prompt.length}
    return times


def theirs(folder: Path, page: str, attention: str, setting: Setting) -> dict[str, Times]:
    """Times of transformers, in milliseconds: the whole page, as it knows no other."""
    import torch
    from transformers import AutoModelForImageTextToText, DynamicCache

    from ppcli.coding.patchset import cut_tiles
    from ppcli.imaging.pixels import pixel_values
    from ppcli.models.checkpoints.preprocessor_config import image_preset
    from ppcli.models.families.family_registry import read_config
    from ppcli.models.families.prompt_layout import layout_mrope

    if setting.one_thread:
        torch.set_num_threads(1)
    device, dtype = ("cuda", torch.bfloat16) if setting.cuda else ("cpu", torch.float32)
    model = AutoModelForImageTextToText.from_pretrained(
        folder, dtype=dtype, attn_implementation=attention
    )
    model = model.to(device).eval()
    read = read_config(str(folder))
    preset = image_preset(str(folder), read)
    raster, keep, _ = page_tokens(page, preset)
    pixels = pixel_values(cut_tiles(raster, keep, read.tile), preset)
    values = torch.tensor(pixels, device=device, dtype=dtype)
    grid = torch.tensor([[1, 2 * keep.shape[0], 2 * keep.shape[1]]], device=device)
    prompt = layout_mrope(PROMPT, IMAGE_TOKEN, [keep])
    ids = torch.tensor(prompt.ids, device=device)[None]
    places = torch.tensor(prompt.positions, device=device)[:, None]

    def now() -> float:
        if setting.cuda:
            torch.cuda.synchronize()
        return setting.now()

    @torch.no_grad()
    def run() -> Times:
        started = now()
        out = model.model.visual(values, grid_thw=grid)
        seen = now()
        cache = DynamicCache(config=model.config.text_config)
        visual = ids == IMAGE_TOKEN
        hidden = model.model.get_input_embeddings()(ids)
        hidden = hidden.masked_scatter(visual[..., None], out.pooler_output)
        deepstack = getattr(out, "deepstack_features", None)
        features = {"visual_pos_masks": visual, "deepstack_visual_embeds": deepstack}
        last = model.model.language_model(
            inputs_embeds=hidden,
            position_ids=places,
            past_key_values=cache,
            **(features if deepstack else {}),
        ).last_hidden_state[:, -1]
        token = model.lm_head(last).argmax(-1)
        first = now()
        for count in range(STEPS):
            last = model.model.language_model(
                input_ids=token[None],
                position_ids=torch.full((3, 1, 1), prompt.next_position + count, device=device),
                past_key_values=cache,
            ).last_hidden_state[:, -1]
            token = model.lm_head(last).argmax(-1)
        return _times(started, seen, first, now())

    return {"full": _best(run) | {"tokens": prompt.length}}


def _times(started: float, seen: float, first: float, ended: float) -> Times:
    return {
        "vision": (seen - started) * 1000,
        "prefill": (first - seen) * 1000,
        "decode a token": (ended - first) * 1000 / STEPS,
    }


def _best(run: Callable[[], Times]) -> Times:
    rounds = [run() for _ in range(REPEATS)]
    return {phase: min(one[phase] for one in rounds) for phase in rounds[0]}


def measured(
    side: str, checkpoint: Path, exported: Path, page: str, setting: Setting
) -> dict[str, Times]:
    """One side, in a process of its own."""
    command = [sys.executable, __file__, page, "--side", side]
    command += ["--checkpoint", str(checkpoint), "--exported", str(exported)]
    command += setting.arguments()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def main(
    page: Annotated[str, typer.Argument(help="An image.")],
    size: Annotated[str, typer.Option(help="A published size.")] = "qwen3-vl-2b",
    layers: Annotated[int, typer.Option(help="Of the language model.")] = 6,
    vision_layers: Annotated[int, typer.Option(help="Of the vision transformer.")] = 6,
    cuda: Annotated[bool, typer.Option("--cuda", help="In bfloat16 on a GPU.")] = False,
    one_thread: Annotated[
        bool, typer.Option("--one-thread", help="In processor time, on a busy machine.")
    ] = False,
    side: Annotated[str, typer.Option(hidden=True)] = "",
    checkpoint: Annotated[Path | None, typer.Option(hidden=True)] = None,
    exported: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Print milliseconds, and their ratio to each way of transformers."""
    setting = Setting(cuda, one_thread)
    if side:
        assert checkpoint is not None and exported is not None
        attention = side.removeprefix("transformers, ").removesuffix(" attention")
        times = (
            ours(exported, page, setting)
            if side == SIDES[0]
            else theirs(checkpoint, page, attention, setting)
        )
        print(json.dumps(times))  # noqa: T201
        return
    from ppcli.models.onnx.export import Export

    with tempfile.TemporaryDirectory() as name:
        checkpoint, exported = Path(name, "checkpoint"), Path(name, "model")
        make_checkpoint(checkpoint, size, layers, vision_layers)
        Export(str(checkpoint), "bfloat16" if cuda else "float32", "random weights").write(
            str(exported)
        )
        ideal = _ideal(exported, page)
        sides = {one: measured(one, checkpoint, exported, page, setting) for one in SIDES}
    table = Table("", "tokens", "vision ms", "prefill ms", "decode ms a token")
    for one, kinds in sides.items():
        for kind, times in kinds.items():
            numbers = [f"{times[phase]:,.1f}" for phase in ("vision", "prefill", "decode a token")]
            table.add_row(f"{one}, {kind}", f"{times['tokens']:,.0f}", *numbers)
    mine = sides[SIDES[0]]
    table.add_row("pruned: times faster", "", *_ratios(mine["full"], mine["pruned"]))
    table.add_row("ideal, by operations", "", *ideal)
    Console().print(table)


def _ratios(full: Times, pruned: Times) -> list[str]:
    phases = ("vision", "prefill", "decode a token")
    return [f"{full[phase] / pruned[phase]:.2f} ×" for phase in phases]


def _ideal(exported: Path, page: str) -> list[str]:
    """How many times fewer operations the kept tiles take."""
    from ppcli.models.checkpoints.preprocessor_config import image_preset
    from ppcli.models.families.family_registry import read_config

    config = read_config(str(exported))
    _, *keeps = page_tokens(page, image_preset(str(exported), config))
    counts = []
    for keep in keeps:
        tokens = len(PROMPT) - 1 + int(keep.sum())
        counts.append(
            {
                "vision": float(config.vision_operations(4 * int(keep.sum()))),
                "prefill": float(config.decoder_operations(tokens)),
                "decode a token": float(config.decoder_operations(1, past=tokens)),
            }
        )
    return _ratios(*counts)


if __name__ == "__main__":
    typer.run(main)
