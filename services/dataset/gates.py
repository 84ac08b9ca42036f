"""What an example passes after the check of its reply: gates that know the dataset's other examples.

Replies come to the gates one at a time, in the order of the plan, so that what they decide depends neither on which
reply came first nor on a restart in between.
"""

from __future__ import annotations

import asyncio
from typing import Any

from services.common.documents.port import Document
from services.dataset.core.checks import Seen
from services.dataset.core.example import Verdict
from services.dataset.core.screening import screen
from services.dataset.spec import Call


class Gates:
    """The gates of one dataset, made anew for each attempt at it.

    Args:
        spec: the dataset's settings, defaults filled in.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self._spec = spec
        self._seen = Seen()

    async def judge(self, verdict: Verdict, call: Call) -> Verdict:
        """Return the verdict with what the gates say of it; an accepted one is remembered."""
        return self._seen.judge(await asyncio.to_thread(self._screened, verdict, call))

    def _screened(self, verdict: Verdict, call: Call) -> Verdict:
        policy, canaries = self._spec.get("pii_policy", {}), self._spec.get("canaries", [])
        return screen(verdict, call.source, call.messages, policy, canaries)

    def recall(self, example: Document) -> None:
        """Remember an example that was judged before, so that later ones are judged as they would have been."""
        self._seen.judge(Verdict(example["prompt"], example["response"], drop_reason=example["drop_reason"]))
