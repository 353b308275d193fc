"""Markdown pages of the project, and the code blocks within them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
INCLUDED = [
    ROOT / "benchmarks" / "README.md",
    ROOT / "training" / "README.md",
]  # in pages of the site

_FENCE = re.compile(
    r"(?:^<!-- (?P<marker>[^\n]*) -->\n)?"
    r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_NOT_RUN = re.compile(r"not run here: (?P<reason>\S.{8,})")
_ELSEWHERE = re.compile(r"run by (?P<test>tests/\S+\.py): \S.{8,}")


@dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Attributes:
        page: path relative to the project.
        line: line of the opening fence, from 1.
        language: word after the fence.
        title: file name for which the block is the content; None for a block to run.
        code: text between the fences.
        marker: text of the HTML comment right above the fence.
    """

    page: str
    line: int
    language: str
    title: str | None
    code: str
    marker: str

    @property
    def runs_here(self) -> bool:
        """Whether no marker exempts the block from running."""
        return not (_NOT_RUN.match(self.marker) or _ELSEWHERE.match(self.marker))

    @property
    def other_test(self) -> str | None:
        """Path of the test that runs the block instead."""
        found = _ELSEWHERE.match(self.marker)
        return found["test"] if found else None


def name_of(page: Path) -> str:
    """Path of a page relative to the project, with slashes."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page=name_of(page),
            line=text.count("\n", 0, found.start("language")) + 1,
            language=found["language"],
            title=found["title"],
            code=found["code"],
            marker=found["marker"] or "",
        )
        for found in _FENCE.finditer(text)
    ]


def fences(page: Path) -> int:
    """Number of lines that open or close a fence, indented ones included."""
    return len(re.findall(r"^ *(?:```|~~~)", page.read_text(encoding="utf-8"), re.MULTILINE))
