"""What of a model's files makes its chat template work, as one small document beside its tokenizer.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer

from services.common.chat.tokens import Chat

_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def chat_document(settings: object, template: str) -> bytes:
    """Return the document; b"" if there is no template.

    Args:
        settings: what tokenizer_config.json holds.
        template: chat_template.jinja, which comes before the one in the settings; "" without that file.
    """
    known: Mapping[str, Any] = settings if isinstance(settings, dict) else {}
    found: str | dict[str, str] = template or _template(known.get("chat_template"))
    if not found:
        return b""
    named = {name: _token(known.get(name)) for name in _SPECIAL}
    document = {"chat_template": found, "special_tokens": {name: token for name, token in named.items() if token}}
    return json.dumps(document, sort_keys=True).encode()


def read_chat(tokenizer: bytes, document: bytes) -> Chat:
    """Return what makes tokens of conversations, from a tokenizer.json and the document that belongs to it."""
    found = json.loads(document)
    return Chat(Tokenizer.from_buffer(tokenizer), found["chat_template"], found["special_tokens"])


def _template(found: object) -> str | dict[str, str]:
    """Return the template that the settings hold: a text, or several by name."""
    if isinstance(found, list):
        named = [entry for entry in found if isinstance(entry, dict)]
        return {str(entry.get("name")): str(entry.get("template")) for entry in named}
    if isinstance(found, dict):
        return {str(name): str(text) for name, text in found.items()}
    return str(found or "")


def _token(found: object) -> str:
    """Return a special token, which is a text or an object with one."""
    return str(found.get("content", "") if isinstance(found, dict) else found or "")
