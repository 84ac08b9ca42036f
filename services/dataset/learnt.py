"""What calls have shown of an LLM's server: how it is asked for JSON, and what it does not take."""

from __future__ import annotations

_FALLBACK = {"SCHEMA": "OBJECT", "OBJECT": "TEXT"}


class Learnt:
    """What is known of one server. A call goes by what was known when it began, also if its endpoint moves meanwhile.

    Args:
        json_mode: what its endpoint says: SCHEMA, OBJECT, TEXT; "" begins with SCHEMA and falls back as it refuses.
    """

    def __init__(self, json_mode: str) -> None:
        self.mode = json_mode or "SCHEMA"
        self.proven = bool(json_mode)
        self.unsupported: frozenset[str] = frozenset()

    def other_mode(self, mode: str, code: int, attempt: int) -> str:
        """Return how to ask instead after a status that may be about response_format; "" after another.

        Some servers answer 500 to a response_format that they do not know.
        """
        if code not in (400, 422) and not (code in (500, 501) and attempt > 0):
            return ""
        if self.proven:
            return self.mode if mode != self.mode else ""
        return _FALLBACK.get(mode, "")
