"""The one place where errors become messages and exit codes."""

import functools
import signal
import sys
import traceback
from collections.abc import Callable
from typing import ParamSpec

import typer

from ppcli.cli.parser_errors import wants_json
from ppcli.cli.standard_streams import discard_output
from ppcli.errors import ExitCode, PixelpruneError, is_resource_limit

_Options = ParamSpec("_Options")


class _Terminated(BaseException):
    """SIGTERM arrived, or the terminal was closed."""


def _on_ending_signal(*_: object) -> None:
    raise _Terminated


def with_exit_code(command: Callable[_Options, ExitCode]) -> Callable[_Options, None]:
    """Make a command exit with its code; report errors in one sentence."""

    @functools.wraps(command)
    def run(*args: _Options.args, **kwargs: _Options.kwargs) -> None:
        from ppcli.engine.stopping import termination_signals

        for number in termination_signals():
            signal.signal(number, _on_ending_signal)
        try:
            code = command(*args, **kwargs)
        except PixelpruneError as error:
            code = _report(error.exit_code, str(error))
        except BrokenPipeError:  # the reader has closed the pipe
            discard_output()
            code = ExitCode.OK
        except KeyboardInterrupt:
            code = _report(ExitCode.INTERRUPTED, "interrupted; finished work is kept")
        except _Terminated:
            code = _report(ExitCode.TERMINATED, "terminated; finished work is kept")
        except Exception as error:
            if isinstance(error, typer.Exit | typer.BadParameter):
                raise
            code = _report_unexpected(error)
        raise typer.Exit(int(code))

    return run


def _report(code: ExitCode, message: str, trace: str | None = None) -> ExitCode:
    from ppcli.cli.terminal import say_error

    say_error(message, trace, as_json=wants_json(sys.argv[1:]))
    return code


def _report_unexpected(error: Exception) -> ExitCode:
    if is_resource_limit(error):
        reason = f"a limit of the system is reached ({error}); see `ulimit -a`"
        return _report(ExitCode.UNEXPECTED, reason)
    message = "this is a bug in pixelprune; please report it with the trace above"
    return _report(ExitCode.UNEXPECTED, message, traceback.format_exc())
