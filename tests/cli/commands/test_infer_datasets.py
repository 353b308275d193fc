"""`infer` on the patch sets of a dataset."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.commands.answers import PROMPT, answers_in, infer, lines, without_times
from tests.command import pixelprune


def test_a_dataset_needs_no_second_decode(folder: Path, model: Path, tmp_path: Path) -> None:
    expected = without_times(lines(infer(folder, "--model", model, *PROMPT, code=3).stdout))
    stored = tmp_path / "stored"
    pixelprune("analyze", folder, "-o", stored, "-q", "--min-pixels", "4096")
    shutil.rmtree(folder)
    rows = without_times(lines(infer(stored, "--model", model, *PROMPT, code=3).stdout))
    of_files, of_rows = ({row.pop("fingerprint") for row in one} for one in (expected, rows))
    assert rows == expected
    assert len(of_files | of_rows) == 2 * len(rows)
    whole = lines(infer(stored, "--model", model, *PROMPT, "--no-prune", "-q", code=3).stdout)
    assert all(row["kept"] == row["tokens"] for row in whole if row["status"] == "ok")


@pytest.mark.parametrize(
    ("analyzed", "asked", "words"),
    [
        (["--fit", "pad"], [], "fit is pad, the model needs resize"),
        (["--patch-size", "14"], [], "patch size is 14, the model needs 16"),
        ([], [], "min pixels is 65536, the model needs 4096"),
        (["--no-patches"], [], "has no patch sets"),
        (["--min-pixels", "4096", "--fail-fast"], [], "is unfinished"),
        (["--min-pixels", "4096", "--threshold", "0.1"], ["--no-prune"], "threshold 0.1"),
        (
            ["--min-pixels", "4096"],
            ["--threshold", "0.1"],
            "leave the options of the coder and of reading out",
        ),
    ],
)
def test_datasets_that_do_not_suit(
    folder: Path, model: Path, tmp_path: Path, analyzed, asked, words: str
) -> None:
    pixelprune("analyze", folder, "-o", tmp_path / "stored", "-q", *analyzed)
    done = infer(tmp_path / "stored", "--model", model, *PROMPT, *asked, code=2)
    assert words in done.stderr.decode()


def test_a_damaged_dataset_gives_no_answers_without_images(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    stored = tmp_path / "stored"
    pixelprune("analyze", folder, "-o", stored, "-q", "--min-pixels", "4096")
    path = stored / "patches" / "part-00000.parquet"
    whole = path.read_bytes()
    pq.write_table(pq.read_table(path).slice(0, 1), path)
    done = infer(stored, "--model", model, *PROMPT, "-q", "-o", tmp_path / "out", code=6)
    assert b"the patch set of b.jpg is missing" in done.stderr
    assert [row["image_id"] for row in answers_in(tmp_path / "out")] == ["a.png"]
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    infer(stored, "--model", model, *PROMPT, "-q", code=6)
