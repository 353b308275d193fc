"""What `bench` found, as tables for people and as JSON."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, BinaryIO

from rich import box
from rich.table import Table
from rich.text import Text

from ppcli.cli.options import STDOUT, logger
from ppcli.cli.terminal import Terminal, data_on_stdout
from ppcli.errors import OutputError, UsageError, bounded
from ppcli.jobs.bench_measures import (
    PHASES,
    BatchMeasure,
    BenchResult,
    Comparison,
    Failure,
    PageMeasure,
)
from ppcli.store.atomic import PendingFile, as_output_error
from ppcli.store.output_paths import check_path

_TITLES = {
    "vision_ms": "vision",
    "prefill_ms": "prefill",
    "first_token_ms": "first token",
    "decode_ms": "decode",
    "total_ms": "total",
}
_OF_PAGE = ("vision", "prefill", "total")
_LEAST_NAME, _OTHER_COLUMNS = 12, 60


@contextmanager
def json_output(output: str | None, overwrite: bool) -> Iterator[Callable[[BenchResult], None]]:
    """What writes the figures as JSON; a file that cannot be written is noticed at once.

    Args:
        output: a .json file, standard output, or None for nowhere.
        overwrite: whether the file may take the place of another.

    Raises:
        UsageError: for a name that is not of JSON.
        OutputError: when it cannot be written, or may not be replaced.
    """
    if output is None:
        yield lambda result: None
    elif output == STDOUT:
        with data_on_stdout() as stream:
            yield lambda result: _to_stdout(result, stream)
    elif not output.lower().endswith(".json"):
        raise UsageError(f"-o is {output!r}; name a .json file, or - for standard output")
    elif os.path.isdir(output) or (os.path.lexists(output) and not overwrite):
        raise OutputError(f"{output} exists; use --overwrite or another name")
    else:
        check_path(output, "-o")
        with as_output_error(output):
            os.makedirs(os.path.dirname(output) or os.curdir, exist_ok=True)
        pending = PendingFile(output)
        try:
            yield lambda result: _to_file(result, pending, overwrite)
        finally:
            pending.discard()


def _to_stdout(result: BenchResult, stream: BinaryIO) -> None:
    try:
        stream.write(_json_bytes(result))
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def _to_file(result: BenchResult, pending: PendingFile, overwrite: bool) -> None:
    pending.file.write(_json_bytes(result))
    pending.finish()
    pending.put_in_place(replace=overwrite)


def _json_bytes(result: BenchResult) -> bytes:
    return json.dumps(as_json(result), indent=1).encode() + b"\n"


def as_json(result: BenchResult) -> dict[str, Any]:
    """All figures, with their units in their names; those of several requests are sums."""
    extrapolated = result.extrapolated
    return {
        "setting": result.setting,
        "images": [_page_json(result, page) for page in result.pages],
        "together": _compared(result.of_all) if result.pages else None,
        "extrapolated": None if extrapolated is None else _compared(extrapolated),
        "batches": [_batch_json(result, batch) for batch in result.batches],
        "peak_bytes": result.peak_bytes and asdict(result.peak_bytes),
        "peak_batch_size": result.peak_batch_size or None,
        "failures": [asdict(failure) for failure in result.failures],
    }


def _compared(comparison: Comparison) -> dict[str, Any]:
    names = ("select_ms", *PHASES)
    times = comparison.times.map(lambda side: {name: getattr(side, name) for name in names})
    return {**asdict(times), "faster": comparison.faster, "ideal": comparison.ideal}


def _page_json(result: BenchResult, page: PageMeasure) -> dict[str, Any]:
    return {
        "image_id": page.image_id,
        "keep_ratio": page.keep_ratio,
        **{f"{side}_size": size for side, size in asdict(page.sizes).items()},
        **_compared(result.of_page(page)),
        "same_answer": page.same_answer,
        "same_tokens": page.same_tokens,
    }


def _batch_json(result: BenchResult, batch: BatchMeasure) -> dict[str, Any]:
    return {
        "batch_size": batch.batch_size,
        "requests": batch.requests,
        "seconds": asdict(batch.seconds),
        "requests_a_minute": asdict(batch.a_minute),
        "answers_unlike_alone": asdict(batch.differing),
        **_compared(result.of_batch(batch)),
    }


def show_failures(failures: Iterable[Failure]) -> None:
    """A line for each of what could not be measured."""
    for failure in failures:
        message = failure.error_message.removeprefix(f"{failure.name}: ")
        logger.warning("%s: %s: %s", failure.error_code, failure.name, message)


def show_result(result: BenchResult, terminal: Terminal) -> None:
    """Print the tables; where logs are JSON, the figures as one line of them."""
    if terminal.quiet:
        return
    if terminal.as_json:
        logger.info("finished", extra={"fields": as_json(result)})
        return
    if not result.pages:
        return
    terminal.console.print(_pages_table(result, terminal.console.width))
    terminal.console.print(_phases_table(result))
    if result.batches:
        terminal.console.print(_batches_table(result))
    for sentence in _sentences(result):
        terminal.say(sentence)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False, collapse_padding=True)
    table.add_column(columns[0], overflow="fold")
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _pages_table(result: BenchResult, width: int) -> Table:
    room = max(_LEAST_NAME, width - _OTHER_COLUMNS)
    table = _table("faster (ideal)", "tiles", "kept", *_OF_PAGE, "same")
    for page in result.pages:
        comparison = result.of_page(page)
        table.add_row(
            Text(_tail(bounded(page.image_id), room)),
            f"{page.sizes.full.tiles:,}",
            f"{page.keep_ratio:.2f}",
            *(_factor(comparison, f"{title}_ms") for title in _OF_PAGE),
            f"{page.same_tokens}/{max(map(len, page.answers))}",
        )
    return table


def _phases_table(result: BenchResult) -> Table:
    measured, extrapolated = result.of_all, result.extrapolated
    heads = ["full", "pruned", "faster", "ideal"]
    heads += ["full*", "pruned*"] if extrapolated else []
    table = _table("all images, ms", *heads)
    faster, ideal = measured.faster, measured.ideal
    table.add_row("select", *(f"{side.select_ms:,.1f}" for side in measured.times))
    for name, title in _TITLES.items():
        cells = [f"{getattr(side, name):,.1f}" for side in measured.times]
        cells += [f"{faster[name]:.2f} ×", f"{ideal[name]:.2f} ×"]
        if extrapolated:
            cells += [f"{getattr(side, name):,.0f}" for side in extrapolated.times]
        table.add_row(title, *cells)
    return table


def _batches_table(result: BenchResult) -> Table:
    heads = ("full", "pruned", "faster", "ideal", "unlike alone")
    table = _table("requests a minute", *heads)
    for batch in result.batches:
        comparison, seconds = result.of_batch(batch), batch.seconds
        table.add_row(
            f"batch of {batch.batch_size}",
            *(f"{rate:,.1f}" for rate in batch.a_minute),
            f"{seconds.full / seconds.pruned:.2f} ×",
            f"{comparison.ideal['total_ms']:.2f} ×",
            f"{sum(batch.differing)} of {2 * batch.requests}",
        )
    return table


def _tail(name: str, room: int) -> str:
    """A name that fits into a column; its end tells more than its beginning."""
    return name if len(name) <= room else f"…{name[1 - room :]}"


def _factor(comparison: Comparison, name: str) -> str:
    return f"{comparison.faster[name]:.2f} ({comparison.ideal[name]:.2f})"


def _sentences(result: BenchResult) -> list[str]:
    setting = result.setting
    said = [
        "ideal: if each phase were as much faster as it takes fewer operations",
        "same: tokens with which both answers begin (with random weights that says nothing)",
        "unlike alone: answers that a batch changed",
    ]
    if result.peak_bytes is not None:
        full, pruned = (f"{peak / 1e9:,.2f} GB" for peak in result.peak_bytes)
        said.append(
            f"peak memory with {result.peak_batch_size} at once: {full} full, {pruned} pruned"
        )
    said.append(
        f"{setting['model']}, {setting['vision_layers']} + {setting['text_layers']} layers, "
        f"{setting['dtype']}, {setting['weights']} matrices, on {setting['device']} "
        f"({setting['providers'][0]}), {setting['new_tokens']} tokens an answer"
    )
    if result.whole is not None and result.extrapolated is not None:
        vision, text = result.whole.vision_layers, result.whole.text_layers
        said.append(
            f"*: all {vision} + {text} layers, each phase in proportion to its operations; "
            "not measured"
        )
    return said
