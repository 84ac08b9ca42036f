"""What `ftf` says of runs that wait, of what they ask for, and of Jobs without a run."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from finetuneflow.common.v1 import waiting_pb2, work_pb2
from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.export.v1 import export_service_pb2
from finetuneflow.training.v1 import run_pb2, training_service_pb2
from finetuneflow_client.cli import exits
from finetuneflow_client.cli.grammar.parser import build
from finetuneflow_client.cli.settings import asked, run_resources
from finetuneflow_client.cli.view.dataset import DatasetView
from finetuneflow_client.cli.view.run import RunView
from tests.fakes.client_server import served
from tests.service.test_client_cli import Ftf, ftf, world  # noqa: F401  # a fixture

MESSAGE = "No node has 99 nvidia.com/gpu free. Ask for less, or add nodes."


def waiting_run() -> run_pb2.Run:
    """A run that cannot be scheduled."""
    work = work_pb2.Work(state=work_pb2.WORK_STATE_QUEUED)
    work.waiting.reason = waiting_pb2.WAITING_REASON_UNSCHEDULABLE
    work.waiting.message = MESSAGE
    work.waiting.since.FromSeconds(int(time.time()) - 40)
    return run_pb2.Run(name="projects/p/runs/r1", work=work)


async def test_a_run_that_waits_says_why_for_how_long_and_what_to_do(ftf: Ftf) -> None:  # noqa: F811  # a fixture
    """In the list, alone, and as JSON; in one line each."""
    expected = rf"unschedulable for 4\d s: {re.escape(MESSAGE)}"
    async with served(world(runs={"projects/p/runs/r1": waiting_run()})) as server:
        listed = await ftf(server, "runs")
        shown = await ftf(server, "runs", "r1")
        structured = await ftf(server, "runs", "r1", "--json")

    assert re.search(expected + "$", listed.out.splitlines()[1])
    assert re.search(rf"^waiting +{expected}$", shown.out, re.MULTILINE)
    assert structured.json["work"]["waiting"]["reason"] == "WAITING_REASON_UNSCHEDULABLE"


def test_a_watched_dataset_says_which_llm_it_waits_for() -> None:
    """As soon as the server says so: that is a phase of its own, also where every piece of news is a line."""
    view = DatasetView("projects/p/datasets/d1")
    work = work_pb2.Work(state=work_pb2.WORK_STATE_RUNNING)
    work.progress.phase = "generate"
    view.update(dataset_pb2.Dataset(work=work))
    before = view.mark()
    work.waiting.reason, work.waiting.message = waiting_pb2.WAITING_REASON_LLM_AWAY, "The LLM at x gave status 503."
    work.waiting.since.FromSeconds(int(time.time()) - 40)
    view.update(dataset_pb2.Dataset(work=work))

    assert view.mark() != before
    assert re.search(r"llm away for 4\d s: The LLM at x gave status 503\.$", view.line())


def test_a_watched_run_says_why_it_waits_and_then_how_it_trains() -> None:
    """A change of the reason is news, also where every piece of news is a line."""
    view = RunView("projects/p/runs/r1")
    view.update(training_service_pb2.WatchRunResponse(run=waiting_run()))
    waits, first = view.line(), view.mark()
    again = waiting_run()
    again.work.waiting.reason = waiting_pb2.WAITING_REASON_IMAGE_PULL
    view.update(training_service_pb2.WatchRunResponse(run=again))
    second = view.mark()
    running = run_pb2.Run(work=work_pb2.Work(state=work_pb2.WORK_STATE_RUNNING, attempt=1))
    view.update(training_service_pb2.WatchRunResponse(run=running))

    assert re.match(r"r1: queued, unschedulable for 4\d s: No node", waits)
    assert first != second
    assert view.line() == "r1: running"


async def test_orphans_are_listed_and_told_by_the_exit_code(ftf: Ftf) -> None:  # noqa: F811  # a fixture
    """None and 0, or a table and 1; JSON in both cases."""
    orphan = training_service_pb2.Orphan(job="run-u-1", run="projects/p/runs/r", problem="It does not exist any more.")
    async with served(world()) as server:
        none = await ftf(server, "runs", "orphans")
        none_structured = await ftf(server, "runs", "orphans", "--json")
        server.world.orphans.append(orphan)
        server.world.orphaned_exports.append(export_service_pb2.Orphan(job="export-u-1", problem="It has none."))
        some = await ftf(server, "runs", "orphans")
        some_structured = await ftf(server, "runs", "orphans", "--json")

    assert (none.code, none.out) == (exits.OK, "none\n")
    assert (none_structured.code, none_structured.json) == (exits.OK, {"orphans": []})
    assert some.code == some_structured.code == exits.FAILED
    assert some.out.splitlines()[1].split()[:2] == ["run-u-1", "projects/p/runs/r"]
    assert some.out.splitlines()[2].split()[0] == "export-u-1"
    assert [o["job"] for o in some_structured.json["orphans"]] == ["run-u-1", "export-u-1"]


def _parsed(*words: str) -> Any:
    return run_resources(build().parse_args(["train", *words]))


def test_flags_say_what_a_run_asks_for() -> None:
    """By the names of the contract; what is not given stays unset."""
    words = (
        "--gpus 2 --gpu-product NVIDIA-H100-80GB-HBM3 --cpu 8 --memory 64Gi --ephemeral-storage 100Gi --shm-size 8Gi "
        "--nodes 2 --queue team --priority-class low --deadline 2h"
    )
    resources = _parsed(*words.split())

    assert asked(resources) == (
        "gpus 2, gpu_product NVIDIA-H100-80GB-HBM3, cpu 8, memory 64Gi, ephemeral_storage 100Gi, shm_size 8Gi, "
        "nodes 2, queue team, priority_class low, active_deadline_seconds 7200"
    )
    assert not _parsed().ListFields()
    assert asked(_parsed("--gpus", "0")) == "gpus 0"


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86_400)])
def test_a_deadline_is_seconds_or_has_a_unit(text: str, seconds: int) -> None:
    """As people write times."""
    assert _parsed("--deadline", text).active_deadline_seconds == seconds


@pytest.mark.parametrize("text", ["", "h", "2 h", "1.5h", "-1", "soon"])
def test_a_deadline_that_is_no_time_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As any other value that is wrong."""
    with pytest.raises(SystemExit) as ended:
        _parsed(f"--deadline={text}")
    assert ended.value.code == exits.USAGE
    assert "write 90, 15m, 2h or 1d" in capsys.readouterr().err


async def test_what_a_run_asks_for_goes_with_it(ftf: Ftf) -> None:  # noqa: F811  # a fixture
    """And is shown, also before anything is started."""
    run = run_pb2.Run(name="projects/p/runs/r1")
    run.resources.gpus = 2
    run.resources.memory = "64Gi"
    async with served(world(runs={"projects/p/runs/r1": run})) as server:
        shown = await ftf(server, "runs", "r1")
        structured = await ftf(server, "runs", "r1", "--json")

    assert re.search(r"^resources +gpus 2, memory 64Gi$", shown.out, re.MULTILINE)
    assert json.loads(structured.out)["resources"]["gpus"] == 2
