"""The export service over real gRPC, with real child processes that speak the worker contract."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from finetuneflow.common.v1 import artifact_pb2, work_pb2
from finetuneflow.export.v1 import export_pb2, export_service_pb2_grpc
from finetuneflow.export.v1 import export_service_pb2 as pb
from finetuneflow.training.v1 import config_pb2, run_pb2, training_service_pb2_grpc
from services.common.errors import NotFound
from services.common.optionalpart import OptionalPart
from services.common.runtime import Compose, Runtime, Service
from services.export.compose import compose
from tests.fakes.running import refusal, serving
from tests.fakes.upstream import usual
from tests.service.test_training import fake_jobs

EXPORT = "projects/p/exports/x"


class Runs(training_service_pb2_grpc.TrainingServiceServicer):
    """Runs that succeeded (one forgot too much, one began from another, one trained all weights); one that failed."""

    async def GetRun(self, request: Any, context: Any) -> run_pb2.Run:
        """Return one of them."""
        run = run_pb2.Run(name=request.name, model="models/m", dataset="projects/p/datasets/d", dataset_version=1)
        if request.name.removeprefix("projects/p/runs/") in ("done", "forgetful", "begun"):
            run.work.state = work_pb2.WORK_STATE_SUCCEEDED
            if request.name == "projects/p/runs/begun":
                run.resume_from_checkpoint = "projects/p/runs/done/checkpoints/2"
                run.earlier_dataset_sha256s.append("cd" * 32)
            if request.name == "projects/p/runs/forgetful":
                found = run.result.evaluation.forgetting
                found.max_loss_increase, found.score.examples = 0.5, 32
                found.score.base_loss, found.score.tuned_loss = 1.0, 3.0
            for name in ("adapter/adapter_config.json", "adapter/adapter_model.safetensors", "report.md"):
                run.artifacts.append(artifact_pb2.Artifact(filename=name, key=f"runs/u/{name}", sha256="ab" * 32))
        elif request.name == "projects/p/runs/full":
            run.work.state = work_pb2.WORK_STATE_SUCCEEDED
            run.config.method = config_pb2.METHOD_FULL
            for name in ("config.json", "model-00001-of-00002.safetensors", "tokenizer.json", "report.md"):
                run.artifacts.append(artifact_pb2.Artifact(filename=name, key=f"runs/u/{name}", sha256="ab" * 32))
        elif request.name != "projects/p/runs/failed":
            raise NotFound(f"run {request.name} does not exist.")
        return run


def _training(runtime: Runtime) -> Service:
    return Service(
        name="training",
        register=lambda server: training_service_pb2_grpc.add_TrainingServiceServicer_to_server(Runs(), server),
    )


@asynccontextmanager
async def exporting(
    state: Path,
    architecture: str = "",
    files: Sequence[str] = (),
    more: Mapping[str, Compose] | None = None,
    models: bool = True,
    **plan: Any,
) -> AsyncIterator[Any]:
    upstream = usual()
    upstream.models["models/m"].architecture = architecture
    if not models:
        upstream.models.clear()
    upstream.datasets["projects/p/datasets/d"].spec.files.extend(files)
    composes = {"export": compose, "training": _training, **upstream.composes(), **(more or {})}
    async with serving(state, composes, jobs=fake_jobs(state, **plan)) as served, served.channel() as channel:
        yield export_service_pb2_grpc.ExportServiceStub(channel)


def request(run: str = "done", form: str = "FORMAT_MERGED") -> pb.CreateExportRequest:
    export = export_pb2.Export(run=f"projects/p/runs/{run}", format=export_pb2.Format.Value(form))
    return pb.CreateExportRequest(parent="projects/p", export=export, export_id="x")


async def ended(stub: Any) -> export_pb2.Export:
    async with asyncio.timeout(30):
        async for update in stub.WatchExport(pb.WatchExportRequest(name=EXPORT)):
            export = update.export
    return export


async def download(stub: Any, filename: str, offset: int = 0) -> bytes:
    wanted = pb.DownloadExportArtifactRequest(name=EXPORT, filename=filename, offset=offset)
    return b"".join([part.data async for part in stub.DownloadExportArtifact(wanted)])


async def test_an_export_is_made_by_a_job_and_can_be_downloaded_from_any_byte(tmp_path: Path) -> None:
    """The bytes are those whose hash the export names."""
    async with exporting(tmp_path, steps=1) as stub:
        await stub.CreateExport(request())
        export = await ended(stub)
        whole = await download(stub, "manifest.json")
        rest = await download(stub, "manifest.json", offset=100)
        beyond = await refusal(
            stub.DownloadExportArtifact(
                pb.DownloadExportArtifactRequest(name=EXPORT, filename="manifest.json", offset=10**9)
            )
        )
        missing = await refusal(
            stub.DownloadExportArtifact(pb.DownloadExportArtifactRequest(name=EXPORT, filename="none"))
        )

    assert export.work.state == work_pb2.WORK_STATE_SUCCEEDED
    assert hashlib.sha256(whole).hexdigest() == export.artifacts[0].sha256
    assert rest == whole[100:]
    assert beyond[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert missing[0] == grpc.StatusCode.NOT_FOUND


async def test_only_a_run_that_succeeded_can_be_exported(tmp_path: Path) -> None:
    """Nothing is recorded of a refused export."""
    async with exporting(tmp_path, steps=1) as stub:
        refused = [
            await refusal(stub.CreateExport(request("failed"))),
            await refusal(stub.CreateExport(request("none"))),
            await refusal(stub.CreateExport(request(form="FORMAT_UNSPECIFIED"))),
        ]
        listed = await stub.ListExports(pb.ListExportsRequest(parent="projects/p"))

    assert [r[1] for r in refused] == ["RUN_NOT_SUCCEEDED", "NOT_FOUND", "INVALID_FIELD"]
    assert list(listed.exports) == []


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"format": export_pb2.FORMAT_MERGED, "quantization": export_pb2.QUANTIZATION_Q8_0}, "INVALID_FIELD"),
        ({"format": export_pb2.FORMAT_GGUF, "max_shard_bytes": 10**9}, "INVALID_FIELD"),
        ({"format": export_pb2.FORMAT_MERGED, "max_shard_bytes": 10}, "INVALID_FIELD"),
        ({"format": export_pb2.FORMAT_GGUF}, "GGUF_UNSUPPORTED"),
        ({"format": export_pb2.FORMAT_AWQ}, "ARCHITECTURE_UNKNOWN"),
        ({"format": export_pb2.FORMAT_ONNX}, "ARCHITECTURE_UNKNOWN"),
    ],
)
async def test_what_does_not_go_together_is_refused_before_a_job_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], reason: str
) -> None:
    """A quantisation is GGUF's, a size of files is the merged form's; not every architecture has every form."""
    monkeypatch.setattr(OptionalPart, "is_here", lambda part: True)
    async with exporting(tmp_path, steps=1, architecture="BloomForCausalLM") as stub:
        wanted = export_pb2.Export(run="projects/p/runs/done", **asked)
        refused = await refusal(stub.CreateExport(pb.CreateExportRequest(parent="projects/p", export=wanted)))

    assert refused[1] == reason


@pytest.mark.parametrize("form", ["awq", "onnx"])
async def test_a_cluster_makes_some_forms_only_where_it_is_said_that_its_image_can(tmp_path: Path, form: str) -> None:
    """What this program's own environment has says nothing about it, nor what is said of another form."""
    other = {"awq": "onnx", "onnx": "awq"}[form]
    found = []
    for has in (False, True):

        def in_a_cluster(runtime: Runtime, has: bool = has) -> Service:
            return compose(
                replace(runtime, config=replace(runtime.config, jobs="kubernetes", **{form: has, other: True}))
            )

        more = {"export": in_a_cluster}
        async with exporting(tmp_path, "BloomForCausalLM", more=more, steps=1) as stub:
            found.append((await refusal(stub.CreateExport(request(form=f"FORMAT_{form.upper()}"))))[1])

    assert found == ["PACKAGE_MISSING", "ARCHITECTURE_UNKNOWN"]


