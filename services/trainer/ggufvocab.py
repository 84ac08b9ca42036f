"""A tokenizer in GGUF: tokens, merges, special tokens, chat template. Byte-level BPE, as today's models have it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, SpecialVocab, TokenType

from services.common.errors import NotReady

_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPLITS: Mapping[str, str] = {_QWEN2: "qwen2", _LLAMA3: "llama-bpe", _TEKKEN: "tekken"}


def add_vocabulary(writer: GGUFWriter, folder: Path, tokenizer: Any, size: int) -> None:
    """Write the tokenizer of a folder.

    Args:
        writer: of the GGUF file.
        folder: with tokenizer.json.
        tokenizer: the same, as transformers loads it.
        size: rows of the token embeddings; ids that no token has are marked as unused.

    Raises:
        NotReady: with reason GGUF_UNSUPPORTED for another kind of tokenizer.
    """
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splitting(folder))
    tokens, kinds = _tokens(tokenizer, size)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    special = SpecialVocab(folder, load_merges=True, n_vocab=size)
    first = tokenizer("a")["input_ids"][0]
    special.add_special_token = {"bos": first == tokenizer.bos_token_id, "eos": False}
    if tokenizer.eos_token_id is not None:
        special.special_token_ids["eos"] = tokenizer.eos_token_id
    special.chat_template = tokenizer.chat_template
    special.add_to_gguf(writer, quiet=True)


def splitting(folder: Path) -> str:
    """Return llama.cpp's name for how the tokenizer of a folder cuts text before it merges bytes.

    Raises:
        NotReady: with reason GGUF_UNSUPPORTED for another kind of tokenizer, or one without tokenizer.json.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise _unsupported("has no tokenizer.json, so it")
    core = json.loads(path.read_text(encoding="utf-8"))
    steps = core.get("pre_tokenizer") or {}
    steps = steps.get("pretokenizers", [steps])
    kinds = [step.get("type") for step in steps]
    if core["model"]["type"] == "BPE" and kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
        return "smollm"
    if kinds == ["Split", "ByteLevel"]:
        pattern = steps[0].get("pattern", {}).get("Regex", "")
        if pattern in _SPLITS:
            return _SPLITS[pattern]
    raise _unsupported("cuts text in a way that")


def _unsupported(why: str) -> NotReady:
    return NotReady(
        f"The model's tokenizer {why} cannot be written as GGUF here. Export the model merged, and convert it with "
        "llama.cpp's own convert_hf_to_gguf.py.",
        reason="GGUF_UNSUPPORTED",
    )


def _tokens(tokenizer: Any, size: int) -> tuple[list[str], list[int]]:
    known = {number: token for token, number in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    tokens: list[str] = []
    kinds: list[int] = []
    for number in range(size):
        tokens.append(known.get(number, f"[PAD{number}]"))
        if number not in known:
            kinds.append(TokenType.UNUSED)
        elif number not in added:
            kinds.append(TokenType.NORMAL)
        else:
            kinds.append(TokenType.CONTROL if added[number].special else TokenType.USER_DEFINED)
    return tokens, kinds
