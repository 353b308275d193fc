import numpy as np
import pytest
from PIL import Image

from ppcli import keep_mask, prune
from ppcli.coding import auto_threshold, distinct_kernels, kernels
from ppcli.coding.coder_options import CoderOptions, Method, Mode
from ppcli.coding.sequence_options import Direction, SequenceOptions
from ppcli.errors import ErrorCode, UsageError
from ppcli.files import LocalFile
from ppcli.imaging import direct, resample
from ppcli.imaging.decode import pillow_limits
from ppcli.imaging.fit import fit_image
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import Fit, Frames
from ppcli.imaging.reading_options import PageRanges, ReadingOptions
from ppcli.inputs.refs import ImageRef
from ppcli.jit.kernel import Kernel
from ppcli.jobs import page_analysis
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.page_analysis import PageResult
from ppcli.jobs.pages import analyze_pages, kernels_of
from ppcli.models.families.family_registry import PRESETS
from ppcli.store.patch_codec import from_patch_row
from tests.conftest import blocks

PAD = FitOptions(Fit.PAD, 16, 2, 1, 1 << 24)


def rows(path, **changes) -> list[PageResult]:
    options = AnalysisOptions(**({"coder": CoderOptions(), "fit": PAD} | changes))
    with pillow_limits(options.reading.max_image_pixels):
        ref = ImageRef(LocalFile(str(path)), path.name)
        found: list[PageResult] = []
        while True:
            part = analyze_pages(ref, options, first=len(found) + 1, most=2)
            found += part.pages
            if len(found) >= (part.count.rows if part.count else 1):
                return found


def test_an_ok_row_describes_the_image(tmp_path) -> None:
    pixels = blocks(150, 90)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    [result] = rows(tmp_path / "a.png")
    stats = result.row
    raster = fit_image(pixels, PAD).raster
    assert (stats.width, stats.height, stats.fitted_width, stats.fitted_height) == (
        150,
        90,
        150,
        90,
    )
    assert (stats.grid_h, stats.grid_w, stats.tokens, stats.tile) == (3, 5, 15, 32)
    assert stats.kept == keep_mask(raster).sum()
    assert stats.keep_ratio == stats.kept / 15
    tiles = {
        raster[r : r + 32, c : c + 32].tobytes() for r in (0, 32, 64) for c in range(0, 160, 32)
    }
    assert stats.unique == len(tiles)
    assert stats.file_bytes == (tmp_path / "a.png").stat().st_size
    assert (stats.format, stats.frames, stats.page, stats.status) == ("PNG", 1, 1, "ok")
    assert np.array_equal(from_patch_row(result.patches).image(), pixels)


def test_the_default_fit_is_the_models(tmp_path) -> None:
    Image.fromarray(blocks(500, 300)).save(tmp_path / "a.png")
    [result] = rows(tmp_path / "a.png", fit=FitOptions.of_preset(PRESETS["qwen2.5-vl"]))
    stats = result.row
    assert (stats.tile, stats.fitted_width, stats.fitted_height) == (28, 504, 308)
    assert (stats.grid_w, stats.grid_h) == (18, 11)


def test_above_threshold_zero_the_digest_is_of_the_rebuilt_raster(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 9, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    [result] = rows(tmp_path / "a.png", coder=CoderOptions(threshold=0.1))
    raster = from_patch_row(result.patches).raster()
    assert result.row.kept == 1
    assert not np.array_equal(raster, noise)
    assert np.abs(raster.astype(int) - noise).max() <= 25


def test_pages_and_frames(tmp_path) -> None:
    images = [Image.fromarray(blocks(seed=seed)) for seed in range(3)]
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:])
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:])
    images[0].save(tmp_path / "b.tif")
    assert [r.row.image_id for r in rows(tmp_path / "a.tif")] == ["a.tif#1", "a.tif#2", "a.tif#3"]
    assert [r.row.page for r in rows(tmp_path / "a.tif")] == [1, 2, 3]
    assert [r.row.image_id for r in rows(tmp_path / "b.tif")] == ["b.tif"]
    [first] = rows(tmp_path / "a.gif")
    assert (first.row.image_id, first.row.frames) == ("a.gif", 3)
    frames = rows(tmp_path / "a.gif", reading=ReadingOptions(Frames.ALL))
    assert [r.row.image_id for r in frames] == ["a.gif#1", "a.gif#2", "a.gif#3"]
    assert [
        np.array_equal(from_patch_row(r.patches).image(), i)
        for r, i in zip(frames, images, strict=True)
    ] == [True] * 3


def test_a_broken_page_does_not_take_the_others_with_it(tmp_path) -> None:
    images = [Image.fromarray(blocks(seed=seed)) for seed in range(3)]
    images[1] = Image.new("F", (64, 64))
    images[0].save(tmp_path / "a.tif", save_all=True, append_images=images[1:])
    results = rows(tmp_path / "a.tif")
    assert [r.row.status for r in results] == ["ok", "error", "ok"]
    assert results[1].row.error_code == ErrorCode.UNSUPPORTED_MODE
    assert results[1].row.error_message.startswith("a.tif#2: ")
    assert results[1].patches is None
    assert results[1].row.kept is None


def test_an_error_row_keeps_the_configuration_and_names_the_file(tmp_path) -> None:
    (tmp_path / "line\nbreak.png").write_bytes(b"")
    [result] = rows(tmp_path / "line\nbreak.png", coder=CoderOptions(threshold=0.5))
    stats = result.row
    assert (stats.status, stats.error_code) == ("error", "empty")
    assert stats.error_message == "line\\nbreak.png: the file is empty"
    assert (stats.threshold, stats.method, stats.file_bytes) == (0.5, "pred_2d", 0)
    assert stats.tokens is None


