"""The most memory that a model takes, in a process that does nothing else."""

import multiprocessing
import os
import re
import subprocess
from collections.abc import Sequence
from multiprocessing.connection import Connection

import psutil

from ppcli.coding.patchset import KeptTiles
from ppcli.errors import ErrorCode, ImageError
from ppcli.models.model_choices import Device
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.sessions import Place, open_sessions
from ppcli.models.serving.answering_model import AnsweringModel
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.rows import AnswerRow


def peak_bytes(
    model: str, place: Place, threads: int, ask: GenerationRequest, images: Sequence[KeptTiles]
) -> int:
    """Bytes of the device that asking about these images together takes, the model included.

    Args:
        model: the model directory.
        place: where it runs.
        threads: of the CPU.
        ask: what is asked of each.
        images: one a request, the largest first.

    Raises:
        ImageError: when it could not be found out, with the reason.
    """
    spawning = multiprocessing.get_context("spawn")  # a forked one would begin with our memory
    ours, theirs = spawning.Pipe(duplex=False)
    given = (theirs, model, place, threads, ask, images)
    process = spawning.Process(target=_tell, args=given, daemon=True)
    process.start()
    theirs.close()
    try:
        found: int | str = ours.recv()
    except EOFError:
        found = "the process that took the memory was ended"
    finally:
        process.kill()
        process.join()
    if isinstance(found, str):
        raise ImageError(ErrorCode.OUT_OF_MEMORY, found)
    return found


def _tell(
    pipe: Connection,
    model: str,
    place: Place,
    threads: int,
    ask: GenerationRequest,
    images: Sequence[KeptTiles],
) -> None:
    """Send the bytes, or why there are none."""
    try:
        pipe.send(_answer(model, place, threads, ask, images))
    except Exception as error:  # whatever it is, the figures that are there already matter more
        pipe.send(f"{type(error).__name__}: {error}")


def _answer(
    model: str, place: Place, threads: int, ask: GenerationRequest, images: Sequence[KeptTiles]
) -> int:
    before = _taken_of_gpu(place.device_id) if place.device is Device.CUDA else 0
    directory = ModelDirectory.open(model)
    engine = AnsweringModel(
        directory, open_sessions(directory, place, threads), batch_size=len(images)
    )
    for image in images:
        begun = engine.start(AnswerRow(image_id=None, page=1, prompt=ask.prompt), ask, [image])
        engine.batch.begin(begun, begun.job)
    while engine.batch.active:
        for _, made in engine.batch.step():
            if isinstance(made, ImageError):
                raise made
    if place.device is Device.CUDA:
        return _taken_of_gpu(place.device_id) - before  # onnxruntime gives nothing back
    return _peak_resident()


def _peak_resident() -> int:
    """Of this process, since it was started."""
    if os.path.exists("/proc/self/status"):  # getrusage would begin with what the parent had
        with open("/proc/self/status", encoding="ascii") as file:
            return int(re.findall(r"VmHWM:\s*(\d+)", file.read())[0]) * 1024
    of_windows = getattr(psutil.Process().memory_info(), "peak_wset", None)
    if of_windows is not None:
        return int(of_windows)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _taken_of_gpu(device_id: int) -> int:
    """Of a GPU as CUDA counts them, by all processes."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    name = visible.split(",")[device_id] if visible else str(device_id)
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", name]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return int(said.stdout.strip()) << 20
