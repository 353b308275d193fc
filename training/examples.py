"""Questions about images as transformers trains on them: what `PrunedCollator` takes."""

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from transformers import AutoTokenizer, Qwen2VLImageProcessorPil

from ppcli.errors import ImageError
from ppcli.files import InputFile
from ppcli.imaging.page_source import open_source
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.questions import QuestionFile

IMAGE = "<|image_pad|>"
NO_LABEL = -100


def _pixels(file: InputFile) -> NDArray[np.uint8]:
    """Return the raster of an image's first page as `eval` sees it: RGB (height, width, 3)."""
    reading = ReadingOptions()
    try:
        with closing(open_source(file, reading)) as source:
            return source.page(1, reading.background)
    except ImageError as error:
        raise ValueError(f"{file.name}: {error}") from error


class QuestionExamples(Dataset[dict[str, Tensor]]):
    """The questions of a file as conversations whose answer is learned.

    Args of the constructor:
        data: JSON lines with image, question and answers, of which the first is taught.
        checkpoint: a folder with the settings of a Qwen3-VL.
    """

    def __init__(self, data: Path, checkpoint: Path) -> None:
        if data.suffix == ".parquet":
            raise ValueError(f"{data} is not JSON lines")
        asked = QuestionFile(str(data))
        asked.check()
        self._questions = list(asked)
        for one in self._questions:
            if one.fault is not None:
                raise ValueError(f"{data}: {one.fault}")
        self.images: Any = Qwen2VLImageProcessorPil.from_pretrained(checkpoint)
        self._tokenizer = AutoTokenizer.from_pretrained(checkpoint)

    def save_settings(self, folder: Path) -> None:
        """Write the files of a checkpoint other than its weights, so that it can be exported."""
        self.images.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)

    def __len__(self) -> int:
        """Return the number of questions."""
        return len(self._questions)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """Return one conversation."""
        question = self._questions[number]
        pixels = _pixels(question.image.file)
        seen = self.images(images=[Image.fromarray(pixels)], return_tensors="pt")
        content = [{"type": "image"}, {"type": "text", "text": question.question}]
        asked = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        tiles = int(seen["image_grid_thw"].prod()) // self.images.merge_size**2
        before = self._tokenizer(asked.replace(IMAGE, IMAGE * tiles), add_special_tokens=False)
        answer = self._tokenizer(question.answers[0] + "<|im_end|>", add_special_tokens=False)
        ids = before["input_ids"] + answer["input_ids"]
        return {
            "input_ids": torch.tensor(ids),
            "labels": torch.tensor([NO_LABEL] * len(before["input_ids"]) + answer["input_ids"]),
            "pixel_values": seen["pixel_values"],
            "image_grid_thw": seen["image_grid_thw"],
        }
