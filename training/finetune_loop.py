"""Fine-tune a Qwen3-VL on pruned patches in a plain loop.

Usage: python -m training.finetune_loop CHECKPOINT QUESTIONS OUT [--steps N]
"""

from itertools import count, islice
from pathlib import Path

import torch
import typer
from torch.utils.data import DataLoader
from transformers import Qwen3VLForConditionalGeneration

from ppcli import PrunedCollator
from training.examples import QuestionExamples

RATE = 1e-4


def main(checkpoint: Path, questions: Path, out: Path, steps: int = 100, batch: int = 8) -> None:
    """Train and save the model."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = Qwen3VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    model.to(device)
    examples = QuestionExamples(questions, checkpoint)
    loader = DataLoader(
        examples,
        batch_size=batch,
        shuffle=True,
        num_workers=1,
        collate_fn=PrunedCollator(examples.images, model.config),  # all that pruning takes
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    model.train()
    rounds = (given for _ in count() for given in loader)
    for step, given in enumerate(islice(rounds, steps), 1):
        loss = model(**{name: one.to(device) for name, one in given.items()}).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 10 == 0 or step == steps:
            typer.echo(f"step {step}: loss {loss.item():.4f}")
    model.save_pretrained(out)
    examples.save_settings(out)


if __name__ == "__main__":
    typer.run(main)
