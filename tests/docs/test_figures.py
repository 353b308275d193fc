"""The figures of docs/how-it-works.md show what the coder does today."""

import runpy
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "figures"


def test_the_figures_are_those_that_the_script_draws() -> None:
    figures = runpy.run_path(str(FOLDER / "draw.py"))["FIGURES"]
    assert {path.name for path in FOLDER.glob("*.svg")} == set(figures)
    for name, draw in figures.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == draw()


def test_every_figure_is_on_the_page() -> None:
    page = (FOLDER.parent / "how-it-works.md").read_text(encoding="utf-8")
    assert all(f"(figures/{path.name})" in page for path in FOLDER.glob("*.svg"))
