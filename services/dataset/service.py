"""The one place where datasets change."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from finetuneflow.dataset.v1 import dataset_pb2
from services.common import ids
from services.common.documents.port import Document
from services.common.errors import AlreadyExists, InvalidArgument, NotFound, NotReady
from services.common.objects.port import Objects
from services.common.protoform import user_fields
from services.common.resources import Resources
from services.common.work import at_rest, cancel, pause, queued, resume
from services.dataset.core.budget import NO_PRICES
from services.dataset.endpointfields import prices
from services.dataset.endpoints import Endpoints
from services.dataset.freezing import Freezer
from services.dataset.ports import Documents
from services.dataset.prompttemplates import PromptTemplates, resource_name
from services.dataset.spec import complete, used_endpoints
from services.dataset.store import Calls, Examples
from services.dataset.tasksettings import task_settings
from services.dataset.templates import template_of
from services.dataset.textspec import is_text, text_spec

_ENDED = {"FAILED": "has failed", "CANCELLED": "was cancelled", "PAUSED": "is paused"}
DATASET = "projects/*/datasets/*"
NO_USAGE: dict[str, float] = {"calls": 0, "retries": 0, "prompt_tokens": 0, "completion_tokens": 0, "seconds": 0.0}


class Datasets:
    """Datasets: made, listed, resumed, frozen, deleted. Their generation is the work loop's."""

    def __init__(
        self,
        resources: Resources,
        calls: Calls,
        examples: Examples,
        endpoints: Endpoints,
        documents: Documents,
        objects: Objects,
        freezer: Freezer,
        templates: PromptTemplates,
    ) -> None:
        self._templates = templates
        self.resources = resources
        self.examples = examples
        self._calls = calls
        self._endpoints = endpoints
        self._documents = documents
        self._objects = objects
        self._freezer = freezer

    async def resolve(self, parent: str, wanted: dataset_pb2.DatasetSpec) -> Document:
        """Return a spec with defaults, endpoint and files filled in, and the files' records.

        Raises:
            NotFound: the project, a file or the endpoint does not exist.
            InvalidArgument: a setting is out of range, or max_cost is set for an endpoint without prices.
            NotReady: NOT_CHUNKED or NO_LLM_ENDPOINT.
        """
        ids.parse_name(parent, "projects/*", "parent")
        for name in wanted.files:
            ids.parse_name(name, "projects/*/files/*", "spec.files")
        raw = wanted.task_type == dataset_pb2.TASK_TYPE_TEXT
        spec = text_spec(wanted) if raw else complete(wanted)
        spec["inherit_reviews_from"] = await self._inherits(parent, wanted.inherit_reviews_from)
        await self._documents.project(parent)
        if raw:
            return {"spec": spec, "kind": "DATASET_KIND_TEXT", "llm": "", "files": await self._files(parent, spec)}
        kept = await self._templates.resolve(wanted)
        spec.update(task_settings(wanted, template_of({"prompt_template": kept})))
        spec["template"] = resource_name(kept["version"])
        spec["llm_endpoint"] = await self._endpoints.resolve(wanted.llm_endpoint)
        records = await self._files(parent, spec)
        for name in ("judge", "semantic_duplicates"):
            if further := spec.get(name):
                further["llm_endpoint"] = await self._endpoints.resolve(further["llm_endpoint"] or spec["llm_endpoint"])
        if semantic := spec.get("semantic_duplicates"):
            embeds = await self._endpoints.resources.get(semantic["llm_endpoint"])
            semantic["model"] = semantic["model"] or embeds["model"]
        for used in used_endpoints(spec).values():
            priced = await self._endpoints.resources.get(used)
            if spec["max_cost"] and prices(priced) == NO_PRICES:
                raise InvalidArgument(
                    f"{used} has no prices, so max_cost cannot be kept. Make it again with its prices, or leave "
                    "max_cost out.",
                    field="spec.max_cost",
                )
        endpoint = await self._endpoints.resources.get(spec["llm_endpoint"])
        return {
            "spec": spec,
            "prompt_template": kept,
            "files": records,
            "llm": f"{endpoint['_id']} {endpoint['model']}",
        }

    async def _files(self, parent: str, spec: Document) -> list[Document]:
        """Return the records of a dataset's files, and name them in its settings."""
        files = await self._documents.files(parent, spec["files"])
        spec["files"] = [f.name for f in files]
        return [asdict(f) for f in files]

    async def _inherits(self, parent: str, source: str) -> str:
        if source:
            ids.parse_name(source, DATASET, "spec.inherit_reviews_from")
            if not source.startswith(parent + "/"):
                raise InvalidArgument(
                    f"{source} is not of {parent}. Use one of its datasets.", field="spec.inherit_reviews_from"
                )
            await self.resources.get(source)
        return source

    async def planned(self, parent: str, wanted: dataset_pb2.Dataset, dataset_id: str) -> Document:
        """Return the dataset that create would make, without a name of its own if none is chosen; nothing is made.

        Raises: as create.
        """
        name = f"{parent}/datasets/{ids.check_id(dataset_id, 'dataset_id')}" if dataset_id else ""
        fields = {
            **user_fields(wanted.display_name, wanted.meta, "dataset"),
            **await self.resolve(parent, wanted.spec),
            "counts": [],
            "usage": dict(NO_USAGE),
            "versions": [],
        }
        if name and await self.resources.collection.get(name):
            raise AlreadyExists(f"dataset {name} exists already. Choose another id.")
        nothing = {"uid": "", "creator": "", "create_time": None, "update_time": None, "etag": "", "work": None}
        return {**nothing, **fields, "_id": name}

    async def create(
        self, parent: str, wanted: dataset_pb2.Dataset, dataset_id: str, request_id: str, creator: str
    ) -> Document:
        """Queue the generation of a dataset.

        Raises: as resolve; AlreadyExists if the id is taken.
        """
        (project,) = ids.parse_name(parent, "projects/*", "parent")
        chosen = ids.check_id(dataset_id, "dataset_id") if dataset_id else _made_up(project, request_id)
        name = f"{parent}/datasets/{chosen}"
        body = wanted.SerializeToString(deterministic=True)
        if await self.resources.made(name, request_id):
            return await self.resources.create(name, {}, request_id=request_id, body=body)
        fields = {
            **user_fields(wanted.display_name, wanted.meta, "dataset"),
            **await self.resolve(parent, wanted.spec),
            "parent": parent,
            "work": queued(self.resources.clock.now()),
            "counts": [],
            "usage": dict(NO_USAGE),
            "versions": [],
            "whole_project": not wanted.spec.files,
        }
        return await self.resources.create(name, fields, request_id=request_id, body=body, creator=creator)

    async def cancel(self, name: str) -> Document:
        """Ask generation to end; one that has ended is returned as it is."""
        return await self.resources.change(name, lambda d: cancel(d["work"], self.resources.clock.now()))

    async def pause(self, name: str) -> Document:
        """Ask generation to pause; everything made is kept. One that is at rest is returned as it is.

        Raises:
            NotReady: it is imported (IMPORT_NOT_RESUMABLE).
        """

        def rest(doc: Document) -> None:
            _not_imported(doc)
            pause(doc["work"])

        return await self.resources.change(name, rest)

    async def resume(self, name: str) -> Document:
        """Queue generation again; one that is still going on is returned as it is.

        Raises:
            NotReady: it has succeeded (WORK_ENDED), or is imported (IMPORT_NOT_RESUMABLE).
        """

        def again(doc: Document) -> None:
            _not_imported(doc)
            if doc["work"]["state"] == "SUCCEEDED":
                raise NotReady(f"{name} is complete. Make another dataset for more.", reason="WORK_ENDED")
            doc["work"] = resume(doc["work"], self.resources.clock.now())

        return await self.resources.change(name, again)

    async def freeze(self, name: str, approved_only: bool = False) -> Document:
        """Make a version of the examples as they are; the newest is returned if nothing changed.

        Raises:
            NotReady: generation goes on (DATASET_NOT_READY), NO_ACCEPTED_EXAMPLES or NO_APPROVED_EXAMPLES.
        """
        doc = await self.resting(name)
        if is_text(doc) and doc["work"]["state"] != "SUCCEEDED":
            raise NotReady(f"{name} has not all of its text. Run `ftf dataset resume`.", reason="DATASET_NOT_READY")
        return await self._freezer.freeze(doc, approved_only)

    async def resting(self, name: str) -> Document:
        """Return a dataset that nothing is generated for at the moment.

        Raises:
            NotReady: generation goes on (DATASET_NOT_READY).
        """
        doc = await self.resources.get(name)
        if not at_rest(doc["work"]):
            raise NotReady(f"{name} is still being generated. Wait for it, or pause it.", reason="DATASET_NOT_READY")
        if doc.get("import") and doc["work"]["state"] != "SUCCEEDED":
            raise NotReady(f"{name} was not imported whole. Import the file again.", reason="DATASET_NOT_READY")
        return doc

    async def version(self, name: str, number: int, *, erased_too: bool = False) -> dict[str, Any]:
        """Return a frozen version's record; 0 for the newest.

        Raises:
            NotReady: there is none yet (DATASET_NOT_READY), or its bytes were erased (VERSION_ERASED).
            NotFound: there is none of that number.
        """
        doc = await self.resources.get(name)
        versions = doc["versions"]
        if not versions:
            raise NotReady(f"{name} has no frozen version{_why_none(doc)}", reason="DATASET_NOT_READY")
        found = [v for v in versions if number in (0, v["version"])]
        if not found:
            raise NotFound(f"{name} has no version {number}; it has 1 to {len(versions)}.")
        if not erased_too:
            check_there(found[-1])
        return dict(found[-1])

    async def delete(self, name: str, etag: str) -> None:
        """Delete a dataset with its examples and files."""
        await self.resources.delete(name, etag=etag, event="dataset.deleted")

    async def delete_project(self, project: str) -> None:
        """Delete every dataset of a project that was deleted. Repeating it does nothing."""
        while docs := await self.resources.collection.find({"parent": project, "delete_time": None}, limit=100):
            for doc in docs:
                try:
                    await self.resources.delete(doc["_id"], event="dataset.deleted")
                except NotFound:
                    continue

    async def purge(self, doc: Document) -> None:
        """Remove what belongs to a deleted dataset. Repeating it does nothing."""
        await self._calls.delete(doc["uid"])
        await self.examples.delete(doc["uid"])
        async for key in self._objects.list(f"datasets/{doc['uid']}/"):
            await self._objects.delete(key)
        if doc.get("import"):
            await self._objects.delete(doc["import"]["key"])


