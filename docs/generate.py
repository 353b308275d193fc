"""Writes the pages of docs/reference that are derived from the code.

Usage: python docs/generate.py [--check]

With --check nothing is written; the exit code is 1 if a page differs from the code.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

sys.path.insert(0, str(Path(__file__).parents[1]))

from ppcli.cli.main import app

REFERENCE = Path(__file__).parent / "reference"
_NOTE = "<!-- Written by docs/generate.py from the command's own help. Do not edit. -->\n"
_START, _END = "<!-- start of the list of commands -->\n", "<!-- end of the list of commands -->\n"


PROGRAM: Any = typer.main.get_command(app)


def commands() -> dict[str, Any]:
    """Every command by its name, in the order of `pixelprune --help`."""
    return dict(PROGRAM.commands)


def pages() -> dict[Path, str]:
    """The text of every generated page, by its path."""
    written = {REFERENCE / f"{name}.md": page(name, made) for name, made in commands().items()}
    index = (REFERENCE / "index.md").read_text(encoding="utf-8")
    before, _, rest = index.partition(_START)
    after = rest.partition(_END)[2]
    return written | {REFERENCE / "index.md": before + _START + _table() + _END + after}


def page(name: str, command: Any) -> str:  # noqa: ANN401
    """The reference page of one command."""
    program = PROGRAM.make_context("pixelprune", [], resilient_parsing=True)
    context = command.make_context(name, [], parent=program, resilient_parsing=True)
    arguments, panels = [], dict[str, list[str]]()
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None:
            continue
        if parameter.param_type_name == "argument":
            arguments.append(_entry(*record))
        else:
            panel = getattr(parameter, "rich_help_panel", None) or "General"
            panels.setdefault(panel, []).append(_entry(*record))
    general = panels.pop("General", [])
    sections = {"Arguments": arguments} | panels | {"General": general}
    return "\n".join(
        [
            _NOTE,
            f"# pixelprune {name}\n",
            _prose(command.help) + "\n",
            f"```text\n{_usage(name, command)}\n```\n",
            *(f"## {title}\n\n" + "\n".join(rows) for title, rows in sections.items() if rows),
        ]
    )


def _table() -> str:
    rows = [
        f"| [`{name}`]({name}.md) | {_prose(command.help).splitlines()[0]} |\n"
        for name, command in commands().items()
    ]
    return "| command | what it does |\n|---|---|\n" + "".join(rows)


def _usage(name: str, command: Any) -> str:  # noqa: ANN401
    words = ["pixelprune", name, "[OPTIONS]"]
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            shown = parameter.metavar or parameter.name.upper()
            shown = shown if parameter.required else f"[{shown}]"
            words.append(shown + "..." * (parameter.nargs != 1))
    return " ".join(words)


def _entry(declared: str, text: str) -> str:
    """One parameter as an item of a definition list."""
    # Typer's releases write types as <str>, and choices as <a|b> or [a|b]
    declared = re.sub(r" <(?:str|list\[str\])>$", "", declared)
    declared = re.sub(r" [<\[](\S+\|\S+)[>\]]$", r" \1", declared)
    names = [f"`{part}`" for part in re.split(r", (?=-)| / ", declared)]
    facts = re.search(r" *\[([^\[\]]*)\]$", text)
    notes = _facts(facts[1]) if facts else ""
    body = _prose(text[: facts.start()] if facts else text)
    return f"{', '.join(names)}\n:   {body}{notes}\n"


def _facts(facts: str) -> str:
    """What Typer appends in brackets: the default, the range, whether it is required."""
    said = []
    for fact in facts.split("; "):
        if fact.startswith("default: "):
            said.append(f"Default: `{fact.removeprefix('default: ')}`.")
        elif fact == "required":
            said.append("Required.")
        else:
            said.append(f"Range: `{fact.replace('x>=', '≥ ').replace('<=x<=', ' to ')}`.")
    return "".join(f" {fact}" for fact in said)


def _prose(text: str) -> str:
    """Help as Markdown: options are set as code, and signs of Markdown are escaped."""
    text = re.sub(r"\\\[", "[", text.strip())
    text = re.sub(r"([<*])", r"\\\1", text)
    return re.sub(r"(?<![\w`-])(--[a-z0-9][a-z0-9-]*)", r"`\1`", text)


def differing() -> Iterator[Path]:
    """The pages whose text is not that of the code."""
    written = pages()
    for path, text in written.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield path
    known = {path.name for path in written} | {"python.md"}
    yield from (path for path in REFERENCE.glob("*.md") if path.name not in known)


def main() -> int:
    """Write all pages, or check them."""
    if "--check" in sys.argv[1:]:
        stale = sorted(differing())
        for path in stale:
            typer.echo(f"{path} differs from the code: run python docs/generate.py", err=True)
        return bool(stale)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
