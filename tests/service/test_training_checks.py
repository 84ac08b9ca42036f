"""What CreateRun finds before a run starts: all of it at once, by the code that the trainer learns by."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from finetuneflow.common.v1 import artifact_pb2, reasons_pb2
from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.training.v1 import check_pb2, config_pb2, run_pb2
from finetuneflow.training.v1 import training_service_pb2 as pb
from services.common.confined.limits import Limits
from services.common.errors import InvalidArgument, NotReady
from services.common.objects.folder import FolderObjects
from services.common.secretfiles import Secrets
from services.training.compose import _installed
from services.training.core import complete
from services.training.core_disk import judge_disk
from services.training.core_problems import Problems, without_faults
from services.training.labels import Labels
from tests.fakes.chat_model import chat_json, lines, stored, tokenizer_json
from tests.fakes.running import refusal
from tests.fakes.tiny_model import CHATML
from tests.fakes.upstream import Upstream, usual
from tests.service.test_training import request, training

ANSWERS = tuple(f"Because of {n}." for n in range(5))
HELD_OUT = lines(*(f"Held out {n}." for n in range(24)), side="SPLIT_EVAL")


@asynccontextmanager
async def ready(
    state: Path, dataset: bytes, template: str = CHATML, upstream: Upstream | None = None
) -> AsyncIterator[Any]:
    """The service with a dataset of these rows and a model with this template."""
    upstream = upstream or usual()
    model = upstream.models["models/m"]
    model.tokenizer.CopyFrom(await stored(state, "models/m/tokenizer.json", tokenizer_json()))
    model.chat.CopyFrom(await stored(state, "models/m/chat.json", chat_json(template)))
    version = upstream.datasets["projects/p/datasets/d"].versions[0]
    version.artifact.CopyFrom(await stored(state, "datasets/d.jsonl", dataset))
    async with training(state, upstream, steps=1) as (stub, _):
        yield stub


async def checked(stub: Any, shown: int | None = None, **fields: Any) -> run_pb2.Run:
    """Return what would come of a request."""
    wanted = request(**fields)
    wanted.validate_only = True
    if shown is not None:
        wanted.preview_examples = shown
    run: run_pb2.Run = await stub.CreateRun(wanted)
    return run


def told(run: run_pb2.Run) -> list[tuple[str, str, bool]]:
    """Reason, field, and whether it forbids the run, of each problem."""
    return [
        (reasons_pb2.Reason.Name(p.reason).removeprefix("REASON_"), p.field, p.severity == p.SEVERITY_REFUSE)
        for p in run.check.problems
    ]


def trained(tokens: Iterable[check_pb2.LabelledToken]) -> str:
    """The text that has a loss."""
    return "".join(token.text for token in tokens if token.trained)


async def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    """Settings, memory, dataset; each with its field and a remedy. The run itself is shown with defaults instead."""
    upstream = usual()
    upstream.fits = False
    async with ready(tmp_path, lines(*ANSWERS), upstream=upstream) as stub:
        settings = config_pb2.TrainingConfig(learning_rate=-1, max_length=4096, optim="best")
        settings.lora.r = 5000
        run = await checked(stub, config=settings)

    assert told(run) == [
        ("INVALID_FIELD", "config.learning_rate", True),
        ("INVALID_FIELD", "config.optim", True),
        ("INVALID_FIELD", "config.lora.r", True),
        ("INVALID_FIELD", "config.max_length", True),
        ("INSUFFICIENT_MEMORY", "config", True),
        ("FEW_EVAL_EXAMPLES", "run.dataset", False),
    ]
    assert all(p.message and p.remedy for p in run.check.problems)
    assert (run.config.learning_rate, run.config.lora.r) == (2e-4, 8)


async def test_what_only_warns_is_told_once_of_a_run_that_is_made(tmp_path: Path) -> None:
    """In the answer that made it, without examples; the run itself does not keep it."""
    async with ready(tmp_path, lines(*ANSWERS)) as stub:
        made = await stub.CreateRun(request())
        later = await stub.GetRun(pb.GetRunRequest(name=made.name))

    assert told(made) == [("FEW_EVAL_EXAMPLES", "run.dataset", False)]
    assert not made.check.labels.examples
    assert not later.HasField("check")


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"loss_type": ["exo_pair", "sft"], "loss_weights": [1, 0.5]}, ["loss_type"]),
    ],
    ids=["exo_pair"],
)
async def test_a_fault_that_a_default_completes_is_told_with_the_setting_that_was_given(
    tmp_path: Path, given: dict[str, Any], fields: list[str]
) -> None:
    """label_smoothing was not given; what else is wrong is told all the same."""
    upstream = usual()
    upstream.fits = False
    upstream.datasets["projects/p/datasets/d"].kind = dataset_pb2.DATASET_KIND_PREFERENCE
    async with ready(tmp_path, b"", upstream=upstream) as stub:
        run = await checked(stub, config=config_pb2.TrainingConfig(**given, weight_decay=7))
    found = [field for reason, field, _ in told(run) if reason == "INVALID_FIELD"]

    assert sorted(found) == sorted(f"config.{name}" for name in (*fields, "weight_decay"))
    assert ("INSUFFICIENT_MEMORY", "config", True) in told(run)


def test_a_fault_that_no_given_setting_explains_is_told_with_the_rest() -> None:
    """Every setting is then the default."""
    problems = Problems()

    def complete_settings(given: dict[str, Any]) -> dict[str, Any]:
        if "seed" in given:
            raise InvalidArgument("Something is wrong. Change it.", field="config.unset")
        return {"seed": 42, **given}

    found = without_faults({"seed": 1, "objective": "OBJECTIVE_KTO"}, complete_settings, problems)

    assert found == {"seed": 42, "objective": "OBJECTIVE_KTO"}
    assert [(refuses, error.field) for refuses, error in problems.found] == [(True, "config.unset")]


def test_a_full_disk_is_not_said_to_depend_on_what_it_does_not() -> None:
    """Checkpoints are as large however often they are made."""
    problems = Problems()
    judge_disk(5e9, 6e9, 10**9, 0, problems)

    assert "save_steps" not in problems.found[0][1].message


@pytest.mark.parametrize(("jobs", "there"), [("local", False), ("kubernetes", True)])
def test_what_an_image_has_is_left_to_its_trainer(jobs: str, there: bool) -> None:
    """On one machine a package that is missing here is missing there."""
    assert _installed(jobs)("no_such_package") is there


async def test_what_does_not_exist_is_told_with_the_rest(tmp_path: Path) -> None:
    """A missing model hides nothing of the dataset, nor of the settings."""
    async with ready(tmp_path, lines(*ANSWERS)) as stub:
        run = await checked(
            stub,
            dataset="projects/p/datasets/new",
            model="models/none",
            config=config_pb2.TrainingConfig(weight_decay=7),
        )

    assert told(run) == [
        ("DATASET_NOT_READY", "run.dataset", True),
        ("NOT_FOUND", "run.model", True),
        ("INVALID_FIELD", "config.weight_decay", True),
    ]


async def test_a_run_is_refused_with_everything_at_once(tmp_path: Path) -> None:
    """The first problem is the error, and BadRequest has each."""
    long = lines(*("word " * 30 for _ in range(3)), question="why " * 30)
    async with ready(tmp_path, long + HELD_OUT) as stub:
        settings = config_pb2.TrainingConfig(learning_rate=-1, max_length=64)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.CreateRun(request(config=settings))
        listed = await stub.ListRuns(pb.ListRunsRequest(parent="projects/p"))
    status = rpc_status.from_call(caught.value)
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    found = [(violation.field, violation.reason) for violation in bad.field_violations]

    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert found == [
        ("config.learning_rate", "INVALID_FIELD"),
        ("config.max_length", "EMPTY_LOSS_MASK"),
        ("config.max_length", "TRUNCATION_EXCEEDED"),
    ]
    assert "Also: None of the 3 training examples" in status.message
    assert list(listed.runs) == []


async def test_truncation_is_allowed_up_to_a_share(tmp_path: Path) -> None:
    """Two of five are cut: more than one in ten, and no more than half."""
    rows = lines("Short.", "Short.", "Short.", "long " * 30, "long " * 30) + HELD_OUT
    async with ready(tmp_path, rows) as stub:
        refused = await refusal(stub.CreateRun(request(config=config_pb2.TrainingConfig(max_length=64))))
        run = await checked(stub, config=config_pb2.TrainingConfig(max_length=64, max_truncated=0.5))
    labels = run.check.labels

    assert refused == (grpc.StatusCode.FAILED_PRECONDITION, "TRUNCATION_EXCEEDED")
    assert told(run) == []
    assert (labels.truncated_examples, labels.truncated_tokens) == (2, 2 * (labels.longest_tokens - 64))
    assert labels.longest_tokens > 150


async def test_examples_without_a_loss_are_told(tmp_path: Path) -> None:
    """They are left out; with others there, that forbids nothing."""
    rows = lines("Short.") + lines("Never reached.", question="why " * 30) + HELD_OUT
    async with ready(tmp_path, rows) as stub:
        run = await checked(stub, config=config_pb2.TrainingConfig(max_length=64, max_truncated=1))

    assert told(run) == [("EXAMPLES_LEFT_OUT", "config.max_length", False)]
    assert run.check.labels.empty_examples == 1


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}{% endfor %}", "NO_CHAT_TEMPLATE"),
        ("{{ raise_exception('Only poems are taken') }}", "CONVERSATION_REFUSED"),
    ],
)
async def test_a_template_that_cannot_serve_is_refused_before_the_run(
    tmp_path: Path, template: str, reason: str
) -> None:
    """One that no known family explains, and one that takes no such conversation."""
    async with ready(tmp_path, lines(*ANSWERS) + HELD_OUT, template) as stub:
        run = await checked(stub)
        refused = await refusal(stub.CreateRun(request()))

    assert told(run) == [(reason, "run.dataset", True)]
    assert refused == (grpc.StatusCode.FAILED_PRECONDITION, reason)


async def test_a_template_that_never_ends_stops_no_run(tmp_path: Path) -> None:
    """The process that tries it is ended, and the trainer finds out for itself."""
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}<|im_start|>"
    labels = Labels(FolderObjects(tmp_path / "objects"), tmp_path, Limits(cpu_seconds=2))
    files = [
        await stored(tmp_path, "d.jsonl", lines(*ANSWERS)),
        await stored(tmp_path, "tokenizer.json", tokenizer_json()),
        await stored(tmp_path, "chat.json", chat_json(endless)),
    ]
    with pytest.raises(NotReady) as caught:
        await labels.look(*files, complete({}, context_length=0, bf16_available=False), 3)

    assert caught.value.reason == "LABELS_UNCHECKED"
    assert "processor time" in caught.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["objects"]


async def test_a_model_recorded_before_its_template_was_kept_still_trains(tmp_path: Path) -> None:
    """Its labels are not looked at, and that is said."""
    upstream = usual()
    async with ready(tmp_path, lines(*ANSWERS) + HELD_OUT, upstream=upstream) as stub:
        upstream.models["models/m"].chat.CopyFrom(artifact_pb2.Artifact())
        run = await checked(stub)
        made = await stub.CreateRun(request())

    assert told(run) == [("LABELS_UNCHECKED", "run.dataset", False)]
    assert made.name == "projects/p/runs/r"


async def test_a_model_that_a_trainer_may_not_reach_is_told(tmp_path: Path) -> None:
    """Hubs are off, and the cache may have it; or no token is given, and of one only the hub knows its access."""
    upstream = usual()
    model = upstream.models["models/m"]
    async with ready(tmp_path, lines(*ANSWERS) + HELD_OUT, upstream=upstream) as stub:
        model.hub_id = "acme/m"
        off = await checked(stub)
        model.hub_id, model.gated = "", True
        without = await checked(stub)
        Secrets(tmp_path / "secrets").put("hub-token", "hf_secret")
        given = await checked(stub)

    assert told(off) == [("HUB_DISABLED", "run.model", False)]
    assert "hub.allow of the chart" in str(off.check.problems[0])
    assert told(without) == [("MODEL_GATED", "run.model", False)]
    assert told(given) == []


async def test_a_name_that_is_taken_is_told(tmp_path: Path) -> None:
    """With validate_only too."""
    async with ready(tmp_path, lines(*ANSWERS) + HELD_OUT) as stub:
        await stub.CreateRun(request())
        run = await checked(stub)
        bad = request()
        bad.validate_only, bad.preview_examples = True, 21
        refused = await refusal(stub.CreateRun(bad))

    assert told(run) == [("ALREADY_EXISTS", "run_id", True)]
    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
