"""The images of a request as frames of a sequence, with caches empty, full, and in between."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer

from ppcli.coding.patchset import cut_tiles
from ppcli.errors import UsageError
from ppcli.imaging.pixels import pixel_values
from ppcli.models.text.chat_tokenizer import ChatTokenizer, chat_messages
from tests.models import random_images
from tests.models.frames import LEVELS, chained_keeps, frames
from tests.models.integrations.vllm.conftest import HF_OVERRIDES, PROMPT, TINY
from tests.models.integrations.vllm.served import NEW_TOKENS, Answered, served
from tests.models.integrations.vllm.test_moe import PRESET
from tests.models.integrations.vllm.test_vllm_processor import IDS, IMAGE_TOKEN, media
from tests.models.integrations.vllm.vllm_environment import skip_without_vllm

skip_without_vllm()
pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def processor(processor_of: Callable[..., Any]) -> Any:
    return processor_of()


def processed(processor: Any, images: Sequence[Any], cache: Any = None, **options: Any) -> Any:
    ids = [IDS[0], *IDS[2:5] * len(images), *IDS[5:]]
    items = processor.info.parse_mm_data({"image": list(images)})
    return processor(ids, items, cache=cache, hf_processor_mm_kwargs={"pixelprune": options})


def keeps_of(out: Any) -> list[np.ndarray]:
    masks = [item["image_keep"].data.numpy() for item in out["mm_kwargs"]["image"]]
    assert out["prompt_token_ids"].count(IMAGE_TOKEN) == sum(one.sum() for one in masks)
    lengths = [place.length for place in out["mm_placeholders"]["image"]]
    assert lengths == [one.sum() for one in masks]
    return masks


def assert_pruned(out: Any, images: Sequence[np.ndarray], *how: Any) -> None:
    expected = chained_keeps(images, *how)
    assert all(
        np.array_equal(one, other.ravel())
        for one, other in zip(keeps_of(out), expected, strict=True)
    )


@pytest.mark.parametrize("preparation", ["pixelprune", "huggingface"])
@pytest.mark.parametrize("sequence", ["forward", "reverse"])
def test_masks_with_caches(processor: Any, sequence: str, preparation: str) -> None:
    """Requests share images, of which some are in the cache with other neighbours."""
    from vllm.multimodal.cache import MultiModalProcessorOnlyCache

    cache = MultiModalProcessorOnlyCache(processor.info.ctx.model_config)
    shown = frames()
    requests = [[0, 1, 2], [1, 2], [3, 1, 2], [0, 1, 2, 3], [2, 0, 1, 2], [4, 0, 1], [1], [1, 1]]
    options = {
        "sequence": sequence,
        "threshold": f"{LEVELS}/255",
        "preparation": preparation,
    }
    for numbers in requests * 2:
        images = [shown[number] for number in numbers]
        given = [media(Image.fromarray(one)) for one in images]
        out = processed(processor, given, cache, **options)
        assert_pruned(out, images, sequence, LEVELS / 255)
        values = processed(processor, given, **options)["mm_kwargs"]["image"]
        for one, other in zip(out["mm_kwargs"]["image"], values, strict=True):
            assert np.array_equal(one["pixel_values"].data, other["pixel_values"].data)


def test_hashes_follow_what_is_coded_before(processor: Any) -> None:
    shown = [Image.fromarray(one) for one in frames()[:3]]

    def hashes(order: Sequence[int], **options: Any) -> list[str]:
        out = processed(processor, [shown[number] for number in order], **options)
        return out["mm_hashes"]["image"]

    plain, forward = hashes([0, 1, 2]), hashes([0, 1, 2], sequence="forward")
    assert forward[0] == plain[0]
    assert len({*plain, *forward}) == 5
    assert hashes([0, 1], sequence="forward") == forward[:2]
    assert hashes([2, 1, 0], sequence="reverse") == forward[::-1]
    assert hashes([2, 1], sequence="forward")[1] not in {*plain, *forward}


def test_pixels_that_are_needed_and_were_not_sent(processor: Any) -> None:
    """An image may come as a uuid alone where the cache has it; its neighbour needs its pixels."""
    from vllm.multimodal.cache import MultiModalProcessorOnlyCache

    cache = MultiModalProcessorOnlyCache(processor.info.ctx.model_config)
    first, second = (Image.fromarray(one) for one in frames()[:2])

    def ask(images: Sequence[Any], names: list[str], sequence: str | None) -> Any:
        items = processor.info.parse_mm_data({"image": list(images)})
        ids = [IDS[0], *IDS[2:5] * len(images), *IDS[5:]]
        kwargs = {"pixelprune": {"sequence": sequence}}
        uuids = {"image": names}
        return processor(ids, items, uuids, hf_processor_mm_kwargs=kwargs, cache=cache)

    ask([first], ["a"], "forward")
    assert ask([None, second], ["a", "b"], None)
    with pytest.raises(UsageError, match="came as a uuid alone, and its pixels are needed"):
        ask([None, second], ["a", "b"], "forward")
    ask([first, second], ["a", "b"], "forward")
    assert_pruned(ask([None, None], ["a", "b"], "forward"), frames()[:2], "forward")


def screenshots(corpus: Path, *numbers: int) -> list[Path]:
    return [corpus / "sequences" / "form" / f"{number:03}.png" for number in numbers]


def reference(checkpoint: Path, paths: Sequence[Path], sequence: str | None) -> Answered:
    """What transformers' own blocks answer from the kept tiles."""
    from tests.models.reference import expanded, pruned_answer, transformers_model

    rasters = [np.array(Image.open(path).convert("RGB")) for path in paths]
    keeps = chained_keeps(rasters, sequence)
    images = [
        random_images.Image(pixel_values(cut_tiles(raster, np.ones_like(keep), 32), PRESET), keep)
        for raster, keep in zip(rasters, keeps, strict=True)
    ]
    ids = ChatTokenizer(checkpoint).encode_messages(chat_messages(PROMPT, len(images), None))
    answer = pruned_answer(transformers_model(TINY), ids, images, NEW_TOKENS)
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    return Answered(tokenizer.decode(answer.tokens), int(expanded(ids, images)[1].sum()))


