"""A command line that makes no sense: what is said about it."""

import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

from ppcli.cli.options import LogFormat
from ppcli.errors import ExitCode, did_you_mean


def run_or_explain(app: Callable[..., Any]) -> int:
    """Run the commands of Typer; an error of its parser is told in the format that was asked for.

    Returns:
        The exit code.
    """
    try:
        return int(app(prog_name="pixelprune", standalone_mode=False) or 0)
    except SystemExit as ending:
        if isinstance(ending.__context__, BrokenPipeError):  # the reader has what it wanted
            return ExitCode.OK
        raise
    except OSError as error:  # of --help or --version; commands tell their own
        return _tell_that_text_is_lost(error)
    except Exception as error:
        if not hasattr(error, "format_message"):  # what all errors of the parser have
            raise
        _explain(error)
        return int(getattr(error, "exit_code", 2))


def _tell_that_text_is_lost(error: OSError) -> int:
    from ppcli.cli.contract import discard_output
    from ppcli.cli.terminal import last_word

    discard_output()
    last_word(f"standard output cannot be written: {error.strerror}")
    return ExitCode.OUTPUT


def _explain(error: Any) -> None:  # noqa: ANN401
    error.message = error.message.removeprefix("Value error, ")  # what the check is called inside
    advice = _suggestion(error)
    if wants_json(sys.argv[1:]):
        from ppcli.cli.terminal import last_word

        last_word(f"{error.format_message().strip().rstrip('.')}{advice}")
        return
    error.show()
    if advice:
        sys.stderr.write(f"{advice.lstrip('. ')}\n")


def wants_json(args: list[str]) -> bool:
    """Whether a command line that was not understood asks for messages as JSON."""
    return LogFormat.JSON.value in _values(args, ["--log-format"])


def _suggestion(error: Any) -> str:  # noqa: ANN401
    """The value of an option that is meant, where only certain ones are possible."""
    option = getattr(error, "param", None)
    if option is None:
        return ""
    known: list[str] = []
    with suppress(Exception):  # it would only be a courtesy
        known = [item.value for item in option.shell_complete(error.ctx, "")]
    given = [value for value in _values(sys.argv[1:], option.opts) if value not in known]
    return did_you_mean(given[-1], known) if given else ""


def _values(args: list[str], names: list[str]) -> list[str]:
    """What a command line gives for an option, in both spellings."""
    apart = [value for name, value in pairwise(args) if name in names]
    joined = [arg.partition("=")[2] for arg in args if arg.partition("=")[0] in names]
    return apart + [value for value in joined if value]