async def test_a_gguf_export_without_a_quantisation_is_q8_0(tmp_path: Path) -> None:
    """The export says so from the first answer on."""
    async with exporting(tmp_path, steps=1, architecture="LlamaForCausalLM") as stub:
        export = await stub.CreateExport(request(form="FORMAT_GGUF"))

    assert export.quantization == export_pb2.QUANTIZATION_Q8_0


async def test_a_job_that_always_crashes_fails_the_export(tmp_path: Path) -> None:
    """Nothing is offered that was not finished."""
    async with exporting(tmp_path, always_crash=True) as stub:
        await stub.CreateExport(request())
        export = await ended(stub)

    assert export.work.state == work_pb2.WORK_STATE_FAILED
    assert list(export.artifacts) == []


def test_the_manifest_names_data_model_and_settings() -> None:
    """From a weight file back to what it was made of."""
    from services.common.weightfiles import adapter_files
    from services.export.core import manifest

    run = {
        "name": "projects/p/runs/r",
        "dataset": "projects/p/datasets/d",
        "dataset_version": 3,
        "dataset_sha256": "ab",
        "model": "models/m",
        "model_revision": "r1",
        "config": {"method": "METHOD_LORA"},
    }
    made = manifest(
        {
            "_id": "projects/p/exports/x",
            "format": "FORMAT_MERGED",
            "run_record": run,
            "documents": ["projects/p/files/f"],
        }
    )

    assert json.dumps(made)
    assert made["documents"] == ["projects/p/files/f"]
    assert (made["dataset"]["version"], made["model"]["revision"], made["format"]) == (3, "r1", "merged")
    assert adapter_files([{"filename": "a/adapter_config.json"}, {"filename": "report.md"}]) == [
        {"filename": "a/adapter_config.json"}
    ]


