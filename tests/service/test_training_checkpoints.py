"""Checkpoints of runs: what is told of them, what a run may begin from, and what it may not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from finetuneflow.common.v1 import work_pb2
from finetuneflow.training.v1 import config_pb2
from finetuneflow.training.v1 import training_service_pb2 as pb
from services.training.core import complete
from services.training.core_start import FREE, differences
from tests.fakes.running import refusal
from tests.fakes.upstream import usual
from tests.service.test_training import RUN, ended, request, steps, training

OTHER = "projects/p/runs/other"


def settings(**given: Any) -> config_pb2.TrainingConfig:
    """Settings with so many steps, and a checkpoint each five."""
    return config_pb2.TrainingConfig(**{"max_steps": 12, "save_steps": 5, **given})


async def test_a_run_begins_from_a_checkpoint_of_another_one(tmp_path: Path) -> None:
    """At its step, with its files, which stay while the other run does; or with the weights alone, at step 0."""
    async with training(tmp_path) as (stub, _):
        await stub.CreateRun(request(config=settings()))
        first, _ = await ended(stub)
        longer = {"resume_from_checkpoint": f"{RUN}/checkpoints/10", "config": settings(max_steps=20)}
        made = await stub.CreateRun(request("other", **longer))
        second, reports = await ended(stub, OTHER)
        weights = {"resume_from_checkpoint": OTHER, "resume_weights_only": True}
        await stub.CreateRun(request("third", **weights, config=settings(learning_rate=0.5)))
        third, _ = await ended(stub, "projects/p/runs/third")
        source = await stub.GetRun(pb.GetRunRequest(name=RUN))

    assert [(c.step, c.metrics["loss"], c.pinned) for c in first.checkpoints] == [
        (5, 1 / 5, False),
        (10, 1 / 10, False),
    ]
    assert made.resume_from_checkpoint == f"{RUN}/checkpoints/10"
    assert [a.from_step for a in second.attempts] == [10]
    assert steps(reports) == list(range(11, 21))
    assert (third.resume_from_checkpoint, third.resume_weights_only) == (f"{OTHER}/checkpoints/20", True)
    assert [a.from_step for a in third.attempts] == [0]
    learned = [list(run.earlier_dataset_sha256s) for run in (first, second, third)]
    assert learned == [[], [first.dataset_sha256], [first.dataset_sha256]]
    assert [(c.step, c.pinned) for c in source.checkpoints] == [(5, False), (10, True)]


async def test_what_differs_is_named_before_the_run_is_made(tmp_path: Path) -> None:
    """And what is not there is not found."""
    refused = []
    async with training(tmp_path) as (stub, _):
        await stub.CreateRun(request(config=settings()))
        await ended(stub)
        for fields in (
            {"config": settings(learning_rate=0.5)},
            {"config": settings(max_steps=10)},
            {"resume_weights_only": True, "config": settings(lora=config_pb2.LoraConfig(r=4))},
            {"resume_from_checkpoint": f"{RUN}/checkpoints/7"},
            {"resume_from_checkpoint": "projects/q/runs/r"},
            {"resume_from_checkpoint": "projects/p/runs/none"},
            {"resume_from_checkpoint": "", "resume_weights_only": True},
        ):
            wanted = request("other", **{"resume_from_checkpoint": RUN, "config": settings(max_steps=20), **fields})
            refused.append(await refusal(stub.CreateRun(wanted)))
        listed = await stub.ListRuns(pb.ListRunsRequest(parent="projects/p"))

    code = grpc.StatusCode
    assert refused == [
        *[(code.FAILED_PRECONDITION, "CHECKPOINT_MISMATCH")] * 3,
        (code.NOT_FOUND, "NOT_FOUND"),
        (code.INVALID_ARGUMENT, "INVALID_FIELD"),
        (code.NOT_FOUND, "NOT_FOUND"),
        (code.INVALID_ARGUMENT, "INVALID_FIELD"),
    ]
    assert len(listed.runs) == 1


async def test_a_run_whose_checkpoint_was_deleted_meanwhile_fails_and_says_so(tmp_path: Path) -> None:
    """It waited for another run."""
    async with training(tmp_path) as (stub, _):
        await stub.CreateRun(request(config=settings()))
        await ended(stub)
        await stub.CreateRun(request("long", config=settings(max_steps=10_000)))
        begin = {"resume_from_checkpoint": RUN, "config": settings(max_steps=20)}
        await stub.CreateRun(request("other", **begin))
        await stub.DeleteRun(pb.DeleteRunRequest(name=RUN))
        async with asyncio.timeout(20):
            while any("checkpoint-10" in str(p) for p in (tmp_path / "objects").rglob("*.bin")):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
        await stub.CancelRun(pb.CancelRunRequest(name="projects/p/runs/long"))
        run, _ = await ended(stub, OTHER)

    assert run.work.state == work_pb2.WORK_STATE_FAILED
    assert info(run).reason == "CHECKPOINT_GONE"


def info(run: Any) -> Any:
    """The reason of a run's failure, with its facts."""
    found = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(found) for detail in run.work.error.details)
    return found


