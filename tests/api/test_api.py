"""The functions of the commands, as a Python program calls them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

import ppcli
from ppcli.api import (
    FailureOptions,
    InputOptions,
    OutputOptions,
    Progress,
    ReadingOptions,
    RunControl,
    ViewOptions,
    WorkerOptions,
)
from ppcli.coding.coder_options import CoderOptions, Method
from ppcli.errors import (
    ExitCode,
    NothingToDoError,
    OutputError,
    PixelpruneError,
    StoppedError,
    UsageError,
)
from ppcli.models.model_options import GenerationOptions
from ppcli.store.formats import Format

IN_PROCESS = WorkerOptions(workers=0)


def test_rows_are_returned_where_there_is_no_output(folder: Path, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    result = ppcli.analyze(folder, workers=IN_PROCESS)
    assert [row.image_id for row in result.rows] == ["a.png", "b.jpg", "broken.png", "sub/a.png"]
    assert (result.summary.good, result.failures) == (3, {"truncated": 1})
    assert result.output is None
    assert set(tmp_path.iterdir()) == before


def test_a_dataset_is_written_verified_rebuilt_drawn_and_reported(
    folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    result = ppcli.analyze([folder / "a.png"], output=out, workers=IN_PROCESS)
    assert (result.output, result.rows) == (str(out), [])
    assert pq.read_table(out / "stats").num_rows == 1
    assert ppcli.verify(out, data=True).damage == []
    rebuilt = ppcli.reconstruct(out, tmp_path / "png")
    assert (rebuilt.written, rebuilt.failed) == (1, 0)
    drawn = ppcli.view(out, output=tmp_path / "drawn", picture=ViewOptions(side_by_side=True))
    assert drawn.written == 1
    seen: list[Progress] = []
    page = ppcli.report(out, tmp_path / "report.html", control=RunControl(seen.append))
    assert seen == [Progress("picture", 0, None), Progress("picture", 1, 1)]
    assert Path(page).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_callbacks_get_rows_and_progress(folder: Path) -> None:
    rows, seen = [], list[Progress]()
    result = ppcli.analyze(
        folder, workers=IN_PROCESS, control=RunControl(seen.append, on_row=rows.append)
    )
    assert len(rows) == 4
    assert result.rows == []
    assert [one.done for one in seen] == [0, 1, 2, 3, 4]
    assert {one.item for one in seen} == {"image"}
    assert seen[-1].total in (4, None)


def test_signal_handlers_stay_as_they_are(folder: Path) -> None:
    import signal

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    handlers = []
    control = RunControl(on_row=lambda _: handlers.append(signal.getsignal(signal.SIGINT)))
    ppcli.analyze(folder, workers=IN_PROCESS, control=control)
    assert set(handlers) == {before[0]}
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_run_that_stops_has_the_totals_so_far(folder: Path) -> None:
    with pytest.raises(StoppedError, match="first failure") as caught:
        ppcli.analyze(folder, workers=IN_PROCESS, failures=FailureOptions(fail_fast=True))
    assert caught.value.exit_code is ExitCode.INPUTS_FAILED
    assert caught.value.result.summary.good == 2


def test_errors_say_what_is_wrong(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.png: no such file"):
        ppcli.analyze(folder / "gone.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToDoError):
        ppcli.analyze(tmp_path / "empty", workers=IN_PROCESS)
    (tmp_path / "x.csv").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        ppcli.analyze(folder, output=tmp_path / "x.csv", workers=IN_PROCESS)
    assert (tmp_path / "x.csv").read_text() == "mine"
    with pytest.raises(PixelpruneError):
        ppcli.verify(tmp_path / "empty")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: WorkerOptions(workers=-1), "workers is -1"),
        (lambda: WorkerOptions(timeout=0), "timeout is 0"),
        (lambda: ReadingOptions(dpi="high"), "dpi is 'high'"),
        (lambda: ReadingOptions(background=(0, 0, 256)), "background is"),
        (lambda: ReadingOptions(pages="1-3"), "pages is '1-3' .str.; it must be a PageRanges"),
        (lambda: InputOptions("a.png"), "inputs is 'a.png' .str.; it must be a list"),
        (lambda: CoderOptions(method="rastr"), "Did you mean 'raster'"),
        (lambda: OutputOptions("x", row_format=Format.OPENAI), "unknown row format 'openai'"),
        (lambda: OutputOptions(""), "-o is empty"),
    ],
)
def test_options_check_themselves(make, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()


def test_options_take_names_and_paths(folder: Path) -> None:
    assert CoderOptions(method="raster").method is Method.RASTER
    assert InputOptions([folder]).inputs == (str(folder),)


def test_a_prompt_in_two_places_is_refused(folder: Path) -> None:
    generation = GenerationOptions(prompt_file="gone.txt")
    with pytest.raises(UsageError, match="give one of"):
        ppcli.infer(folder, "What is this?", generation=generation)


def test_the_small_model_answers(tmp_path: Path, caplog) -> None:
    Image.new("RGB", (64, 64), "white").save(tmp_path / "a.png")
    pieces = []
    result = ppcli.infer(
        tmp_path / "a.png",
        "What is this?",
        generation=GenerationOptions(max_new_tokens=4),
        workers=IN_PROCESS,
        control=RunControl(on_text=pieces.append),
    )
    [row] = result.rows
    assert row.answer == "".join(pieces)
    assert "small model" in caplog.text


def test_the_module_needs_no_terminal(folder: Path) -> None:
    script = (
        "import sys, json, ppcli\n"
        "from ppcli.api import WorkerOptions\n"
        f"result = ppcli.analyze({os.fspath(folder)!r}, workers=WorkerOptions(workers=0))\n"
        "print(json.dumps([len(result.rows), 'rich' in sys.modules, 'typer' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert json.loads(done.stdout) == [4, False, False]
