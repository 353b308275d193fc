"""Write the pictures and requests of sample_data/questions: one document of each kind.

Usage: python -m training.make_samples OUT

The documents are the first of their kinds that the seeds give, not chosen by what a model says
about them. Another set of installed fonts gives other pictures.
"""

import json
import random
from pathlib import Path
from typing import Annotated

import typer

from training.layouts import SEEN
from training.samples import Document, Split, document

SPLIT = Split("samples")
SIZES = ((8, 8), (10, 6))
QUESTIONS_OF_PICTURE = 2


def first_of_each_kind() -> dict[str, Document]:
    """A document of each kind that training sees, by its name."""
    found: dict[str, Document] = {}
    seed = 0
    while len(found) < len(SEEN):
        made = document(SPLIT, seed, SIZES[seed % len(SIZES)])
        if len(made.facts) >= QUESTIONS_OF_PICTURE:
            found.setdefault(made.kind, made)
        seed += 1
    return dict(sorted(found.items()))


def main(out: Annotated[Path, typer.Argument(help="A folder.")]) -> None:
    """Write all pictures, and requests.jsonl."""
    out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    lines = []
    for kind, made in first_of_each_kind().items():
        made.image.save(out / f"{kind}.png", optimize=True)
        for number, fact in enumerate(rng.sample(made.facts, QUESTIONS_OF_PICTURE), 1):
            request = {
                "custom_id": f"{kind}-{number}",
                "image": f"{kind}.png",
                "prompt": fact.question(rng),
            }
            lines.append(json.dumps(request, ensure_ascii=False))
    (out / "requests.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
