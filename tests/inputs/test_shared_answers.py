from functools import partial

from ppcli.inputs import shared_answers
from ppcli.inputs.shared_answers import SharedAnswers


def test_answers_are_kept_up_to_a_limit(monkeypatch) -> None:
    monkeypatch.setattr(shared_answers, "_MOST", 2)
    answers, asked = SharedAnswers(), []

    def look(name: str) -> bool:
        asked.append(name)
        return name == "b"

    for name in "abcabc":
        assert answers.get(name, partial(look, name)) == (name == "b")
    assert asked == ["a", "b", "c", "c"]
