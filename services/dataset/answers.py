"""Answers of the LLM that wait to be judged in the order of the plan."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from services.common.documents.port import Document
from services.dataset.gates import Alone
from services.dataset.spec import Call
from services.dataset.tries import CallRefused

MOST_JUDGED = 32
"""Replies judged in one go: what a pause has to wait for at most."""


@dataclass(frozen=True)
class Answer:
    """A call that was answered.

    Args:
        alone: what is said of the reply by itself; None if that is still to be said, or it has an example already.
        refusal: what the server said instead of a reply, the judge's instead of a score, or that of embeddings instead
            of a vector.
    """

    call: Call
    reply: Document
    alone: Alone | None = None
    refusal: CallRefused | None = None


async def arrived(pending: deque[asyncio.Task[Answer]]) -> list[Answer]:
    """Wait for the next reply; return it and those that are there already and follow it, taken off what is pending.

    Raises: what the next call ended with, if not with a reply.
    """
    await asyncio.wait([pending[0]])
    replies = [pending.popleft().result()]
    while pending and len(replies) < MOST_JUDGED and _is_there(pending[0]):
        replies.append(pending.popleft().result())
    return replies


def _is_there(task: asyncio.Task[Answer]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