async def test_an_export_has_no_orphans_and_asks_for_no_gpu(tmp_path: Path) -> None:
    """Its Job is its own, at work and afterwards."""
    async with exporting(tmp_path, steps=30, step_seconds=0.05) as stub:
        await stub.CreateExport(request())
        async with asyncio.timeout(10):
            while not (specs := list((tmp_path / "jobs" / "jobs").glob("*/spec.json"))):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.02)
        seen = json.loads(specs[0].read_text())["env"]["CUDA_VISIBLE_DEVICES"]
        at_work = await stub.ListOrphans(pb.ListOrphansRequest())
        await ended(stub)
        afterwards = await stub.ListOrphans(pb.ListOrphansRequest())

    assert list(at_work.orphans) == list(afterwards.orphans) == []
    assert seen == ""


async def test_a_run_of_every_weight_is_exported_whole(tmp_path: Path) -> None:
    """It has no adapter; the refusal says what to ask for instead."""
    async with exporting(tmp_path, steps=1) as stub:
        refused = await refusal(stub.CreateExport(request("full", "FORMAT_ADAPTER")))
        made = await stub.CreateExport(request("full"))

    assert refused[1] == "NO_ADAPTER"
    assert made.run == "projects/p/runs/full"


async def test_a_run_that_forgot_too_much_is_exported_only_by_somebody_who_accepts_it(tmp_path: Path) -> None:
    """The refusal says by how much, and how to go on."""
    async with exporting(tmp_path) as stub:
        wanted = export_pb2.Export(run="projects/p/runs/forgetful", format=export_pb2.FORMAT_ADAPTER)
        request = pb.CreateExportRequest(parent="projects/p", export=wanted, export_id="x")
        refused = await refusal(stub.CreateExport(request))
        request.export.accept_forgetting = True
        made = await stub.CreateExport(request)

    assert refused == (grpc.StatusCode.FAILED_PRECONDITION, "FORGOT")
    assert made.accept_forgetting


@pytest.mark.parametrize("form", ["FORMAT_ADAPTER", "FORMAT_MERGED", "FORMAT_GGUF"])
async def test_without_its_base_model_a_run_is_not_exported(tmp_path: Path, form: str) -> None:
    """In no form: each is tried on the base model; `ftf model delete` says so before."""
    async with exporting(tmp_path, models=False) as stub:
        code, _ = await refusal(stub.CreateExport(request(form=form)))

    assert code == grpc.StatusCode.NOT_FOUND
