"""The command `pixelprune`. Its imports decide how fast `--help` appears."""

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ppcli.cli.commands.analyze_command import analyze
from ppcli.cli.commands.bench_command import bench
from ppcli.cli.commands.eval_command import evaluate
from ppcli.cli.commands.export_command import export
from ppcli.cli.commands.infer_command import infer
from ppcli.cli.commands.reconstruct_command import reconstruct
from ppcli.cli.commands.report_command import report
from ppcli.cli.commands.sweep_command import sweep
from ppcli.cli.commands.verify_command import verify
from ppcli.cli.commands.view_command import view
from ppcli.cli.completion import OPTION, mend_installed
from ppcli.cli.error_handler import with_exit_code
from ppcli.cli.parameters import with_options
from ppcli.cli.parser_errors import run_app
from ppcli.cli.standard_streams import secure_standard_streams, use_utf8
from ppcli.version import __version__

app = typer.Typer(
    name="pixelprune",
    help="Find repeated patches in documents and screenshots before a vision-language model "
    "sees them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _InPanels(TyperCommand):
    """A command whose many options are shown in panels, which takes Rich a while to load."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs | {"rich_markup_mode": "rich"})


for _command in (analyze, sweep, infer, export, bench, evaluate, view, report, reconstruct, verify):
    _name = "eval" if _command is evaluate else _command.__name__
    app.command(_name, cls=_InPanels)(with_exit_code(with_options(_command)))


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
    secure_standard_streams()
    # of the linear algebra that comes with NumPy; each of its threads is one less for a worker
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        sys.exit(run_app(app))
    finally:
        if OPTION in sys.argv[1:]:
            mend_installed()
