"""What a person said of an example, and whether it still holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.dataset.core.ledger import NO_SIDE

APPROVED, REJECTED = "APPROVED", "REJECTED"
REASON = "REJECTED_BY_REVIEW"
MAX_TAGS, MAX_TAG, MAX_NOTE = 32, 63, 4096
_NONE: dict[str, Any] = {"state": "", "by": "", "tags": [], "note": "", "content_sha256": ""}
Example = Mapping[str, Any]


def content_sha256(example: Example) -> str:
    """Return the hash of an example's texts: what a review is bound to."""
    messages = [dict(message) for message in example.get("messages", ())]
    texts = [example["prompt"], example["response"], messages, example.get("reasoning", "")]
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()


def of(example: Example) -> dict[str, Any]:
    """Return the review as it was written, or an empty one."""
    return {**_NONE, **(example.get("review") or {})}


def state(example: Example) -> str:
    """Return the decision that holds for the example's texts: APPROVED, REJECTED or ""."""
    found = of(example)
    return str(found["state"]) if found["state"] and found["content_sha256"] == content_sha256(example) else ""


def approved(example: Example) -> bool:
    """Whether an example is in the dataset and approved as it is."""
    return bool(example["accepted"]) and state(example) == APPROVED


def has_texts(example: Example) -> bool:
    """Whether an example has what the dataset needs of it: prompt and response, of raw text the text alone."""
    return bool((example["prompt"] or example.get("raw")) and example["response"])


@dataclass(frozen=True)
class Word:
    """What is to be said of examples.

    Args:
        action: APPROVE, REJECT, RESET or "".
        by: who says it.
        note: None leaves it.
    """

    action: str
    by: str
    add_tags: Sequence[str] = ()
    remove_tags: Sequence[str] = ()
    note: str | None = None

    def fits(self, example: Example) -> bool:
        """Whether it can be said of an example: one without texts cannot be approved."""
        return self.action != "APPROVE" or has_texts(example)

    def say(self, doc: dict[str, Any]) -> None:
        """Change an example's document. Repeating it changes nothing more."""
        found = of(doc)
        tags = sorted((set(found["tags"]) | set(self.add_tags)) - set(self.remove_tags))[:MAX_TAGS]
        found.update(tags=tags, note=found["note"] if self.note is None else self.note)
        wanted = {"APPROVE": APPROVED, "REJECT": REJECTED}.get(self.action, "")
        held = state(doc) == wanted and bool(doc["accepted"]) == (wanted == APPROVED)
        if wanted and not held:
            before = found.get("before") or {key: doc[key] for key in ("accepted", "drop_reason", "drop_detail")}
            found.update(state=wanted, by=self.by, content_sha256=content_sha256(doc), before=before)
            _move(doc, wanted == APPROVED, "" if wanted == APPROVED else REASON)
        elif self.action == "RESET" and found["state"]:
            before = found.pop("before", None)
            found.update(state="", by="", content_sha256="")
            if before:
                _move(doc, before["accepted"], before["drop_reason"], before["drop_detail"])
        if found != _NONE or doc.get("review"):
            doc["review"] = found


def _move(doc: dict[str, Any], accepted: bool, reason: str, detail: str | None = None) -> None:
    """Take an example into the dataset or out of it; its side comes with the next version."""
    if bool(doc["accepted"]) != accepted:
        doc["split"] = NO_SIDE
    doc["accepted"], doc["drop_reason"] = accepted, reason
    doc["drop_detail"] = doc["drop_detail"] if detail is None else detail


def inherited(examples: Sequence[Example]) -> dict[str, dict[str, Any]]:
    """Return hash of texts → review, of every example whose review holds or has tags or a note."""
    found: dict[str, dict[str, Any]] = {}
    for example in examples:
        said = of(example)
        if state(example) or (not said["state"] and (said["tags"] or said["note"])):
            found[content_sha256(example)] = said
    return found


def take_over(doc: dict[str, Any], said: Mapping[str, Any]) -> None:
    """Say of an example what was said of the same texts elsewhere; what cannot be approved is left."""
    action = {APPROVED: "APPROVE", REJECTED: "REJECT"}.get(said["state"], "")
    word = Word(action, said["by"], said["tags"], (), said["note"])
    if word.fits(doc):
        word.say(doc)
