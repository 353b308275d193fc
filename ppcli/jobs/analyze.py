"""The work of `analyze`: images to statistics and patch sets."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import ClassVar

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.executors.executor import Executor
from ppcli.engine.stopping import Stop
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions, may_give_several
from ppcli.jobs.pages import OnPage, PageResult
from ppcli.jobs.pipeline import Pipeline

_PATIENCE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class AnalyzeWork:
    """Decodes and codes images.

    Attributes:
        options: what the rows depend on.
        executor: where images are worked on.
        on_page: what is done with the pixels of a page; by default they are counted and packed.
    """

    options: AnalysisOptions
    executor: Executor
    on_page: OnPage | None = None
    item: ClassVar = "image"

    def expect(self, inputs: Arrivals[ImageRef]) -> None:
        """Start no more workers than there is work for."""
        capacity = self.executor.capacity
        if not inputs.known(_PATIENCE_SECONDS, capacity):
            return  # a list that keeps us waiting may be of any length
        first = inputs.ahead(capacity)
        if len(first) < capacity:
            several = any(may_give_several(ref, self.options) for ref in first)
            self.executor.prestart(capacity if several else len(first))

    def results(
        self, inputs: Arrivals[ImageRef], stop: Stop
    ) -> Generator[tuple[ImageRef, Iterator[PageResult]], None, None]:
        """Each file with its rows."""
        return Pipeline(self.executor, self.options, stop, self.on_page).run(inputs)

    def close(self) -> None:
        """Stop the workers."""
        self.executor.close()
