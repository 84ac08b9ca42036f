"""`ftf checkpoints` and `ftf rerun`: what a run leaves to go on from."""

from __future__ import annotations

import json
from pathlib import Path

from google.rpc import error_details_pb2

from finetuneflow.common.v1 import artifact_pb2, work_pb2
from finetuneflow.common.v1 import worker_service_pb2 as pb
from finetuneflow.training.v1 import run_pb2
from finetuneflow_client.cli import during, exits
from finetuneflow_client.errors import from_work
from tests.fakes.client_server import served
from tests.service.test_client_cli import Ftf, filled, ftf, world

__all__ = ["ftf"]


def checkpoint(step: int, **fields: bool) -> pb.Checkpoint:
    """A checkpoint of a step."""
    file = artifact_pb2.Artifact(filename="adapter_model.safetensors", size_bytes=1000 * step, sha256=f"{step:064}")
    return pb.Checkpoint(step=step, files=[file], metrics={"loss": 1 / step, "eval_loss": 2 / step}, **fields)


async def test_checkpoints_are_listed_with_what_they_are_kept_as(ftf: Ftf, tmp_path: Path) -> None:
    """Step, losses, size, hash of the weights; a checkpoint from before the loss rose is told as that."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        run = run_pb2.Run(name="projects/handbook/runs/old")
        run.checkpoints.extend([checkpoint(4, best=True), checkpoint(6, pinned=True), checkpoint(8, diverging=True)])
        server.world.runs[run.name] = run
        listed = await ftf(server, "checkpoints", run.name)
        told = await ftf(server, "checkpoints", run.name, "--json")
    lines = [line.split() for line in listed.out.splitlines()[1:]]

    assert listed.code == told.code == exits.OK
    assert [line[:5] for line in lines] == [
        ["4", "0.2500", "0.5000", "4.0", "kB"],
        ["6", "0.1667", "0.3333", "6.0", "kB"],
        ["8", "0.1250", "0.2500", "8.0", "kB"],
    ]
    assert [" ".join(line[6:]) for line in lines] == [
        "best",
        "newest good, beginning of another run",
        "newest, loss too high",
    ]
    assert [c["step"] for c in json.loads(told.out)["checkpoints"]] == ["4", "6", "8"]


async def test_a_rerun_changes_what_is_set_and_nothing_else(ftf: Ftf, tmp_path: Path) -> None:
    """From the beginning, or from a checkpoint of that run or of another."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        first = await ftf(server, "train", "--id", "old", "--max-steps", "7", "--priority", "5")
        old = run_pb2.Run()
        old.CopyFrom(server.world.runs[first.out.strip()])
        plain = await ftf(server, "rerun", "old", "--id", "a", "--set", "learning-rate=1e-3", "--set", "r=4")
        further = ["--from-checkpoint", "old/checkpoint-20", "--resume-weights-only"]
        begun = await ftf(server, "rerun", "old", "--id", "b", *further)
        other = await ftf(server, "rerun", "old", "--id", "v", "--dataset-version", "2")
        bad = await ftf(server, "rerun", "old", "--set", "nonsense=1")
        watched = await ftf(server, "rerun", "old", "--id", "w", "--watch")
        trained = await ftf(server, "train", "--id", "c", "--resume-from-checkpoint", "old")
        made = {name.rpartition("/")[2]: run for name, run in server.world.runs.items()}
    expected = run_pb2.Run()
    expected.CopyFrom(old)
    expected.config.learning_rate, expected.config.lora.r = 1e-3, 4

    assert [result.code for result in (plain, begun, other, bad, trained)] == [*[exits.OK] * 3, exits.USAGE, exits.OK]
    assert "--set nonsense: there is no such setting" in bad.err
    assert (made["a"].config, made["a"].dataset, made["a"].model) == (expected.config, old.dataset, old.model)
    assert (watched.code, "a mistake" in watched.err) == (exits.OK, False)
    assert (made["a"].resume_from_checkpoint, made["a"].priority) == ("", 5)
    assert made["b"].config == old.config
    assert [(made[id_].dataset, made[id_].dataset_version) for id_ in ("a", "v")] == [
        (old.dataset, old.dataset_version),
        (old.dataset, 2),
    ]
    assert (made["b"].resume_from_checkpoint, made["b"].resume_weights_only) == (f"{old.name}/checkpoints/20", True)
    assert made["c"].resume_from_checkpoint == old.name


def test_a_run_that_diverged_says_how_to_go_on() -> None:
    """With the command: from its newest good checkpoint, at a quarter of the rate."""
    run = run_pb2.Run(name="projects/p/runs/r", work=work_pb2.Work(state=work_pb2.WORK_STATE_FAILED))
    run.config.learning_rate = 2e-4
    run.work.error.code, run.work.error.message = 9, "The loss became nan. Lower the learning rate."
    facts = error_details_pb2.ErrorInfo(reason="LOSS_DIVERGED", metadata={"checkpoint": "20"})
    run.work.error.details.add().Pack(facts)
    error = during.way_on(run, from_work(run.work, "r"))

    assert error is not None
    assert error.remedy == (
        "lower the learning rate: `ftf rerun r --from-checkpoint r/checkpoint-20 --resume-weights-only "
        "--set learning_rate=5e-05`"
    )
