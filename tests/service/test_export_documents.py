"""The documents in an export's signed chain, over real gRPC."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.export.v1 import export_service_pb2 as pb
from finetuneflow.ingest.v1 import file_pb2, ingest_service_pb2_grpc
from finetuneflow_client.attestation import chain
from services.common.errors import NotFound
from services.common.runtime import Runtime, Service
from services.export.attestation import statement
from services.export.core import form_of
from services.export.peers import GrpcDatasets
from tests.service.test_export import EXPORT, ended, exporting, request

FILES = [f"projects/p/files/f{place}" for place in range(40)]


class Ingest(ingest_service_pb2_grpc.IngestServiceServicer):
    """Files whose hash is their name; the last one was deleted."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def GetFile(self, request: Any, context: Any) -> file_pb2.File:
        """Return a file after a while, and count how many are asked for at a time."""
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.05)
        self.now -= 1
        if request.name == FILES[-1]:
            raise NotFound(f"{request.name} does not exist.")
        content = artifact_pb2.Artifact(sha256=request.name)
        return file_pb2.File(name=request.name, display_name="handbook.pdf", content=content)

    def compose(self, runtime: Runtime) -> Service:
        """Return the service."""
        return Service(
            name="ingest",
            register=lambda server: ingest_service_pb2_grpc.add_IngestServiceServicer_to_server(self, server),
        )


async def test_the_hashes_of_documents_are_asked_for_a_few_at_a_time(tmp_path: Path) -> None:
    """Sixteen at most; a document that is gone has no hash, and `ftf verify` says so."""
    ingest = Ingest()
    async with exporting(tmp_path, files=FILES, more={"ingest": ingest.compose}, steps=1) as stub:
        await stub.CreateExport(request())
        await ended(stub)
        signed = await stub.GetAttestation(pb.GetAttestationRequest(name=EXPORT))
    found = json.loads(base64.b64decode(json.loads(signed.envelope)["payload"]))

    assert 1 < ingest.most <= 16
    assert [d["name"] for d in found["predicate"]["documents"]] == FILES
    assert [d["sha256"] for d in found["predicate"]["documents"]] == [*FILES[:-1], ""]
    assert found["predicate"]["documents_complete"]
    assert chain(found)[-1] == ("document", f"{FILES[-1]}  deleted; hash not known")
    assert chain(found)[4] == ("document", f"handbook.pdf ({FILES[0]})  {FILES[0]}")


async def test_documents_are_not_complete_of_a_run_that_began_from_another(tmp_path: Path) -> None:
    """Its weights learned from the other's documents, which are not named; what is recorded of it stays readable."""
    async with exporting(tmp_path, files=FILES[:1], more={"ingest": Ingest().compose}, steps=1) as stub:
        await stub.CreateExport(request("begun"))
        await ended(stub)
        signed = await stub.GetAttestation(pb.GetAttestationRequest(name=EXPORT))
        export = await stub.GetExport(pb.GetExportRequest(name=EXPORT))
        listed = (await stub.ListExports(pb.ListExportsRequest(parent="projects/p"))).exports[0]
    found = json.loads(base64.b64decode(json.loads(signed.envelope)["payload"]))

    assert found["predicate"]["documents_complete"] is False
    assert list(export.origin.earlier_dataset_sha256s) == list(listed.origin.earlier_dataset_sha256s) == ["cd" * 32]
    assert [(d.name, d.sha256, d.display_name) for d in export.origin.documents] == [
        (FILES[0], FILES[0], "handbook.pdf")
    ]
    assert not listed.origin.documents


class Stub:
    """A dataset service that knows one dataset."""

    def __init__(self, dataset: dataset_pb2.Dataset | None) -> None:
        self._dataset = dataset

    async def GetDataset(self, request: Any) -> dataset_pb2.Dataset:
        """Return it."""
        if self._dataset is None:
            raise NotFound("It does not exist.")
        return self._dataset


@pytest.mark.parametrize(
    ("dataset", "known"),
    [
        (dataset_pb2.Dataset(spec=dataset_pb2.DatasetSpec(files=["a"])), ({"a": ""}, True)),
        (dataset_pb2.Dataset(spec=dataset_pb2.DatasetSpec(files=["a"]), forgotten_files=["b"]), ({"a": ""}, False)),
        (
            dataset_pb2.Dataset(imported=dataset_pb2.ImportedFile(filename="qa.csv", sha256="35" * 32)),
            ({"qa.csv": "35" * 32}, True),
        ),
        (None, ({}, False)),
    ],
)
async def test_documents_are_complete_only_of_a_dataset_that_forgot_none(
    monkeypatch: pytest.MonkeyPatch, dataset: dataset_pb2.Dataset | None, known: tuple[dict[str, str], bool]
) -> None:
    """The weights learnt from what was forgotten since, too."""
    datasets = GrpcDatasets.__new__(GrpcDatasets)
    monkeypatch.setattr(datasets, "_stub", Stub(dataset), raising=False)

    assert await datasets.documents("projects/p/datasets/d") == known


def test_a_chain_that_may_lack_documents_says_so() -> None:
    """Signed, and shown by `ftf verify`; the form is told in the words of the manifest."""
    run = {
        "name": "r",
        "dataset": "d",
        "dataset_version": 1,
        "dataset_sha256": "",
        "model": "models/m",
        "model_revision": "",
    }
    export = {
        "_id": EXPORT,
        "format": "FORMAT_GGUF",
        "quantization": "QUANTIZATION_Q8_0",
        "run_record": run,
        "documents": [],
        "documents_complete": False,
        "artifacts": [],
        "adapter_files": [],
        "result": None,
    }
    made = statement(export)
    before = statement({**export, "documents": ["f"], "document_hashes": {"f": "35"}})["predicate"]["documents"]

    assert made["predicate"]["format"] == form_of(export) == "gguf Q8_0"
    assert made["predicate"]["documents_complete"] is False
    assert before == [{"name": "f", "sha256": "35"}]  # signed so before file names were kept
    assert chain(made)[-1][1].startswith("there may have been more")
