"""The plugin's processor in vLLM, without an engine."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ppcli.errors import ImageError, UsageError
from ppcli.files import LocalFile
from ppcli.imaging.fit import smart_resize
from ppcli.imaging.page_source import open_source
from ppcli.imaging.reading_options import ReadingOptions
from tests.conftest import blocks
from tests.models.integrations.vllm.vllm_environment import skip_without_vllm
from tests.models.tiny_checkpoint import SPECIAL

skip_without_vllm()
pytestmark = pytest.mark.vllm

IDS = [1, 60, 3, 5, 4, 70, 2]
IMAGE_TOKEN = SPECIAL.index("<|image_pad|>")


@pytest.fixture(scope="session")
def processor(processor_of: Callable[..., Any]) -> Any:
    return processor_of()


def media(image: Image.Image | Path, **save: Any) -> Any:
    """An image as vLLM's loader gives it."""
    from vllm.multimodal.media.image import ImageMediaIO

    if isinstance(image, Path):
        return ImageMediaIO().load_bytes(image.read_bytes())
    file = io.BytesIO()
    image.save(file, save.pop("format", "PNG"), **save)
    return ImageMediaIO().load_bytes(file.getvalue())


def processed(processor: Any, images: Sequence[Any], **kwargs: Any) -> Any:
    ids = [IDS[0], *IDS[2:5] * len(images), *IDS[5:]]
    items = processor.info.parse_mm_data({"image": list(images)})
    return processor(ids, items, hf_processor_mm_kwargs=kwargs)


def fields(processor: Any, image: Any, **kwargs: Any) -> dict[str, np.ndarray]:
    """Pixel values, grid and keep mask of one image."""
    out = processed(processor, [image], **kwargs)
    (item,) = out["mm_kwargs"]["image"]
    made = {name: element.data.numpy() for name, element in item.items()}
    assert out["prompt_token_ids"].count(IMAGE_TOKEN) == made["image_keep"].sum()
    assert len(made["pixel_values"]) == 4 * made["image_keep"].sum()
    return made


def pictures(folder: Path) -> list[Path]:
    suffixes = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"}
    return sorted(one for one in (folder / "images").rglob("*") if one.suffix in suffixes)


def rgb(path: Path) -> np.ndarray:
    source = open_source(LocalFile(str(path)), ReadingOptions())
    try:
        return source.page(1, (255, 255, 255))
    finally:
        source.close()


