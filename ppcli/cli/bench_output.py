"""The results of `bench`, as tables."""

from rich.table import Table
from rich.text import Text

from ppcli.cli.bench_tables import bench_table, tail
from ppcli.cli.server_bench_output import show_server_result
from ppcli.cli.terminal import Terminal, logger
from ppcli.errors import bounded
from ppcli.jobs.bench_json import as_json
from ppcli.jobs.bench_measures import BenchResult, Comparison
from ppcli.jobs.server_bench_measures import ServerBenchResult

_TITLES = {
    "vision_ms": "vision",
    "prefill_ms": "prefill",
    "first_token_ms": "first token",
    "decode_ms": "decode",
    "total_ms": "total",
}
_OF_PAGE = ("vision", "prefill", "total")
_LEAST_NAME, _OTHER_COLUMNS = 12, 60


def show_result(result: BenchResult | ServerBenchResult, terminal: Terminal) -> None:
    """Print the results on standard error: as tables, or as one line if logs are JSON."""
    if terminal.quiet:
        return
    if terminal.as_json:
        logger.info("finished", extra={"fields": as_json(result)})
        return
    if isinstance(result, ServerBenchResult):
        show_server_result(result, terminal)
        return
    if not result.pages:
        return
    terminal.console.print(_pages_table(result, terminal.console.width))
    terminal.console.print(_phases_table(result))
    if result.batches:
        terminal.console.print(_batches_table(result))
    for sentence in _sentences(result):
        terminal.say(sentence)


def _pages_table(result: BenchResult, width: int) -> Table:
    room = max(_LEAST_NAME, width - _OTHER_COLUMNS)
    table = bench_table("faster (ideal)", "tiles", "kept", *_OF_PAGE, "same")
    for page in result.pages:
        comparison = result.of_page(page)
        table.add_row(
            Text(tail(bounded(page.image_id), room)),
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
    table = bench_table("all images, ms", *heads)
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
    heads = ("full", "pruned", "faster", "ideal", "changed")
    table = bench_table("requests per minute", *heads)
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


def _factor(comparison: Comparison, name: str) -> str:
    return f"{comparison.faster[name]:.2f} ({comparison.ideal[name]:.2f})"


def _sentences(result: BenchResult) -> list[str]:
    setting = result.setting
    said = [
        "ideal: the speed-up if the time of each phase were proportional to its operations",
        "same: equal tokens at the start of both answers (means nothing with random weights)",
        "changed: answers that differ from the answer to the same page alone",
    ]
    if result.peak_bytes is not None:
        full, pruned = (f"{peak / 1e9:,.2f} GB" for peak in result.peak_bytes)
        said.append(
            f"peak memory with {result.peak_batch_size} requests: {full} full, {pruned} pruned"
        )
    said.append(
        f"{setting['model']}, {setting['vision_layers']} + {setting['text_layers']} layers, "
        f"{setting['dtype']}, {setting['weights']} matrices, on {setting['device']} "
        f"({setting['providers'][0]}), {setting['new_tokens']} tokens per answer"
    )
    if result.whole is not None and result.extrapolated is not None:
        vision, text = result.whole.vision_layers, result.whole.text_layers
        said.append(
            f"*: extrapolated to all {vision} + {text} layers, each phase in proportion to its "
            "operations"
        )
    return said
