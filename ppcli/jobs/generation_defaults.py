"""Generation settings of a model's own `generation_config.json`: applied, or reported."""

import logging
from collections.abc import Collection
from dataclasses import replace

from ppcli.errors import ModelError, UsageError, bounded
from ppcli.models.generation_config import GENERATION, Generation
from ppcli.models.serving.generation_request import GenerationRequest

_PENALTY, _PRESENCE = "repetition_penalty", "presence_penalty"
_SAMPLING = ("temperature", "top_p", "top_k", "min_p")

logger = logging.getLogger("pixelprune")


def with_model_defaults(
    generation: Generation,
    request: GenerationRequest,
    chosen: Collection[str] | None = None,
    from_file: bool = False,
) -> GenerationRequest:
    """Return the request with the model's repetition penalty, unless another one was chosen.

    Other settings of the model are not applied. A warning names them.

    Args:
        generation: settings of the model.
        request: what the model is asked.
        chosen: names of the settings that the user chose; None if the command has no such options.
        from_file: whether the requests of a file may set the temperature.

    Raises:
        ModelError: the penalty is invalid.
    """
    if _PENALTY in generation.settings and _PENALTY not in (chosen or ()):
        request = _with_penalty(request, generation.settings[_PENALTY])
    others = generation.not_applied({_PENALTY, "do_sample", *_SAMPLING, *(chosen or ())})
    if others:
        names = bounded(", ".join(others))
        logger.warning("%s of the model sets %s, which is not applied", GENERATION, names)
    if chosen is None:
        return request
    if _PRESENCE in others:
        value = bounded(str(generation.settings[_PRESENCE]))
        logger.warning("to apply it, use %s %s", _flag(_PRESENCE), value)
    _report_sampling(generation, request, chosen, from_file)
    return request


def _with_penalty(request: GenerationRequest, penalty: object) -> GenerationRequest:
    try:
        if isinstance(penalty, bool) or not isinstance(penalty, int | float):
            raise UsageError(f"the repetition penalty is {penalty!r}, which is not a number")
        return replace(request, repetition_penalty=float(penalty))
    except UsageError as error:
        raise ModelError(
            f"{GENERATION} of the model: {error}; use --repetition-penalty 1 to ignore it"
        ) from error


def _report_sampling(
    generation: Generation, request: GenerationRequest, chosen: Collection[str], from_file: bool
) -> None:
    """Warn about sampling settings without effect, and about those of the model."""
    greedy = request.temperature == 0 and not from_file
    idle = [_flag(name) for name in _SAMPLING[1:] if greedy and name in chosen]
    if idle:
        logger.warning("%s: no effect without a --temperature above 0", ", ".join(idle))
    if "temperature" in chosen and greedy:  # chosen on purpose
        return
    wanted = generation.settings if generation.settings.get("do_sample") is True else {}
    missing = [name for name in _SAMPLING if name in wanted and name not in chosen]
    if wanted and "temperature" not in chosen and "temperature" not in missing:
        missing = ["temperature", *missing]
    if missing:
        flags = " ".join(f"{_flag(name)} {wanted.get(name, 1)}" for name in missing)
        logger.warning(
            "%s of the model recommends sampling; to use it: %s", GENERATION, bounded(flags)
        )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
