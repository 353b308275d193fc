"""Questions that can be asked about a document, and their wordings."""

import random
from dataclasses import dataclass

_PHRASES = {
    "value": (
        "What is the {a}?",
        'What is the value of "{A}"?',
        "{A}?",
        "What does the field {A} say?",
        "Read the value of {A}.",
        "Tell me the {a}.",
        'What is given for "{A}"?',
    ),
    "cell": (
        "What is the {b} of {A}?",
        'What is in row "{A}", column "{B}"?',
        "{A}, {B}?",
        "What does the table say for {A} under {B}?",
        "{B} of {A}?",
        "Read the cell in row {A} and column {B}.",
    ),
    "title": (
        "What is the title?",
        "Title?",
        "What is the heading?",
        "What is this called?",
        "Read the title.",
    ),
    "button": (
        "What does the {a} button say?",
        "What is the label of the {a} button?",
        "{A} button?",
        "Read the label of the {a} button.",
    ),
    "ticked": (
        "Is {A} ticked?",
        'Is "{A}" checked?',
        "Is {a} on?",
        "{A}: yes or no?",
        "Is the option {A} selected?",
    ),
    "count": (
        "How many {a} are there?",
        "How many {a}?",
        "Count the {a}.",
        "What is the number of {a}?",
    ),
    "line": (
        "Read line {A}.",
        "What is line {A}?",
        "Line {A}?",
        "What does line {A} say?",
        "What is in line {A}?",
    ),
}
KINDS = tuple(_PHRASES)
_PHRASES_OF_PAIRS = {  # of windows, the second of which is the first after a change
    "change": ("What changed?", "What is different?", "What is new?", "Which change do you see?"),
    "before": (
        "What was the {a} before?",
        'What was the value of "{A}" before?',
        "{A} before?",
        "What did the field {A} say before?",
    ),
    "ticked before": (
        "Was {A} ticked before?",
        'Was "{A}" checked before?',
        "Was {a} on before?",
        "{A} before: yes or no?",
    ),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact that a document states.

    Attributes:
        kind: of question.
        answer: to it.
        first: what is asked about: a label, a row, a side, a number.
        second: a column, for cells.
    """

    kind: str
    answer: str
    first: str = ""
    second: str = ""

    def question(self, rng: random.Random) -> str:
        """Draw one wording of the question."""
        return rng.choice(self.questions())

    def questions(self) -> list[str]:
        """Return all wordings of the question."""
        words = {"A": self.first, "B": self.second}
        words |= {"a": _lower(self.first), "b": _lower(self.second)}
        phrases = _PHRASES | _PHRASES_OF_PAIRS
        return [phrase.format(**words) for phrase in phrases[self.kind]]


def _lower(label: str) -> str:
    """Return a label as written in a sentence; words in capitals are unchanged."""
    return label if label.isupper() else label.lower()
