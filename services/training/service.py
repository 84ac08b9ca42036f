"""The one place where runs change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.hardware.v1 import model_pb2
from finetuneflow.training.v1 import config_pb2, resources_pb2, run_pb2
from services.common import ids
from services.common.documents.port import Document
from services.common.errors import InvalidArgument, NotFound, NotReady
from services.common.jobs.port import Resources as Wanted
from services.common.jobs.port import check_gpus
from services.common.jobwork import state
from services.common.jobwork.basemodels import base_fields, base_of
from services.common.objects.port import Objects
from services.common.protoform import user_fields
from services.common.resources import Resources, add_event
from services.common.work import cancel, ended, queued
from services.training.core import complete
from services.training.core_during import evaluates
from services.training.core_objectives import objective_for
from services.training.core_resources import check_priority, checked
from services.training.estimating import Estimating, estimate_of
from services.training.ports import Datasets, Hardware
from services.training.start import find_start, keep_start

RUN = "projects/*/runs/*"
DATASET = "projects/*/datasets/*"


class Training:
    """Runs: made, listed, cancelled, deleted. Their Jobs are the reconciler's.

    Args:
        check: refuses resources that no Job here can have; see JobRunner.check.
        check_trackers: refuses trackers that no trainer here can report to; see trackers.require.
        installed: whether a package that the trainer does not bring is there all the same.
    """

    def __init__(
        self,
        runs: Resources,
        objects: Objects,
        datasets: Datasets,
        hardware: Hardware,
        estimating: Estimating,
        check: Callable[[Wanted], None],
        check_trackers: Callable[[Sequence[str]], None],
        installed: Callable[[str], bool],
    ) -> None:
        self.runs = runs
        self._objects = objects
        self._datasets = datasets
        self._hardware = hardware
        self._estimating = estimating
        self._check = check
        self._check_trackers = check_trackers
        self._installed = installed

    async def create(
        self, parent: str, wanted: run_pb2.Run, run_id: str, request_id: str, validate_only: bool, creator: str
    ) -> Document:
        """Check everything and queue a run; with validate_only return it as it would be and keep nothing.

        Raises:
            NotFound: the dataset, the model or the checkpoint does not exist.
            AlreadyExists: run_id is taken.
            InvalidArgument: a setting is out of range, resources are not to be had here, or the request_id was used
                for another run.
            NotReady: DATASET_NOT_READY, DATASET_KIND_NOT_TRAINABLE, NOT_APPROVED_ONLY, VERSION_ERASED,
                NO_CHAT_TEMPLATE, NO_EVAL_EXAMPLES, CHECKPOINT_MISMATCH or INSUFFICIENT_MEMORY.
        """
        (project,) = ids.parse_name(parent, "projects/*", "parent")
        name = f"{parent}/runs/{_run_id(run_id, request_id, project)}"
        body = wanted.SerializeToString(deterministic=True)
        # A repeated request is answered from what it made, whatever has changed since.
        if not validate_only and await self.runs.made(name, request_id):
            return await self.runs.create(name, {}, request_id=request_id, body=body)
        fields = await self._fields(parent, wanted)
        if validate_only:
            now = self.runs.clock.now()
            empty = {"uid": "", "creator": creator, "create_time": now, "update_time": now, "etag": ""}
            return {"_id": name, **empty, **fields}
        if fields["start"]:
            await keep_start(self.runs, fields["start"])
        return await self.runs.create(name, fields, request_id=request_id, body=body, creator=creator)

    async def _fields(self, parent: str, wanted: run_pb2.Run) -> Document:
        ids.parse_name(wanted.dataset, DATASET, "run.dataset")
        ids.parse_name(wanted.model, "models/*", "run.model")
        if not wanted.dataset.startswith(parent + "/"):
            raise InvalidArgument(f"{wanted.dataset} is not of {parent}. Use one of its datasets.", field="run.dataset")
        asked = checked(MessageToDict(wanted.resources, preserving_proto_field_name=True))
        self._check(asked)
        dataset = await self._datasets.get(wanted.dataset)
        given = MessageToDict(wanted.config, preserving_proto_field_name=True)
        given["objective"] = objective_for(given, _kind(dataset), dataset.name)
        version = _version(dataset, wanted.dataset_version, wanted.only_approved)
        model = await self._hardware.model(wanted.model)
        _require_template(model)
        settings = await self._settings(given, model, asked)
        _require_held_out(dataset.name, version, settings)
        estimate = await self._expect(wanted, settings, asked, version)
        fields = {
            **user_fields(wanted.display_name, wanted.meta, "run"),
            **state.new_job_fields(),
            "parent": parent,
            "work": queued(self.runs.clock.now()),
            "dataset": wanted.dataset,
            "dataset_version": version.version,
            "only_approved": wanted.only_approved,
            "dataset_sha256": version.artifact.sha256,
            "dataset_key": version.artifact.key,
            "dataset_counts": [MessageToDict(count, preserving_proto_field_name=True) for count in dataset.counts],
            **_of_model(model),
            "config": settings,
            "resources": asdict(asked),
            "price_per_hour": wanted.price_per_hour,
            "estimate": estimate,
        }
        start = await find_start(self.runs, parent, wanted, fields)
        return {**fields, "start": start, "priority": check_priority(wanted.priority)}

    async def _settings(self, given: dict[str, Any], model: model_pb2.Model, asked: Wanted) -> dict[str, Any]:
        gpus = await self._hardware.gpus(asked.gpu_product)
        check_gpus(asked.gpus, gpus.most)
        settings = complete(
            given,
            context_length=model.context_length,
            bf16_available=asked.gpus != 0 and gpus.bf16,
            gpu=asked.gpus != 0 and gpus.most != 0,
            installed=self._installed,
        )
        self._check_trackers(settings.get("report_to", []))
        return settings

    async def _expect(
        self, wanted: run_pb2.Run, settings: dict[str, Any], asked: Wanted, version: dataset_pb2.DatasetVersion
    ) -> Document | None:
        config, resources = config_to_proto(settings), resources_to_proto(asdict(asked))
        return await self._estimating.expect(wanted.model, config, resources, version, wanted.price_per_hour)

    async def cancel(self, name: str) -> Document:
        """Ask a run to end; one that has ended is returned as it is."""
        now = self.runs.clock.now()

        def stop(doc: Document) -> None:
            was_over = ended(doc["work"])
            cancel(doc["work"], now)
            if ended(doc["work"]) and not was_over:
                add_event(doc, "run.finished", now)

        return await self.runs.change(name, stop)

    async def pause(self, name: str) -> Document:
        """Ask a run to save a checkpoint and free what it holds; one that is at rest is returned as it is."""
        return await self.runs.change(name, state.pause)

    async def resume(self, name: str) -> Document:
        """Let a paused run go on from its newest checkpoint; one that is at work is returned as it is.

        Raises:
            NotReady: it has ended (WORK_ENDED).
        """
        now = self.runs.clock.now()

        def go_on(doc: Document) -> None:
            if ended(doc["work"]):
                raise NotReady(
                    f"{name} is {doc['work']['state']} and does not go on. Start another run.", reason="WORK_ENDED"
                )
            state.resume(doc, now)

        return await self.runs.change(name, go_on)

    async def delete(self, name: str, etag: str) -> None:
        """Delete a run; its Job is stopped and its objects are removed."""
        await self.runs.delete(name, etag=etag, event="run.deleted")

    async def delete_project(self, project: str) -> None:
        """Delete every run of a project that was deleted. Repeating it does nothing."""
        while docs := await self.runs.collection.find({"parent": project, "delete_time": None}, limit=100):
            for doc in docs:
                try:
                    await self.runs.delete(doc["_id"], event="run.deleted")
                except NotFound:
                    continue

    async def spec(self, doc: Document) -> run_pb2.TrainSpec:
        """Return what the trainer of a run is asked to do."""
        start = state.start_of(doc)
        return run_pb2.TrainSpec(
            run=doc["_id"],
            begins_from_other=start is not None,
            weights_only=bool(start and start["weights_only"]),
            dataset_url=await self._objects.grant(doc["dataset_key"], "read"),
            dataset_sha256=doc["dataset_sha256"],
            model_location=doc["model_location"],
            **await base_of(doc, self._objects),
            model_revision=doc["model_revision"],
            model=doc["model"],
            config=config_to_proto(doc["config"]),
            dataset=doc["dataset"],
            dataset_version=doc["dataset_version"],
            estimate=estimate_of(doc),
            price_per_hour=doc.get("price_per_hour", 0.0),
            dataset_counts=[ParseDict(count, work_pb2.StageCount()) for count in doc.get("dataset_counts", [])],
        )


def config_to_proto(settings: dict[str, Any]) -> config_pb2.TrainingConfig:
    """Return settings as a message."""
    return ParseDict(settings, config_pb2.TrainingConfig())


def resources_of(doc: Document) -> Wanted:
    """Return what a run asks for; a run from before there was anything to ask has the defaults."""
    return Wanted(**doc.get("resources", {}))


def resources_to_proto(asked: dict[str, Any]) -> resources_pb2.Resources:
    """Return what a run asks for as a message."""
    return resources_pb2.Resources(**asked)


def _run_id(run_id: str, request_id: str, project: str) -> str:
    if run_id:
        return ids.check_id(run_id, "run_id")
    return ids.derived_id("run", project, request_id) if request_id else ids.new_id("run")


def _kind(dataset: dataset_pb2.Dataset) -> str:
    """Return what the examples of a dataset are; one from before there were kinds is of conversations."""
    kind = dataset.kind or dataset_pb2.DATASET_KIND_SFT
    return dataset_pb2.DatasetKind.Name(kind).removeprefix("DATASET_KIND_")


def _of_model(model: model_pb2.Model) -> dict[str, Any]:
    return {
        "model": model.name,
        "model_revision": model.revision,
        **base_fields(model),
    }


def _require_template(model: model_pb2.Model) -> None:
    if not model.has_chat_template:
        raise NotReady(
            f"{model.name} has no chat template. Use an instruct model.", reason="NO_CHAT_TEMPLATE", field="run.model"
        )


def _require_held_out(dataset: str, version: dataset_pb2.DatasetVersion, settings: dict[str, Any]) -> None:
    if evaluates(settings) and not version.eval_examples + version.recall_examples:
        raise NotReady(
            f"Version {version.version} of {dataset} holds no example out, to evaluate on while training. Generate "
            "with an eval_fraction, or leave eval_steps, early_stopping_patience and load_best_model_at_end out.",
            reason="NO_EVAL_EXAMPLES",
            field="run.dataset",
        )


def _version(dataset: dataset_pb2.Dataset, wanted: int, only_approved: bool) -> dataset_pb2.DatasetVersion:
    found = [v for v in dataset.versions if wanted in (0, v.version)]
    if not found:
        remedy = "Wait for `ftf dataset generate` to end." if not dataset.versions else "List its versions."
        which = f"version {wanted}" if wanted else "frozen version yet"
        raise NotReady(f"{dataset.name} has no {which}. {remedy}", reason="DATASET_NOT_READY", field="run.dataset")
    if only_approved:
        found = [v for v in found if v.approved_only]
        if not found:
            raise NotReady(
                f"{dataset.name} has no such version of approved examples only. Make one with "
                "`ftf dataset freeze --approved-only`.",
                reason="NOT_APPROVED_ONLY",
                field="run.dataset_version",
            )
    if found[-1].erased:
        raise NotReady(
            f"Version {found[-1].version} of {dataset.name} was erased with a document. Use a newer version.",
            reason="VERSION_ERASED",
            field="run.dataset_version",
        )
    return found[-1]
