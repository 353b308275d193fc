"""Words and values for sample documents: each value suits its label, and every word exists."""

import random

from training.words import Words

_VALUES = {
    "money": """Total, Subtotal, Tax, VAT, Discount, Amount due, Balance, Price, Shipping, Deposit,
        Fee, Rent, Salary, Bonus, Net, Gross""",
    "code": """Invoice no, Order no, Customer no, Account, Reference, Receipt no, Ticket, Booking,
        Policy, Contract, Case no, Serial, Part no, Batch, Plate""",
    "date": "Date, Due date, Issued, Expires, Start, End, Born, Arrival, Departure",
    "person": """Name, Owner, Manager, Author, Editor, Contact, Agent, Doctor, Patient, Student,
        Teacher, Driver, Customer""",
    "city": "City, Town, Branch, Office, Origin, Destination",
    "whole": "Room, Floor, Seat, Gate, Platform, Quantity, Score, Level, Grade, Rank",
    "weight": "Weight",
    "length": "Height, Length, Width, Depth",
}
_KIND_OF_VALUE = {
    " ".join(label.split()): kind for kind, text in _VALUES.items() for label in text.split(",")
}
_COLUMNS = (
    ("Mon", "Tue", "Wed", "Thu", "Fri"),
    ("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    ("Q1", "Q2", "Q3", "Q4"),
    ("North", "South", "East", "West"),
)
_SENTENCES = (
    "Save changes before closing?",
    "The file already exists.",
    "Restart to finish the update.",
    "Delete 3 items?",
    "The printer is offline.",
    "Sign in to continue.",
    "This cannot be undone.",
    "Battery is low: 12 %",
    "Update 4.2 is ready.",
)


class EverydayWords(Words):
    """Draws real words that are plausible in their place."""

    def __init__(self, rng: random.Random, test: bool) -> None:
        super().__init__(rng, test)
        self._said: list[str] = []

    def some(self, kind: str, count: int) -> list[str]:
        """Draw distinct words of a kind; columns are consecutive days, months or the like."""
        if kind == "columns":
            return list(self._rng.choice(_COLUMNS))
        drawn = super().some(kind, 1_000)
        return [word for word in drawn if kind != "labels" or word in _KIND_OF_VALUE][:count]

    def _or_another(self, word: str) -> str:
        return word

    def value_of(self, label: str) -> str:
        """Draw a value that suits a label."""
        kind = _KIND_OF_VALUE[label]
        makers = {
            "money": self.money,
            "code": self.code,
            "date": self.date,
            "person": self.person,
            "city": lambda: self.one("cities"),
            "whole": lambda: str(self._rng.randint(1, 60)),
            "weight": lambda: f"{self._rng.randint(1, 90)} kg",
            "length": lambda: f"{self._rng.randint(10, 240)} cm",
        }
        return makers[kind]()

    def made_up(self) -> str:
        """Draw a thing, where other documents have an invented word."""
        return self.one("things")

    def cell(self) -> str:
        """Draw an integer."""
        return self.number()

    def value(self) -> str:
        """Draw an entry of a list."""
        return self._rng.choice((self.person, self.date, lambda: self.one("cities")))()

    def sentence(self, most: int) -> str:
        """Draw the message of a dialog, or a thing if only few words fit."""
        if most <= 2:
            return self.one("things")
        left = [one for one in _SENTENCES if one not in self._said] or _SENTENCES
        self._said.append(self._rng.choice(left))
        return self._said[-1]
