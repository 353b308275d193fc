"""The column `choices` of patch sets: for methods that have choices, and for no others."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import zstandard

from ppcli import api
from ppcli.api import CoderOptions, GridOptions
from ppcli.store.manifest import Manifest
from tests.coding import twin

SAMPLES = Path(__file__).parents[2] / "sample_data"
FORMS = sorted(SAMPLES.rglob("*.png"))[:3]


def analyzed(folder: Path, method: str, threshold: float = 0.0) -> Path:
    coder = CoderOptions(method=method, threshold=threshold)
    api.analyze(FORMS, output=folder / method, coder=coder, grid=GridOptions(fit="pad"))
    return folder / method


def rebuilt(row: dict[str, object]) -> np.ndarray:
    """Follow the choices of a row in plain Python, as docs/how-it-works.md says."""
    grid_h, grid_w, tile = row["grid_h"], row["grid_w"], row["tile"]
    keep = np.unpackbits(np.frombuffer(row["keep"], np.uint8))[: grid_h * grid_w]
    raw = zstandard.ZstdDecompressor().decompress(row["tiles"], max_output_size=1 << 30)
    tiles = np.frombuffer(raw, np.uint8).reshape(-1, tile, tile, 3).astype(np.int64)
    raw = zstandard.ZstdDecompressor().decompress(row["choices"], max_output_size=1 << 30)
    choices = iter(np.frombuffer(raw, "<u4").tolist())
    grid = [[None] * grid_w for _ in range(grid_h)]
    kept = []
    similar = twin.similarity("max", 0, tile)
    for place, is_kept in enumerate(keep):
        r, c = divmod(place, grid_w)
        if is_kept:
            kept.append(tiles[len(kept)])
            grid[r][c] = kept[-1]
            continue
        choice = next(choices)
        if choice >= 2:
            grid[r][c] = kept[choice - 2]
        elif row["method"] == "pred_2d_flat":
            grid[r][c] = twin.predict_2d(grid, r, c, similar)
        else:
            grid[r][c] = grid[r - 1][c] if choice == 1 or c == 0 else grid[r][c - 1]
    return twin.join(grid)


@pytest.mark.parametrize("method", twin.CHOOSING)
def test_another_reader_rebuilds_the_images(tmp_path: Path, method: str) -> None:
    folder = analyzed(tmp_path, method)
    found = api.verify(folder, data=True)
    assert found.damage == []
    assert found.report.rasters == len(FORMS)
    rows = pq.read_table(folder / "patches" / "part-00000.parquet").to_pylist()
    plain = pq.read_table(
        analyzed(tmp_path, "pred_2d") / "patches" / "part-00000.parquet"
    ).to_pylist()
    for row, other in zip(rows, plain, strict=True):
        raster = rebuilt(row)
        assert twin_digest(raster) == row["raster_digest"] == other["raster_digest"]
        assert len(row["keep"]) == len(other["keep"])


def twin_digest(raster: np.ndarray) -> str:
    import xxhash

    return xxhash.xxh3_128_hexdigest(raster.tobytes())


def test_a_method_without_choices_has_no_column(tmp_path: Path) -> None:
    """So that files of the default method are as they were, also for older readers."""
    columns = pq.read_schema(analyzed(tmp_path, "pred_2d") / "patches" / "part-00000.parquet").names
    assert "choices" not in columns
    flat = analyzed(tmp_path, "pred_2d_flat")
    assert pq.read_schema(flat / "patches" / "part-00000.parquet").names[-1] == "choices"
    assert Manifest.read(str(flat)).config["method"] == "pred_2d_flat"


def test_fewer_tiles_are_kept_and_nothing_is_lost(tmp_path: Path) -> None:
    kept = {}
    for method in ("pred_2d", *twin.CHOOSING):
        table = pq.read_table(analyzed(tmp_path, method) / "stats" / "part-00000.parquet")
        kept[method] = sum(table["kept"].to_pylist())
    assert kept["pred_2d_flat"] < kept["pred_2d"]
    assert kept["left_or_above_flat"] < kept["left_or_above"]


def test_a_dataset_with_choices_answers_questions(tmp_path: Path) -> None:
    """The model gets kept patches of the dataset, and all patches with `--no-prune`."""
    folder = tmp_path / "forms"
    coder = CoderOptions(method="pred_2d_flat")
    grid = GridOptions(min_pixels=4096, max_pixels=786_432)  # those of the small model
    api.analyze(FORMS[:1], output=folder, coder=coder, grid=grid)
    stored = api.infer(folder, "What is the title?").rows[0]
    direct = api.infer(FORMS[:1], "What is the title?", coder=coder).rows[0]
    assert (stored.answer, stored.kept) == (direct.answer, direct.kept)
    whole = api.infer(folder, "What is the title?", generation=no_pruning()).rows[0]
    unpruned = api.infer(FORMS[:1], "What is the title?", generation=no_pruning()).rows[0]
    assert (whole.answer, whole.kept) == (unpruned.answer, unpruned.kept)


def no_pruning():
    from ppcli.api import GenerationOptions

    return GenerationOptions(prune=False)
