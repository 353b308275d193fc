"""How workers of a cluster get ready to turn inputs into rows."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.cluster.cluster import Reporter
from ppcli.engine.cluster.node_check import NodeCheck
from ppcli.engine.row_flow import FailurePolicy, RowFlow, RunObserver, Work
from ppcli.engine.stopping import StopRequest
from ppcli.engine.summary import Summary
from ppcli.errors import ImageError
from ppcli.imaging.decode import pillow_limits
from ppcli.inputs.refs import Input
from ppcli.store.rows import OK, MainRow


class WorkRecipe(Protocol):
    """How the work of a run is set up. It is picklable, so that any machine can do the work.

    Attributes:
        item: what an input is called, in the singular.
        max_image_pixels: larger images are not decoded.
    """

    @property
    def item(self) -> str:
        """See the attributes."""

    @property
    def max_image_pixels(self) -> int:
        """See the attributes."""

    def new_summary(self) -> Summary:
        """Return totals of nothing."""

    def opened(self, summary: Any, cores: int) -> AbstractContextManager[Work]:  # noqa: ANN401
        """Return the work; the caller closes it.

        Args:
            summary: the totals of the work.
            cores: how many processor cores it may use.

        Raises:
            PixelpruneError: this machine lacks something that the work needs.
        """

    def failed_rows(self, ref: Any, error: ImageError) -> Sequence[MainRow]:  # noqa: ANN401
        """Return the rows of an input on which nothing could work."""


@dataclass(frozen=True, slots=True)
class RowSetup:
    """Prepares a worker for tasks that turn inputs into rows.

    Attributes:
        recipe: of the work.
        check: whether the machine can take part.
        retry_failed: whether failed inputs of finished shards are worked on again.
    """

    recipe: WorkRecipe
    check: NodeCheck
    retry_failed: bool = False

    def problem(self) -> str:
        """Return why this machine cannot take part in the run; an empty text if it can."""
        return self.check.problem()

    @contextmanager
    def opened(self, reporter: Reporter, stop: StopRequest, cores: int) -> Iterator[RowFlow]:
        """Return what takes inputs to rows, as long as the context."""

        def on_row(row: MainRow) -> None:
            if reporter.wants_all_rows or row.status != OK or getattr(row, "warning", None):
                reporter.add_row(row)

        summary = self.recipe.new_summary()
        observer = RunObserver(on_row, reporter.add_inputs)
        policy = FailurePolicy(retry_failed=self.retry_failed)
        with (
            pillow_limits(self.recipe.max_image_pixels),
            self.recipe.opened(summary, cores) as work,
            closing(work),
        ):
            yield RowFlow(work, summary, observer, stop, policy)


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """The row of an input on which nothing could work; there is no patch set."""

    row: MainRow
    patches: None = None


@dataclass(frozen=True, slots=True)
class RefusingWork:
    """Gives every input error rows, without working on it.

    Attributes:
        recipe: of the work that cannot be done.
        error: why.
    """

    recipe: WorkRecipe
    error: ImageError

    @property
    def item(self) -> str:
        """What an input is called, in the singular."""
        return self.recipe.item

    def prestart(self, inputs: Any) -> None:  # noqa: ANN401
        """Do nothing: there are no workers."""

    def results(
        self, inputs: Arrivals[Any], stop: StopRequest
    ) -> Generator[tuple[Input, Iterator[RefusedRow]], None, None]:
        """Yield each input with its error rows."""
        for ref in inputs:
            yield ref, map(RefusedRow, self.recipe.failed_rows(ref, self.error))

    def close(self) -> None:
        """Do nothing."""
