"""Calls in threads that never keep the program from ending."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_Result = TypeVar("_Result")


def in_background(function: Callable[..., _Result], *args: object) -> "Future[_Result]":
    """Call a function in a daemon thread of its own.

    The threads of an executor would be joined at the end of the program, however long a driver in
    one of them waits for its server.
    """
    future: Future[_Result] = Future()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = function(*args)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, daemon=True).start()
    return future
