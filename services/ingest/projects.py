"""Projects: the one place where they change."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.common import ids
from services.common.documents.port import Document
from services.common.errors import AlreadyExists, InvalidArgument, NotFound, Unavailable
from services.common.objects.unfinished import Unfinished
from services.common.resources import Resources
from services.ingest.store import PROJECT

MAX_DESCRIPTION = 4_096
MAX_REQUEST_ID = 128
_PURGE_SECONDS = 10.0
_PURGE_STEP = 0.05


@dataclass(frozen=True)
class NewProject:
    """A project that somebody wants.

    Args:
        project_id: last part of the name; "" derives it from display_name, or makes one up.
        fields: display_name, labels, annotations.
        description: at most 4,096 characters.
        request_id: up to 128 characters, or "".
        body: the request, serialised, without its request_id.
        creator: name of the caller's token.
    """

    project_id: str
    fields: Mapping[str, object]
    description: str
    request_id: str = ""
    body: bytes = b""
    creator: str = ""


@dataclass(frozen=True)
class ProjectChange:
    """New values of a project's fields; those that are None stay."""

    display_name: str | None = None
    description: str | None = None
    labels: dict[str, str] | None = field(default=None)
    annotations: dict[str, str] | None = field(default=None)


class Projects:
    """Projects: made, changed, deleted with all that is in them.

    Args:
        projects: the projects.
        files: their files.
        unfinished: uploads of theirs that broke off.
    """

    def __init__(self, projects: Resources, files: Resources, unfinished: Unfinished) -> None:
        self._projects = projects
        self._files = files
        self._unfinished = unfinished

    async def create(self, wanted: NewProject) -> Document:
        """Make a project; the same request_id returns the one that the first call made.

        Raises:
            AlreadyExists: project_id is taken.
            InvalidArgument: a field is out of range, or the request_id was used for another project.
        """
        _check_description(wanted.description)
        if len(wanted.request_id) > MAX_REQUEST_ID:
            raise InvalidArgument(f"request_id is longer than {MAX_REQUEST_ID} characters.", field="request_id")
        if wanted.project_id:
            return await self._create(ids.check_id(wanted.project_id, "project_id"), wanted)
        made_up = ids.derived_id("project", wanted.request_id) if wanted.request_id else ids.new_id("project")
        plain = ids.slug(str(wanted.fields.get("display_name", "")))
        if plain:
            try:
                return await self._create(plain, wanted)
            except AlreadyExists:
                return await self._create(f"{plain[:40].rstrip('-')}-{made_up[-8:]}", wanted)
        return await self._create(made_up, wanted)

    async def _create(self, project_id: str, wanted: NewProject) -> Document:
        doc = await self._projects.create(
            f"projects/{project_id}",
            {**wanted.fields, "description": wanted.description},
            request_id=wanted.request_id,
            body=wanted.body,
            creator=wanted.creator,
        )
        if doc["delete_time"] is not None:
            raise AlreadyExists(f"project projects/{project_id} is being deleted. Repeat with a new request_id.")
        return doc

    async def get(self, name: str, field: str = "name") -> Document:
        """Return a project.

        Raises:
            InvalidArgument: the name is none of a project.
            NotFound: there is none of that name.
        """
        ids.parse_name(name, PROJECT, field)
        return await self._projects.get(name)

    async def page(self, page_size: int, page_token: str) -> tuple[list[Document], str]:
        """Return a page of projects, oldest first. Raises as Resources.page does."""
        return await self._projects.page({}, page_size, page_token)

    async def update(self, name: str, change: ProjectChange, etag: str) -> Document:
        """Change a project's fields.

        Raises:
            InvalidArgument: a value is out of range.
            NotFound: there is none of that name.
            Conflict: the etag is old.
        """
        ids.parse_name(name, PROJECT, "project.name")
        _check_description(change.description or "")
        values = {key: value for key, value in vars(change).items() if value is not None}
        return await self._projects.change(name, lambda doc: doc.update(values), etag=etag, user=True)

    async def delete(self, name: str, etag: str) -> None:
        """Delete a project and its files.

        Raises:
            NotFound: there is none of that name.
            Conflict: the etag is old.
        """
        ids.parse_name(name, PROJECT)
        await self._projects.delete(name, etag=etag, event="project.deleted")
        await self._delete_files(name)

    async def _delete_files(self, name: str) -> int:
        """Delete the files that are left; return how many are not purged yet."""
        left = await self._files.collection.find({"parent": name})
        for doc in left:
            if doc["delete_time"] is None:
                try:
                    await self._files.delete(doc["_id"], event="file.deleted")
                except NotFound:
                    continue
        return len(left)

    async def purge(self, doc: Document) -> None:
        """Wait until a deleted project's files are gone, and drop its unfinished uploads. Repeating it does nothing.

        Raises:
            Unavailable: some are not gone after ten seconds; it is tried again.
        """
        await self._unfinished.forget(doc["_id"].rpartition("/")[2])
        for _ in range(round(_PURGE_SECONDS / _PURGE_STEP)):
            if not await self._delete_files(doc["_id"]):
                return
            await asyncio.sleep(_PURGE_STEP)
        raise Unavailable(f"{doc['_id']} still has files that are being deleted. It is tried again.")


def _check_description(text: str) -> None:
    if len(text) > MAX_DESCRIPTION:
        raise InvalidArgument(
            f"description is longer than {MAX_DESCRIPTION:,} characters. Shorten it.", field="project.description"
        )
