"""Chat templates: their world against that of transformers, and what those of strangers do."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

import ppcli.models.text.template_process as template_process
from ppcli.errors import ModelError, UsageError
from ppcli.models.text.chat_tokenizer import ChatTokenizer, chat_messages
from ppcli.models.text.template_process import SubprocessRenderer, make_renderer
from ppcli.models.text.template_sandbox import MAX_CHARACTERS
from tests.models.text.templates import REFUSING, SHAPES
from tests.models.tiny_checkpoint import write_json, write_settings

CONVERSATIONS = [
    chat_messages("What is the total?", 1),
    chat_messages(' <b>naïve</b> 東京 & "x" 🙂\'\n', 2, "You answer briefly."),
    chat_messages("", 0),
]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    write_settings(tmp_path)
    write_json(tmp_path / "config.json", {"model_type": "qwen3_vl"})
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config |= {"bos_token": None, "unk_token": "<|endoftext|>", "image_token": "<|image_pad|>"}
    write_json(tmp_path / "tokenizer_config.json", config)
    return tmp_path


def transformers_tokenizer(settings: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(settings)


@pytest.mark.oracle
@pytest.mark.parametrize("shape", SHAPES)
def test_as_transformers(settings: Path, shape: str) -> None:
    (settings / "chat_template.jinja").write_text(SHAPES[shape], encoding="utf-8")
    theirs = transformers_tokenizer(settings)
    ours = ChatTokenizer(str(settings))
    for messages in CONVERSATIONS:
        options = {"add_generation_prompt": True, "tokenize": False}
        assert ours.render(messages) == theirs.apply_chat_template(messages, **options)


@pytest.mark.oracle
@pytest.mark.parametrize("shape", REFUSING)
def test_what_transformers_refuses(settings: Path, shape: str) -> None:
    (settings / "chat_template.jinja").write_text(REFUSING[shape], encoding="utf-8")
    theirs = transformers_tokenizer(settings)
    for messages in CONVERSATIONS:
        with pytest.raises(Exception):  # noqa: B017 of every kind
            theirs.apply_chat_template(messages, tokenize=False)
        with pytest.raises((UsageError, ModelError)):
            ChatTokenizer(str(settings)).render(messages)


def nested(levels: int) -> str:
    loops = "".join(f"{{% for i{n} in range(99999) %}}" for n in range(levels))
    return loops + "{% endfor %}" * levels


ATTACKS = {
    "nested loops": (nested(3), "seconds"),
    "a power": ("{% set n = 9 %}{{ n ** (n ** n) % 7 }}", "seconds"),
    "a long word": ("{{ 'a' * 3000000000 }}", "memory|ends"),
    "a long word by a name": ("{% set n = 3000000000 %}{{ ('a' * n)|length }}", "memory"),
    "a long list": ("{{ ([1] * 3000000000)|length }}", "memory"),
    "a wide line": ("{{ 'a'.center(3000000000) }}", "memory"),
    "a wide line by a filter": ("{{ 'a'|center(3000000000) }}", "memory"),
    "a wide number": ("{{ '%3000000000d' % 1 }}", "memory"),
    "a wide format": ("{{ '{:>3000000000}'.format(1) }}", "memory"),
    "an indented line": ("{{ 'a'|indent(3000000000, true) }}", "memory"),
    "indented JSON": ("{{ [1]|tojson(indent=3000000000) }}", "memory"),
    "words that double": (
        "{% set n = namespace(s='ab') %}{% for i in range(60) %}"
        "{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s|length }}",
        "memory",
    ),
    "lists that double": (
        "{% set n = namespace(a=[1]) %}{% for i in range(90) %}"
        "{% set n.a = [n.a, n.a] %}{% endfor %}{{ n.a|tojson }}",
        "memory|seconds",
    ),
    "replaced words": ("{{ ('a'*30000)|replace('a','b'*30000)|length }}", "memory"),
    "empty slices": ("{{ [1]|slice(3000000000)|list|length }}", "memory|seconds"),
    "much text": ("{% for i in range(99999) %}" + "a" * 4000 + "{% endfor %}", "characters"),
    "recursion": ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "recursion"),
    "nested brackets": ("{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}", "recursion|crashed"),
}


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_templates_of_strangers_are_cut_off(attack: str) -> None:
    template, words = ATTACKS[attack]
    render = SubprocessRenderer(template)
    with pytest.raises(UsageError, match=words):
        render.check()
        render({"messages": chat_messages("x", 1)})
    assert psutil.Process().memory_info().rss < 2 << 30
    innocent = SubprocessRenderer("{{ messages[0].role }}")  # nothing of it is left behind
    assert innocent({"messages": chat_messages("x", 1)}) == "user"


@pytest.mark.slow
def test_work_goes_on_after_a_message_that_was_cut_off() -> None:
    render = SubprocessRenderer("{% if loops %}" + nested(3) + "{% endif %}ok")
    assert render({"loops": False}) == "ok"
    with pytest.raises(UsageError, match="seconds"):
        render({"loops": True})
    assert render({"loops": False}) == "ok"


def test_a_system_that_does_not_limit_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent notices and kills the process."""
    no_limit = template_process._STARTER.replace(
        "from ppcli", "import sys; sys.modules['resource'] = None; from ppcli"
    )
    monkeypatch.setattr(template_process, "_STARTER", no_limit)
    grows = "{% set n = namespace(a=[]) %}{% for i in range(99999) %}" + (
        "{% set n.a = n.a + ['x' * 999999 ~ i] %}{% endfor %}"
    )
    with pytest.raises(UsageError, match="MiB of memory"):
        SubprocessRenderer(grows)({})
    assert SubprocessRenderer("ok")({}) == "ok"


