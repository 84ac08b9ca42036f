"""What one call is to bring beyond its passage: who asks, in which language, which kind of question."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

UNANSWERABLE = "UNANSWERABLE"
QUESTIONS = {
    "FACT": "Ask for one fact that the passage states.",
    "WHY": "Ask why something in the passage is so or has to be done. The passage must give the reason.",
    "HOW": "Ask how something in the passage is done or works. The passage must say how.",
    "COMPARE": "Ask how two things in the passage differ, or what they have in common. Name both.",
    UNANSWERABLE: "Ask for something about the same subject that the passage does not tell. "
    'The answer is "not in the passage", and the evidence is the sentence that comes nearest to it.',
}
"""Kind of question → what the LLM is told."""
REFUSAL = "The documents do not say."
LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "et": "Estonian", "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean",
    "lt": "Lithuanian", "lv": "Latvian", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish",
    "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
"""ISO 639-1 code → the language's name in English, as it stands in prompts."""

THE_SAME = "the language of the text"


@dataclass(frozen=True)
class Aim:
    """What one call is to bring.

    Args:
        persona: who asks, in the words of the dataset's settings; "" for nobody in particular.
        language: ISO 639-1 code of the language to write in; "" for the document's.
        question_type: one of QUESTIONS; "" for any.
        labels: what a text may be classified as.
        fields: JSON schema of what is to be extracted, as JSON; "" where nothing is.
        refusal: the response of an example whose question the document does not answer.
    """

    persona: str = ""
    language: str = ""
    question_type: str = ""
    labels: tuple[str, ...] = ()
    fields: str = ""
    refusal: str = REFUSAL

    @property
    def values(self) -> dict[str, str]:
        """What stands in a prompt for it, by placeholder."""
        return {
            "persona": self.persona,
            "language": LANGUAGES.get(self.language, THE_SAME),
            "question_type": self.question_type.lower(),
            "asks_for": QUESTIONS.get(self.question_type, ""),
            "labels": ", ".join(self.labels),
            "fields": self.fields,
        }


def aim(spec: dict[str, Any], turn: int) -> Aim:
    """Return the aim of the call of that number: personas and kinds of question come by turn.

    With both, all kinds are asked by the first persona before the second one begins.
    """
    personas, kinds = spec.get("personas") or [""], spec.get("question_types") or [""]
    return Aim(
        persona=personas[turn // len(kinds) % len(personas)],
        language=spec.get("language", ""),
        question_type=kinds[turn % len(kinds)].removeprefix("QUESTION_TYPE_"),
        labels=tuple(spec.get("labels") or ()),
        fields=spec.get("extraction_schema", ""),
        refusal=spec.get("refusal_response") or REFUSAL,
    )


def aims(spec: dict[str, Any], places: Sequence[Hashable], before: Sequence[tuple[Hashable, str]] = ()) -> list[Aim]:
    """Return the aim of each call of a plan, by turn; a place that comes again is asked for another kind of question.

    Args:
        places: what each call is about; none comes more often than there are kinds of question, those before included.
        before: place and kind of question of the calls that were planned before these.
    """
    found, asked = [], set(before)
    for index, place in enumerate(places, len(before)):
        for turn in range(index, index + max(1, len(spec.get("question_types") or ()))):
            chosen = aim(spec, turn)
            if not chosen.question_type or (place, chosen.question_type) not in asked:
                break
        asked.add((place, chosen.question_type))
        found.append(chosen)
    return found
