"""Two readers for one document: when the second is tried, and what is said of the first."""

from __future__ import annotations

import pytest

from services.common.errors import Exhausted, FineTuneFlowError
from services.ingest.core.document import ExtractedDocument
from services.ingest.core.extraction import Extraction, corrupt, encrypted, no_text
from services.ingest.sandbox.fallback import first_or_second

GOOD = Extraction(ExtractedDocument("text"), "second 2", 1, "pages", 1, 1)


def failing(error: Exception) -> Extraction:
    """Stand for a reader that fails."""
    raise error


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (corrupt("is damaged"), "CORRUPT_DOCUMENT"),
        (no_text("has none"), "NO_TEXT"),
        (ZeroDivisionError(), "ZeroDivisionError"),
    ],
)
def test_where_the_first_reader_fails_the_second_reads(error: Exception, why: str) -> None:
    """The record says which was used, which was left, and why."""
    found = first_or_second(lambda: failing(error), lambda: GOOD, "first 1")

    assert (found.extractor, found.left, found.left_because) == ("second 2", "first 1", why)


def test_where_the_first_reader_succeeds_the_second_is_not_asked() -> None:
    """Nothing is said of a reader that was left."""
    found = first_or_second(lambda: GOOD, lambda: failing(AssertionError()), "first 1")

    assert (found.left, found.left_because) == ("", "")


@pytest.mark.parametrize("error", [encrypted(), Exhausted("too much", reason="EXTRACTION_LIMIT"), MemoryError()])
def test_no_reader_opens_what_is_locked_or_over_a_limit(error: Exception) -> None:
    """The second would need the same password and the same memory."""
    with pytest.raises(type(error)) as caught:
        first_or_second(lambda: failing(error), lambda: GOOD, "first 1")
    assert caught.value is error


@pytest.mark.parametrize("second", [corrupt("is broken too"), RuntimeError()])
def test_where_both_fail_the_first_ones_error_counts(second: Exception) -> None:
    """It is the better of the two."""
    with pytest.raises(FineTuneFlowError, match="holds pictures") as caught:
        first_or_second(lambda: failing(no_text("holds pictures")), lambda: failing(second), "first 1")
    assert caught.value.reason == "NO_TEXT"
