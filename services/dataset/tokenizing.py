"""Counting tokens as a base model does, or as cl100k_base does where none is named."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import tiktoken
from tokenizers import Tokenizer

from finetuneflow.hardware.v1 import hardware_service_pb2, hardware_service_pb2_grpc
from services.common import ids
from services.common.channels import Peers
from services.common.errors import NotReady
from services.common.objects.port import Objects
from services.common.ranks import NAME, RankFiles

Count = Callable[[Sequence[str]], list[int]]
_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
"""How cl100k_base divides a text, as tiktoken has it."""
_BATCH = 256


class Tokenizing:
    """Finds tokenizers."""

    def __init__(self, peers: Peers, objects: Objects, ranks: RankFiles) -> None:
        self._peers = peers
        self._objects = objects
        self._ranks = ranks
        self._known: dict[str, Count] = {}

    async def counter(self, model: str) -> tuple[str, Count]:
        """Return what counts, by name, and the function that does. CPU work: about 50 µs a text of 60 tokens.

        Args:
            model: models/{model}, or "" for cl100k_base.

        Raises:
            NotFound: there is no such model.
            NotReady: it has no tokenizer.json (MODEL_INVALID), or cl100k_base is not here (DEPENDENCY_UNAVAILABLE).
        """
        if not model:
            if "" not in self._known:
                path = await self._ranks.folder() / NAME
                self._known[""] = await asyncio.to_thread(_cl100k, path)
            return "cl100k_base", self._known[""]
        ids.parse_name(model, "models/*", "model")
        stub: hardware_service_pb2_grpc.HardwareServiceAsyncStub = hardware_service_pb2_grpc.HardwareServiceStub(
            self._peers.hardware  # type: ignore[assignment]  # async by its channel
        )
        found = await stub.GetModel(hardware_service_pb2.GetModelRequest(name=model))
        sha256 = found.tokenizer.sha256
        if not found.tokenizer.key:
            raise NotReady(
                f"{model} has no tokenizer.json. Leave the model out to count with cl100k_base, or choose another.",
                reason="MODEL_INVALID",
            )
        if sha256 not in self._known:
            content = b"".join([part async for part in self._objects.get(found.tokenizer.key)])
            if hashlib.sha256(content).hexdigest() != sha256:
                raise NotReady(f"The tokenizer of {model} is damaged. Add the model again.", reason="MODEL_INVALID")
            # One tokenizer at a time: those of large vocabularies take tens of megabytes.
            self._known = {key: count for key, count in self._known.items() if not key}
            self._known[sha256] = await asyncio.to_thread(_of_model, content)
        return f"{found.name}@{found.revision}", self._known[sha256]


def _cl100k(path: Path) -> Count:
    pairs = (line.split() for line in path.read_bytes().splitlines() if line)
    ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
    encoding = tiktoken.Encoding("cl100k_base", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={})
    return lambda texts: [len(encoding.encode_ordinary(text)) for text in texts]


def _of_model(content: bytes) -> Count:
    tokenizer = Tokenizer.from_buffer(content)
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(texts: Sequence[str]) -> list[int]:
        found: list[int] = []
        for start in range(0, len(texts), _BATCH):
            batch = tokenizer.encode_batch(list(texts[start : start + _BATCH]), add_special_tokens=False)
            found += [len(encoded.ids) for encoded in batch]
        return found

    return count
