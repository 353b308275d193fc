"""What a model's own settings ask for: applied, or told."""

from collections.abc import Collection
from dataclasses import replace

from ppcli.cli.options import logger
from ppcli.errors import ModelError, UsageError, bounded
from ppcli.models.generation_config import GENERATION, Generation
from ppcli.models.serving.generation_request import GenerationRequest

_PENALTY, _PRESENCE = "repetition_penalty", "presence_penalty"
_OF_DRAWING = ("temperature", "top_p", "top_k", "min_p")


def as_the_model_says(
    generation: Generation,
    ask: GenerationRequest,
    given: Collection[str] | None = None,
    requests: bool = False,
) -> GenerationRequest:
    """What is asked, with the repetition penalty of the model where none is given.

    What else the model's settings ask for is not applied, and told once.

    Args:
        generation: settings of the model.
        ask: what is asked.
        given: names of the settings that were chosen; None where none can be.
        requests: whether requests may set the temperature, too.

    Raises:
        ModelError: when the penalty makes no sense.
    """
    if _PENALTY in generation.settings and _PENALTY not in (given or ()):
        ask = _penalised(ask, generation.settings[_PENALTY])
    others = generation.not_applied({_PENALTY, "do_sample", *_OF_DRAWING, *(given or ())})
    if others:
        names = bounded(", ".join(others))
        logger.warning("%s of the model sets %s: not applied", GENERATION, names)
    if given is not None and _PRESENCE in others:
        wanted = bounded(str(generation.settings[_PRESENCE]))
        logger.warning("to follow it: %s %s", _flag(_PRESENCE), wanted)
    if given is not None:
        _tell_of_drawing(generation, ask, given, requests)
    return ask


def _penalised(ask: GenerationRequest, penalty: object) -> GenerationRequest:
    try:
        if isinstance(penalty, bool) or not isinstance(penalty, int | float):
            raise UsageError(f"the repetition penalty is {penalty!r}, which is not a number")
        return replace(ask, repetition_penalty=float(penalty))
    except UsageError as error:
        raise ModelError(
            f"{GENERATION} of the model: {error}; --repetition-penalty 1 goes without"
        ) from error


def _tell_of_drawing(
    generation: Generation, ask: GenerationRequest, given: Collection[str], requests: bool
) -> None:
    """Say what of the settings for drawing tokens is not applied, and how it would be."""
    greedy = ask.temperature == 0 and not requests
    idle = [_flag(name) for name in _OF_DRAWING[1:] if greedy and name in given]
    if idle:
        logger.warning("%s: only counts with a --temperature above 0", ", ".join(idle))
    if "temperature" in given and greedy:  # which was meant, then
        return
    wanted = generation.settings if generation.settings.get("do_sample") is True else {}
    missing = [name for name in _OF_DRAWING if name in wanted and name not in given]
    if wanted and "temperature" not in given and "temperature" not in missing:
        missing = ["temperature", *missing]
    if missing:
        flags = " ".join(f"{_flag(name)} {wanted.get(name, 1)}" for name in missing)
        logger.warning(
            "%s of the model asks for sampling; to follow it: %s", GENERATION, bounded(flags)
        )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
