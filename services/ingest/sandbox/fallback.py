"""Two readers for one document: the second is tried where the first fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from services.common.errors import Exhausted, FineTuneFlowError
from services.ingest.core.extraction import Extraction, corrupt

log = logging.getLogger(__name__)


def first_or_second(first: Callable[[], Extraction], second: Callable[[], Extraction], name: str) -> Extraction:
    """Return what the first reader gives, or what the second gives, with the reason why the first was left.

    An encrypted document, and one over a limit, is not tried again. If both fail, the first one's error counts.

    Args:
        name: the first reader with its version.

    Raises:
        FineTuneFlowError: as the first reader does; CORRUPT_DOCUMENT for what is no error of ours.
    """
    try:
        return first()
    except (Exhausted, MemoryError):
        raise
    except FineTuneFlowError as error:
        if error.reason == "ENCRYPTED_DOCUMENT":
            raise
        failed, because = error, error.reason
    except Exception as error:  # a stranger's document may break a reader in any way
        log.warning("sandbox: %s failed", name, exc_info=error)
        failed, because = corrupt(f"cannot be read ({type(error).__name__})"), type(error).__name__
    try:
        found = second()
    except (Exhausted, MemoryError):
        raise
    except FineTuneFlowError as error:
        raise (error if error.reason == "ENCRYPTED_DOCUMENT" else failed) from error
    except Exception as error:  # as above
        raise failed from error
    return replace(found, left=name, left_because=because)
