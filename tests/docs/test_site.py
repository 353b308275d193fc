"""The site builds without warnings, and everything that it refers to is in it."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from tests.docs.pages import DOCS, ROOT

ZENSICAL = shutil.which("zensical", path=os.path.dirname(sys.executable)) or shutil.which(
    "zensical"
)
CONFIGURATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


class _References(HTMLParser):
    """Collects what a page refers to, and the names that it can be referred to by."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src"} and value:
                self.targets.append(value)
            if name in {"id", "name"} and value:
                self.anchors.add(value)


def navigation(entries: list[object]) -> list[str]:
    """The pages of the navigation, in order."""
    pages = []
    for entry in entries:
        inner = next(iter(entry.values())) if isinstance(entry, dict) else entry
        pages += [inner] if isinstance(inner, str) else navigation(inner)
    return pages


def test_every_page_is_in_the_navigation_once() -> None:
    listed = navigation(yaml.safe_load(CONFIGURATION)["nav"])
    written = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")]
    assert sorted(listed) == sorted(written)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    if ZENSICAL is None:
        pytest.skip('Zensical is not installed: pip install ".[docs]"')
    project = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, project / "docs")
    for name in ("ppcli", "benchmarks", "training"):
        (project / name).symlink_to(ROOT / name)
    for name in ("mkdocs.yml", "README.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, project)
    done = subprocess.run(
        [ZENSICAL, "build", "--strict"], cwd=project, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return project / "site"


def test_everything_that_the_site_refers_to_is_there(site: Path) -> None:
    pages = {}
    for path in sorted(site.rglob("*.html")):
        pages[path] = _References()
        pages[path].feed(path.read_text(encoding="utf-8"))
    assert len(pages) > 25
    missing = []
    for path, references in pages.items():
        if path.name == "404.html":
            continue
        for target in references.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            fragment = unquote(parts.fragment)
            known = pages[file].anchors if file in pages else {fragment}
            if not file.exists() or (fragment and fragment not in known):
                missing.append(f"{path.name}: {target}")
    assert missing == []


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"<(?:link|script|img|iframe)[^>]*(?:href|src)=\"?(https?:[^\">\s]+)")
    for path in site.rglob("*.html"):
        assert loads.findall(path.read_text(encoding="utf-8")) == [], path
