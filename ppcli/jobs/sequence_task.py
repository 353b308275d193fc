"""The images of a sequence, worked on by one task. Runs in workers."""

import time
from collections.abc import Sequence
from typing import Any

from ppcli.engine.together import AboutFiles, Results
from ppcli.errors import ImageError
from ppcli.inputs.ahead import reading_ahead
from ppcli.jobs.analysis_options import AnalysisOptions
from ppcli.jobs.task_frames import TaskFrames


def analyze_sequence(calls: Sequence[AboutFiles]) -> Results:
    """Run calls of `analyze_pages` about images of one sequence, in order.

    Returns:
        What the first calls gave: all of them, unless the images are so large that the sequence
        ends before.
    """
    started = time.perf_counter()
    options = calls[0].args[1]
    assert isinstance(options, AnalysisOptions)
    frames = TaskFrames(options)
    values: list[Any] = []
    with reading_ahead(file for call in calls for file in call.files) as ahead:
        for call in calls:
            ahead.wait(call.files)
            try:
                values.append(call.function(*call.args, frames=frames))
            except ImageError as error:
                values.append(error)
            if frames.are_full:
                break
        ahead.is_open = False
    frames.finish()
    return Results(values, time.perf_counter() - started)
