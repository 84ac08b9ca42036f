"""A GGUF file as llama.cpp reads it: a child process that serves it on loopback, and the questions put to it.

Run as a program (`python -m services.trainer.llama FILE`) it is that child: it reads its key from standard input,
prints its address and serves until its parent has ended. A file that llama.cpp cannot read ends the child alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from services.common.errors import NotReady
from services.trainer.failures import refused
from services.trainer.places import die_with_parent

CONTEXT = 1024
_ANSWER_SECONDS = 600.0
"""An answer may take so long, and loading the file before the first one."""
_LINES = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Next:
    """What llama.cpp says comes next.

    Args:
        token: the most likely one.
        likely: natural logarithms of the probabilities of the likeliest tokens.
    """

    token: int
    likely: Mapping[int, float]


class Llama:
    """A GGUF file, loaded by llama.cpp.

    Args:
        client: of its server.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def tokens(self, text: str) -> list[int]:
        """Return a text's tokens; special ones in it count as such, none is added."""
        return [
            int(one) for one in self._ask("/tokenize", content=text, add_special=False, parse_special=True)["tokens"]
        ]

    def rendered(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return messages as the file's own chat template puts them, ready for an answer."""
        return str(self._ask("/apply-template", messages=list(messages))["prompt"])

    def after(self, tokens: Sequence[int], likeliest: int) -> Next:
        """Return what comes after some tokens."""
        # The choice is forced to a letter: of an end token, or of half a character, the server tells no probabilities.
        # Those that it tells are from before the choice.
        letter = self.tokens("a")[0]
        reply = self._complete(tokens, 1, n_probs=likeliest, logit_bias=[[letter, 1000.0]])
        found = reply["completion_probabilities"][0]["top_logprobs"]
        return Next(int(found[0]["id"]), {int(one["id"]): float(one["logprob"]) for one in found})

    def forced(self, tokens: Sequence[int], token: int) -> list[int]:
        """Return the answer to some tokens where the first token is given; none if llama.cpp stops at that."""
        reply = self._complete(tokens, 2, logit_bias=[[token, 1000.0]], return_tokens=True)
        return [] if reply["stop_type"] == "eos" else [int(one) for one in reply["tokens"]]

    def _complete(self, tokens: Sequence[int], most: int, **options: Any) -> Any:
        return self._ask(
            "/completion", prompt=list(tokens), n_predict=most, temperature=0.0, top_k=1, cache_prompt=True, **options
        )

    def _ask(self, path: str, **body: Any) -> Any:
        try:
            reply = self._client.post(path, json=body, timeout=_ANSWER_SECONDS)
            reply.raise_for_status()
            return reply.json()
        except (httpx.HTTPError, ValueError) as error:
            raise refused(f"llama.cpp did not answer ({type(error).__name__})") from error


@contextlib.contextmanager
def loaded(path: Path, said: Path, seconds: float = _ANSWER_SECONDS) -> Iterator[Llama]:
    """Serve a GGUF file for the length of the block; if it is refused there, the log tells what llama.cpp said last.

    Args:
        path: the file.
        said: file for what llama.cpp prints.
        seconds: that it has to load the file.

    Raises:
        NotReady: with reason ACCEPTANCE_FAILED if llama.cpp cannot load it.
    """
    key = secrets.token_urlsafe(24)
    command = [sys.executable, "-P", "-m", "services.trainer.llama", str(path)]
    with said.open("wb") as stderr:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        address = _address(child, key, seconds)
        if not address:
            raise refused(f"llama.cpp cannot load it: {(_last_lines(said, 1) or ['it ended without a word'])[0][:200]}")
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, trust_env=False) as client:
            yield Llama(client)
    except NotReady:
        log.warning("What llama.cpp said last:\n%s", "\n".join(_last_lines(said, _LINES)) or "nothing")
        raise
    finally:
        child.kill()
        child.communicate()


def _address(child: subprocess.Popen[str], key: str, seconds: float) -> str:
    """Give the child its key and return where it serves; "" if it ended instead, or was ended for taking too long."""
    if child.stdin is None or child.stdout is None:
        return ""
    late = threading.Timer(seconds, child.kill)
    late.start()
    try:
        child.stdin.write(key + "\n")
        child.stdin.flush()
        return next((line.strip() for line in child.stdout if line.startswith("http://")), "")
    except BrokenPipeError:
        return ""
    finally:
        late.cancel()


def _last_lines(said: Path, count: int) -> list[str]:
    return said.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-count:]


def _serve(path: str) -> None:
    import xllamacpp

    die_with_parent()
    parent = os.getppid()
    settings = xllamacpp.CommonParams()
    settings.api_keys = [sys.stdin.readline().strip()]
    settings.model.path = path
    settings.n_parallel = 1
    settings.n_ctx = CONTEXT
    threads = int(os.environ.get("OMP_NUM_THREADS", "0")) or max(1, (os.cpu_count() or 2) // 2)
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    settings.use_jinja = True
    settings.n_gpu_layers = 0
    settings.hostnames = ["127.0.0.1"]
    settings.port = 0
    settings.ui = False
    settings.warmup = False
    settings.cache_ram_mib = 0
    server = xllamacpp.Server(settings)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    while os.getppid() == parent:
        time.sleep(1)


if __name__ == "__main__":
    _serve(sys.argv[1])
