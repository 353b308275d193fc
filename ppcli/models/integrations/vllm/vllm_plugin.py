"""The entry point of the group `vllm.general_plugins`. Imports nothing heavy."""

_MODELS = "ppcli.models.integrations.vllm.vllm_models"
ARCHITECTURES = {
    name: f"{_MODELS}:{name}"
    for name in (
        "PixelPruneQwen3VLForConditionalGeneration",
        "PixelPruneQwen3VLMoeForConditionalGeneration",
        "PixelPruneQwen3_5ForConditionalGeneration",
        "PixelPruneQwen3_5MoeForConditionalGeneration",
    )
}
_PREFIX = "PixelPrune"


def register() -> None:
    """Tell vLLM the names of the architectures that prune.

    Each process of vLLM calls this, some more than once. A model is imported only when its
    architecture is chosen, so a plugin that is installed and not turned on changes nothing.
    """
    from vllm import ModelRegistry

    known = ModelRegistry.get_supported_archs()
    for name, place in ARCHITECTURES.items():
        if name not in known:
            ModelRegistry.register_model(name, place)
    _copy_engine_settings()


def _copy_engine_settings() -> None:
    """Let vLLM set an engine up as for the architecture that does not prune.

    It looks for that by name. Without it the states of Qwen3.5's recurrent layers would be kept in
    the type of the model instead of float32, without a word.
    """
    try:
        from vllm.model_executor.models.config import MODELS_CONFIG_MAP
    except ImportError:  # such a vLLM is refused when one of the architectures is chosen
        return
    for name in ARCHITECTURES:
        stock = MODELS_CONFIG_MAP.get(name.removeprefix(_PREFIX))
        if stock is not None:
            MODELS_CONFIG_MAP[name] = stock
