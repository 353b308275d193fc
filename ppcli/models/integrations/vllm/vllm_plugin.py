"""The entry point of the group `vllm.general_plugins`. Imports nothing heavy."""

_MODELS = "ppcli.models.integrations.vllm.vllm_models"
ARCHITECTURES = {
    name: f"{_MODELS}:{name}"
    for name in (
        "PixelPruneQwen3VLForConditionalGeneration",
        "PixelPruneQwen3VLMoeForConditionalGeneration",
    )
}


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
