"""The figures of bench as JSON."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, BinaryIO

from ppcli.errors import OutputError, UsageError
from ppcli.jobs.bench_measures import (
    PHASES,
    BatchMeasure,
    BenchResult,
    Comparison,
    PageMeasure,
)
from ppcli.jobs.bench_options import BenchOutputOptions
from ppcli.jobs.server_bench_measures import ServerBenchResult
from ppcli.store.atomic import PendingFile, as_output_error
from ppcli.store.output_options import STDOUT
from ppcli.store.output_paths import check_path
from ppcli.store.rows import error_columns

Measured = BenchResult | ServerBenchResult


@contextmanager
def figures_output(
    options: BenchOutputOptions, stdout: BinaryIO | None
) -> Iterator[Callable[[Measured], None]]:
    """Open the output of figures before anything is measured; give the function that writes it.

    Raises:
        UsageError: the name is not that of a JSON file.
        OutputError: the file cannot be written, or must not be replaced.
    """
    output, overwrite = options.output, options.overwrite
    if output is None:
        yield lambda result: None
    elif output == STDOUT:
        yield lambda result: _to_stdout(result, stdout)
    elif not output.lower().endswith(".json"):
        raise UsageError(f"-o is {output!r}; name a .json file, or - for standard output")
    elif os.path.isdir(output) or (os.path.lexists(output) and not overwrite):
        raise OutputError(f"{output} exists; use --overwrite or another name")
    else:
        check_path(output, "-o")
        with as_output_error(output):
            os.makedirs(os.path.dirname(output) or os.curdir, exist_ok=True)
        pending = PendingFile(output, replace=overwrite)
        try:
            yield lambda result: _to_file(result, pending)
        finally:
            pending.discard()


def _to_stdout(result: Measured, stream: BinaryIO | None) -> None:
    if stream is None:
        raise OutputError("-o is -, and standard output is closed")
    try:
        stream.write(_json_bytes(result))
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def _to_file(result: Measured, pending: PendingFile) -> None:
    pending.file.write(_json_bytes(result))
    pending.finish()
    pending.put_in_place()


def _json_bytes(result: Measured) -> bytes:
    return json.dumps(as_json(result), indent=1).encode() + b"\n"


def as_json(result: Measured) -> dict[str, Any]:
    """Return all figures. Names end with units; those of a model are sums over requests."""
    if isinstance(result, ServerBenchResult):
        return result.as_json()
    extrapolated = result.extrapolated
    return {
        "setting": result.setting,
        "images": [_page_json(result, page) for page in result.pages],
        "together": _compared(result.of_all) if result.pages else None,
        "extrapolated": None if extrapolated is None else _compared(extrapolated),
        "batches": [_batch_json(result, batch) for batch in result.batches],
        "peak_bytes": result.peak_bytes and asdict(result.peak_bytes),
        "peak_batch_size": result.peak_batch_size or None,
        "failures": [
            {"name": failure.name, **error_columns(failure.error)} for failure in result.failures
        ],
    }


def _compared(comparison: Comparison) -> dict[str, Any]:
    names = ("select_ms", *PHASES)
    times = comparison.times.map(lambda side: {name: getattr(side, name) for name in names})
    return {**asdict(times), "faster": comparison.faster, "ideal": comparison.ideal}


def _page_json(result: BenchResult, page: PageMeasure) -> dict[str, Any]:
    return {
        "image_id": page.image_id,
        "keep_ratio": page.keep_ratio,
        **{f"{side}_size": size for side, size in asdict(page.sizes).items()},
        **_compared(result.of_page(page)),
        "same_answer": page.same_answer,
        "same_tokens": page.same_tokens,
    }


def _batch_json(result: BenchResult, batch: BatchMeasure) -> dict[str, Any]:
    return {
        "batch_size": batch.batch_size,
        "requests": batch.requests,
        "seconds": asdict(batch.seconds),
        "requests_a_minute": asdict(batch.a_minute),
        "answers_unlike_alone": asdict(batch.differing),
        **_compared(result.of_batch(batch)),
    }