def _not_imported(doc: Document) -> None:
    if doc.get("import"):
        raise NotReady(
            f"{doc['_id']} is imported: it is read whole or not at all, and no LLM is asked. Import the file again.",
            reason="IMPORT_NOT_RESUMABLE",
        )


def _why_none(doc: Document) -> str:
    """Return what stands in the way of a dataset's first version, with the remedy, behind the words "no version"."""
    state = doc["work"]["state"]
    if doc.get("import"):
        return ": it was not imported. Import the file again." if at_rest(doc["work"]) else " yet. Wait for the import."
    if not at_rest(doc["work"]):
        return " yet. Wait for generation."
    if state == "SUCCEEDED":
        return " yet. Make one with `ftf dataset freeze`."
    return f": it {_ENDED[state]}. Go on with `ftf dataset resume`, or freeze what there is with `ftf dataset freeze`."


def check_there(version: Document) -> None:
    """Refuse a version whose bytes were erased.

    Raises:
        NotReady: VERSION_ERASED.
    """
    if version.get("erased"):
        number, gone = version["version"], ", ".join(version.get("erased_for", ())) or "a document"
        raise NotReady(
            f"Version {number} was erased with {gone}, which it had rows from. Its hash and its ledger are kept "
            f"(`ftf dataset ledger --version {number}`). Use a newer version.",
            reason="VERSION_ERASED",
        )


def _made_up(project: str, request_id: str) -> str:
    return ids.derived_id("dataset", project, request_id) if request_id else ids.new_id("dataset")
