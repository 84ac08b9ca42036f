"""What a pause says that a trainer lost."""

from __future__ import annotations

from typing import Any

import pytest

from services.common.errors import Unavailable, to_document
from services.common.jobs.port import JobStatus
from services.common.jobwork import verdict

LOST = to_document(Unavailable("The store does not answer. Wait.", reason="STORE_AWAY"))
KILLED = JobStatus("run-u-2", "FAILED", exit_code=137)


def work(launch: int, attempts: list[int], error: Any = None) -> dict[str, Any]:
    """Work at a launch, whose attempts were of these launches."""
    return {"launch": launch, "attempts": [{"launch": one} for one in attempts], "last_error": error, "checkpoints": []}


@pytest.mark.parametrize(
    ("doc", "status"),
    [
        (work(2, [1], LOST), None),
        (work(2, [1]), KILLED),
        (work(1, []), KILLED),
        (work(2, [1, 2]), JobStatus("run-u-2", "FAILED", exit_code=143)),
    ],
    ids=["an earlier one's error", "killed before it began", "nothing began", "saved"],
)
def test_a_job_that_has_begun_nothing_or_has_saved_has_lost_nothing(doc: dict[str, Any], status: Any) -> None:
    """What an earlier launch lost was told when it was lost."""
    assert verdict.unsaved(doc, status) is None


@pytest.mark.parametrize(
    ("error", "words"), [(LOST, "The store does not answer."), (None, "was killed (137) before it had saved.")]
)
def test_what_this_launch_lost_is_told(error: Any, words: str) -> None:
    """By its own error, or by how its Job ended."""
    found = verdict.unsaved(work(2, [1, 2], error), KILLED)

    assert found is not None
    assert words in str(found)
