"""Compiles and renders chat templates in the environment that transformers gives them.

`template_process` runs this module in a subprocess. It imports nothing else of the package, so
that the process starts quickly.
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

MAX_CHARACTERS = 16 << 20
MAX_MEMORY = 512 << 20  # bytes, of the subprocess
_ORPHAN_SECONDS = 60  # a rendering whose parent was killed ends by itself after this time
_MAX_MESSAGE = 500

Variables = dict[str, Any]


class TooMuchTextError(Exception):
    """A template wrote more than `MAX_CHARACTERS`."""


def compile_template(template: str) -> Template:
    """Compile a chat template.

    Raises:
        jinja2.TemplateError: the template is invalid.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {
        "raise_exception": _raise_exception,
        "strftime_now": _strftime_now,
        "dict": _Dict(),
        "namespace": _Namespace,
    }
    return environment.from_string(template)


def render_template(template: Template, variables: Variables) -> str:
    """Render a template with its variables: the messages and the special tokens.

    Raises:
        TooMuchTextError: the text exceeds `MAX_CHARACTERS`.
        Exception: anything that the template raises.
    """
    pieces, length = [], 0
    for piece in template.generate(**variables):
        length += len(piece)
        if length > MAX_CHARACTERS:
            raise TooMuchTextError
        pieces.append(piece)
    return "".join(pieces)


class _Generation(Extension):
    """`{% generation %}` marks the text of assistants for training; it is rendered unmarked."""

    tags = {"generation"}  # noqa: RUF012 Jinja declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_body")
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _body(self, caller: Macro) -> str:
        text: str = caller()
        return text


class _Dict:
    """`dict` as a plain object: templates cannot reach the attributes of the class."""

    def __call__(self, *args: Any, **values: Any) -> dict[Any, Any]:  # noqa: ANN401
        return dict(*args, **values)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:  # noqa: ANN401
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    """`namespace` without names that begin with an underscore, which Python reserves."""

    def __init__(*args: Any, **values: Any) -> None:  # noqa: ANN401 a value may be named `self`
        initial = dict(*args[1:], **values)
        for name in initial:
            _check_name(name)
        Namespace.__init__(args[0], initial)

    def __setitem__(self, name: str, value: Any) -> None:  # noqa: ANN401
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace name must not begin with an underscore: {name}")


def _to_json(
    value: Any,  # noqa: ANN401
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Unlike Jinja's own filter, do not escape for HTML."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)


def serve_template() -> None:
    """Serve one template on standard input and output; the main function of the subprocess.

    Every line is JSON: first the template, then the variables of each rendering. Each is answered
    by `{"text": …}` or `{"error": kind, "message": …}`.
    """
    for name in ("SIGINT", "SIGHUP"):  # the parent handles them; when it ends, the input closes
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    _limit_memory()
    lines, answers = sys.stdin.buffer, sys.stdout.buffer
    template: Template | None = None
    for line in iter(lines.readline, b""):
        faulthandler.dump_traceback_later(_ORPHAN_SECONDS, exit=True)
        try:
            if template is None:
                template = compile_template(json.loads(line))
                answer: Variables = {"text": ""}
            else:
                answer = {"text": render_template(template, json.loads(line))}
        except TooMuchTextError:
            answer = {"error": "text"}
        except MemoryError:
            answer = {"error": "memory"}
        except Exception as error:
            message = f"{error}"[:_MAX_MESSAGE] or type(error).__name__
            answer = {"error": "refused", "message": message}
        faulthandler.cancel_dump_traceback_later()
        _write(answers, answer)


def _write(file: BinaryIO, answer: Variables) -> None:
    file.write(json.dumps(answer).encode() + b"\n")
    file.flush()


def _limit_memory() -> None:
    """Set the memory limit of this process where the system has one; the parent checks it too."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for what, limit in ((resource.RLIMIT_AS, MAX_MEMORY), (resource.RLIMIT_CORE, 0)):
        with suppress(OSError, ValueError):
            resource.setrlimit(what, (limit, limit))
