"""The whole flow in a cluster, by `ftf` alone: a run that is a real Job of the real trainer, and weights out."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.cluster.bed.waits import until

if TYPE_CHECKING:
    from tests.cluster.bed.cluster import Cluster
    from tests.cluster.release.install import Release

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]

SAMPLES = Path(__file__).parents[2] / "samples" / "documents"
DOCUMENTS = ("safety-rules.md", "wren-balance-guide.txt", "travel-policy.docx", "company-history.pdf")
QUICK = ("--max-steps", "6", "--max-length", "256", "--examples-per-chunk", "2", "--chunk-tokens", "256")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def release(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Release]:
    """The chart, installed, with the real trainer."""
    from tests.cluster.bed.cluster import Bed
    from tests.cluster.release.install import installed
    from tests.fakes.tiny_model import tiny_model

    folder = tmp_path_factory.mktemp("flow")
    tiny_model(folder / "models" / "tiny")
    trainer = [sys.executable, "-m", "services.trainer"]
    # Pods of the bed share one interface, on which gloo does not find a pod's own address.
    env = {"GLOO_SOCKET_IFNAME": "lo"}
    async with Bed(cluster) as bed, installed(bed, folder, folder / "models", trainer, env) as found:
        found.project = "flow"  # the stores may hold the projects of other tests
        yield found


async def test_documents_become_weights_in_a_cluster(release: Release, tmp_path: Path) -> None:
    """One command against one address; the run and both exports are Jobs, and nothing is left of them."""
    documents = [str(SAMPLES / name) for name in DOCUMENTS]
    await release.ftf("model", "add", "/models/tiny", "--id", "tiny")
    command = ["run", *documents, "--model", "tiny", "--llm-url", release.llm.url, "--llm-model", "fake-model"]
    await release.ftf(*command, *QUICK, "-o", str(tmp_path / "out"), seconds=600)
    files = {path.name for path in (tmp_path / "out").rglob("*")}
    datasets = json.loads(await release.ftf("dataset", "list", "--json"))["datasets"]
    runs = json.loads(await release.ftf("runs", "--json"))["runs"]
    logs = await release.ftf("logs")

    for count in datasets[0]["counts"]:
        dropped = sum(int(drop["count"]) for drop in count.get("dropped", []))
        assert int(count.get("in", 0)) == int(count.get("out", 0)) + dropped, count
    assert [run["work"]["state"] for run in runs] == ["WORK_STATE_SUCCEEDED"]
    assert len(runs[0]["attempts"]) == 1
    assert {"report.md", "loss.png", "adapter_model.safetensors", "model.safetensors", "manifest.json"} <= files
    assert "Attempt 1" in logs
    assert "none" in (await release.ftf("runs", "orphans")).lower()


async def test_the_models_of_a_run_answer_whichever_replica_is_asked(release: Release) -> None:
    """A pod of their own calls the replica that started it; the other passes questions on. It goes with the caller."""
    asked = ("chat", "-m", "What is the rule?", "-m", "And why?", "--max-new-tokens", "8", "--json")
    found = [json.loads(line) for line in (await release.ftf(*asked, seconds=200)).splitlines()]
    chats = {"labelSelector": "finetuneflow.dev/kind=chat"}
    left = [await release.bed.raw.list(kind, release.namespace, **chats) for kind in ("batch/v1/jobs", "secrets")]

    assert [sorted(one) for one in found] == [["base", "question", "tuned"]] * 2
    assert all(0 < one[side]["tokens"] <= 8 for one in found for side in ("base", "tuned"))
    assert left == [[], []]


async def test_a_chat_whose_replica_was_killed_holds_nothing(release: Release) -> None:
    """Its pod is removed, however long it was to stay, and the next question starts another."""
    chats = {"labelSelector": "finetuneflow.dev/kind=chat"}

    async def loaded() -> set[str]:
        found = await release.bed.raw.list("batch/v1/jobs", release.namespace, **chats)
        return {job["metadata"]["name"] for job in found}

    async def gone() -> bool:
        return not first & await loaded()

    asked = ("chat", "-m", "Why?", "--side", "tuned", "--max-new-tokens", "4", "--json")
    await release.ftf(*asked, "--keep", "900", seconds=200)
    first = await loaded()
    for pod in await release.pods("training"):
        os.kill(await release.pid(pod), signal.SIGKILL)
    await until(gone, "the Job is removed", 180)
    await release.until_ready("training")
    again = json.loads(await release.ftf(*asked, seconds=200))

    assert len(first) == 1
    assert again["tuned"]["tokens"] > 0
    assert await loaded() == set()


async def test_two_nodes_train_together(release: Release) -> None:
    """An Indexed Job of two pods that meet over a headless Service; the first alone speaks for both."""
    train = ("train", "--model", "tiny", "--nodes", "2", "--max-steps", "4", "--max-length", "256", "--watch")
    try:
        await release.ftf(*train, seconds=300)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{await release.ftf('logs')}") from None
    runs = json.loads(await release.ftf("runs", "--json"))["runs"]
    logs = await release.ftf("logs", runs[-1]["name"].rpartition("/")[2])

    assert runs[-1]["work"]["state"] == "WORK_STATE_SUCCEEDED"
    assert runs[-1]["resources"]["nodes"] == 2
    assert len(runs[-1]["attempts"]) == 1
    assert "Attempt 1" in logs
