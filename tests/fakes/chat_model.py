"""A model's tokenizer and chat template without torch: a token for each byte, ChatML with its two marks."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from finetuneflow.common.v1 import artifact_pb2
from services.common.chat.document import chat_document
from services.common.objects.folder import FolderObjects
from tests.fakes.tiny_model import CHATML


def tokenizer_json() -> bytes:
    """Return its tokenizer.json."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    return core.to_str().encode()


def chat_json(template: str = CHATML) -> bytes:
    """Return its chat document."""
    return chat_document({"eos_token": "<|im_end|>"}, template)


async def stored(state: Path, key: str, content: bytes) -> artifact_pb2.Artifact:
    """Put an object where the services of a state folder find it."""
    put = await FolderObjects(state / "objects").put(key, content)
    return artifact_pb2.Artifact(filename=Path(key).name, sha256=put.sha256, size_bytes=put.size, key=key)


def lines(*answers: str, question: str = "Why?", side: str = "SPLIT_TRAIN") -> bytes:
    """Return rows of a dataset, one for each answer."""
    rows = [
        {
            "id": f"{side}-{number}",
            "split": side,
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
        }
        for number, answer in enumerate(answers)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
