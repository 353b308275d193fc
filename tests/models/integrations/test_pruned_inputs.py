"""From files to inputs, against transformers' own processor."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from ppcli import pruned_inputs
from ppcli.errors import ImageError, ModelError, UsageError
from ppcli.models.integrations.pruned_inputs import PrunedInputs
from tests.conftest import blocks
from tests.models.frames import LEVELS, chained_keeps, frames
from tests.models.random_images import IMAGE_TOKEN
from tests.models.reference import transformers_model
from tests.models.tiny_checkpoint import TEMPLATE, Tiny, write_checkpoint

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint"), Tiny())


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = []
    for seed, size in enumerate([(130, 100), (64, 200)]):
        pixels = blocks(*size, block=20, levels=2, seed=seed)
        pixels[:50] = 255
        paths.append(tmp_path / f"{seed}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def theirs(checkpoint: Path, images: list[Path], prompt: str) -> dict[str, np.ndarray]:
    """Every patch, as the processor of the model has it."""
    processor = Qwen2VLImageProcessorPil(
        patch_size=16,
        size={"shortest_edge": 4096, "longest_edge": 16_777_216},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    made = processor([Image.open(path) for path in images], return_tensors="np")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    )
    content = [{"type": "image"}] * len(images) + [{"type": "text", "text": prompt}]
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}],
        chat_template=TEMPLATE,
        add_generation_prompt=True,
        tokenize=False,
    )
    for grid in made["image_grid_thw"]:
        text = text.replace("<|image_pad|>", "<tile>" * int(grid.prod() // 4), 1)
    ids = tokenizer(text.replace("<tile>", "<|image_pad|>"))["input_ids"]
    return dict(made) | {"input_ids": np.array([ids])}


@pytest.mark.parametrize("count", [1, 2])
def test_what_is_fed_is_a_part_of_what_transformers_feeds(checkpoint, images, count) -> None:
    ours = pruned_inputs(images[:count], "What is the total?", checkpoint)
    assert_part(ours, checkpoint, images[:count], "What is the total?")


def assert_part(ours: PrunedInputs, checkpoint: Path, images: list[Path], prompt: str) -> None:
    """What is fed is of the whole prompt, at the places that transformers gives it."""
    whole = theirs(checkpoint, images, prompt)
    assert np.array_equal(ours.image_grid_thw, whole["image_grid_thw"])
    tiles = np.concatenate([keep.reshape(-1) for keep in ours.keeps])
    assert 0 < tiles.sum() < tiles.size
    assert np.array_equal(ours.pixel_values, whole["pixel_values"][tiles.repeat(4)])
    fed = np.ones(whole["input_ids"].shape[1], dtype=bool)
    fed[whole["input_ids"][0] == IMAGE_TOKEN] = tiles
    assert np.array_equal(ours.input_ids, whole["input_ids"][:, fed])
    assert np.array_equal(ours.visual, ours.input_ids == IMAGE_TOKEN)
    assert ours.cu_seqlens.tolist()[-1] == len(ours.pixel_values)
    model = transformers_model(Tiny())
    full = torch.tensor(whole["input_ids"])
    positions, delta = model.model.get_rope_index(
        full,
        mm_token_type_ids=(full == IMAGE_TOKEN).int(),
        image_grid_thw=torch.tensor(ours.image_grid_thw),
    )
    assert np.array_equal(ours.position_ids, positions.numpy()[:, :, fed])
    assert ours.next_position == full.shape[1] + int(delta)


@pytest.mark.parametrize("threshold", [0, LEVELS / 255])
@pytest.mark.parametrize("sequence", [None, "forward", "reverse"])
def test_images_of_a_sequence(checkpoint, tmp_path, sequence, threshold) -> None:
    """Arrays and files may follow one another, and pages of a file do."""
    shown = frames()
    paths = [tmp_path / f"{number}.png" for number in range(len(shown))]
    for path, pixels in zip(paths, shown, strict=True):
        Image.fromarray(pixels).save(path)
    options = {"threshold": threshold, "sequence": sequence}
    ours = pruned_inputs(paths, "?", checkpoint, **options)
    expected = chained_keeps(shown, sequence, threshold)
    assert all(np.array_equal(*both) for both in zip(ours.keeps, expected, strict=True))
    assert_part(ours, checkpoint, paths, "?")
    pages = [Image.fromarray(pixels) for pixels in shown]
    pages[1].save(tmp_path / "pages.tif", save_all=True, append_images=pages[2:5])
    mixed = [shown[0], tmp_path / "pages.tif", paths[5]]
    again = pruned_inputs(mixed, "?", checkpoint, **options)
    assert np.array_equal(again.pixel_values, ours.pixel_values)
    assert np.array_equal(again.position_ids, ours.position_ids)


def test_a_sequence_keeps_fewer_tiles_and_one_of_each_image(checkpoint) -> None:
    def kept(**options) -> list[int]:
        given = pruned_inputs([*frames(), frames()[-1]], "?", checkpoint, **options)
        return [int(keep.sum()) for keep in given.keeps]

    whole, forward, reverse = (kept(sequence=one) for one in (None, "forward", "reverse"))
    assert forward[0] == whole[0] and forward[-1] == 1
    assert reverse[-1] == whole[-1] and reverse[-2] == 1
    assert sum(forward) < 0.8 * sum(whole) > sum(reverse)


def test_arrays_are_taken_as_files_are(checkpoint, images) -> None:
    named = pruned_inputs(images, "?", checkpoint, threshold=0.1)
    arrays = [np.array(Image.open(path)) for path in images]
    given = pruned_inputs(arrays, "?", checkpoint, threshold=0.1)
    assert np.array_equal(named.pixel_values, given.pixel_values)
    assert np.array_equal(named.position_ids, given.position_ids)
    coarse = pruned_inputs(images, "?", checkpoint, threshold=1.0)
    assert len(coarse.pixel_values) == 2 * 4 < len(named.pixel_values)


def test_each_image_has_its_own_threshold(checkpoint, images) -> None:
    clean, noisy = (np.asarray(Image.open(path)) for path in images)
    noise = np.random.default_rng(0).integers(0, 3, noisy.shape, dtype=np.uint8)
    noisy = np.clip(noisy, 2, 250) + noise
    made = pruned_inputs([clean, noisy], "?", checkpoint, threshold="auto")
    plain = pruned_inputs([clean, noisy], "?", checkpoint)
    assert np.array_equal(made.keeps[0], plain.keeps[0])
    assert made.keeps[1].sum() < plain.keeps[1].sum()


def test_every_page_of_a_file_is_an_image(checkpoint, images, tmp_path) -> None:
    pages = [Image.open(path) for path in images]
    pages[0].save(tmp_path / "two.tif", save_all=True, append_images=pages[1:])
    both = pruned_inputs([tmp_path / "two.tif"], "?", checkpoint)
    assert np.array_equal(both.pixel_values, pruned_inputs(images, "?", checkpoint).pixel_values)


def test_what_cannot_be_pruned(checkpoint, images, tmp_path) -> None:
    for wrong in ([], str(images[0]), np.zeros((64, 64, 3), dtype=np.uint8)):
        with pytest.raises(UsageError, match="list of files or arrays"):
            pruned_inputs(wrong, "?", checkpoint)
    with pytest.raises(UsageError, match=r"not uint8 \(64, 64\)"):
        pruned_inputs([np.zeros((64, 64), dtype=np.uint8)], "?", checkpoint)
    with pytest.raises(UsageError, match="random"):
        pruned_inputs(images, "?", checkpoint, method="random")
    with pytest.raises(UsageError, match="unknown sequence 'sideways'; known: forward, reverse"):
        pruned_inputs(images, "?", checkpoint, sequence="sideways")
    with pytest.raises(UsageError, match=r"conncomp .* cannot be decoded; use pred_2d"):
        pruned_inputs(images, "?", checkpoint, method="conncomp", sequence="forward")
    with pytest.raises(UsageError, match="method"):
        pruned_inputs(images, "?", checkpoint, method="pred_3d")
    with pytest.raises(ImageError, match="no such file"):
        pruned_inputs([tmp_path / "gone.png"], "?", checkpoint)
    with pytest.raises(ModelError, match="not a checkpoint"):
        pruned_inputs(images, "?", tmp_path)
