"""Write the images and questions of sample_data/questions: two documents of each kind.

Usage: python -m training.make_samples OUT

The documents are the first of their kinds that the seeds give, and the questions are drawn; neither
is chosen by what a model says about them. Another set of installed fonts gives other pictures.
"""

import json
import random
from pathlib import Path
from typing import Annotated

import typer

from training.layouts import SEEN
from training.samples import Document, Split, document

SPLIT = Split("samples", everyday=True)
SIZES = ((8, 8), (10, 6))
DOCUMENTS_OF_A_KIND = 2
QUESTIONS_OF_A_DOCUMENT = 3


def first_of_each_kind() -> dict[str, list[Document]]:
    """Return the first training documents of each kind, by kind."""
    found: dict[str, list[Document]] = {kind: [] for kind in sorted(SEEN)}
    seed = 0
    while any(len(made) < DOCUMENTS_OF_A_KIND for made in found.values()):
        made = document(SPLIT, seed, SIZES[seed % len(SIZES)])
        of_kind = found[made.kind]
        if len(made.facts) >= QUESTIONS_OF_A_DOCUMENT and len(of_kind) < DOCUMENTS_OF_A_KIND:
            of_kind.append(made)
        seed += 1
    return found


def main(out: Annotated[Path, typer.Argument(help="A folder.")]) -> None:
    """Write all images, questions.jsonl for `eval` and requests.jsonl for `infer`."""
    out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    questions, requests = [], []
    for kind, documents in first_of_each_kind().items():
        for number, made in enumerate(documents, 1):
            name = f"{kind}-{number}"
            made.image.save(out / f"{name}.png", optimize=True)
            for place, fact in enumerate(rng.sample(made.facts, QUESTIONS_OF_A_DOCUMENT), 1):
                asked = {"custom_id": f"{name}-{place}", "image": f"{name}.png"}
                text = fact.question(rng)
                questions.append(asked | {"question": text, "answers": [fact.answer]})
                requests.append(asked | {"prompt": text})
    for name, lines in (("questions", questions), ("requests", requests)):
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (out / f"{name}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
