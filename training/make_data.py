"""Write documents and questions as `pixelprune eval` reads them.

Usage: python -m training.make_data OUT [--questions N]

Five folders of one kind each: `seen` has layouts and fonts of training in new documents, with the
words of training; of the others each has one thing that training never saw, and the last all three.
"""

import json
import random
from pathlib import Path
from typing import Annotated

import typer

from training.samples import Split, document

SPLITS = {
    "seen": Split("test"),
    "words": Split("test words", unseen_words=True),
    "fonts": Split("test fonts", unseen_faces=True),
    "layouts": Split("test layouts", unseen_layouts=True),
    "all": Split("test all", unseen_words=True, unseen_faces=True, unseen_layouts=True),
}
SIZES = ((8, 4), (6, 5), (4, 8), (8, 8), (10, 6), (12, 5), (6, 10))
QUESTIONS_OF_PICTURE = 4


def main(
    out: Annotated[Path, typer.Argument(help="A folder for the pictures and questions.jsonl.")],
    questions: Annotated[int, typer.Option(help="Of each part.")] = 500,
) -> None:
    """Write all splits, and their questions in one file."""
    lines = []
    for name, split in SPLITS.items():
        (out / name).mkdir(parents=True, exist_ok=True)
        left, seed = questions, 0
        while left > 0:
            rng = random.Random(f"{name} {seed}")
            made = document(split, seed, rng.choice(SIZES))
            path = f"{name}/{seed:04d}.png"
            made.image.save(out / path)
            chosen = rng.sample(made.facts, min(len(made.facts), QUESTIONS_OF_PICTURE, left))
            for number, fact in enumerate(chosen):
                line = {
                    "custom_id": f"{name}-{seed:04d}-{number}",
                    "image": path,
                    "question": fact.question(rng),
                    "answers": [fact.answer],
                    "kind": f"{name}: {fact.kind}",
                    "document": made.kind,
                    "font": made.face,
                }
                lines.append(json.dumps(line, ensure_ascii=False))
            left, seed = left - len(chosen), seed + 1
    (out / "questions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
