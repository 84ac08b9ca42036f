"""Projects: documents, datasets, runs and exports that belong together."""

from __future__ import annotations

from collections.abc import AsyncIterator

from finetuneflow.ingest.v1 import ingest_service_pb2, project_pb2
from finetuneflow_client import making, names
from finetuneflow_client.client import Services
from finetuneflow_client.resources.html import facts
from finetuneflow_client.resources.training import WithRuns


class Project(WithRuns):
    """A project, and what can be made in it."""

    message: project_pb2.Project

    async def refresh(self) -> Project:
        """Ask the server how it is now. Raises FtfError NOT_FOUND."""
        self.message = await self._services.ingest.GetProject(ingest_service_pb2.GetProjectRequest(name=self.name))
        return self

    async def delete(self) -> None:
        """Delete it with all that is in it. Raises FtfError NOT_FOUND."""
        await self._services.ingest.DeleteProject(ingest_service_pb2.DeleteProjectRequest(name=self.name))

    def _repr_html_(self) -> str:
        """Return it for a notebook."""
        known = {"project": self.name, "name": self.message.display_name, "about": self.message.description}
        return facts(known)


class Projects:
    """The projects of a server."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def create(
        self, id: str, *, display_name: str = "", description: str = "", exist_ok: bool = False
    ) -> Project:
        """Make a project.

        Args:
            id: last part of its name: a-z, 0-9 and "-", beginning with a letter.
            display_name: name for people; the id if empty.
            description: what it is about.
            exist_ok: return the one that is there, as it is, instead of an error.

        Raises:
            FtfError: ALREADY_EXISTS; INVALID_ARGUMENT.
        """
        made = project_pb2.Project(display_name=display_name or id, description=description)
        if exist_ok:
            return Project(self._services, await making.project(self._services, id, made))
        request = ingest_service_pb2.CreateProjectRequest(project=made, project_id=id)
        return Project(self._services, await self._services.ingest.CreateProject(request))

    async def get(self, id: str) -> Project:
        """Return a project. Raises FtfError NOT_FOUND."""
        request = ingest_service_pb2.GetProjectRequest(name=names.full("projects", id))
        return Project(self._services, await self._services.ingest.GetProject(request))

    async def list(self) -> AsyncIterator[Project]:
        """Yield every project, oldest first."""
        async for message in self._services.projects():
            yield Project(self._services, message)