def test_kept_patches_are_those_of_the_pil_processor(processor: Any, corpus: Path) -> None:
    """Of every image of the corpus. Pillow resizes one axis a call, whatever its release."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
        Qwen2VLImageProcessorPil,
    )

    theirs = Qwen2VLImageProcessorPil.from_pretrained(processor.info.model_id)
    limits = theirs.size["shortest_edge"], theirs.size["longest_edge"]
    paths = pictures(corpus)
    assert len(paths) > 150
    refused = 0
    for path in paths:
        pixels = rgb(path)
        try:
            height, width = smart_resize(*pixels.shape[:2], 32, *limits)
        except ImageError:
            refused += 1
            continue
        image = Image.fromarray(pixels)
        for size in ((width, image.height), (width, height)):
            image = image.resize(size, Image.Resampling.BICUBIC)
        whole = theirs(image, return_tensors="np")
        made = fields(processor, media(path))
        assert np.array_equal(made["image_grid_thw"], whole["image_grid_thw"][0]), path
        kept = np.repeat(made["image_keep"], 4)
        assert np.array_equal(made["pixel_values"], whole["pixel_values"][kept]), path
    assert refused < 3


def test_the_other_preparation_prunes_what_vllm_would_feed(
    processor: Any, processor_of: Callable[..., Any], corpus: Path
) -> None:
    stock = processor_of(architecture="Qwen3VLForConditionalGeneration")
    pruned = 0
    for path in pictures(corpus)[::12]:
        image = media(path)
        (whole,) = processed(stock, [image])["mm_kwargs"]["image"]
        made = fields(processor, image, pixelprune={"preparation": "huggingface"})
        kept = np.repeat(made["image_keep"], 4)
        assert np.array_equal(made["image_grid_thw"], whole["image_grid_thw"].data.numpy())
        assert np.array_equal(made["pixel_values"], whole["pixel_values"].data.numpy()[kept])
        pruned += (~made["image_keep"]).sum()
    assert pruned > 1000


@pytest.mark.parametrize("preparation", ["pixelprune", "huggingface"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_levels_where_the_model_normalises(
    processor_of: Callable[..., Any], preparation: str, dtype: str
) -> None:
    """By default vLLM hands bytes to the model, which normalises them."""
    image = media(Image.fromarray(blocks(320, 256, block=128, levels=2)))
    options = {"preparation": preparation, "threshold": "2/255"}
    given = {"dtype": dtype, "pixelprune": options}
    floats = processor_of(**given)
    levels = processor_of(**given, mm_device_do_normalize=True)
    a, b = (processed(one, [image])["mm_kwargs"]["image"][0] for one in (floats, levels))
    assert str(a["pixel_values"].data.dtype) == f"torch.{dtype}"
    assert str(b["pixel_values"].data.dtype) == "torch.uint8"
    assert np.array_equal(a["image_keep"].data, b["image_keep"].data)
    assert not a["image_keep"].data.all()
    expected = b["pixel_values"].data.float() / 127.5 - 1
    assert (a["pixel_values"].data.float() - expected).abs().max() < 0.005


def test_what_the_bytes_mean(processor: Any) -> None:
    """Orientation, transparency, 16 bits: as in `analyze`; of PIL images and arrays the same."""
    pixels = blocks(200, 96, block=24)
    upright = fields(processor, Image.fromarray(pixels))
    turned = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_90)
    exif = turned.getexif()
    exif[0x0112] = 6
    given = media(turned, exif=exif)
    assert np.array_equal(fields(processor, given)["pixel_values"], upright["pixel_values"])
    clear = Image.fromarray(np.dstack([pixels, np.full((96, 200), 0, np.uint8)]))
    assert fields(processor, media(clear))["image_keep"].sum() == 1
    assert (fields(processor, media(clear))["pixel_values"] == 1).all()
    deep = Image.fromarray(np.full((96, 200), 200 << 8 | 255, np.uint16))
    values = fields(processor, media(deep))["pixel_values"]
    assert np.allclose(values, 200 / 127.5 - 1)
    import torch

    for same in (
        pixels,
        torch.from_numpy(pixels),
        np.ascontiguousarray(np.moveaxis(pixels, -1, 0)),
        media(Image.fromarray(pixels)),
    ):
        assert np.array_equal(fields(processor, same)["pixel_values"], upright["pixel_values"])
    grey = fields(processor, pixels[:, :, :1].copy())
    assert grey["image_keep"].size == upright["image_keep"].size
    with pytest.raises(UsageError, match=r"takes images as files, PIL images and uint8 arrays"):
        processed(processor, [pixels.astype(np.float32)])


def test_the_limits_of_a_request_are_obeyed(processor: Any) -> None:
    image = Image.fromarray(blocks(400, 300))
    small = fields(processor, image, max_pixels=32 * 32 * 20)
    assert small["image_keep"].size <= 20
    same = fields(processor, image, size={"longest_edge": 32 * 32 * 20})
    assert np.array_equal(small["pixel_values"], same["pixel_values"])
    with pytest.raises(UsageError, match=r'resample 2 \(int\); use "preparation"'):
        processed(processor, [image], resample=2)


def test_dummy_images_keep_every_tile(processor_of: Callable[..., Any]) -> None:
    """Whatever the threshold: memory is measured with the largest images there can be."""
    processor = processor_of({"threshold": 1.0})
    out = processor.get_dummy_mm_inputs({"image": 1})
    (item,) = out["mm_kwargs"]["image"]
    assert item["image_keep"].data.all()
    assert item["image_keep"].data.numel() == processor.info.get_max_image_tokens()


def test_options_enter_the_hashes(processor: Any) -> None:
    image = media(Image.fromarray(blocks(100, 100)))

    def hashed(**kwargs: Any) -> str:
        return processed(processor, [image], **kwargs)["mm_hashes"]["image"][0]

    plain = hashed()
    assert hashed(pixelprune={"threshold": 0}) == plain
    others = [{"threshold": "1/255"}, {"enabled": False}, {"preparation": "huggingface"}]
    assert len({plain, *(hashed(pixelprune=one) for one in others)}) == 4


def test_a_cached_image_is_not_prepared_again(processor: Any) -> None:
    """And one that is missing from the cache is decoded from its own bytes."""
    from vllm.multimodal.cache import MultiModalProcessorOnlyCache

    cache = MultiModalProcessorOnlyCache(processor.info.ctx.model_config)
    clear = Image.new("RGBA", (96, 96), (0, 0, 0, 0))
    first, second = media(Image.fromarray(blocks(96, 96))), media(clear)
    expected = processed(processor, [first, second])["prompt_token_ids"]
    for images in ([first], [first, second], [second, first], [first, second]):
        items = processor.info.parse_mm_data({"image": images})
        ids = [IDS[0], *IDS[2:5] * len(images), *IDS[5:]]
        out = processor(ids, items, cache=cache)
        if images == [first, second]:
            assert out["prompt_token_ids"] == expected


def test_positions_beyond_the_table_are_refused(
    processor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of an image whose data vLLM keeps in its engine alone."""
    long = Image.new("RGB", (3200, 32), "white")
    assert processed(processor, [long])["prompt_token_ids"].count(IMAGE_TOKEN) == 1
    monkeypatch.setattr(processor, "_room", 150)
    processed(processor, [long])
    with pytest.raises(UsageError, match="span 198 positions more than they have tokens left"):
        processed(processor, [long, long])
    monkeypatch.setattr(processor, "_room", 98)
    with pytest.raises(UsageError, match="and the model has 98 beyond --max-model-len"):
        processed(processor, [long])
    assert processor._span("unknown", None) > 1800


