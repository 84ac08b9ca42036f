"""How a text may be cut."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from services.common.errors import InvalidArgument

MIN_TOKENS = 32
MAX_TOKENS = 8_192
DEFAULT_TOKENS = 384
MAX_DEPTH = 6
DEFAULT_DEPTH = 2

Strategy = Literal["structure", "markdown", "code"]


@dataclass(frozen=True)
class ChunkRules:
    """Settings with their defaults filled in.

    Args:
        model: models/{model}, whose tokenizer counts; "" for tiktoken's cl100k_base.
        max_tokens: most tokens in a chunk, 32 to 8,192.
        overlap_tokens: most tokens that a chunk repeats from the one before, 0 to max_tokens / 2.
        strategy: where to cut first.
        heading_depth: markdown: deepest level of heading that begins a chunk, 1 to 6; 0 with other strategies.
    """

    model: str
    max_tokens: int
    overlap_tokens: int
    strategy: Strategy = "structure"
    heading_depth: int = 0

    def to_document(self) -> dict[str, str | int]:
        """Return the settings as a document keeps them; the default strategy is not named, as it never was."""
        fields: dict[str, str | int] = asdict(self)
        if self.strategy == "structure":
            del fields["strategy"], fields["heading_depth"]
        return fields


def chunk_rules(
    model: str, max_tokens: int, overlap_tokens: int, strategy: Strategy = "structure", heading_depth: int = 0
) -> ChunkRules:
    """Return checked settings; max_tokens 0 means 384, heading_depth 0 means 2 where headings are cut at.

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
    if strategy == "markdown":
        depth = heading_depth or DEFAULT_DEPTH
        if not 1 <= depth <= MAX_DEPTH:
            raise InvalidArgument(
                f"heading_depth is {heading_depth}; use 1 to {MAX_DEPTH}, or 0 for {DEFAULT_DEPTH}.",
                field="settings.heading_depth",
            )
        return ChunkRules(model, most, overlap_tokens, strategy, depth)
    if heading_depth:
        raise InvalidArgument(
            "heading_depth is for the strategy MARKDOWN. Leave it out, or choose that strategy.",
            field="settings.heading_depth",
        )
    return ChunkRules(model, most, overlap_tokens, strategy)
