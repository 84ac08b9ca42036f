"""Projects: documents, datasets, runs and exports that belong together; blocking.

Made of resources/project.py by clients/python/generate.py; do not edit.
"""

from __future__ import annotations

from collections.abc import Iterator

from finetuneflow.ingest.v1 import project_pb2
from finetuneflow_client import resources
from finetuneflow_client.blocking import Front, iterate, run
from finetuneflow_client.sync.training import WithRuns


class Project(WithRuns):
    """A project, and what can be made in it."""

    of: resources.project.Project

    @property
    def message(self) -> project_pb2.Project:
        """What the server told: the contract's message, with every field."""
        return self.of.message

    def refresh(self) -> Project:
        """Ask the server how it is now. Raises FtfError NOT_FOUND."""
        return Project(run(self.of.refresh()))

    def delete(self) -> None:
        """Delete it with all that is in it. Raises FtfError NOT_FOUND."""
        return run(self.of.delete())

    def _repr_html_(self) -> str:
        """Return it for a notebook."""
        return self.of._repr_html_()


class Projects(Front):
    """The projects of a server."""

    of: resources.project.Projects

    def create(self, id: str, *, display_name: str = "", description: str = "", exist_ok: bool = False) -> Project:
        """Make a project.

        Args:
            id: last part of its name: a-z, 0-9 and "-", beginning with a letter.
            display_name: name for people; the id if empty.
            description: what it is about.
            exist_ok: return the one that is there, as it is, instead of an error.

        Raises:
            FtfError: ALREADY_EXISTS; INVALID_ARGUMENT.
        """
        return Project(run(self.of.create(id, display_name=display_name, description=description, exist_ok=exist_ok)))

    def get(self, id: str) -> Project:
        """Return a project. Raises FtfError NOT_FOUND."""
        return Project(run(self.of.get(id)))

    def list(self) -> Iterator[Project]:
        """Yield every project, oldest first."""
        return map(Project, iterate(self.of.list()))
