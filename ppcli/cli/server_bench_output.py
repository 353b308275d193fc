"""The results of `bench --server`, as tables."""

from rich.table import Table
from rich.text import Text

from ppcli.cli.bench_tables import bench_table, tail
from ppcli.cli.terminal import Terminal
from ppcli.coding.coder_options import threshold_text
from ppcli.errors import bounded
from ppcli.jobs.bench_measures import Paired
from ppcli.jobs.server_bench_measures import ServerBenchResult, faster

_LEAST_NAME, _OTHER_COLUMNS = 12, 52
_UNKNOWN = "–"


def show_server_result(result: ServerBenchResult, terminal: Terminal) -> None:
    """Print the results on standard error."""
    if not result.pages:
        return
    terminal.console.print(_pages_table(result, terminal.console.width))
    terminal.console.print(_all_table(result))
    for sentence in _sentences(result):
        terminal.say(sentence)


def _pages_table(result: ServerBenchResult, width: int) -> Table:
    room = max(_LEAST_NAME, width - _OTHER_COLUMNS)
    table = bench_table("faster", "tokens", "kept", "first token", "total", "same")
    for page in result.pages:
        factors = faster(page.times)
        table.add_row(
            Text(tail(bounded(page.image_id), room)),
            f"{page.tiles.full:,}",
            f"{page.tiles.pruned / page.tiles.full:.2f}",
            f"{factors['first_token_ms']:.2f} ×",
            f"{factors['total_ms']:.2f} ×",
            "yes" if page.same_answer else "no",
        )
    return table


def _all_table(result: ServerBenchResult) -> Table:
    table = bench_table("all images", "full", "pruned", "faster")
    times = result.times
    factors = faster(times)
    for name, title in (("first_token_ms", "first token, ms"), ("total_ms", "answer, ms")):
        cells = (f"{getattr(side, name):,.1f}" for side in times)
        table.add_row(title, *cells, f"{factors[name]:.2f} ×")
    for title, counts in (
        ("image tokens", result.tiles),
        ("prompt tokens", result.prompt_tokens),
        ("answer tokens", result.answer_tokens),
    ):
        table.add_row(title, *map(_count, counts), "")
    if result.load is not None:
        title = f"requests a minute, {result.load.in_flight} at once"
        rates = result.load.a_minute
        table.add_row(title, *_decimals(rates, 1), f"{rates.pruned / rates.full:.2f} ×")
    if result.cost is not None:
        table.add_row("cost of 1,000 pages", *_decimals(result.cost, 4), "")
    return table


def _count(count: int | None) -> str:
    return _UNKNOWN if count is None else f"{count:,}"


def _decimals(both: Paired[float], places: int) -> list[str]:
    return [f"{one:,.{places}f}" for one in both]


def _sentences(result: ServerBenchResult) -> list[str]:
    setting, load = result.setting, result.load
    said = [
        "first token, answer: medians over the images, one request at a time",
        f"same: whether both answers are equal; {result.differing} of {len(result.pages)} differ",
    ]
    if load is not None:
        said.append(
            f"with {load.in_flight} requests at once, {sum(load.differing)} of "
            f"{2 * load.requests} answers differ from the answer to the same page alone"
        )
    servers = len(setting["servers"])
    where = setting["servers"][0] if servers == 1 else f"{servers} servers"
    said.append(
        f"{bounded(setting['model'])} at {where}, {setting['method']}, threshold "
        f"{threshold_text(setting['threshold'])}, {setting['new_tokens']} tokens per answer"
    )
    return said
