"""Raw text in a dataset, reviewed like any example: it has no prompt, and needs none."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from finetuneflow.dataset.v1 import example_pb2, review_pb2
from tests.fakes.datasets import dataset_service, examples
from tests.fakes.running import refusal
from tests.fakes.transfers import exported, frozen, imported, lines
from tests.service.test_dataset import update


async def test_raw_text_is_approved_rejected_accepted_and_changed_like_any_example(tmp_path: Path) -> None:
    """All but its prompt: a version of what was approved has it, and it makes no pair with another text."""
    async with dataset_service(tmp_path) as (stub, _):
        name = (await imported(stub, lines([{"text": f"It rains in {n} towns."} for n in range(4)]), "raw")).name
        one, two, three, _ = [e.name for e in await examples(stub, name=name)]
        said = review_pb2.ReviewExamplesRequest(parent=name, names=[one, two], action="REVIEW_ACTION_APPROVE")
        approved = await stub.ReviewExamples(said)
        said = review_pb2.ReviewExamplesRequest(parent=name, names=[three], action="REVIEW_ACTION_REJECT")
        await stub.ReviewExamples(said)
        with pytest.raises(grpc.aio.AioRpcError, match=r"RAW_TEXT 3.*`ftf dataset review EXAMPLE --reject`"):
            await exported(stub, "raw", "preference", from_reviews=True)
        again = await stub.UpdateExample(update(three, "accepted", accepted=True))
        changed = await stub.UpdateExample(update(two, response="It snows."))
        refused = await refusal(stub.UpdateExample(update(one, prompt="What?", response="It rains.")))
        kept: example_pb2.Example = await stub.GetExample(pb.GetExampleRequest(name=one))
        await stub.FreezeDataset(pb.FreezeDatasetRequest(name=name, approved_only=True))
        taught = await frozen(stub, "raw")

    assert (approved.matched, approved.changed, list(approved.skipped)) == (2, 2, [])
    assert again.accepted
    assert (changed.prompt, changed.response) == ("", "It snows.")
    assert refused[1] == "INVALID_FIELD"
    assert (kept.prompt, kept.response) == ("", "It rains in 0 towns.")
    assert [(row["raw"], row["messages"][-1]["content"]) for row in taught] == [(True, "It rains in 0 towns.")]
