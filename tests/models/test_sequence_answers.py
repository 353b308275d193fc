"""Answers of `infer --sequence` against the layers of transformers, which see the kept tiles."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppcli import api, infer
from ppcli.models.onnx.export import Export
from ppcli.models.text.chat_tokenizer import ChatTokenizer, chat_messages
from tests.models import random_images
from tests.models.frames import chained_keeps, frames
from tests.models.integrations.test_pruned_inputs import theirs
from tests.models.reference import pruned_answer, transformers_model
from tests.models.tiny_checkpoint import SPECIAL, Tiny, write_checkpoint

pytestmark = pytest.mark.oracle

PROMPT, TOKENS = "What is the total?", 8


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("model")
    write_checkpoint(folder / "checkpoint", Tiny())
    Export(str(folder / "checkpoint"), "float32", "a test").write(str(folder / "model"))
    return folder


def test_answers_are_those_of_transformers(model: Path, tmp_path: Path) -> None:
    """Some of them change with the sequence, so that a wrong one would show."""
    groups = [range(6), range(3), range(3, 5), (0, 1, 0, 1), (2, 5, 4, 4)]
    for number, pixels in enumerate(frames()):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    asked = [{"images": [f"{one}.png" for one in group], "prompt": PROMPT} for group in groups]
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(f"{json.dumps(one)}\n" for one in asked))
    oracle, chat = transformers_model(Tiny()), ChatTokenizer(str(model / "checkpoint"))
    found: dict[str | None, list[str | None]] = {}
    for sequence in (None, "forward", "reverse"):
        rows = infer(
            requests=api.RequestOptions(str(path)),
            model=model / "model",
            generation=api.GenerationOptions(max_new_tokens=TOKENS),
            sequence=api.RequestSequenceOptions(sequence),
            workers=api.WorkerOptions(workers=0),
        ).rows
        for row, group in zip(rows, groups, strict=True):
            ids = chat.encode_messages(chat_messages(PROMPT, len(group), None))
            paths = [tmp_path / f"{one}.png" for one in group]
            whole = theirs(model / "checkpoint", paths, PROMPT)
            counts = [int(grid.prod()) for grid in whole["image_grid_thw"]]
            values = np.split(whole["pixel_values"], np.cumsum(counts)[:-1])
            keeps = chained_keeps([frames()[one] for one in group], sequence)
            shown = [random_images.Image(*both) for both in zip(values, keeps, strict=True)]
            tokens = pruned_answer(oracle, ids, shown, TOKENS).tokens
            end = SPECIAL.index("<|im_end|>")
            tokens = tokens[: tokens.index(end)] if end in tokens else tokens
            assert row.kept == sum(int(keep.sum()) for keep in keeps)
            assert row.answer == chat.decode(tokens)
        found[sequence] = [row.answer for row in rows]
    assert found["forward"] != found[None] != found["reverse"]
