"""Options of engines."""

import pytest

from ppcli.engine.engine_options import EngineOptions
from ppcli.errors import UsageError


@pytest.fixture(autouse=True)
def _no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_the_address_comes_from_the_option_or_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert EngineOptions("ray").address is None
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert EngineOptions("ray").address == "10.0.0.1:6379"
    assert EngineOptions("ray", "auto").address == "auto"
    assert EngineOptions("ray", "local").address is None
    assert not EngineOptions().is_cluster  # the variable alone chooses no engine


def test_an_address_without_its_engine_is_refused() -> None:
    with pytest.raises(UsageError, match="--ray-address needs --engine ray"):
        EngineOptions(ray_address="auto")


@pytest.mark.parametrize("url", ["ray://head:10001", "http://head:8265"])
def test_urls_of_other_services_are_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=f"--ray-address is the URL {url}, and a HOST:PORT"):
        EngineOptions("ray", url)
    monkeypatch.setenv("RAY_ADDRESS", url)
    with pytest.raises(UsageError, match=f"RAY_ADDRESS is the URL {url}, and a HOST:PORT"):
        EngineOptions("ray")
    EngineOptions()
