"""What one call asked for: all that the checks of its reply may need."""

from __future__ import annotations

from dataclasses import dataclass

from services.dataset.core.aim import Aim
from services.dataset.core.example import Passage, Source
from services.dataset.core.language import tell
from services.dataset.core.prompts import Template


@dataclass(frozen=True)
class Asked:
    """One call.

    Args:
        template: what it was made from.
        source: the chunk.
        passage: the part of the chunk that it is about.
        aim: what it was to bring.
        fact: what the passage was chosen for, and a question asks for; "" for nothing in particular.
    """

    template: Template
    source: Source
    passage: Passage
    aim: Aim
    fact: str = ""

    @property
    def language(self) -> str:
        """ISO 639-1 code of the chunk's language: its file's, or else its own; "" if it cannot be told."""
        return self.source.language or tell(self.source.text)

    @property
    def foreign(self) -> bool:
        """Whether the reply is to be in another language than the chunk, so that their words cannot be compared."""
        return bool(self.aim.language) and self.aim.language != self.language

    @property
    def shown(self) -> str:
        """The words of the passage."""
        return self.source.text[self.passage.start : self.passage.end]
