"""Work that is paused and resumed by hand, and runs side by side."""

from __future__ import annotations

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.training.v1 import evaluation_pb2, run_pb2
from finetuneflow_client.cli import exits
from tests.fakes.client_server import served
from tests.service.test_client_cli import Ftf, ftf, world

__all__ = ["ftf"]


async def test_a_dataset_is_paused_by_hand_and_shown_so(ftf: Ftf) -> None:
    """Whoever watches it ends with an exit code of its own, and is told how to go on."""
    name = "projects/p/datasets/d1"
    running = work_pb2.Work(state=work_pb2.WORK_STATE_RUNNING, progress=work_pb2.Progress(phase="generate", total=4))
    running.progress.done = 2
    async with served(world(datasets={name: dataset_pb2.Dataset(name=name, work=running)})) as server:
        paused = await ftf(server, "dataset", "pause", "d1")
        structured = await ftf(server, "dataset", "pause", "d1", "--json")
        listed = await ftf(server, "dataset", "list")
        watched = await ftf(server, "watch", "datasets/d1")

    assert (paused.code, paused.out) == (exits.OK, f"{name}: paused; go on with `ftf dataset resume`\n")
    assert structured.json["work"]["state"] == "WORK_STATE_PAUSED"
    assert listed.out.splitlines()[1].split()[:4] == ["d1", "paused", "generate", "2/4"]
    assert watched.code == exits.NOT_READY
    assert "ftf dataset resume" in watched.err


async def test_a_run_is_paused_and_resumed_by_hand(ftf: Ftf) -> None:
    """The newest one without a name; datasets by theirs, and what cannot pause is refused."""
    run, dataset = "projects/p/runs/r1", "projects/p/datasets/d1"
    working = work_pb2.Work(state=work_pb2.WORK_STATE_RUNNING)
    datasets = {dataset: dataset_pb2.Dataset(name=dataset, work=working)}
    async with served(world(runs={run: run_pb2.Run(name=run, work=working)}, datasets=datasets)) as server:
        paused = await ftf(server, "pause")
        watched = await ftf(server, "watch", "r1")
        resumed = await ftf(server, "resume", "r1", "--watch")
        both = await ftf(server, "pause", "datasets/d1")
        refused = await ftf(server, "pause", "files/f1")
        server.world.faults["cancelling"] = 1
        late = await ftf(server, "pause", "r1")

    assert late.out == f"{run}: cancelling; there is nothing to pause\n"
    assert (paused.code, paused.out) == (exits.OK, f"{run}: paused; go on with `ftf resume r1`\n")
    assert watched.code == exits.NOT_READY
    assert watched.err.splitlines()[-1] == "ftf: run r1: paused — go on with `ftf resume`"
    assert resumed.code == exits.OK
    assert both.out == f"{dataset}: paused; go on with `ftf resume datasets/d1`\n"
    assert "cannot pause" in refused.err


async def test_runs_are_compared_by_what_differs_and_what_came_of_them(ftf: Ftf) -> None:
    """Settings that are the same are left out, and so are results that no run has."""
    made = {}
    for id, rate, loss in (("r1", 1e-4, 1.5), ("r2", 2e-4, 1.25)):
        run = run_pb2.Run(name=f"projects/p/runs/{id}", model="models/m", dataset="projects/p/datasets/d")
        run.config.learning_rate, run.config.max_steps = rate, 40
        run.result.steps = 40
        found = run.result.evaluation
        found.recall.CopyFrom(evaluation_pb2.EvalScore(examples=3, base_loss=2.0, tuned_loss=loss))
        found.forgetting.score.CopyFrom(evaluation_pb2.EvalScore(examples=32, base_loss=1.0, tuned_loss=loss))
        found.forgetting.passed = loss < 1.5
        made[run.name] = run
    async with served(world(runs=made)) as server:
        compared = await ftf(server, "compare", "r1", "r2")
        structured = await ftf(server, "compare", "r1", "r2", "--json")
        alone = await ftf(server, "compare", "r1", "r1")

    rows = {line.split("  ")[0]: line.split()[-2:] for line in compared.out.splitlines()}
    assert rows["learning_rate"] == ["0.0001", "0.0002"]
    assert "max_steps" not in rows
    assert "loss: recall 2.0000 → 1.5000 2.0000 → 1.2500" in " ".join(compared.out.split())
    assert "+0.5000 NOT passed" in compared.out
    assert "generalise" not in compared.out
    assert [run["name"] for run in structured.json["runs"]] == list(made)
    assert (alone.code, alone.err) == (
        exits.USAGE,
        "ftf: a comparison needs two runs — name two at least: `ftf runs` lists them\n",
    )
