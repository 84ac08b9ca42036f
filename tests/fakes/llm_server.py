"""An OpenAI-compatible LLM on loopback that answers as a test says, over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from services.dataset.completions import PROBE

MODEL = "fake-model"
PROBED = PROBE["messages"][-1]["content"]
"""What is asked by a call that only tells whether a server is there."""
_CUE = re.compile(r'^(?:Ask|Begin) "(.+?)": (.+)$', re.M)
_PASSAGE = re.compile(r"^Passage: (.+)$", re.M)


@dataclass(frozen=True)
class Request:
    """One call as it came: its number from 0, its headers in lower case, its body."""

    number: int
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def asked(self) -> str:
        """The last user message."""
        return str(self.body["messages"][-1]["content"])

    @property
    def format(self) -> str:
        """The response_format's type; "text" without one."""
        return str(self.body.get("response_format", {}).get("type", "text"))


@dataclass(frozen=True)
class Answer:
    """What goes back: the model's text, or with `raw` the whole body. `hang` seconds pass first."""

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    hang: float = 0


Script = Callable[[Request], Answer]


def example(request: Request) -> dict[str, str]:
    """Return an example that passes the checks, made from the prompt alone, the same for the same prompt."""
    passages = _PASSAGE.findall(request.asked)
    cue = _CUE.search(request.asked)
    passage = passages[-1]
    schema = request.body.get("response_format", {}).get("json_schema", {}).get("schema", {})
    allowed = schema.get("properties", {}).get("evidence", {}).get("enum")
    words, gapped = cue.groups() if cue else ("What is known of this:", " ".join(passage.split()[:6]))
    rest = gapped.replace("___", "so").strip(" .")
    instruction = "instruction" in request.body["messages"][0]["content"]
    prompt = {"instruction": f"State it in one sentence: {rest}."} if instruction else {"question": f"{words} {rest}?"}
    return {**prompt, "evidence": allowed[0] if allowed else passage, "answer": passage}


def judgement(request: Request) -> dict[str, Any]:
    """Return what a judge says that counts words: 5 if the source has those of the response, 1 if it lacks a number."""
    source = re.findall(r"^Source: (.*)$", request.asked, re.M)[0].lower()
    said = " ".join(re.findall(r"^Response: (.*)$", request.asked, re.M)).lower()
    missing = [word for word in re.findall(r"\w+", said) if word not in re.findall(r"\w+", source)]
    score = 1 if any(word.isdigit() for word in missing) else 5 if not missing else 3
    return {"reason": f"The source lacks {', '.join(missing)}." if missing else "All of it is there.", "score": score}


def good(request: Request) -> Answer:
    """A good reply as JSON, whatever the task; a word where only that is asked for."""
    return Answer("Yes." if request.asked == PROBED else json.dumps(good_reply(request)))


def good_reply(request: Request) -> dict[str, Any]:
    """Return a reply that passes the checks of its task type, the same for the same prompt.

    The task is told by the schema that comes with the call; without one it is a question or an instruction.
    """
    wanted = request.body.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("properties", {})
    if "score" in wanted or 'Reply with JSON only: {"reason"' in request.body["messages"][0]["content"]:
        return judgement(request)
    if set(wanted) <= {"question", "instruction", "evidence", "answer"} and "Kind:" not in request.asked:
        return example(request)
    passage = _PASSAGE.findall(request.asked)
    text = passage[-1] if passage else re.split(r"^Text:\s", request.asked, flags=re.M)[-1].strip()
    sentences = re.split(r"(?<=[.])\s+", text)
    subject = " ".join(sentences[0].split()[1:3])
    if "turns" in wanted:
        turns = [
            {"user": f"What is known of the {subject}, number {n}?", "assistant": s} for n, s in enumerate(sentences)
        ]
        return {"evidence": sentences[0], "turns": turns}
    if "label" in wanted:
        labels = wanted["label"]["enum"]
        return {"label": labels[len(text) % len(labels)]}
    if "found" in wanted:
        number = re.findall(r"\d+", text)[0]
        return {"found": dict.fromkeys(wanted["found"].get("properties", {"number": {}}), number)}
    if "summary" in wanted:
        return {"summary": f"{sentences[0].rstrip('.')} and {sentences[1][0].lower()}{sentences[1][1:]}"}
    kind = re.search(r"^Kind: (\w+)", request.asked, re.M)
    if kind and kind.group(1) == "unanswerable":
        return {
            "question": f"Who repaired the {subject} after the flood?",
            "evidence": sentences[0],
            "answer": "not in the passage",
        }
    word = kind.group(1).capitalize() if kind else "What"
    last = sentences[-1]
    rest = last[0].lower() + " ".join(last.rstrip(".").split()[:-1])[1:]
    reply = {"question": f"{word} does it hold that {rest}?", "evidence": last, "answer": last}
    thought = f"The {subject} is what is asked about. {sentences[0]} {last}"
    return {**reply, "reasoning": thought} if "reasoning" in wanted else reply


