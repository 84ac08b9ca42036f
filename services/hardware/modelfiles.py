"""Parts of a model's files that are read the same wherever they come from. All of it blocks: call it in a thread."""

from __future__ import annotations

import json
import logging

import tokenizers
from huggingface_hub import ModelCard

from services.hardware.core_model import TOKENIZER, invalid
from services.hardware.core_safetensors import broken

log = logging.getLogger(__name__)

_FRONT = 65_536
"""Characters of a README.md that may be front matter."""


def parse_json(filename: str, data: bytes) -> object:
    """Return what a JSON file holds.

    Raises:
        InvalidArgument: it is not JSON (MODEL_INVALID).
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise broken(filename, "is not valid JSON") from None


def check_tokenizer(data: bytes) -> None:
    """Refuse a tokenizer.json that cannot be loaded.

    Raises:
        InvalidArgument: so it is (MODEL_INVALID).
    """
    try:
        tokenizers.Tokenizer.from_buffer(data)
    except Exception as error:  # the library raises Exception itself
        log.info("tokenizer.json refused: %s", error)
        raise broken(TOKENIZER, "cannot be loaded") from None


def no_tokenizer(where: str) -> Exception:
    """Return the error for a model without tokenizer.json."""
    return invalid(
        f"{where} has no {TOKENIZER}. Load its tokenizer with transformers and save it again: that writes the file."
    )


def license_of_card(text: str) -> str:
    """Return the licence that a README.md states in its front matter, "" if it states none or has none."""
    try:
        named = getattr(ModelCard(text[:_FRONT], ignore_metadata_errors=True).data, "license", None)
    except Exception as error:  # front matter is YAML written by anyone, and the parser's errors are many
        log.info("front matter of README.md not read: %s", error)
        return ""
    return str(named)[:100] if isinstance(named, str) else ""
