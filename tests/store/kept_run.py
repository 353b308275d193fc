"""Runs over images whose inputs have columns that travel into the rows.

`python -m tests.store.kept_run IN OUT STEP…` runs once for each step of writing, into OUT with the
step appended, and is killed there.
"""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from ppcli.coding.coder_options import CoderOptions
from ppcli.engine.executors.serial import SerialExecutor
from ppcli.engine.worker_options import FailureOptions
from ppcli.files import LocalFile
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import Fit
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.analyze import AnalyzeSummary, AnalyzeWork
from ppcli.jobs.run_control import ProgressCounter, RunControl
from ppcli.jobs.run_job import run_job
from ppcli.store.output_options import OutputOptions
from tests.conftest import blocks
from tests.store.small_run import Killer, count_steps

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {"image": {"_type": "Image"}, "label": {"names": ["x", "y"], "_type": "ClassLabel"}}
TYPES = {
    "image": IMAGE,
    "label": pa.int64(),
    "small": pa.uint8(),
    "half": pa.float16(),
    "score": pa.float64(),
    "flag": pa.bool_(),
    "text": pa.string(),
    "long_text": pa.large_string(),
    "tags": pa.list_(pa.string()),
    "boxes": pa.large_list(pa.struct([("at", pa.list_(pa.float32(), 4)), ("name", pa.string())])),
    "when": pa.timestamp("ns", "Europe/Berlin"),
    "day": pa.date32(),
    "length": pa.duration("ms"),
    "price": pa.decimal128(12, 3),
    "group": pa.dictionary(pa.int8(), pa.string()),
    "raw": pa.binary(),
    "id": pa.binary(4),
    "nothing": pa.null(),
    "extra": pa.map_(pa.string(), pa.int32()),
    "with.dot": pa.int16(),
}


def fields() -> pa.Schema:
    """The columns of a source, as its file has them."""
    text = json.dumps({"info": {"features": FEATURES}})
    return pa.schema(list(TYPES.items()), metadata={"huggingface": text, "pandas": b"{}"})


def source_table(pictures: list[bytes]) -> pa.Table:
    """A source with a row for each picture; each third row is null but for the image."""
    rows = []
    for number, picture in enumerate(pictures):
        row: dict[str, Any] = {"image": {"bytes": picture, "path": f"{number}.png"}}
        if number % 3 != 2:
            row |= {
                "label": number % 2,
                "small": 255 - number,
                "half": 0.5,
                "score": float("nan") if number == 1 else number / 3,
                "flag": number % 2 == 0,
                "text": f'a "quoted", text\n{number}',
                "long_text": "ü" * number,
                "tags": ["x", None, str(number)],
                "boxes": [{"at": [0, 1, 2, number], "name": None}],
                "when": 1_700_000_000_123_456_789 + number,
                "day": datetime(2026, 1, 1 + number, tzinfo=UTC).date(),
                "length": number,
                "price": Decimal(number) / 8,
                "group": ["low", "high"][number % 2],
                "raw": bytes(range(number)),
                "id": bytes([number] * 4),
                "extra": [("k", number)],
                "with.dot": -number,
            }
        rows.append(row)
    columns = []
    for field in fields():
        values = [row.get(field.name) for row in rows]
        if pa.types.is_dictionary(field.type):
            plain = pa.array(values, field.type.value_type).dictionary_encode()
            columns.append(plain.cast(field.type))
        else:
            columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=fields())


def pictures(number: int, broken: int = -1) -> list[bytes]:
    """PNG files, of which one may be broken."""
    made = []
    for seed in range(number):
        file = BytesIO()
        Image.fromarray(blocks(70 + seed, 50, seed=seed)).save(file, "PNG")
        made.append(file.getvalue()[: 60 if seed == broken else None])
    return made


@dataclass
class Rows:
    """The rows of a source as inputs: a file for each image, and the other columns with it."""

    folder: Path
    table: pa.Table
    skipped: int = 0
    repeated: str = ""
    repeatable: bool = True

    def __iter__(self) -> Iterator[ImageRef]:
        for number in range(self.table.num_rows):
            columns = {name: self.table[name][number] for name in self.table.column_names}
            path = self.folder / f"{number}.png"
            if not path.exists():
                path.write_bytes(columns["image"]["bytes"].as_py())
            yield replace(ImageRef(LocalFile(str(path)), f"{number}"), columns=columns)


def run(inputs: Any, output: OutputOptions | Path, fit: Fit = Fit.PAD) -> AnalyzeSummary:
    """Analyze inputs whose columns are kept."""
    if isinstance(output, Path):
        output = OutputOptions(str(output), rows_per_shard=2)
    options = AnalysisOptions(
        CoderOptions(), FitOptions(fit, 16, 2, 1, 1 << 24), patches=output.is_folder
    )
    control = RunControl()
    return run_job(
        AnalyzeWork(options, SerialExecutor()),
        inputs,
        AnalyzeSummary(),
        config=options.as_config(),
        output=output,
        kept=inputs.table.schema,
        failures=FailureOptions(),
        max_image_pixels=1 << 24,
        control=control,
        counter=ProgressCounter(control, "image", inputs),
    ).summary


def main() -> None:
    """Run once for each step in a child process that is killed there."""
    folder, out, *steps = sys.argv[1:]
    inputs = Rows(Path(folder), source_table(pictures(5, broken=3)))
    run(inputs, Path(out + "spare"))  # loads modules and kernels once for all children
    for step in steps:
        child = os.fork()
        if child == 0:
            count_steps(Killer(int(step)))
            run(inputs, Path(out + step))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")


if __name__ == "__main__":
    main()
