"""A chat template in the world that transformers gives it, here or in a process of its own.

The process imports this module and nothing else of the package, so that it starts soon.
"""

import faulthandler
import json
import signal
import sys
from contextlib import suppress
from datetime import datetime
from typing import Any, BinaryIO

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

MOST_CHARACTERS = 16 << 20
MOST_MEMORY = 512 << 20  # bytes, of the process
_ORPHAN_SECONDS = 60  # after which a process ends whose parent was killed and cannot end it
_LONGEST_MESSAGE = 500

Given = dict[str, Any]


class TooMuchTextError(Exception):
    """A template writes without an end."""


def compiled(template: str) -> Template:
    """The program that a template is.

    Raises:
        jinja2.TemplateError: when it is none.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {
        "raise_exception": _refuse,
        "strftime_now": _now,
        "dict": _Dict(),
        "namespace": _Namespace,
    }
    return environment.from_string(template)


def rendered(template: Template, given: Given) -> str:
    """What a template makes of messages and the rest that it is given.

    Raises:
        TooMuchTextError: above `MOST_CHARACTERS`.
        Exception: whatever a program of somebody else raises.
    """
    pieces, length = [], 0
    for piece in template.generate(**given):
        length += len(piece)
        if length > MOST_CHARACTERS:
            raise TooMuchTextError
        pieces.append(piece)
    return "".join(pieces)


class _Generation(Extension):
    """`{% generation %}` marks what an assistant says; training reads the marks, we do not."""

    tags = {"generation"}  # noqa: RUF012 Jinja declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_said")
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _said(self, caller: Macro) -> str:
        text: str = caller()
        return text


class _Dict:
    """`dict` without what a class brings along."""

    def __call__(self, *args: Any, **values: Any) -> dict[Any, Any]:  # noqa: ANN401
        return dict(*args, **values)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:  # noqa: ANN401
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    """`namespace`; names that begin with an underscore are those of Python's own machinery."""

    def __init__(*args: Any, **values: Any) -> None:  # noqa: ANN401 `self` may be a value's name
        given = dict(*args[1:], **values)
        for name in given:
            _check(name)
        Namespace.__init__(args[0], given)

    def __setitem__(self, name: str, value: Any) -> None:  # noqa: ANN401
        _check(name)
        super().__setitem__(name, value)


def _check(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace takes no name that begins with an underscore: {name}")


def _to_json(
    value: Any,  # noqa: ANN401
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own escapes what HTML would take amiss."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def serve() -> None:
    """Be the process of one template: a line with it comes in, then one for each rendering.

    Lines are JSON. The answers are `{"text": …}`, or `{"error": kind, "message": …}`.
    """
    for name in ("SIGINT", "SIGHUP"):  # they are the parent's, whose end closes our input
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    _limit()
    lines, answers = sys.stdin.buffer, sys.stdout.buffer
    template: Template | None = None
    for line in iter(lines.readline, b""):
        faulthandler.dump_traceback_later(_ORPHAN_SECONDS, exit=True)
        try:
            if template is None:
                template = compiled(json.loads(line))
                answer: Given = {"text": ""}
            else:
                answer = {"text": rendered(template, json.loads(line))}
        except TooMuchTextError:
            answer = {"error": "text"}
        except MemoryError:
            answer = {"error": "memory"}
        except Exception as error:
            message = f"{error}"[:_LONGEST_MESSAGE] or type(error).__name__
            answer = {"error": "refused", "message": message}
        faulthandler.cancel_dump_traceback_later()
        _write(answers, answer)


def _write(file: BinaryIO, answer: Given) -> None:
    file.write(json.dumps(answer).encode() + b"\n")
    file.flush()


def _limit() -> None:
    """Hold this process to its memory, where the system can; the parent watches it everywhere."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for what, most in ((resource.RLIMIT_AS, MOST_MEMORY), (resource.RLIMIT_CORE, 0)):
        with suppress(OSError, ValueError):
            resource.setrlimit(what, (most, most))