def test_graphs_are_left_out_for_images_alone(in_vllm: None) -> None:
    from types import SimpleNamespace

    from ppcli.models.integrations.vllm.vllm_models import (
        PixelPruneQwen3VLForConditionalGeneration,
    )

    model = object.__new__(PixelPruneQwen3VLForConditionalGeneration)
    vars(model).update(
        is_multimodal_pruning_enabled=False,
        get_max_frames_per_video=lambda: 4,
        visual=SimpleNamespace(out_hidden_size=8),
    )
    assert model.get_encoder_cudagraph_config().modalities == ["video"]


def test_an_engine_with_wrong_options_does_not_start(processor_of: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="pixelprune has no option 'tau'"):
        processor_of({"tau": 0.1})
    with pytest.raises(UsageError, match="does not go together with --video-pruning-rate"):
        processor_of(video_pruning_rate=0.5)
    with pytest.raises(UsageError, match="put the options of the engine into --hf-overrides"):
        processor_of(mm_processor_kwargs={"pixelprune": {"threshold": 0.1}})


def test_a_video_is_left_whole(processor: Any, processor_of: Callable[..., Any]) -> None:
    stock = processor_of(architecture="Qwen3VLForConditionalGeneration")
    frames = np.repeat(blocks(64, 64)[None], 4, axis=0)
    about = {"fps": 2.0, "duration": 2.0, "total_num_frames": 4, "frames_indices": [0, 1, 2, 3]}
    video = (frames, about | {"video_backend": "opencv", "do_sample_frames": False})
    image = Image.fromarray(blocks(96, 96))
    outs = []
    for one in (stock, processor):
        items = one.info.parse_mm_data({"image": [image], "video": [video]})
        outs.append(one([1, 3, 6, 4, 3, 5, 4, 2], items))
    videos = [out["mm_kwargs"]["video"][0] for out in outs]
    assert np.array_equal(*(video["pixel_values_videos"].data for video in videos))
    assert outs[0]["prompt_token_ids"].count(6) > 0
    lengths = [out["mm_placeholders"]["video"][0].length for out in outs]
    assert lengths[0] == lengths[1]
    assert outs[1]["prompt_token_ids"].count(5) < outs[0]["prompt_token_ids"].count(5)


def test_installed_and_not_turned_on_it_changes_nothing(processor_of: Callable[..., Any]) -> None:
    import vllm.model_executor.models.qwen3_vl as theirs
    from vllm import ModelRegistry

    stock = processor_of(architecture="Qwen3VLForConditionalGeneration")
    assert type(stock) is theirs.Qwen3VLMultiModalProcessor
    place = ModelRegistry.models["Qwen3VLForConditionalGeneration"]
    assert place.module_name == theirs.__name__
    out = processed(stock, [Image.new("RGB", (320, 320))])
    assert out["prompt_token_ids"].count(IMAGE_TOKEN) == 100
