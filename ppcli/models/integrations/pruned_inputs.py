"""Pruned inputs for programs that run a model themselves: `from ppcli import pruned_inputs`."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppcli.arguments import as_path, as_utf8_text
from ppcli.coding.coder_options import Threshold, coder_for_models
from ppcli.coding.selection import check_array
from ppcli.coding.sequence_options import sequence_for_models
from ppcli.errors import UsageError
from ppcli.files import LocalFile
from ppcli.imaging.decode import pillow_limits
from ppcli.imaging.page_source import open_source
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.models.checkpoints.preprocessor_config import image_preset
from ppcli.models.families.family_registry import read_config
from ppcli.models.kept_patches import prune_images
from ppcli.models.text.chat_tokenizer import ChatTokenizer, chat_messages

Image = str | os.PathLike[str] | NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class PrunedInputs:
    """What a model takes of a prompt with images when pruned tiles are left out.

    N patches and S tokens are fed. The patches of the images follow one another; those of a tile
    lie together. `pos_hw`, `interp_idx` and `interp_w` are the `vision_inputs` of Qwen3-VL;
    Qwen2.5-VL has `pos_hw`, and `window` and `window_slot`, which are counted in each image anew.

    Attributes:
        keeps: of each image, bool (grid_h, grid_w), the tiles that are kept.
        pixel_values: float32 (N, 3·temporal·P·P).
        image_grid_thw: int64 (images, 3): 1, rows and columns of patches of the whole images.
        cu_seqlens: int32 (images + 1), where the patches of each image begin and end.
        vision_inputs: what the vision transformer takes beside the pixels, by name, N rows each.
        input_ids: int64 (1, S).
        position_ids: int64 (axes, 1, S), as in the whole prompt; with M-RoPE three axes: time,
            row and column.
        visual: bool (1, S), the tokens that stand for tiles.
        next_position: position of the first token of the answer; the others follow.

    Examples:
        Every kept tile is one token and M×M patches; this page is blank, so one tile is kept.

        >>> from importlib.resources import files
        >>> import numpy as np
        >>> from ppcli import pruned_inputs
        >>> page = np.full((256, 320, 3), 255, dtype=np.uint8)
        >>> given = pruned_inputs([page], "What is the total?", files("ppcli") / "small_model")
        >>> int(given.visual.sum()), given.pos_hw.tolist()
        (1, [[0, 0], [0, 1], [1, 0], [1, 1]])
    """

    keeps: list[NDArray[np.bool_]]
    pixel_values: NDArray[np.float32]
    image_grid_thw: NDArray[np.int64]
    cu_seqlens: NDArray[np.int32]
    vision_inputs: dict[str, NDArray[Any]]
    input_ids: NDArray[np.int64]
    position_ids: NDArray[np.int64]
    visual: NDArray[np.bool_]
    next_position: int

    @property
    def pos_hw(self) -> NDArray[np.int64]:
        """Row and column of each patch in its whole image, int64 (N, 2).

        Raises:
            AttributeError: the model does not take it.
        """
        return self._vision_input("pos_hw")

    @property
    def interp_idx(self) -> NDArray[np.int64]:
        """Rows of the learned position embeddings, int64 (N, 4).

        Raises:
            AttributeError: the model does not take them.
        """
        return self._vision_input("interp_idx")

    @property
    def interp_w(self) -> NDArray[np.float32]:
        """Weights of these rows, float32 (N, 4).

        Raises:
            AttributeError: the model does not take them.
        """
        return self._vision_input("interp_w")

    def _vision_input(self, name: str) -> NDArray[Any]:
        if name not in self.vision_inputs:
            raise AttributeError(f"this model takes {', '.join(self.vision_inputs)}, not {name}")
        return self.vision_inputs[name]


def pruned_inputs(
    images: Sequence[Image],
    prompt: str,
    model: str | os.PathLike[str],
    *,
    system: str | None = None,
    method: str = "pred_2d",
    metric: str = "max",
    threshold: Threshold = 0.0,
    mode: str = "anchored",
    sequence: str | None = None,
) -> PrunedInputs:
    """Prune images for a model, and lay out the prompt that asks about them.

    Args:
        images: files, of which every page is an image, or arrays, RGB uint8 (height, width, 3);
            at least one.
        prompt: the text after the images.
        model: a folder with the settings of a model of a supported family: config, tokenizer,
            chat template and image processor. Its weights are not read.
        system: a system text before the prompt.
        method: a method of `pixelprune analyze --method`, except controls such as random.
        metric: exact, max, mae, rmse or two_scale, in units of full scale.
        threshold: τ in [0, 1]; at 0 nothing is lost. "auto" (max or two_scale) follows the noise
            of each image.
        mode: anchored (bounded error) or sliding (may drift).
        sequence: forward, to prune also tiles that the image before shows in the same place; or
            reverse, for the image after. Images of another grid begin anew.

    Returns:
        The arrays that the model takes, without pruned patches and tokens.

    Raises:
        ModelError: the folder lacks settings, or they are of a model that is not supported.
        ImageError: an image cannot be read, or its aspect ratio is above 200.
        UsageError: a name is unknown, a number is out of range, the images are not a list of
            files and arrays, there are none, or a sequence has a method that cannot be decoded.

    Examples:
        >>> from importlib.resources import files
        >>> import numpy as np
        >>> from ppcli import pruned_inputs
        >>> page = np.full((256, 320, 3), 255, dtype=np.uint8)
        >>> given = pruned_inputs([page], "What is the total?", files("ppcli") / "small_model")
        >>> given.keeps[0].shape, int(given.keeps[0].sum())
        ((8, 10), 1)
        >>> given.pixel_values.shape, given.image_grid_thw.tolist()
        ((4, 1536), [[1, 16, 20]])
        >>> given.input_ids.shape[1] == given.position_ids.shape[2] < given.next_position
        True
    """
    images = _listed(images)
    prompt, folder = as_utf8_text(prompt, "the prompt"), as_path(model, "the model")
    system = None if system is None else as_utf8_text(system, "the system text")
    config = read_config(folder)
    preset = image_preset(folder, config)
    options = coder_for_models(method, metric, threshold, mode)
    pages = (page for image in images for page in _pages(image))
    direction = sequence_for_models(sequence, options)
    kept = prune_images(pages, preset, config, options, direction)
    ids = ChatTokenizer(folder).encode_messages(chat_messages(prompt, len(kept), system))
    tokens = config.layout_prompt(ids, [one.keep for one in kept])
    visual = np.zeros(tokens.length, dtype=np.bool_)
    visual[tokens.visual] = True
    counts = [len(one.pixel_values) for one in kept]
    return PrunedInputs(
        keeps=[one.keep for one in kept],
        pixel_values=np.concatenate([one.pixel_values for one in kept]),
        image_grid_thw=np.array([one.grid_thw for one in kept], dtype=np.int64),
        cu_seqlens=np.cumsum([0, *counts], dtype=np.int32),
        vision_inputs={
            name: np.concatenate([one.inputs[name] for one in kept]) for name in kept[0].inputs
        },
        input_ids=tokens.ids[None],
        position_ids=tokens.positions[:, None],
        visual=visual[None],
        next_position=tokens.next_position,
    )


def _listed(images: Sequence[Image]) -> list[Image]:
    """The images, each of which is a file or an array.

    Raises:
        UsageError: naming what is something else.
    """
    one = isinstance(images, str | bytes | os.PathLike | np.ndarray | Mapping)
    listed = [] if one or not isinstance(images, Iterable) else list(images)
    if not listed:
        raise UsageError("images is a list of files or arrays, and there must be one at least")
    for number, image in enumerate(listed):
        if not isinstance(image, np.ndarray):
            as_path(image, f"images[{number}]")
            continue
        check_array(image, f"images[{number}]")
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise UsageError(
                f"images[{number}] is to be RGB uint8 (height, width, 3), "
                f"not {image.dtype} {image.shape}"
            )
    return listed


def _pages(image: Image) -> Iterator[NDArray[np.uint8]]:
    if isinstance(image, np.ndarray):
        yield image
        return
    reading = ReadingOptions()
    with (
        pillow_limits(reading.max_image_pixels),
        closing(open_source(LocalFile(os.fspath(image)), reading)) as source,
    ):
        for number in reading.numbers(source.format, source.frames):
            yield source.page(number, reading.background)
