"""How a text may be cut."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from services.common.errors import InvalidArgument

MIN_TOKENS = 32
MAX_TOKENS = 8_192
DEFAULT_TOKENS = 384


@dataclass(frozen=True)
class ChunkRules:
    """Settings with their defaults filled in.

    Args:
        model: models/{model}, whose tokenizer counts; "" for tiktoken's cl100k_base.
        max_tokens: most tokens in a chunk, 32 to 8,192.
        overlap_tokens: most tokens that a chunk repeats from the one before, 0 to max_tokens / 2.
    """

    model: str
    max_tokens: int
    overlap_tokens: int

    def to_document(self) -> dict[str, str | int]:
        """Return the settings as a document keeps them."""
        return asdict(self)


def chunk_rules(model: str, max_tokens: int, overlap_tokens: int) -> ChunkRules:
    """Return checked settings; max_tokens 0 means 384.

    Raises:
        InvalidArgument: a number is out of its range.
    """
    most = max_tokens or DEFAULT_TOKENS
    if not MIN_TOKENS <= most <= MAX_TOKENS:
        raise InvalidArgument(
            f"max_tokens is {max_tokens}; use {MIN_TOKENS} to {MAX_TOKENS:,}, or 0 for {DEFAULT_TOKENS}.",
            field="settings.max_tokens",
        )
    if not 0 <= overlap_tokens <= most // 2:
        raise InvalidArgument(
            f"overlap_tokens is {overlap_tokens}; use 0 to {most // 2}, half of max_tokens.",
            field="settings.overlap_tokens",
        )
    return ChunkRules(model, most, overlap_tokens)
