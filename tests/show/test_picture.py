"""Pictures of pruning: complete panels in their places, with correct captions."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from ppcli import keep_mask, prune
from ppcli.coding.coder_options import CoderOptions, Method, Metric, Mode
from ppcli.coding.patchset import encode
from ppcli.errors import UsageError
from ppcli.show.overlay import error_levels, error_map, overlay
from ppcli.show.picture import PictureOptions, caption, draw_image, draw_patch_set
from ppcli.show.sheet import Panel, sheet
from tests.conftest import blocks

TAU = 8 / 255
PLAIN = CoderOptions()
LOSSY = CoderOptions(threshold=TAU)


def noisy(width: int, height: int) -> np.ndarray:
    noise = np.random.default_rng(3).integers(0, 6, (height, width, 3))
    return np.clip(blocks(width, height).astype(int) + noise, 0, 255).astype(np.uint8)


def places(picture: Image.Image, panel: np.ndarray) -> list[tuple[int, int]]:
    """Find a panel in a picture, bit for bit; return its left and top positions."""
    seen = np.asarray(picture)
    height, width = panel.shape[:2]
    starts = (seen[: -height + 1, : -width + 1] == panel[0, 0]).all(axis=2)
    return [
        (int(left), int(top))
        for top, left in np.argwhere(starts)
        if np.array_equal(seen[top : top + height, left : left + width], panel)
    ]


def test_one_panel_fills_the_picture() -> None:
    raster = blocks(320, 192)
    seen = draw_image(raster, 32, PictureOptions((PLAIN,)), "a")
    assert places(seen, overlay(raster, keep_mask(raster))) == [(0, 0)]
    assert seen.width == 320
    assert 192 < seen.height < 260


@pytest.mark.parametrize("width", [320, 352])
def test_the_source_beside(width: int) -> None:
    raster = blocks(width, 192)
    options = PictureOptions((PLAIN,), side_by_side=True)
    seen = draw_image(raster, 32, options, "a")
    [(left, top)] = places(seen, raster)
    [beside] = places(seen, overlay(raster, keep_mask(raster)))
    assert beside[1] == top
    assert beside[0] > left + width


def test_methods_on_one_sheet() -> None:
    raster = blocks(320, 192)
    coders = tuple(CoderOptions(method) for method in Method)
    seen = draw_image(raster, 32, PictureOptions(coders, grid=True), "a/b.png")
    found = set()
    for coder in coders:
        keep = keep_mask(raster, method=coder.method.value, image_id="a/b.png")
        found |= set(places(seen, overlay(raster, keep, grid=True)))
    assert len(found) == len(coders)


def test_what_is_lost() -> None:
    raster = noisy(320, 192)
    seen = draw_image(raster, 32, PictureOptions((LOSSY,), error=True), "a")
    levels = error_levels(raster, encode(raster, 32, LOSSY).reconstruct())
    assert 0 < levels.max() <= 8
    assert len(places(seen, error_map(raster, levels))) == 1


def test_an_own_threshold_is_drawn_and_named() -> None:
    raster = noisy(320, 192)
    drawn = {
        threshold: draw_image(
            raster, 32, PictureOptions((CoderOptions(threshold=threshold),), error=True), "a"
        ).tobytes()
        for threshold in ("auto", 6 / 255, 4 / 255)
    }
    assert prune(raster, threshold="auto").options.threshold == 6 / 255
    assert drawn["auto"] == drawn[6 / 255] != drawn[4 / 255]


def test_a_patch_set_is_drawn_over_what_it_rebuilds() -> None:
    raster = noisy(320, 192)
    patches = prune(raster, threshold=TAU)
    rebuilt = patches.reconstruct()
    seen = draw_patch_set(patches, rebuilt, PictureOptions((PLAIN,), side_by_side=True))
    assert not np.array_equal(rebuilt, raster)
    assert len(places(seen, rebuilt)) == 1
    assert len(places(seen, overlay(rebuilt, patches.keep))) == 1


@pytest.mark.parametrize(("threshold", "name"), [(0.0, "source"), (TAU, "rebuilt")])
def test_what_is_rebuilt_is_not_called_the_source(monkeypatch, threshold: float, name: str) -> None:
    shown = []
    monkeypatch.setattr("ppcli.show.picture.sheet", shown.extend)
    patches = prune(noisy(320, 192), threshold=threshold)
    draw_patch_set(patches, patches.reconstruct(), PictureOptions((PLAIN,), side_by_side=True))
    assert shown[0].caption == f"{name}, 60 tokens"


def test_the_caption_of_a_frame_says_what_it_keeps_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[Panel] = []
    monkeypatch.setattr("ppcli.show.picture.sheet", shown.extend)
    before, raster = blocks(320, 192), blocks(320, 192, seed=1)
    patches = prune(raster, before=before)
    assert patches.kept < patches.kept_intra == prune(raster).kept
    draw_patch_set(patches, raster, PictureOptions((PLAIN,)))
    assert shown[0].caption.endswith(f"; {patches.kept_intra} without the frame beside it")
    draw_patch_set(prune(raster), raster, PictureOptions((PLAIN,)))
    assert shown[1].caption.endswith("tau = 0")


def test_captions() -> None:
    keep = np.zeros((40, 30), np.bool_)
    keep[:, :3] = True
    assert caption(keep, PLAIN) == "120 of 1,200 tokens kept (10.0 %), pred_2d, tau = 0"
    lossy = CoderOptions(Method.RASTER, Metric.MAE, Mode.SLIDING, 3 / 255)
    assert caption(keep, lossy).endswith("raster, tau = 3/255 (mae, sliding)")
    assert caption(keep, CoderOptions(threshold=0.0311)).endswith("tau = 0.0311 (max, anchored)")
    assert caption(keep, CoderOptions(Method.RANDOM)).endswith(
        "random, as many as pred_2d, tau = 0"
    )


@pytest.mark.parametrize("panels", [1, 2])
@pytest.mark.parametrize("width", [32, 64, 256, 640, 5000])
def test_captions_stay_within_the_picture(width: int, panels: int) -> None:
    """The caption has ink, but not in the last column and row of the picture."""
    paper = np.full((32, width, 3), (236, 238, 242), np.uint8)
    made = np.asarray(sheet([Panel(paper, "1,234 of 5,678 tokens kept " * 3, 20)] * panels))
    ground = (made == paper[0, 0]).all(axis=2)
    assert not ground.all()
    assert ground[-1].all()
    assert ground[:, -1].all()


def test_sheets_are_not_stretched() -> None:
    shapes = {}
    for number in range(1, 10):
        panels = [Panel(np.zeros((200, 300, 3), np.uint8), "x")] * number
        made = sheet(panels)
        shapes[number] = made.width / made.height
    assert all(0.6 < shapes[number] < 2.2 for number in range(4, 10))
    assert [shapes[one] < shapes[other] for one, other in pairwise((1, 2, 3))] == [True, True]


@pytest.mark.parametrize("shape", [(200, 300), (300, 200), (200, 200)])
def test_four_panels_leave_no_gap(shape: tuple[int, int]) -> None:
    made = sheet([Panel(np.zeros((*shape, 3), np.uint8), "x")] * 4)
    assert 1.9 < made.width / max(280, shape[1]) < 2.5


@pytest.mark.parametrize(
    ("coders", "words"),
    [
        ((PLAIN,), "at 0 there is no error"),
        ((CoderOptions(Method.CONNCOMP, threshold=TAU),), "cannot be decoded"),
        ((LOSSY, CoderOptions(mode=Mode.SLIDING, threshold=TAU)), "cannot be decoded"),
    ],
)
def test_errors_that_cannot_be_shown(coders: tuple[CoderOptions, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        PictureOptions(coders, error=True)
