"""The one place where errors become messages and exit codes."""

import functools
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import ParamSpec

import typer

from ppcli.errors import ExitCode, PixelpruneError, is_resource_limit

_Options = ParamSpec("_Options")


class _Terminated(BaseException):
    """SIGTERM arrived, or the terminal has gone."""


def _on_ending_signal(*_: object) -> None:
    raise _Terminated


def under_contract(command: Callable[_Options, ExitCode]) -> Callable[_Options, None]:
    """Run a command so that it ends with an exit code of the contract and one sentence."""

    @functools.wraps(command)
    def run(*args: _Options.args, **kwargs: _Options.kwargs) -> None:
        from ppcli.engine.stopping import termination_signals

        for number in termination_signals():
            signal.signal(number, _on_ending_signal)
        try:
            code = command(*args, **kwargs)
        except PixelpruneError as error:
            code = _say(error.exit_code, str(error))
        except BrokenPipeError:  # the reader has what it wanted
            discard_output()
            code = ExitCode.OK
        except KeyboardInterrupt:
            code = _say(ExitCode.INTERRUPTED, "interrupted; what is finished stays")
        except _Terminated:
            code = _say(ExitCode.TERMINATED, "terminated; what is finished stays")
        except Exception as error:
            if isinstance(error, typer.Exit | typer.BadParameter):
                raise
            code = _say_unexpected(error)
        raise typer.Exit(int(code))

    return run


def _say(code: ExitCode, message: str, trace: str | None = None) -> ExitCode:
    from ppcli.cli.terminal import last_word

    last_word(message, trace)
    return code


def _say_unexpected(error: Exception) -> ExitCode:
    if is_resource_limit(error):
        reason = f"the system gives this program no more ({error}); a limit of `ulimit -a` is met"
        return _say(ExitCode.UNEXPECTED, reason)
    message = "this is a fault in pixelprune; please report it, with this trace"
    return _say(ExitCode.UNEXPECTED, message, traceback.format_exc())


def discard_output() -> None:
    """Let the interpreter flush its streams at exit without hitting the closed pipe again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
