"""The one place where runs change."""

from __future__ import annotations

from google.protobuf.json_format import ParseDict

from finetuneflow.common.v1 import work_pb2
from finetuneflow.training.v1 import run_pb2
from services.common import ids
from services.common.documents.port import Document
from services.common.errors import AlreadyExists, NotFound, NotReady
from services.common.jobwork import state
from services.common.jobwork.basemodels import base_of
from services.common.objects.port import Objects
from services.common.resources import Resources, add_event
from services.common.work import cancel, ended, queued
from services.training.checking import Checks, Found
from services.training.estimating import estimate_of
from services.training.forms import config_to_proto
from services.training.start import find_start, keep_start

RUN = "projects/*/runs/*"


class Training:
    """Runs: made, listed, cancelled, deleted. Their Jobs are the reconciler's.

    Args:
        checks: looks at a run before it is made.
    """

    def __init__(
        self,
        runs: Resources,
        objects: Objects,
        checks: Checks,
    ) -> None:
        self.runs = runs
        self._objects = objects
        self._checks = checks

    async def create(
        self,
        parent: str,
        wanted: run_pb2.Run,
        run_id: str,
        request_id: str,
        creator: str,
        *,
        validate_only: bool = False,
        shown: int = 0,
    ) -> Document:
        """Check everything and queue a run; with validate_only return it as it would be and keep nothing.

        Args:
            shown: examples whose labels are shown with validate_only; what speaks against the run is then told in
                the "check" of what is returned. Otherwise it is raised, all of it as one error, and the "check" of
                the first answer has what only warns.

        Raises:
            NotFound: the dataset, the model or the checkpoint does not exist.
            AlreadyExists: run_id is taken.
            InvalidArgument: a setting is out of range, resources are not to be had here, or the request_id was used
                for another run.
            NotReady, Exhausted: another check failed; see TrainingService.CreateRun.
        """
        (project,) = ids.parse_name(parent, "projects/*", "parent")
        name = f"{parent}/runs/{_run_id(run_id, request_id, project)}"
        body = wanted.SerializeToString(deterministic=True)
        # A repeated request is answered from what it made, whatever has changed since.
        if not validate_only and await self.runs.made(name, request_id):
            return await self.runs.create(name, {}, request_id=request_id, body=body)
        found = await self._look(parent, wanted, shown if validate_only else 0)
        fields = {**state.new_job_fields(), "work": queued(self.runs.clock.now()), **found.fields}
        if validate_only:
            await self._check_free(name, run_id, found)
            now = self.runs.clock.now()
            empty = {"uid": "", "creator": creator, "create_time": now, "update_time": now, "etag": ""}
            return {"_id": name, **empty, **fields, "check": found.to_proto()}
        found.problems.require_none()
        # Before the run is made, so that it never waits for a checkpoint that nobody keeps. Where the name is taken
        # nothing is made, and nothing is kept.
        if fields["start"] and await self.runs.collection.get(name) is None:
            await keep_start(self.runs, fields["start"])
        made = await self.runs.create(name, fields, request_id=request_id, body=body, creator=creator)
        return {**made, "check": found.to_proto()}

    async def _look(self, parent: str, wanted: run_pb2.Run, shown: int) -> Found:
        found = await self._checks.look(parent, wanted, shown)
        found.fields["start"] = None
        if not found.whole:
            return found  # what it begins from cannot be compared with what is not there
        with found.problems.collect("run.resume_from_checkpoint"):
            found.fields["start"] = await find_start(self.runs, parent, wanted, found.fields)
        return found

    async def _check_free(self, name: str, run_id: str, found: Found) -> None:
        """Add that a name is taken."""
        if run_id and (taken := await self.runs.collection.get(name)) and taken["delete_time"] is None:
            with found.problems.collect("run_id"):
                raise AlreadyExists(f"run {name} exists already. Choose another id.")

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
            NotReady: it has ended, or is being cancelled (WORK_ENDED).
        """
        now = self.runs.clock.now()

        def go_on(doc: Document) -> None:
            if ended(doc["work"]) or doc["work"]["state"] == "CANCELLING":
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


def _run_id(run_id: str, request_id: str, project: str) -> str:
    if run_id:
        return ids.check_id(run_id, "run_id")
    return ids.derived_id("run", project, request_id) if request_id else ids.new_id("run")