@pytest.mark.usefixtures("in_vllm")
def test_a_server_answers_from_the_kept_tiles(
    checkpoint: Path, corpus: Path, tmp_path: Path
) -> None:
    """With its caches on: what is cached behind other images, or by itself, is not taken."""
    options = ["--hf-overrides", json.dumps(HF_OVERRIDES), "--trust-request-mm-kwargs"]
    options += ["--max-model-len", "4096", "--limit-mm-per-prompt", '{"image": 3, "video": 0}']
    requests = [
        (screenshots(corpus, *numbers), sequence)
        for numbers, sequence in (
            ((0, 3, 6), None),
            ((0, 3, 6), "forward"),
            ((9, 3, 6), "forward"),
            ((0, 3, 6), "reverse"),
            ((0, 3, 9), "reverse"),
        )
    ]
    expected = [reference(checkpoint, *one) for one in requests]
    assert len(set(expected)) == len(expected)
    assert len({one.text for one in expected}) > 2, "the answers hardly vary"
    assert expected[1].prompt_tokens < 0.8 * expected[0].prompt_tokens
    with served(checkpoint, tmp_path / "log", *options) as server:
        for _ in range(2):
            answers = [
                server.ask(paths, PROMPT, {"sequence": sequence}, ignore_eos=True)
                for paths, sequence in requests
            ]
            assert answers == expected
        status, body = server.refusal(requests[0][0], PROMPT, {"sequence": "sideways"})
        assert status == 400
        assert "unknown sequence 'sideways'" in body
