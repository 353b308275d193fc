"""The progress bar."""

import io

from rich.console import Console

from ppcli.cli.progress_bar import ProgressBar


def drawn(*counts: tuple[int, int | None]) -> str:
    file = io.StringIO()
    bar = ProgressBar(Console(file=file, force_terminal=True, width=100), "images")
    for done, total in counts:
        bar.show(done, total)
    bar.stop()
    return file.getvalue()


def test_a_bar_without_an_estimate_does_not_say_that_nothing_is_left() -> None:
    for counts in ((0, None), (0, 38)):
        text = drawn(counts)
        assert "images" in text
        assert "left" not in text


def test_a_bar_says_how_much_time_is_left() -> None:
    text = drawn((0, 38), (1, 38), (37, 38))
    assert "37 of 38 images" in text
    assert "left" in text
