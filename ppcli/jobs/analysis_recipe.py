"""How any machine does the work of `analyze`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from ppcli.engine.worker_options import WorkerOptions
from ppcli.errors import ImageError
from ppcli.inputs.refs import ImageRef
from ppcli.jobs.analysis_options import AnalysisOptions, load_kernels
from ppcli.jobs.analyze import AnalyzeSummary, AnalyzeWork
from ppcli.jobs.cluster_work import with_cores
from ppcli.jobs.image_worker import image_executor
from ppcli.jobs.pages import lost_page
from ppcli.store.rows import StatsRow


@dataclass(frozen=True, slots=True)
class AnalysisRecipe:
    """Sets up the work of `analyze`; see `WorkRecipe`.

    Attributes:
        options: what the rows depend on.
        workers: worker processes of each worker of the cluster.
    """

    options: AnalysisOptions
    workers: WorkerOptions
    item: ClassVar = "image"

    @property
    def max_image_pixels(self) -> int:
        """Larger images are not decoded."""
        return self.options.reading.max_image_pixels

    def new_summary(self) -> AnalyzeSummary:
        """Return totals of nothing."""
        return AnalyzeSummary()

    @contextmanager
    def opened(self, summary: AnalyzeSummary, cores: int) -> Iterator[AnalyzeWork]:
        """Return the work, with worker processes for some cores."""
        kernels = partial(load_kernels, self.options)
        workers = with_cores(self.workers, cores, self.max_image_pixels)
        yield AnalyzeWork(self.options, image_executor(workers, self.max_image_pixels, kernels))

    def failed_rows(self, ref: ImageRef, error: ImageError) -> list[StatsRow]:
        """Return the row of an image on which nothing could work."""
        return [lost_page(ref, self.options, 1, None, error).row]
