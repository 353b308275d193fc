"""The README and the first minute say what is true."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from tests.command import pixelprune
from tests.docs.pages import DOCS, ROOT, blocks

README = (ROOT / "README.md").read_text(encoding="utf-8")
START = DOCS / "start.md"
QUESTIONS = ROOT / "sample_data" / "questions"


def shown(containing: str) -> str:
    """The block of output in docs/start.md that contains a text."""
    [text] = [
        block.code
        for block in blocks(START)
        if block.language == "text" and containing in block.code
    ]
    return text


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= 1200


def test_the_readme_links_to_pages_and_headings_that_exist() -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", README)
    assert len(links) > 20
    for link in links:
        path, _, anchor = link.partition("#")
        assert (ROOT / path).exists(), link
        if anchor:
            text = (ROOT / path).read_text(encoding="utf-8")
            for included in re.findall(r'^--8<-- "(.+)"$', text, re.MULTILINE):
                text += (ROOT / included).read_text(encoding="utf-8")
            titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            assert anchor in {title.lower().replace(" ", "-") for title in titles}, link


def test_the_table_is_that_of_the_samples(tmp_path: Path) -> None:
    done = pixelprune("analyze", ROOT / "sample_data", "-o", tmp_path / "out")
    assert done.returncode == 0
    printed = done.stderr.decode()
    for line in shown("keep ratio, median").strip().splitlines():
        if line.startswith((" images/s", " size of patch", "written", " other files")) or not line:
            continue
        assert re.sub(r"\s+", " ", line.strip()) in re.sub(r"\s+", " ", printed)


def test_the_claim_is_what_eval_shows(tmp_path: Path) -> None:
    """All but the times; one answer may differ where a processor rounds a close call."""
    expected = shown("right answers")
    arguments = ("--no-controls", "--device", "cpu", "-o", tmp_path / "out")
    questions = ("--data", QUESTIONS / "questions.jsonl")
    done = pixelprune("eval", *questions, *arguments, COLUMNS="100")
    assert done.returncode == 0
    printed = done.stderr.decode()
    for line in expected.strip().splitlines():
        words = line.split()
        if line.startswith((" questions", " image tokens")) or "every token" in line:
            assert words in [one.split() for one in printed.splitlines()], printed
    right, found = (right_answers(text) for text in (expected, printed))
    assert len(right) == 2
    assert all(abs(one - other) <= 1 for one, other in zip(right, found, strict=True))


def right_answers(table: str) -> list[int]:
    return [int(number) for number in re.findall(r"(\d+) \(", table.split("right answers")[1])]


def test_the_readme_claims_what_the_first_minute_shows() -> None:
    table = shown("right answers")
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", README, re.MULTILINE)
    claims = {row[0]: [re.sub(r"\*\*|,| \(.*", "", cell) for cell in row[1:]] for row in rows}

    def of(row: str) -> list[str]:
        line = table.split(f" {row} ")[1].splitlines()[0]
        return re.findall(r"[\d.]+(?: s)?(?= |$)", re.sub(r",|\(.*?\)", "", line))

    assert claims["visual tokens"] == of("image tokens")
    assert claims["model time"] == of("model time")
    assert claims["right answers"] == of("right answers")
    [questions] = [title for title in claims if title.endswith("on two CPU cores")]
    assert questions.split()[0] == of("questions")[0]


def test_the_picture_is_what_view_draws(tmp_path: Path) -> None:
    look = (DOCS / "tasks" / "look.md").read_text(encoding="utf-8")
    [command] = re.findall(r"`pixelprune (view sample_data/\S+ [^`]+)`", look)
    done = pixelprune(*command.split()[:-1], tmp_path / "form.png", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    [picture] = re.findall(r"\]\((docs/\S+\.png)\)", README)
    drawn, in_readme = (
        np.asarray(Image.open(one)) for one in (tmp_path / "form.png", ROOT / picture)
    )
    assert drawn.shape == in_readme.shape
    assert np.array_equal(drawn[:1000], in_readme[:1000])  # letters below depend on FreeType
    assert "418 of 775" in README
