"""Runs the application, and reports command lines that its parser rejects."""

import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

from ppcli.cli.log_options import LogFormat
from ppcli.errors import ExitCode, did_you_mean


def run_app(app: Callable[..., Any]) -> int:
    """Run the application; report errors of its parser in the format of `--log-format`.

    Returns:
        The exit code.
    """
    try:
        return int(app(prog_name="pixelprune", standalone_mode=False) or 0)
    except SystemExit as ending:
        if isinstance(ending.__context__, BrokenPipeError):  # the reader has closed the pipe
            return ExitCode.OK
        raise
    except OSError as error:  # from --help or --version; commands report their own
        return _report_unwritable(error)
    except Exception as error:
        if not hasattr(error, "format_message"):  # which all errors of the parser have
            raise
        _report(error)
        return int(getattr(error, "exit_code", 2))


def wants_json(args: list[str]) -> bool:
    """Return whether a command line that was not parsed asks for messages as JSON."""
    return LogFormat.JSON.value in _values(args, ["--log-format"])


def _report_unwritable(error: OSError) -> int:
    from ppcli.cli.standard_streams import discard_output
    from ppcli.cli.terminal import say_error

    discard_output()
    say_error(f"standard output cannot be written: {error.strerror}")
    return ExitCode.OUTPUT


def _report(error: Any) -> None:  # noqa: ANN401
    error.message = error.message.removeprefix("Value error, ")  # by Typer's own checks
    advice = _suggestion(error)
    if wants_json(sys.argv[1:]):
        from ppcli.cli.terminal import say_error

        message = error.format_message().strip().rstrip(".")
        say_error(f"{message}{advice}", as_json=True)
        return
    error.show()
    if advice:
        sys.stderr.write(f"{advice.lstrip('. ')}\n")


def _suggestion(error: Any) -> str:  # noqa: ANN401
    """Return `. Did you mean …?` for an option that takes one of several values."""
    option = getattr(error, "param", None)
    if option is None:
        return ""
    known: list[str] = []
    with suppress(Exception):  # a suggestion must not hide the error
        known = [item.value for item in option.shell_complete(error.ctx, "")]
    given = [value for value in _values(sys.argv[1:], option.opts) if value not in known]
    return did_you_mean(given[-1], known) if given else ""


def _values(args: list[str], names: list[str]) -> list[str]:
    """Return the values of an option, written `--name value` or `--name=value`."""
    apart = [value for name, value in pairwise(args) if name in names]
    joined = [arg.partition("=")[2] for arg in args if arg.partition("=")[0] in names]
    return apart + [value for value in joined if value]
