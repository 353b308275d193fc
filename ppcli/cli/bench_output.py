"""What `bench` found, as tables for people and as JSON."""

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from ppcli.cli.options import STDOUT, logger
from ppcli.cli.terminal import Terminal, data_on_stdout
from ppcli.errors import OutputError, UsageError
from ppcli.inputs.refs import printable
from ppcli.run.measures import PHASES, BatchMeasure, BenchResult, Comparison, PageMeasure
from ppcli.store.atomic import atomic_file

_TITLES = {
    "vision_ms": "vision",
    "prefill_ms": "prefill",
    "first_token_ms": "first token",
    "decode_ms": "decode",
    "total_ms": "total",
}
_OF_PAGE = ("vision", "prefill", "total")
_NAME_LENGTH = 24


@dataclass(frozen=True, slots=True)
class JsonTarget:
    """Where the figures go as JSON; None for nowhere.

    Raises:
        UsageError: for a name that is not of JSON.
        OutputError: when it exists and may not be replaced.
    """

    output: str | None
    overwrite: bool

    def __post_init__(self) -> None:
        if self.output is None or self.output == STDOUT:
            return
        if not self.output.lower().endswith(".json"):
            raise UsageError(f"-o {self.output!r}: name a .json file, or - for standard output")
        if os.path.lexists(self.output) and not self.overwrite:
            raise OutputError(f"{self.output} exists; use --overwrite or another name")

    def write(self, result: BenchResult) -> None:
        """Write the figures.

        Raises:
            OutputError: when they cannot be written.
        """
        if self.output is None:
            return
        text = json.dumps(as_json(result), indent=1).encode() + b"\n"
        if self.output == STDOUT:
            with data_on_stdout() as stream:
                stream.write(text)
        else:
            with atomic_file(self.output, replace=self.overwrite) as file:
                file.write(text)


def as_json(result: BenchResult) -> dict[str, Any]:
    """All figures; times in milliseconds, memory in bytes."""
    extrapolated = result.extrapolated
    return {
        "setting": result.setting,
        "images": [_page_json(result, page) for page in result.pages],
        "together": _compared(result.sum) if result.pages else None,
        "extrapolated": None if extrapolated is None else _compared(extrapolated),
        "batches": [_batch_json(result, batch) for batch in result.batches],
        "peak_bytes": result.peak_bytes and asdict(result.peak_bytes),
        "peak_batch_size": result.peak_batch_size or None,
        "failures": [asdict(failure) for failure in result.failures],
    }


def _compared(comparison: Comparison) -> dict[str, Any]:
    times = comparison.times.map(lambda side: {name: getattr(side, name) for name in PHASES})
    return {**asdict(times), "faster": comparison.faster, "ideal": comparison.ideal}


def _page_json(result: BenchResult, page: PageMeasure) -> dict[str, Any]:
    return {
        "image_id": page.image_id,
        "keep_ratio": page.keep_ratio,
        **{f"{side}_size": size for side, size in asdict(page.sizes).items()},
        **_compared(result.page(page)),
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
        **_compared(result.batch(batch)),
    }


def show_result(result: BenchResult, terminal: Terminal) -> None:
    """Print the tables; where logs are JSON, the figures as one line of them."""
    if terminal.quiet:
        return
    for failure in result.failures:
        said = f"{failure.name}: {failure.error_message.removeprefix(f'{failure.name}: ')}"
        logger.warning("%s: %s", failure.error_code, said)
    if terminal.as_json:
        logger.info("finished", extra={"fields": as_json(result)})
        return
    if result.pages:
        tables = [_pages_table(result), _phases_table(result), _batches_table(result)]
        for table in tables:
            terminal.console.print(table)
    for sentence in _sentences(result):
        terminal.say(sentence)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False, collapse_padding=True)
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _pages_table(result: BenchResult) -> Table:
    table = _table("faster (ideal)", "tiles", "kept", *_OF_PAGE, "same")
    for page in result.pages:
        comparison = result.page(page)
        table.add_row(
            Text(_tail(printable(page.image_id))),
            f"{page.sizes.full.tiles:,}",
            f"{page.keep_ratio:.2f}",
            *(_factor(comparison, f"{title}_ms") for title in _OF_PAGE),
            f"{page.same_tokens}/{max(map(len, page.answers))}",
        )
    return table


def _phases_table(result: BenchResult) -> Table:
    measured, extrapolated = result.sum, result.extrapolated
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
        comparison, seconds = result.batch(batch), batch.seconds
        table.add_row(
            f"batch of {batch.batch_size}",
            *(f"{rate:,.1f}" for rate in batch.a_minute),
            f"{seconds.full / seconds.pruned:.2f} ×",
            f"{comparison.ideal['total_ms']:.2f} ×",
            f"{sum(batch.differing)} of {2 * batch.requests}",
        )
    return table


def _tail(name: str) -> str:
    """A name that fits into a column; its end tells more than its beginning."""
    return name if len(name) <= _NAME_LENGTH else f"…{name[1 - _NAME_LENGTH :]}"


def _factor(comparison: Comparison, name: str) -> str:
    return f"{comparison.faster[name]:.2f} ({comparison.ideal[name]:.2f})"


def _sentences(result: BenchResult) -> list[str]:
    setting = result.setting
    said = [
        "ideal: if nothing but the number of operations counted",
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
        vision, text = result.whole.vision.depth, result.whole.text.num_layers
        said.append(
            f"*: all {vision} + {text} layers, each phase in proportion to its operations; "
            "not measured"
        )
    return said
