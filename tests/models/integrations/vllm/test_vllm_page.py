"""The page "With vLLM", line by line: the small model of the package, served and asked."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from tests.docs import sandbox
from tests.docs.pages import DOCS, Block, blocks
from tests.models.integrations.vllm.served import Server, served
from tests.models.integrations.vllm.vllm_environment import ROOT, skip_without_vllm

skip_without_vllm()
pytestmark = pytest.mark.vllm

QUESTIONS = ROOT / "sample_data" / "questions"
THIS = "tests/models/integrations/vllm/test_vllm_page.py"


@pytest.fixture(scope="module")
def page() -> dict[str, Block]:
    """The blocks that this module runs, by language."""
    return {one.language: one for one in blocks(DOCS / "vllm.md") if one.other_test == THIS}


def write_small_model(folder: Path) -> None:
    """Write the small model as a checkpoint, without the constants of its graphs."""
    sandbox.write_checkpoint(folder)
    weights = load_file(folder / "model.safetensors")
    named = {name: weight for name, weight in weights.items() if "constant" not in name}
    save_file(named, folder / "model.safetensors", {"format": "pt"})


@pytest.fixture(scope="module")
def server(page: dict[str, Block], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("small")
    write_small_model(folder / "checkpoint")
    space, *line = shlex.split(page["sh"].code.replace("\\\n", ""))
    assert line[:4] == ["python", "-m", "vllm.entrypoints.openai.api_server", "--model"]
    options = line[5:]
    for name in ("--served-model-name", "--host", "--port", "--dtype"):
        place = options.index(name)
        del options[place : place + 2]
    options.remove("--enforce-eager")
    variable, value = space.split("=")
    with served(folder / "checkpoint", folder / "log", *options, **{variable: value}) as running:
        yield running


def test_the_page_asks_with_and_without_pruning(
    page: dict[str, Block],
    server: Server,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    code = page["python"].code.replace("http://127.0.0.1:8000", server.url)
    exec(code.replace('"small"', '"served"'), {})
    (pruned, few), (whole, many) = map(eval, capsys.readouterr().out.splitlines())
    assert few < many
    assert pruned == whole == "8"


def test_the_small_model_answers_sample_questions(server: Server) -> None:
    lines = [json.loads(line) for line in (QUESTIONS / "questions.jsonl").open(encoding="utf-8")]
    asked = [{"images": [QUESTIONS / one["image"]], "prompt": one["question"]} for one in lines]
    answers = server.ask_all(asked)
    right = sum(
        answered.text.strip() in one["answers"]
        for one, answered in zip(lines, answers, strict=True)
    )
    assert right > 0.8 * len(lines), [answered.text for answered in answers]