@pytest.mark.parametrize(
    ("reason", "told", "metadata"),
    [
        (
            "LOSS_DIVERGED",
            f"The plan says so. Go on from {RUN}/checkpoints/5, the newest from before the loss rose, or begin anew.",
            {"checkpoint": "5"},
        ),
        ("INSUFFICIENT_MEMORY", "The plan says so.", {}),
    ],
)
async def test_a_run_that_diverged_names_the_checkpoint_to_go_on_from(
    tmp_path: Path, reason: str, told: str, metadata: dict[str, str]
) -> None:
    """In its error's remedy, for people and for programs; what failed otherwise has a remedy of its own."""
    async with training(tmp_path, error=9, error_at=7, error_reason=reason) as (stub, _):
        await stub.CreateRun(request())
        run, _ = await ended(stub)

    assert run.work.error.message == told
    assert (info(run).reason, dict(info(run).metadata)) == (reason, metadata)


async def test_a_run_that_is_to_be_evaluated_needs_something_held_out(tmp_path: Path) -> None:
    """Its settings are complete: what early stopping needs is switched on with it."""
    upstream = usual()
    version = upstream.datasets["projects/p/datasets/d"].versions[-1]
    version.eval_examples = version.recall_examples = 0
    wanted = request(config=settings(early_stopping_patience=2))
    async with training(tmp_path, upstream) as (stub, _):
        refused = await refusal(stub.CreateRun(wanted))
        version.recall_examples = 1
        wanted.validate_only = True
        run = await stub.CreateRun(wanted)

    assert refused == (grpc.StatusCode.FAILED_PRECONDITION, "NO_EVAL_EXAMPLES")
    assert (run.config.eval_steps, run.config.load_best_model_at_end) == (5, True)
    assert (run.config.metric_for_best_model, run.config.greater_is_better) == ("eval_loss", False)


def stored(**config: Any) -> dict[str, Any]:
    """A run as stored."""
    fields = dict.fromkeys(("model", "model_revision", "dataset", "dataset_version", "dataset_sha256"), "x")
    return {**fields, "config": complete(config, context_length=0, bf16_available=False), "resources": {"gpus": 1}}


@pytest.mark.parametrize("name", sorted({*complete({}, context_length=0, bf16_available=False)} - FREE - {"lora"}))
def test_every_setting_that_the_steps_depend_on_has_to_be_the_same(name: str) -> None:
    """A setting of the contract that is new is one of these until it is said to be free."""
    old = stored()
    old["config"][name] = "different"

    assert [text.partition(" ")[0] for text in differences(old, stored(), weights_only=False)] == [f"config.{name}"]
    assert bool(differences(old, stored(), weights_only=True)) == (name == "method")


def test_the_shape_of_the_adapter_counts_for_weights_too() -> None:
    """But not what is dropped out of it while training; and a run from before a setting had its default."""
    rank, dropout = stored(lora={"r": 4}), stored(lora={"lora_dropout": 0.5})
    earlier = stored()
    del earlier["config"]["lora"]["use_dora"]
    del earlier["resources"]
    earlier["resources"] = {"gpus": 1}

    assert differences(rank, stored(), weights_only=True) == ["config.lora.r (4, here 8)"]
    assert differences(dropout, stored(), weights_only=True) == []
    assert differences(earlier, stored(), weights_only=False) == []


def test_what_an_old_run_does_not_say_was_the_default() -> None:
    """So a new setting that was chosen otherwise keeps a run from going on, and one that is no longer set, too."""
    earlier = stored()
    for name in ("method", "objective", "use_liger_kernel", "torch_compile"):
        del earlier["config"][name]
    del earlier["config"]["lora"]["use_dora"]
    chosen = stored(lora={"use_dora": True}, neftune_noise_alpha=5)
    chosen["config"]["use_liger_kernel"] = True

    assert differences(earlier, stored(), weights_only=False) == []
    assert sorted(differences(earlier, chosen, weights_only=False)) == [
        "config.lora.use_dora (False, here True)",
        "config.neftune_noise_alpha (unset, here 5.0)",
        "config.use_liger_kernel (False, here True)",
    ]
    assert differences(earlier, chosen, weights_only=True) == ["config.lora.use_dora (False, here True)"]
    assert differences(chosen, stored(neftune_noise_alpha=5), weights_only=False)[-1].startswith("config.lora.use_dora")
    assert differences(stored(neftune_noise_alpha=5), stored(), weights_only=False) == [
        "config.neftune_noise_alpha (5.0, here unset)"
    ]
    assert differences(stored(method="METHOD_FULL"), stored(), weights_only=True) == [
        "config.method (METHOD_FULL, here METHOD_LORA)"
    ]


async def test_a_checkpoint_is_not_kept_for_a_run_that_is_not_made(tmp_path: Path) -> None:
    """Its name is taken; and what is not there is told alone, without a comparison with it."""
    async with training(tmp_path) as (stub, _):
        await stub.CreateRun(request(config=settings()))
        await ended(stub)
        longer = {"resume_from_checkpoint": RUN, "config": settings(max_steps=20)}
        taken = await refusal(stub.CreateRun(request(**longer)))
        source = await stub.GetRun(pb.GetRunRequest(name=RUN))
        wanted = request("other", **longer)
        wanted.run.dataset = "projects/p/datasets/none"
        wanted.validate_only = True
        checked = await stub.CreateRun(wanted)

    assert taken == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS")
    assert [c.pinned for c in source.checkpoints] == [False, False]
    assert [problem.field for problem in checked.check.problems] == ["run.dataset"]
