"""Puts the export service together."""

from __future__ import annotations

import importlib.util

from finetuneflow.common.v1 import event_pb2
from finetuneflow.export.v1 import export_pb2, export_service_pb2_grpc
from services.common.callers import own_key
from services.common.jobs.port import Resources as Wanted
from services.common.jobwork import reports as report_store
from services.common.jobwork.host import Host, Kind
from services.common.jobwork.orphans import find_orphans
from services.common.jobwork.packing import INDEXES as PACKING
from services.common.jobwork.packing import PACK_SECONDS, Packing
from services.common.jobwork.reconciler import Reconciler
from services.common.jobwork.reports import ReportStore
from services.common.optionalpart import PARTS
from services.common.outbox import Outbox
from services.common.resources import INDEXES, Resources
from services.common.runtime import Runtime, Service
from services.export.api import ExportApi
from services.export.attestation import Attester
from services.export.peers import GrpcDatasets, GrpcDocuments, GrpcModels, GrpcRuns
from services.export.service import EXPORT, Exports


def compose(runtime: Runtime) -> Service:
    """Return the export service on what it is given."""
    clock, objects, jobs, bus = runtime.clock, runtime.objects, runtime.jobs, runtime.bus
    resources = Resources(runtime.documents.collection("exports", (*INDEXES, *PACKING)), "export", clock)
    reports = ReportStore(runtime.documents.collection("reports", report_store.INDEXES), objects)
    has_gguf, has_parts = _has_gguf(runtime), _has_parts(runtime)
    exports = Exports(resources, objects, *_peers(runtime), has_gguf, has_parts)
    kind = Kind(
        name="export",
        pattern=EXPORT,
        args=("export",),
        ended_event="",
        ready_event="export.ready",
        result=export_pb2.ExportResult,
        spec=exports.spec,
        keep=lambda doc: 1,
        resources=lambda doc: Wanted(gpus=0),
    )
    reconciler = Reconciler(
        kind, resources, reports, objects, jobs, runtime.signer, runtime.address, runtime.config.sweep_seconds
    )
    packing = Packing(kind, resources, reports, objects, PACK_SECONDS)
    attester = Attester(own_key(runtime.config, runtime.secrets))
    api = ExportApi(exports, objects, attester, lambda: find_orphans(kind, resources, jobs))

    async def project_deleted(data: bytes) -> None:
        await exports.delete_project(event_pb2.Event.FromString(data).resource)

    return Service(
        name="export",
        register=lambda server: export_service_pb2_grpc.add_ExportServiceServicer_to_server(api, server),
        full_names=["finetuneflow.export.v1.ExportService"],
        tasks=[
            reconciler.run,
            packing.run,
            Outbox(resources, bus, reconciler.purge).run,
            lambda: bus.consume("export-project-deleted", ["ftf.events.project.deleted"], project_deleted),
        ],
        capabilities=_capabilities(GGUF=has_gguf, **{PARTS[form].name: is_here for form, is_here in has_parts.items()}),
        worker_host=Host(kind, resources, reports, objects, bus, runtime.signer),
        shutdown=reconciler.drain,
    )


def _has_gguf(runtime: Runtime) -> bool:
    """Whether trainers have llama.cpp: on this machine in this program's own environment; a cluster's image has it."""
    return runtime.config.jobs != "local" or importlib.util.find_spec("xllamacpp") is not None


def _has_parts(runtime: Runtime) -> dict[export_pb2.Format.ValueType, bool]:
    """Whether trainers have what makes some forms: the image as it is shipped has none, and settings name another's."""
    config = runtime.config
    told = {export_pb2.FORMAT_AWQ: config.awq, export_pb2.FORMAT_ONNX: config.onnx}
    return {form: part.is_here() if config.jobs == "local" else told[form] for form, part in PARTS.items()}


def _capabilities(**more: bool) -> list[str]:
    """The formats that are made here: two always, and those for which there is what makes them."""
    return [f"export:{name}" for name in ("ADAPTER", "MERGED", *(name for name, is_here in more.items() if is_here))]


def _peers(runtime: Runtime) -> tuple[GrpcRuns, GrpcModels, GrpcDatasets, GrpcDocuments]:
    peers = runtime.peers
    return GrpcRuns(peers), GrpcModels(peers), GrpcDatasets(peers), GrpcDocuments(peers)
