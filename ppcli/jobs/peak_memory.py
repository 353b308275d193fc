"""The peak memory of a model, measured in a process of its own."""

import multiprocessing
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection

import psutil

from ppcli.coding.patchset import KeptTiles
from ppcli.errors import ErrorCode, ImageError
from ppcli.models.model_choices import Device
from ppcli.models.onnx.directory import ModelDirectory
from ppcli.models.onnx.execution_device import ExecutionDevice
from ppcli.models.onnx.sessions import open_sessions
from ppcli.models.serving.answering_model import AnsweringModel
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.rows import AnswerRow


def peak_bytes(
    model: str,
    device: ExecutionDevice,
    threads: int,
    request: GenerationRequest,
    images: Sequence[KeptTiles],
) -> int:
    """Measure the peak memory of answering requests together, the model included, in bytes.

    Args:
        model: the model directory.
        device: the device that the model runs on.
        threads: of the CPU.
        request: prompt and settings of all requests.
        images: one per request, the largest first.

    Raises:
        ImageError: if it could not be measured; the message has the reason.
    """
    spawning = multiprocessing.get_context("spawn")  # a forked process would start with our memory
    receiver, sender = spawning.Pipe(duplex=False)
    measure = partial(_measure, model, device, threads, request, images)
    process = spawning.Process(target=_send_peak, args=(sender, measure), daemon=True)
    process.start()
    sender.close()
    try:
        found: int | str = receiver.recv()
    except EOFError:
        found = "the process that measures the memory was killed"
    finally:
        process.kill()
        process.join()
    if isinstance(found, str):
        raise ImageError(ErrorCode.OUT_OF_MEMORY, found)
    return found


def _send_peak(pipe: Connection, measure: Callable[[], int]) -> None:
    """Send the number of bytes, or the reason why there is none."""
    try:
        pipe.send(measure())
    except Exception as error:  # the measurements so far must not be lost
        pipe.send(f"{type(error).__name__}: {error}")


def _measure(
    model: str,
    device: ExecutionDevice,
    threads: int,
    request: GenerationRequest,
    images: Sequence[KeptTiles],
) -> int:
    before = _gpu_memory_used(device.index) if device.kind is Device.CUDA else 0
    directory = ModelDirectory.open(model)
    answering = AnsweringModel(
        directory, open_sessions(directory, device, threads), batch_size=len(images)
    )
    for image in images:
        active = answering.start(
            AnswerRow(image_id=None, page=1, prompt=request.prompt), request, [image]
        )
        answering.batch.start(active, active.batch_request)
    while answering.batch.active:
        for _, generated in answering.batch.step():
            if isinstance(generated, ImageError):
                raise generated
    if device.kind is Device.CUDA:
        return _gpu_memory_used(device.index) - before  # onnxruntime never returns memory
    return _peak_resident()


def _peak_resident() -> int:
    """Return the peak resident memory of this process in bytes."""
    if os.path.exists("/proc/self/status"):  # getrusage may include memory of the parent
        with open("/proc/self/status", encoding="ascii") as file:
            return int(re.findall(r"VmHWM:\s*(\d+)", file.read())[0]) * 1024
    of_windows = getattr(psutil.Process().memory_info(), "peak_wset", None)
    if of_windows is not None:
        return int(of_windows)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _gpu_memory_used(device_id: int) -> int:
    """Return the memory that all processes use on a GPU, numbered as CUDA does, in bytes."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    name = visible.split(",")[device_id] if visible else str(device_id)
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", name]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return int(done.stdout.strip()) << 20
