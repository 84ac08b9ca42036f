"""The balance of one dataset's generation."""

from __future__ import annotations

from collections import Counter

from services.common.documents.port import Document
from services.common.protoform import count_to_document
from services.dataset.core.example import Verdict
from services.dataset.core.ledger import UNREADABLE
from services.dataset.core.masking import WITHHELD
from services.dataset.core.replies import IN_THOUGHT
from services.dataset.spec import Plan


class Tally:
    """What came in, went on and was dropped, so far."""

    def __init__(self, planned: Plan) -> None:
        self._plan = planned
        self.calls_dropped: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.flags: Counter[str] = Counter()
        self._cut: Counter[str] = Counter()
        self.judged = 0
        self.accepted = 0

    def judge(self, verdict: Verdict) -> None:
        """Count a reply that was judged now."""
        told = {"accepted": verdict.accepted, "drop_reason": verdict.drop_reason, "flags": verdict.flags}
        self.note({**told, "drop_detail": verdict.detail, "delete_time": None})

    def note(self, example: Document) -> None:
        """Count one judged reply by its example."""
        self.judged += 1
        if example["delete_time"] is not None:
            self.dropped["DELETED_BY_REVIEW"] += 1
        elif example["accepted"]:
            self.accepted += 1
            self.flags.update(example.get("flags", ()))
        else:
            self.dropped[example["drop_reason"] or "REJECTED_BY_REVIEW"] += 1
            if example["drop_reason"] == "TRUNCATED" and IN_THOUGHT in example["drop_detail"]:
                self._cut[example["drop_detail"]] += 1

    def counts(self) -> list[Document]:
        """Return the stages; each one's in is the out of the one before, and in = out + dropped."""
        answered = self.judged
        waiting = len(self._plan.calls) - answered - sum(self.calls_dropped.values())
        unread = {k: v for k, v in self.dropped.items() if k in UNREADABLE}
        judged = {k: v for k, v in self.dropped.items() if k not in UNREADABLE}
        read = answered - sum(unread.values())
        silent = {"NO_PASSAGE": self._plan.bare, WITHHELD: len(self._plan.withheld)}
        asked = self._plan.chunks - sum(silent.values())
        return [
            count_to_document("chunks", self._plan.chunks, asked, silent),
            count_to_document(
                "calls", len(self._plan.calls), answered, {**self.calls_dropped, "NOT_MADE_YET": waiting}
            ),
            count_to_document("replies", answered, read, unread),
            count_to_document("examples", read, self.accepted, judged),
        ]

    def nothing_accepted(self) -> str:
        """Return the message of a dataset without an accepted example."""
        drops = ", ".join(f"{reason} {count}" for reason, count in self.dropped.most_common())
        if not self._plan.calls and len(self._plan.withheld) == self._plan.chunks:
            return "Every chunk holds personal data or secrets that the policy drops. Use `mask` for these kinds."
        if not self._plan.calls:
            return (
                "No chunk has a sentence to ask about. Use documents with more text in them; of tables and lists, "
                "whole chunks can be asked about with `--task extraction` or `--task summary`."
            )
        if not self.judged:
            reasons = ", ".join(self.calls_dropped)
            return f"No example was finished: the next call could pass the budget ({reasons}). Allow more."
        if self._cut:
            cut = self._cut.most_common()[0][0]
            return f"None of {self.judged} replies was accepted ({drops}). In {self._cut.total()} of them {cut}."
        return (
            f"None of {self.judged} replies was accepted ({drops}). See them with `ftf dataset examples --filter '*'`; "
            "use a stronger LLM or other documents."
        )
