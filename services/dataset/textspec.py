"""The settings of a dataset that is the text of documents: those that an LLM would need have no meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetuneflow.dataset.v1 import dataset_pb2
from services.common.errors import InvalidArgument
from services.dataset.spec import complete

TEXT = "TASK_TYPE_TEXT"
_MEANT = ("files", "task_type", "eval_fraction", "pii_policy", "canaries", "near_duplicate", "inherit_reviews_from")
_UNUSED = ("examples_per_chunk", "max_examples", "recall_fraction", "temperature", "max_tokens", "seed")
"""What such a dataset has no use for, and shows as 0."""


def is_text(dataset: Mapping[str, Any]) -> bool:
    """Whether a dataset is the text of the project's documents."""
    return bool(dataset["spec"].get("task_type") == TEXT)


def text_spec(wanted: dataset_pb2.DatasetSpec) -> dict[str, Any]:
    """Return the settings with every default filled in; files stay as they are.

    Raises:
        InvalidArgument: a setting is out of range, or is one for an LLM.
    """
    others = [field.name for field, _ in wanted.ListFields() if field.name not in _MEANT]
    if others:
        raise InvalidArgument(
            f"{', '.join(others)} has no meaning for task_type text: no LLM is asked, and nothing is kept back for "
            "recall. Leave it out.",
            field=f"spec.{others[0]}",
        )
    return {**complete(wanted), **dict.fromkeys(_UNUSED, 0), "task_type": TEXT}