def test_resize_refuses_strips_and_pad_takes_them(tmp_path) -> None:
    Image.new("RGB", (1000, 4)).save(tmp_path / "a.png")
    preset = PRESETS["qwen3-vl"]
    [resized] = rows(tmp_path / "a.png", fit=FitOptions.of_preset(preset, Fit.RESIZE))
    assert resized.row.error_code == ErrorCode.ASPECT_RATIO
    assert (resized.row.width, resized.row.height) == (1000, 4)
    [padded] = rows(tmp_path / "a.png", fit=FitOptions.of_preset(preset, Fit.PAD))
    assert padded.row.status == "ok"


def test_random_draws_by_the_identity(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 2, (8, 8, 1), dtype=np.uint8) * 255
    pixels = noise.repeat(32, axis=0).repeat(32, axis=1).repeat(3, axis=2)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    options = {"coder": CoderOptions(method=Method.RANDOM, seed=3), "patches": False}
    [result] = rows(tmp_path / "a.png", **options)
    assert result.row.kept == prune(pixels).kept
    assert result.row.unique == 2
    assert result.patches is None


@pytest.mark.parametrize(
    "coder",
    [
        CoderOptions(method=Method.RANDOM),
        CoderOptions(method=Method.CONNCOMP),
        CoderOptions(mode=Mode.SLIDING, threshold=0.1),
    ],
)
def test_patch_sets_of_what_cannot_be_decoded_are_refused(coder: CoderOptions) -> None:
    with pytest.raises(UsageError, match="--no-patches"):
        AnalysisOptions(coder, PAD)
    AnalysisOptions(coder, PAD, patches=False)


def test_slow_pages_come_one_by_one(tmp_path, monkeypatch) -> None:
    """So that the time limit of an image is not that of many."""
    frames = [Image.fromarray(blocks(64, 64, seed=n)) for n in range(3)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    together = rows(tmp_path / "a.tif")
    monkeypatch.setattr("ppcli.jobs.pages._MAX_SECONDS", 0)
    options = AnalysisOptions(CoderOptions(), PAD)
    part = analyze_pages(
        ImageRef(LocalFile(str(tmp_path / "a.tif")), "a.tif"), options, first=2, most=2
    )
    assert (len(part.pages), part.count.rows) == (1, 3)
    apart = rows(tmp_path / "a.tif")
    assert [one.row.image_id for one in apart] == [one.row.image_id for one in together]


def test_a_file_that_has_gone_keeps_its_numbers(tmp_path) -> None:
    """Its later pages were already under way."""
    options = AnalysisOptions(CoderOptions(), PAD, ReadingOptions(pages=PageRanges.parse("3-")))
    ref = ImageRef(LocalFile(str(tmp_path / "a.pdf")), "a.pdf")
    [lost] = analyze_pages(ref, options, first=2, most=16).pages
    assert (lost.row.image_id, lost.row.page) == ("a.pdf#4", 4)
    [lost] = analyze_pages(ref, options).pages
    assert (lost.row.image_id, lost.row.error_code) == ("a.pdf", "not_found")


@pytest.mark.slow
@pytest.mark.parametrize("method", Method)
@pytest.mark.parametrize("threshold", [0.0, 0.03, "auto"])
@pytest.mark.parametrize("tile", [28, 32])
def test_the_kernels_of_an_analysis_are_known_before(tmp_path, method, threshold, tile) -> None:
    """All that images of any kind and size load."""
    for mode in ("RGB", "RGBA", "P", "L"):
        for size in ((64, 64), (70, 150), (300, 90), (2000, 900)):
            name = f"{mode}-{size[0]}.png"
            Image.effect_noise(size, 90).convert(mode).save(tmp_path / name)
    fit = FitOptions(Fit.RESIZE, tile // 2, 2, 4096, 1 << 20)
    for match_count in {False, method is Method.CONNCOMP}:
        coder = CoderOptions(method, threshold=threshold, match_count=match_count)
        options = AnalysisOptions(coder, fit, patches=coder.decodable)
        known = {(one.kernel, one.constants) for one in kernels_of(options)}
        every = [
            one
            for module in (kernels, auto_threshold, distinct_kernels, resample, direct)
            for one in vars(module).values()
            if isinstance(one, Kernel)
        ]
        for one in every:
            one.loaded.clear()
        for file in tmp_path.iterdir():
            [page] = analyze_pages(ImageRef(LocalFile(str(file)), file.name), options).pages
            assert page.row.error_message is None
        loaded = {(one, constants) for one in every for constants in one.loaded}
        assert loaded <= known
        assert len(loaded) > 5


@pytest.mark.parametrize("direction", Direction)
def test_no_frame_depends_on_one_that_failed(tmp_path, monkeypatch, direction):
    """Memory runs out after the second frame is coded, which then has no patch set."""
    path = tmp_path / "frames.tif"
    frames = [Image.fromarray(blocks(seed=seed)) for seed in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    count = page_analysis.distinct_tiles
    raised: list[bool] = []

    def fails_once(*args):
        raised.append(len(raised) == 1)
        if raised[-1]:
            raise MemoryError
        return count(*args)

    monkeypatch.setattr(page_analysis, "distinct_tiles", fails_once)
    options = AnalysisOptions(CoderOptions(), PAD, sequence=SequenceOptions(direction))
    with pillow_limits(options.reading.max_image_pixels):
        results = analyze_pages(ImageRef(LocalFile(str(path)), path.name), options, most=3).pages
    assert [one.row.error_code for one in results] == [None, "out_of_memory", None]
    assert results[0].patches.reference is results[2].patches.reference is None
