"""vLLM's OpenAI server on the loopback interface."""

import base64
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from tests.models.integrations.vllm.vllm_environment import ROOT, vllm_environment

NEW_TOKENS = 16
_START_SECONDS = 400.0


@dataclass(frozen=True)
class Answered:
    text: str
    prompt_tokens: int


@dataclass(frozen=True)
class Server:
    """A running server.

    Answers are decoded from their tokens here: vLLM holds back bytes that are no text yet.
    """

    url: str
    log: Path
    tokenizer: Tokenizer

    def ask(
        self,
        images: Sequence[Path],
        prompt: str,
        pixelprune: Mapping[str, object] | None = None,
        **body: Any,
    ) -> Answered:
        """The answer to one question; an HTTPError where the server refuses."""
        content: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": data_url(path)}} for path in images
        ]
        content.append({"type": "text", "text": prompt})
        if pixelprune is not None:
            body["mm_processor_kwargs"] = {"pixelprune": dict(pixelprune)}
        sent = {
            "model": "served",
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": NEW_TOKENS,
            "return_token_ids": True,
            **body,
        }
        request = urllib.request.Request(
            f"{self.url}/v1/chat/completions",
            json.dumps(sent).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as response:
            got = json.load(response)
        text = self.tokenizer.decode(got["choices"][0]["token_ids"])
        return Answered(text, got["usage"]["prompt_tokens"])

    def ask_all(self, questions: Sequence[Mapping[str, Any]], threads: int = 6) -> list[Answered]:
        """The answers to many questions that are sent at the same time."""
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda one: self.ask(**one), questions))

    def refusal(self, *args: Any, **kwargs: Any) -> tuple[int, str]:
        """Status and words with which the server refuses a question."""
        try:
            answered = self.ask(*args, **kwargs)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        raise AssertionError(f"answered: {answered}")


def data_url(path: Path) -> str:
    kind = {".jpg": "jpeg", ".tif": "tiff"}.get(path.suffix, path.suffix[1:])
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


@contextmanager
def served(model: Path, log: Path, *options: str, **environment: str) -> Iterator[Server]:
    """Run a server for the model until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    line = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    line += ["--served-model-name", "served", "--host", "127.0.0.1", "--port", str(port)]
    line += ["--dtype", "float32", "--enforce-eager", *options]
    with log.open("wb") as out:
        process = subprocess.Popen(
            line, cwd=ROOT, env=vllm_environment(**environment), stdout=out, stderr=out
        )
        try:
            server = Server(f"http://127.0.0.1:{port}", log, tokenizer)
            _wait(server, process)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(server: Server, process: subprocess.Popen) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise AssertionError(server.log.read_text(errors="replace")[-4000:])
        try:
            with urllib.request.urlopen(f"{server.url}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"not ready: {server.log.read_text(errors='replace')[-4000:]}")
