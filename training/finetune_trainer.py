"""Fine-tune a Qwen3-VL on pruned patches with transformers' Trainer.

Usage: python -m training.finetune_trainer CHECKPOINT QUESTIONS OUT [--steps N]
"""

from pathlib import Path

import torch
import typer
from transformers import Qwen3VLForConditionalGeneration, Trainer, TrainingArguments

from ppcli import PrunedCollator
from training.examples import QuestionExamples

RATE = 1e-4


def main(checkpoint: Path, questions: Path, out: Path, steps: int = 100, batch: int = 8) -> None:
    """Train and save the model."""
    model = Qwen3VLForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    examples = QuestionExamples(questions, checkpoint)
    arguments = TrainingArguments(
        output_dir=str(out),
        max_steps=steps,
        per_device_train_batch_size=batch,
        learning_rate=RATE,
        logging_steps=10,
        save_strategy="no",
        report_to=[],
        dataloader_num_workers=1,
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=examples,
        data_collator=PrunedCollator(examples.images, model.config),  # all that pruning takes
    )
    trainer.train()
    trainer.save_model(str(out))
    examples.save_settings(out)


if __name__ == "__main__":
    typer.run(main)
