"""The command `pixelprune`. What it imports decides how fast `--help` is there."""

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ppcli.cli.analyze_command import analyze
from ppcli.cli.bench_command import bench
from ppcli.cli.completion import OPTION, mend_installed
from ppcli.cli.contract import under_contract
from ppcli.cli.eval_command import evaluate
from ppcli.cli.export_command import export
from ppcli.cli.infer_command import infer
from ppcli.cli.reconstruct_command import reconstruct
from ppcli.cli.report_command import report
from ppcli.cli.streams import hold_standard_streams, use_utf8
from ppcli.cli.usage import run_or_explain
from ppcli.cli.verify_command import verify
from ppcli.cli.view_command import view
from ppcli.version import __version__

app = typer.Typer(
    name="pixelprune",
    help="Find the repeated patches of documents and screenshots before a vision-language "
    "model sees them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _InPanels(TyperCommand):
    """A command whose many options are shown in panels, which takes Rich a while to load."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs | {"rich_markup_mode": "rich"})


for _command in (analyze, infer, export, bench, evaluate, view, report, reconstruct, verify):
    _name = "eval" if _command is evaluate else _command.__name__
    app.command(_name, cls=_InPanels)(under_contract(_command))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pixelprune {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=_print_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the command."""
    use_utf8()
    hold_standard_streams()
    # of the linear algebra that comes with NumPy; each of its threads is one less for a worker
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        sys.exit(run_or_explain(app))
    finally:
        if OPTION in sys.argv[1:]:
            mend_installed()
