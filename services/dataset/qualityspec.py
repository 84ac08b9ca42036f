"""The settings of a dataset that say what an example must be: defaults and ranges."""

from __future__ import annotations

from typing import Any

from finetuneflow.dataset.v1 import dataset_pb2
from services.common.errors import InvalidArgument
from services.dataset.core.alike import THRESHOLD
from services.dataset.core.judging import HIGHEST, LEAST, LOWEST
from services.dataset.core.masking import OTHERS
from services.dataset.core.pii import KINDS

MAX_CANARIES = 100
MIN_CANARY = 6
MAX_CANARY = 500


def quality(wanted: dataset_pb2.DatasetSpec) -> dict[str, Any]:
    """Return the settings of the gates; those that are not set are left out, for their defaults may change.

    Raises:
        InvalidArgument: a kind, an action or a canary is none; the message says what is.
    """
    found: dict[str, Any] = {}
    for kind, action in sorted(wanted.pii_policy.items()):
        if kind not in (*KINDS, OTHERS):
            known = ", ".join((*KINDS, OTHERS))
            raise InvalidArgument(f'"{kind[:50]}" is no kind of personal data. Use {known}.', field="spec.pii_policy")
        if action not in dataset_pb2.PiiAction.values():
            raise InvalidArgument(f"{action} is no action: FLAG, MASK, DROP or IGNORE.", field="spec.pii_policy")
        if action:
            found.setdefault("pii_policy", {})[kind] = dataset_pb2.PiiAction.Name(action)
    if len(wanted.canaries) > MAX_CANARIES:
        raise InvalidArgument(f"There are more than {MAX_CANARIES} canaries.", field="spec.canaries")
    for canary in wanted.canaries:
        if not MIN_CANARY <= len(canary.strip()) <= MAX_CANARY:
            raise InvalidArgument(
                f"A canary has {len(canary.strip())} characters; use {MIN_CANARY} to {MAX_CANARY}.",
                field="spec.canaries",
            )
    if wanted.canaries:
        found["canaries"] = [canary.strip() for canary in wanted.canaries]
    if wanted.HasField("min_grounding"):
        if not 0 <= wanted.min_grounding <= 1:
            raise InvalidArgument(f"min_grounding is {wanted.min_grounding:g}; use 0 to 1.", field="spec.min_grounding")
        found["min_grounding"] = wanted.min_grounding
    if wanted.HasField("near_duplicate"):
        if not 0.5 <= wanted.near_duplicate <= 1:
            raise InvalidArgument(
                f"near_duplicate is {wanted.near_duplicate:g}; use 0.5 to 1.", field="spec.near_duplicate"
            )
        found["near_duplicate"] = wanted.near_duplicate
    if wanted.HasField("judge"):
        found["judge"] = _judge(wanted.judge)
    if wanted.HasField("semantic_duplicates"):
        found["semantic_duplicates"] = _semantic(wanted.semantic_duplicates)
    return found


def _semantic(wanted: dataset_pb2.SemanticDuplicates) -> dict[str, Any]:
    """Return the settings of the search for semantic duplicates; endpoint and model stay as they are."""
    threshold = wanted.threshold if wanted.HasField("threshold") else THRESHOLD
    if not 0.5 <= threshold <= 1:
        raise InvalidArgument(f"threshold is {threshold:g}; use 0.5 to 1.", field="spec.semantic_duplicates.threshold")
    return {"llm_endpoint": wanted.llm_endpoint, "model": wanted.model, "threshold": threshold}


def _judge(wanted: dataset_pb2.Judge) -> dict[str, Any]:
    """Return the settings of a judge; its endpoint stays as it is."""
    if not wanted.HasField("min_score"):
        return {"llm_endpoint": wanted.llm_endpoint, "min_score": LEAST}
    if not LOWEST <= wanted.min_score <= HIGHEST:
        raise InvalidArgument(
            f"min_score is {wanted.min_score:g}; use {LOWEST} to {HIGHEST}.", field="spec.judge.min_score"
        )
    return {"llm_endpoint": wanted.llm_endpoint, "min_score": wanted.min_score}
