"""Where a byte-level tokenizer of a model always divides a text, read from what its tokenizer.json says.

Such tokenizers cut a text into pieces by regular expressions and encode each piece by itself. Whether two neighbours
can ever be in one piece follows from the alternatives of those expressions; of others than those known here nothing is
said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

JOINT = r"(?<=\S)(?= )|(?<=[0-9A-Za-z\u4e00-\u9fa5])(?=[\n，。！？、；：])"
"""Before a space that follows something visible; behind a letter or a digit before a line end or a full-width mark.

No known alternative reaches over such a place: a space or a mark is taken only as the first of a piece, and a line end
only behind white space or a mark. None looks behind itself, and what looks ahead is white space at the end of the text.
So what is cut on the one side is the same whether the other is there or not. NFC joins nothing there either."""

_ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LOWER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
_UPPER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
_SPACE = r"\s+"
_WORDS = frozenset(
    {
        *(r" ?\p{L}+", r"[^\r\n\p{L}\p{N}]?\p{L}+", r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+"),
        *(r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+", _LOWER, f"{_LOWER}{_ENDINGS}?"),
    }
)
_MARKS = frozenset(
    {
        *(r" ?[^\s\p{L}\p{N}]+", r" ?[^\s\p{L}\p{N}]+[\r\n]*", r" ?[^\s\p{L}\p{N}]+[\r\n/]*"),
        *(r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*", r" ?[\p{P}\p{S}]+[\r\n]*"),
    }
)
_KNOWN = (
    _WORDS
    | _MARKS
    | {
        *("'s", "'t", "'re", "'ve", "'m", "'ll", "'d", _ENDINGS, _UPPER, f"{_UPPER}{_ENDINGS}?"),
        *(r" ?\p{N}+", r"\p{N}+", r"\p{N}", r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+""",
        *(r"\s*[\r\n]+", r"\s+(?!\S)", _SPACE),
    }
)
"""Alternatives of GPT-2, SmolLM2, Llama 3, Qwen 2 to 3.5, Granite, gpt-oss, Nemotron and DeepSeek V3."""

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""What tokenizers' ByteLevel cuts by."""


def joint_of(tokenizer: Tokenizer) -> str:
    """Return JOINT if the tokenizer divides every text there, else ""."""
    if tokenizer.pre_tokenizer is None or getattr(tokenizer.model, "dropout", None):
        return ""
    if any(part["type"] != "NFC" for part in _parts(tokenizer.normalizer, "normalizers")):
        return ""
    parts = _parts(tokenizer.pre_tokenizer, "pretokenizers")
    stages = [_alternatives(part) for part in parts]
    # Behind ByteLevel a stage sees bytes as letters of their own.
    if any(part["type"] == "ByteLevel" for part in parts[:-1]) or any(stage is None for stage in stages):
        return ""
    if not any(stage and _SPACE in stage and stage & _WORDS and stage & _MARKS for stage in stages):
        return ""
    whole = all(
        not (token.lstrip or token.rstrip or token.single_word) and not re.search(JOINT, token.content)
        for token in tokenizer.get_added_tokens_decoder().values()
    )
    return JOINT if whole else ""


def _parts(component: Any, name: str) -> list[dict[str, Any]]:
    """Return the members of a sequence, or the one component that there is; nothing for none."""
    if component is None:
        return []
    found: dict[str, Any] = json.loads(component.__getstate__())
    parts: list[dict[str, Any]] = found.get(name, [found])
    return parts


def _alternatives(part: dict[str, Any]) -> frozenset[str] | None:
    """Return the alternatives by which a stage cuts, none if it cuts by single characters, or None for unknown ones."""
    kind = part["type"]
    if kind == "Digits":
        return frozenset()
    if kind == "ByteLevel" and not part["add_prefix_space"]:
        return frozenset(_divided(_GPT2)) if part["use_regex"] else frozenset()
    if kind == "Split" and (part["behavior"], part["invert"]) in (("Isolated", False), ("Removed", True)):
        pattern = part["pattern"].get("Regex", "").replace("\r", r"\r").replace("\n", r"\n")
        found = frozenset(_divided(pattern))
        return found if found <= _KNOWN else None
    return None


def _divided(pattern: str) -> Iterator[str]:
    """Yield the alternatives of a regular expression."""
    begun = depth = 0
    for found in re.finditer(r"\\.|\[(?:\\.|[^]\\])*\]|[()|]", pattern):
        depth += {"(": 1, ")": -1}.get(found.group(), 0)
        if found.group() == "|" and not depth:
            yield pattern[begun : found.start()]
            begun = found.end()
    yield pattern[begun:]