def test_the_process_ends_with_its_renderer_and_with_its_parent() -> None:
    render = SubprocessRenderer("ok")
    assert render({}) == "ok"
    process = psutil.Process(render._process._process.pid)
    del render
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    program = (
        "import time; from ppcli.models.text.template_process import SubprocessRenderer;"
        "c = SubprocessRenderer('ok');"
        "c({});"
        "print(c._process._process.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    process = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    psutil.wait_procs([process], timeout=60)
    assert not process.is_running()


def test_a_process_that_somebody_ends_costs_one_message() -> None:
    render = SubprocessRenderer("ok")
    render({})
    psutil.Process(render._process._process.pid).kill()
    with pytest.raises(UsageError, match="crashed the process"):
        render({})
    assert render({}) == "ok"


def test_an_answer_that_nobody_waited_for_is_never_that_of_another_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when Ctrl-C comes between a message and its answer."""
    render = SubprocessRenderer("{{ text }}")
    assert render({"text": "before"}) == "before"

    class Interrupted:
        def readline(self, most: int) -> bytes:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(render._process._process, "stdout", Interrupted())
        render({"text": "lost"})
    assert render({"text": "after"}) == "after"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_copy_of_the_program_has_a_process_of_its_own() -> None:
    render = SubprocessRenderer("{{ text }}")
    render({"text": "before"})
    copy = os.fork()
    if copy == 0:
        good = render({"text": "copy"}) == "copy"
        del render
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]) == 0
    assert render({"text": "after"}) == "after"


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
def test_where_there_can_be_no_more_processes() -> None:
    program = (
        "import resource; from ppcli.errors import ModelError;"
        "from ppcli.models.text.template_process import SubprocessRenderer;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))\n"
        "try: SubprocessRenderer('ok')\nexcept ModelError as error: print(error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True
    )
    assert said.stdout == "cannot start a process for the chat template: Too many open files\n"


@pytest.mark.slow
def test_a_stop_is_no_slowness() -> None:
    """Time is the processor's: a process that stood still for longer has not taken it."""
    render = SubprocessRenderer("ok")
    render({})
    process = psutil.Process(render._process._process.pid)
    process.suspend()
    threading.Timer(template_process.MAX_SECONDS + 1, process.resume).start()
    assert render({}) == "ok"


def test_renderings_from_several_threads() -> None:
    render, got = SubprocessRenderer("{{ n }}"), {}
    threads = [
        threading.Thread(target=lambda n=n: got.update({n: [render({"n": n}) for _ in range(50)]}))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {n: [str(n)] * 50 for n in range(8)}


def test_our_own_template_needs_no_process() -> None:
    path = Path(template_process.__file__).parents[2] / "small_model" / "chat_template.jinja"
    own = path.read_text(encoding="utf-8")
    before = len(psutil.Process().children())
    here, apart = make_renderer(own), None
    assert len(psutil.Process().children()) == before
    apart = SubprocessRenderer(own)
    for messages in CONVERSATIONS:
        given = {"messages": messages, "tools": None}
        assert here(given) == apart(given)
    with pytest.raises(UsageError, match="rejects the messages"):
        here({"messages": 1})


def test_a_long_prompt_is_no_attack(settings: Path) -> None:
    prompt = "naïve 東京 " * 100_000
    assert prompt in ChatTokenizer(str(settings)).render(chat_messages(prompt, 1))
    with pytest.raises(UsageError, match="characters"):
        SubprocessRenderer("{{ text }}")({"text": "a" * (MAX_CHARACTERS + 1)})


def test_templates_that_differ_are_refused(settings: Path) -> None:
    other = {"chat_template": "another"}
    write_json(settings / "tokenizer_config.json", other)  # the processor's comes first
    assert "im_start" in ChatTokenizer(str(settings)).render(chat_messages("x", 1))
    for name in ("chat_template.json", "processor_config.json"):
        write_json(settings / name, other)
        with pytest.raises(ModelError, match=rf"in chat_template\.jinja and {name} differ"):
            ChatTokenizer(str(settings))
        (settings / name).unlink()
    (settings / "chat_template.jinja").unlink()
    write_json(settings / "processor_config.json", other)
    assert ChatTokenizer(str(settings)).render([]) == "another"


@pytest.mark.parametrize("found", [7, [], ["x"], [{"name": "rag"}], {"rag": "x"}, None])
def test_templates_that_are_none(settings: Path, found: object) -> None:
    (settings / "chat_template.jinja").unlink()
    write_json(settings / "chat_template.json", {"chat_template": found})
    with pytest.raises(ModelError, match="no chat template"):
        ChatTokenizer(str(settings))


def test_a_template_that_cannot_be_read(settings: Path) -> None:
    (settings / "chat_template.jinja").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ModelError, match="cannot be read"):
        ChatTokenizer(str(settings))
    (settings / "chat_template.jinja").write_bytes(b"a" * (5 << 20))
    with pytest.raises(ModelError, match="the limit for such a file is"):
        ChatTokenizer(str(settings))
