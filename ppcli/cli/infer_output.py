"""From the options of `infer` to its run, and what is shown of the answers."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ppcli.cli.options import logger
from ppcli.cli.running import RunInputs
from ppcli.cli.speech import Speaker, spoken, spoken_by_line
from ppcli.cli.summary_table import failures, show_totals
from ppcli.cli.target import Target
from ppcli.cli.terminal import Terminal
from ppcli.coding.coder_options import CoderOptions
from ppcli.engine.executors.executor import Executor
from ppcli.errors import UsageError
from ppcli.inputs.listing import Listing
from ppcli.inputs.requests import RequestFile
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.analyze import AnalyzeWork
from ppcli.jobs.infer import PHASES, InferSummary, InferWork
from ppcli.jobs.prepare import FileRequests, ImageRequests, RequestSource
from ppcli.jobs.stored_images import StoredImages, StoredRequests, is_dataset
from ppcli.models.onnx.directory import SMALL_MODEL, ModelDirectory
from ppcli.models.onnx.execution_device import ExecutionDevice
from ppcli.models.onnx.sessions import open_sessions
from ppcli.models.serving.answering_model import AnsweringModel
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.formats import Config
from ppcli.store.manifest import Manifest
from ppcli.store.row_sinks import RowSink
from ppcli.store.rows import ANSWERS


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
        runs_on: where the model runs.
        threads: of the CPU.
        prune: whether pruned tiles are left out.
        batch_size: how many requests at once; None chooses.
        summary: of the run.
    """

    model: ModelDirectory
    ask: GenerationRequest
    options: AnalysisOptions
    executor: Executor
    runs_on: ExecutionDevice
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
        source = FileRequests(self.options, self.executor, self.ask)
        return self._job(source, requests, self._coding())

    def of_images(self, listing: Listing) -> Job:
        """The same thing, asked of every image."""
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
            source = StoredRequests(first, self.ask, self.options.reading.max_image_pixels)
            return self._job(source, images, Manifest.read(first).config)
        listing.check()
        images_of = ImageRequests(AnalyzeWork(self.options, self.executor), self.ask)
        return self._job(images_of, listing, self._coding())

    def aloud(self, job: Job, alone: bool) -> Job:
        """The same job, answered in plain text on the terminal; of one image as it comes."""
        if not alone:
            return replace(job, open_sink=spoken_by_line)
        speaker = Speaker()
        engine = replace(self, batch_size=1)._engine  # pages speak one after another
        work = replace(job.work, load_model=engine, on_text=speaker)
        return replace(job, work=work, open_sink=partial(spoken, speaker))

    def _coding(self) -> Config:
        config = self.options.as_config()
        del config["patches"]
        return config

    def _job(self, source: RequestSource, inputs: RunInputs, coding: Config) -> Job:
        config = coding | self.ask.as_config()
        config |= {"rows": ANSWERS, "patches": False, "prune": self.prune}
        config |= {"model": self.model.identity, "device": self.runs_on.kind.value}
        config |= {"of": source.item}
        work = InferWork(source, self._engine, self.summary)
        return Job(work, inputs, lambda target: target.open(config))

    def _engine(self) -> AnsweringModel:
        report_cpu_fallback(self.runs_on)
        sessions = open_sessions(self.model, self.runs_on, self.threads)
        return AnsweringModel(self.model, sessions, self.prune, self.batch_size)


def open_model(folder: str | None) -> ModelDirectory:
    """The model directory that `--model` names, or our own small model, which is told.

    Raises:
        ModelError: when it is none, or not whole.
    """
    if folder is None:
        logger.warning("%s", _SMALL_MODEL_ANSWERS)
    return ModelDirectory.open(SMALL_MODEL if folder is None else folder)


def report_cpu_fallback(device: ExecutionDevice) -> None:
    """Log why a model runs on the CPU: a warning if a GPU stays idle, else only with -v."""
    problem = device.cuda_problem
    if problem is not None:
        level = logging.WARNING if problem.gpu_present else logging.DEBUG
        logger.log(level, "the model runs on the CPU; CUDA is not used: %s", problem.reason)


_SMALL_MODEL_ANSWERS = (
    "no --model, so the small model of the package answers, which reads forms, tables and windows "
    "like those it was trained on; for real work: pixelprune export Qwen/Qwen3-VL-2B-Instruct DIR"
)


def show_answers(summary: InferSummary, terminal: Terminal) -> None:
    """Print the totals of `infer`."""
    show_totals(terminal, _numbers(summary), _lines(summary))


def _numbers(summary: InferSummary) -> dict[str, Any]:
    return {
        "requests": summary.good + summary.failed,
        "failures": dict(summary.failures),
        "warned": summary.warned,
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
    if summary.earlier_inputs:
        lines.append(("done by an earlier run", f"{summary.earlier_inputs:,}"))
    lines.append(("whole run", f"{summary.seconds:,.2f} s"))
    return lines
