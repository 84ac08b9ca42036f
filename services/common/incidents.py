"""Mistakes of ours, met where nobody waits for an answer: in the log under a number, and the rest goes on."""

from __future__ import annotations

import logging
import uuid


def report(log: logging.Logger, what: str, error: BaseException) -> str:
    """Log an unexpected exception and return its number, for whoever asks what happened.

    Args:
        what: what was being done, as the beginning of a sentence: "run r".
    """
    incident = uuid.uuid4().hex[:12]
    log.error("%s met a mistake in FineTuneFlow [%s]. Report it with this number.", what, incident, exc_info=error)
    return incident
