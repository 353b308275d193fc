"""From the options of `infer` to its run, and what is shown of the answers."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, BinaryIO

from ppcli.cli.options import logger
from ppcli.cli.running import RunInputs
from ppcli.cli.summary import failures, show_totals
from ppcli.cli.target import Target
from ppcli.cli.terminal import Terminal, data_on_stdout
from ppcli.coding.options import CoderOptions
from ppcli.errors import UsageError
from ppcli.inputs.listing import Listing
from ppcli.inputs.requests import RequestFile
from ppcli.run.analysis import AnalysisOptions
from ppcli.run.analyze import AnalyzeWork
from ppcli.run.executors import Executor
from ppcli.run.infer import InferWork
from ppcli.run.prepare import ImageSource, RequestSource, Source
from ppcli.run.stored import StoredImages, StoredSource, is_dataset
from ppcli.run.summary import PHASES, InferSummary
from ppcli.store.manifest import Manifest
from ppcli.store.outputs import RowSink, RowsOnly
from ppcli.store.rows import ANSWERS, OK, MainRow
from ppcli.store.schema import Config
from ppcli.vlm.directory import ModelDirectory
from ppcli.vlm.engine import Ask, Engine
from ppcli.vlm.sessions import Place, open_sessions


@dataclass(frozen=True, slots=True)
class Job:
    """One run of `infer`, ready to be carried out."""

    work: InferWork
    inputs: RunInputs
    open_sink: Callable[[Target], AbstractContextManager[RowSink]]


@dataclass(frozen=True, slots=True)
class Asking:
    """A model, and what is asked of it.

    Attributes:
        model: the model directory.
        ask: what is asked, where a request says nothing else.
        options: how images are coded.
        executor: where images are worked on.
        place: where the model runs.
        threads: of the CPU.
        prune: whether pruned tiles are left out.
        batch_size: how many requests at once; None chooses.
        summary: of the run.
    """

    model: ModelDirectory
    ask: Ask
    options: AnalysisOptions
    executor: Executor
    place: Place
    threads: int
    prune: bool
    batch_size: int | None
    summary: InferSummary

    @property
    def coding_is_default(self) -> bool:
        """Whether nothing was said of how images are decoded and pruned."""
        plain = AnalysisOptions(
            CoderOptions(seed=self.ask.seed), self.options.fit, rebuildable=False
        )
        return self.options == plain

    def of_requests(self, requests: RequestFile) -> Job:
        """The requests of a file."""
        requests.check()
        source = RequestSource(self.options, self.executor, self.ask)
        return self._job(source, requests, self._coding())

    def of_images(self, listing: Listing, streamed: bool) -> Job:
        """The same thing, asked of every image; `streamed` if the answer to one may be spoken."""
        first = listing.inputs[0] if listing.inputs else ""
        datasets = [one for one in listing.inputs if is_dataset(one)]
        if datasets:
            if len(listing.inputs) > 1 or listing.files0_from or listing.include or listing.exclude:
                raise UsageError(
                    f"{datasets[0]} is a dataset, which is asked about alone and whole"
                )
            if not self.coding_is_default:
                raise UsageError(
                    f"{first} is a dataset, whose images are decoded and pruned already; "
                    "leave the options for that out"
                )
            images = StoredImages(first, listing.limit)
            images.check(self.options.fit, self.prune)
            return self._job(StoredSource(first, self.ask), images, Manifest.read(first).config)
        listing.check()
        source = ImageSource(AnalyzeWork(self.options, self.executor), self.ask)
        job = self._job(source, listing, self._coding())
        alone = listing.inputs == (first,) and not listing.files0_from and os.path.isfile(first)
        if streamed and alone and sys.stdout is not None and sys.stdout.isatty():
            alone_at_once = replace(self, batch_size=1)._engine  # pages speak one after another
            return _spoken(replace(job, work=replace(job.work, engine=alone_at_once)))
        return job

    def _coding(self) -> Config:
        config = self.options.as_config()
        del config["patches"]
        return config

    def _job(self, source: Source, inputs: RunInputs, coding: Config) -> Job:
        asked = asdict(self.ask)
        del asked["own_seed"]
        config = coding | asked
        config |= {"rows": ANSWERS, "patches": False, "prune": self.prune}
        config |= {"model": self.model.identity, "device": self.place.device.value}
        config |= {"of": source.item}
        work = InferWork(source, self._engine, self.summary)
        return Job(work, inputs, lambda target: target.open(config))

    def _engine(self) -> Engine:
        tell_fallback(self.place)
        sessions = open_sessions(self.model, self.place, self.threads)
        return Engine(self.model, sessions, self.prune, self.batch_size)


def tell_fallback(place: Place) -> None:
    """Say why a model runs on the CPU although CUDA was welcome."""
    if place.fallback:
        logger.warning("the model runs on the CPU; CUDA is not used: %s", place.fallback)


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # what could command a terminal


class _Speaker:
    """Writes an answer to a terminal as it comes."""

    stream: BinaryIO

    def __call__(self, text: str) -> None:
        self.stream.write(_CONTROL.sub("\ufffd", text).encode())
        self.stream.flush()

    def add(self, row: MainRow) -> None:
        """End the line of an answer."""
        if row.status == OK:
            self("\n")


def _spoken(job: Job) -> Job:
    speaker = _Speaker()

    @contextmanager
    def open_sink(_: Target) -> Iterator[RowSink]:
        with data_on_stdout() as speaker.stream:
            yield RowsOnly(speaker)

    return replace(job, work=replace(job.work, on_text=speaker), open_sink=open_sink)


def show_answers(summary: InferSummary, terminal: Terminal) -> None:
    """Print the totals of `infer`."""
    show_totals(terminal, _numbers(summary), _lines(summary))


def _numbers(summary: InferSummary) -> dict[str, Any]:
    return {
        "requests": summary.good + summary.failed,
        "failures": dict(summary.failures),
        "tokens": summary.tokens,
        "kept": summary.kept,
        "prompt_tokens": summary.prompt_tokens,
        "answer_tokens": summary.answer_tokens,
        **{name: summary.phases[name] for name in PHASES},
        "waited_ms": summary.waited_ms,
        "seconds": summary.seconds,
    }


def _lines(summary: InferSummary) -> list[tuple[str, str]]:
    lines = [("requests", f"{summary.good + summary.failed:,}"), *failures(summary)]
    if summary.tokens:
        lines.append(("image tokens, full", f"{summary.tokens:,}"))
        lines.append(("fed", f"{summary.kept:,} ({summary.kept / summary.tokens:.1%})"))
    for name in PHASES if summary.good > summary.earlier_good else ():
        lines.append((name.removesuffix("_ms"), f"{summary.phases[name] / 1000:,.2f} s"))
    if summary.waited_ms:
        lines.append(("waited for images", f"{summary.waited_ms / 1000:,.2f} s"))
    if summary.phases["decode_ms"]:
        speed = summary.answer_tokens / summary.phases["decode_ms"] * 1000
        lines.append(("tokens of answers", f"{summary.answer_tokens:,} ({speed:,.1f}/s)"))
    if summary.earlier_files:
        lines.append(("done by an earlier run", f"{summary.earlier_files:,}"))
    lines.append(("whole run", f"{summary.seconds:,.2f} s"))
    return lines