def embed(request: Request) -> Answer:
    """Vectors of the texts' words, whatever their order, and with a few synonyms as one."""
    rows = [{"index": n, "embedding": vector(text)} for n, text in enumerate(request.body["input"])]
    usage = {"prompt_tokens": 10 * len(rows), "total_tokens": 10 * len(rows)}
    return Answer(raw=json.dumps({"object": "list", "data": rows[::-1], "usage": usage}).encode())


SYNONYMS = {"costs": "price", "cost": "price", "heavy": "weighs", "weigh": "weighs", "weight": "weighs"}


def vector(text: str) -> list[float]:
    """Return how often the words of a text fall into each of 256 places: the same for the same words."""
    found = [0.0] * 256
    for word in re.findall(r"\w+", text.lower()):
        digest = hashlib.sha256(SYNONYMS.get(word, word).encode()).digest()
        found[digest[0]] += 1 if digest[1] % 2 else -1
    return found if any(found) else [1.0] * 256


def fenced(request: Request) -> Answer:
    """The example in a Markdown fence, with thinking before it and words after it."""
    return Answer(
        f"<think>Let me {{see}}.</think>Sure!\n```json\n{json.dumps(example(request))}\n```\nHope this helps."
    )


def truncated(request: Request) -> Answer:
    """The example, cut off in its last value."""
    return Answer(json.dumps(example(request))[:-9])


def garbage(request: Request) -> Answer:
    """No JSON at all."""
    return Answer("The weather is nice today; let us talk about something else.")


def wrong_schema(request: Request) -> Answer:
    """JSON of another form."""
    return Answer('{"title": "A poem", "lines": ["one", "two"]}')


def html(request: Request) -> Answer:
    """A proxy's page with status 200."""
    return Answer(raw=b"<html><body>Welcome to the guest network</body></html>")


def status(code: int, **headers: str) -> Script:
    """A status without an example."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: Answer(status=code, headers=fields, raw=b'{"error": {"message": "no"}}')


def hang(seconds: float) -> Script:
    """The example, after some seconds."""
    return lambda request: Answer(good(request).text, hang=seconds)


def without_schema(request: Request) -> Answer:
    """The example, but status 400 for a response_format of json_schema."""
    return status(400)(request) if request.format == "json_schema" else good(request)


def text_only(request: Request) -> Answer:
    """The example, but status 400 for any response_format."""
    return status(400)(request) if request.format != "text" else good(request)


def first(*scripts: Script, then: Script = good) -> Script:
    """Each script for one call, in order; then the last one for all that follow."""
    return lambda request: (scripts[request.number] if request.number < len(scripts) else then)(request)


class LlmServer:
    """The server. `script` may be changed while it runs. With `tls` it speaks TLS alone."""

    def __init__(self, script: Script = good, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self._tls = tls
        self.requests: list[Request] = []
        self.at_once = 0
        self.most_at_once = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0
        self.embeddings: list[Request] = []
        self.embedding_script = embed

    def _script_of(self, path: str) -> Script:
        if path.endswith("/chat/completions"):
            return self.script
        return self.embedding_script if path.endswith("/embeddings") else status(404)

    @property
    def url(self) -> str:
        """The base URL, also while the server is down."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def prompts(self) -> list[str]:
        """The last user message of every call."""
        return [request.asked for request in self.requests]

    async def start(self) -> None:
        """Listen; again on the same port after a stop."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    await self._serve(reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        plain = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        path = head[0].split()[1]
        if path.endswith("/models"):
            await _send(writer, Answer(raw=json.dumps({"data": [{"id": MODEL}]}).encode()), {})
            return
        lower = {name.lower(): value for name, value in plain.items()}
        kept = self.embeddings if path.endswith("/embeddings") else self.requests
        request = Request(len(kept), lower, json.loads(body or b"{}"))
        kept.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            answer = self._script_of(path)(request)
            await asyncio.sleep(answer.hang)
        finally:
            self.at_once -= 1
        await _send(writer, answer, request.body)


async def _send(writer: asyncio.StreamWriter, answer: Answer, asked: dict[str, Any]) -> None:
    completion = {
        "id": "x",
        "object": "chat.completion",
        "model": asked.get("model", MODEL),
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer.text}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }
    body = json.dumps(completion).encode() if answer.raw is None else answer.raw
    fields = {"content-type": "application/json", "content-length": str(len(body)), **answer.headers}
    lines = [f"HTTP/1.1 {answer.status} X", *(f"{name}: {value}" for name, value in fields.items())]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    await writer.drain()


@contextlib.asynccontextmanager
async def llm(script: Script = good, tls: ssl.SSLContext | None = None) -> AsyncIterator[LlmServer]:
    """Serve until the block ends."""
    server = LlmServer(script, tls)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
