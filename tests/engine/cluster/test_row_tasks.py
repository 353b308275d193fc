"""Tasks that end early: what they have finished is used."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ppcli.engine.cluster.row_tasks import NewInputs
from ppcli.engine.executors.serial import SerialExecutor
from ppcli.engine.row_flow import RowFlow
from ppcli.errors import OutputError, PixelpruneError, ServerError
from ppcli.imaging.decode import pillow_limits
from ppcli.jobs.analyze import AnalyzeSummary, AnalyzeWork
from tests.store.small_run import OPTIONS, make_inputs
from tests.store.staged_run import listed, opened


class FailingWork(AnalyzeWork):
    """Work that fails after three inputs, between two of them."""

    error: PixelpruneError

    def results(self, inputs, stop) -> Iterator:
        for number, one in enumerate(AnalyzeWork.results(self, inputs, stop)):
            if number == 3:
                raise type(self).error
            yield one


@pytest.mark.parametrize(
    ("error", "kept"), [(ServerError("all servers are down"), 3), (OutputError("disk full"), 0)]
)
def test_an_error_between_inputs_keeps_those_before(
    tmp_path: Path, error: PixelpruneError, kept: int
) -> None:
    """Answers may have been paid for. An error of writing keeps nothing, as on one machine."""
    FailingWork.error = error
    inputs = listed(make_inputs(tmp_path / "in"))
    work = FailingWork(OPTIONS, SerialExecutor())
    with (
        opened(tmp_path / "out") as dataset,
        pillow_limits(OPTIONS.reading.max_image_pixels),
        closing(work),
    ):
        flow = RowFlow(work, AnalyzeSummary())
        made = NewInputs(dataset.area(), 0, inputs).run(flow)
        assert str(made.error) == str(error)
        assert sum(one.shard.inputs for one in made.staged) == kept
        for one in made.staged:
            dataset.accept(one)
        assert dataset.inputs_placed == kept
        dataset.clean()
