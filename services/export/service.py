"""The one place where exports change."""

from __future__ import annotations

import json
from collections.abc import Mapping

from google.protobuf.json_format import MessageToDict

from finetuneflow.export.v1 import export_pb2
from finetuneflow.training.v1 import config_pb2, run_pb2
from services.common import ids
from services.common.documents.port import Document
from services.common.errors import InvalidArgument, NotFound, NotReady
from services.common.jobwork.basemodels import base_fields, base_of
from services.common.jobwork.state import new_job_fields
from services.common.objects.port import Objects
from services.common.optionalpart import PARTS
from services.common.protoform import artifact_to_document, artifact_to_proto, user_fields
from services.common.resources import Resources
from services.common.weightfiles import adapter_files, model_files
from services.common.work import cancel, queued
from services.export import core
from services.export.forms import check_form, quantization_of, require_fit
from services.export.ports import Datasets, Documents, Models, Runs

EXPORT = "projects/*/exports/*"
_SUCCEEDED = "WORK_STATE_SUCCEEDED"


class Exports:
    """Exports: made, listed, cancelled, deleted. Their Jobs are the reconciler's."""

    def __init__(
        self,
        exports: Resources,
        objects: Objects,
        runs: Runs,
        models: Models,
        datasets: Datasets,
        documents: Documents,
        has_gguf: bool,
        has_parts: Mapping[export_pb2.Format.ValueType, bool],
    ) -> None:
        self.exports = exports
        self._objects = objects
        self._runs = runs
        self._models = models
        self._datasets = datasets
        self._documents = documents
        self._has_gguf = has_gguf
        self._has_parts = has_parts

    async def create(
        self, parent: str, wanted: export_pb2.Export, export_id: str, request_id: str, creator: str
    ) -> Document:
        """Queue an export.

        Raises:
            NotFound: the run does not exist.
            AlreadyExists: export_id is taken.
            InvalidArgument: no format, something that does not go with it, or the request_id was used for another
                export.
            NotReady: RUN_NOT_SUCCEEDED, NO_ADAPTER, GGUF_UNSUPPORTED, GGUF_PART_MISSING, PACKAGE_MISSING,
                ARCHITECTURE_UNKNOWN, FORGOT.
        """
        (project,) = ids.parse_name(parent, "projects/*", "parent")
        ids.parse_name(wanted.run, "projects/*/runs/*", "export.run")
        if not wanted.run.startswith(parent + "/"):
            raise InvalidArgument(f"{wanted.run} is not of {parent}. Use one of its runs.", field="export.run")
        check_form(wanted)
        name = f"{parent}/exports/{_export_id(export_id, request_id, project)}"
        body = wanted.SerializeToString(deterministic=True)
        if await self.exports.made(name, request_id):
            return await self.exports.create(name, {}, request_id=request_id, body=body)
        if part := PARTS.get(wanted.format):
            part.require(self._has_parts[wanted.format], "export.format")
        fields = {**user_fields(wanted.display_name, wanted.meta, "export"), **await self._fields(wanted)}
        return await self.exports.create(
            name, {**fields, "parent": parent}, request_id=request_id, body=body, creator=creator
        )

    async def _fields(self, wanted: export_pb2.Export) -> Document:
        run = await self._runs.get(wanted.run)
        whole = run.config.method == config_pb2.METHOD_FULL
        if whole and wanted.format == export_pb2.FORMAT_ADAPTER:
            raise NotReady(
                f"{wanted.run} trained every weight, so it has no adapter. Export it as merged.",
                reason="NO_ADAPTER",
                field="export.format",
            )
        artifacts = [artifact_to_document(a) for a in run.artifacts]
        files = model_files(artifacts) if whole else adapter_files(artifacts)
        if _state(run) != _SUCCEEDED or not files:
            raise NotReady(
                f"{wanted.run} has not succeeded, so it has nothing to export. Wait for it, or train again.",
                reason="RUN_NOT_SUCCEEDED",
                field="export.run",
            )
        _check_forgetting(run, wanted.accept_forgetting)
        model = await self._models.get(run.model)
        require_fit(wanted.format, model.architecture, self._has_gguf)
        quantization = wanted.quantization
        if wanted.format == export_pb2.FORMAT_GGUF:
            quantization = quantization or export_pb2.QUANTIZATION_Q8_0
        return {
            **new_job_fields(),
            "work": queued(self.exports.clock.now()),
            "run": wanted.run,
            "accept_forgetting": wanted.accept_forgetting,
            "format": export_pb2.Format.Name(wanted.format),
            "quantization": export_pb2.Quantization.Name(quantization),
            "max_shard_bytes": wanted.max_shard_bytes,
            "adapter_files": files,
            **base_fields(model),
            "model_revision": run.model_revision,
            "license": model.license,
            **await self._origin(run),
            "run_record": MessageToDict(
                run, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            ),
        }

    async def _origin(self, run: run_pb2.Run) -> Document:
        files, complete = await self._datasets.documents(run.dataset)
        # The documents of what it began from are not known here, unless that was the same version.
        complete = complete and (
            not run.resume_from_checkpoint or {*run.earlier_dataset_sha256s} == {run.dataset_sha256}
        )
        hashes = {name: sha256 for name, sha256 in files.items() if sha256}
        known = await self._documents.known([name for name in files if name not in hashes])
        return {
            "documents": list(files),
            "documents_complete": complete,
            "document_hashes": hashes | {name: sha256 for name, (sha256, _) in known.items()},
            "document_titles": {name: title for name, (_, title) in known.items()},
        }

    async def finished(self, name: str) -> Document:
        """Return an export that has succeeded. Raises NotFound; NotReady (EXPORT_NOT_READY)."""
        doc = await self.exports.get(name)
        if doc["work"]["state"] != "SUCCEEDED":
            raise NotReady(
                f"{name} has not succeeded, so nothing can be signed about it. Wait for it, or export again.",
                reason="EXPORT_NOT_READY",
            )
        return doc

    async def cancel(self, name: str) -> Document:
        """Ask an export to end; one that has ended is returned as it is."""
        return await self.exports.change(name, lambda d: cancel(d["work"], self.exports.clock.now()))

    async def delete(self, name: str, etag: str) -> None:
        """Delete an export; its Job is stopped and its objects are removed."""
        await self.exports.delete(name, etag=etag, event="export.deleted")

    async def delete_project(self, project: str) -> None:
        """Delete every export of a project that was deleted. Repeating it does nothing."""
        while docs := await self.exports.collection.find({"parent": project, "delete_time": None}, limit=100):
            for doc in docs:
                try:
                    await self.exports.delete(doc["_id"], event="export.deleted")
                except NotFound:
                    continue

    async def spec(self, doc: Document) -> export_pb2.ExportSpec:
        """Return what the trainer of an export is asked to do."""
        return export_pb2.ExportSpec(
            export=doc["_id"],
            format=export_pb2.Format.Value(doc["format"]),
            quantization=quantization_of(doc),
            max_shard_bytes=doc.get("max_shard_bytes", 0),
            model_location=doc["model_location"],
            **await base_of(doc, self._objects),
            model_revision=doc["model_revision"],
            adapter_files=[artifact_to_proto(f) for f in doc["adapter_files"]],
            adapter_urls=[await self._objects.grant(f["key"], "read") for f in doc["adapter_files"]],
            manifest_json=json.dumps(core.manifest(doc), sort_keys=True),
        )


def _check_forgetting(run: run_pb2.Run, accepted: bool) -> None:
    found = run.result.evaluation.forgetting
    if accepted or found.passed or not found.score.examples:
        return
    rise = found.score.tuned_loss - found.score.base_loss
    raise NotReady(
        f"{run.name} forgot too much: the loss on general questions rose by {rise:.3f} nats per token, "
        f"{found.max_loss_increase:g} is allowed. Train less, or accept it: `--accept-forgetting` "
        "of `ftf export` and `ftf run`.",
        reason="FORGOT",
        field="export.accept_forgetting",
    )


def _state(run: run_pb2.Run) -> str:
    return str(MessageToDict(run.work).get("state", ""))


def _export_id(export_id: str, request_id: str, project: str) -> str:
    if export_id:
        return ids.check_id(export_id, "export_id")
    return ids.derived_id("export", project, request_id) if request_id else ids.new_id("export")
