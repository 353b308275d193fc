"""Fixtures of the tests of training."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def muon_on_this_processor() -> Iterator[None]:
    """Make Muon multiply in float32 where bfloat16 is emulated: a step would take 40 seconds.

    The sums are the same, with more digits.
    """
    import torch
    from torch.optim import _muon

    if torch.backends.cpu.get_cpu_capability() == "AVX512":
        yield
        return
    stock = _muon._zeropower_via_newtonschulz

    def in_float32(*args: object) -> object:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(torch.Tensor, "bfloat16", torch.Tensor.float)
            return stock(*args)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_muon, "_zeropower_via_newtonschulz", in_float32)
        yield
