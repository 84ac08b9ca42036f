"""What a command has to work with."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from dataclasses import dataclass, field

from finetuneflow.ingest.v1 import ingest_service_pb2
from finetuneflow_client import names
from finetuneflow_client.cli.output import Output
from finetuneflow_client.cli.screen import Screen
from finetuneflow_client.client import Services
from finetuneflow_client.errors import FtfError


@dataclass
class Session:
    """One command's arguments, connection and outputs.

    Attributes:
        args: what the user typed.
        flow: the connection.
        screen: stderr.
        output: stdout.
        chosen_dataset: the dataset that was taken where none was named; "" before.
    """

    args: Namespace
    flow: Services
    screen: Screen
    output: Output
    chosen_dataset: str = field(default="", init=False)
    _project: str = field(default="", init=False)
    _say_again: float = field(default=0.0, init=False)

    async def project(self) -> str:
        """Return the current project's resource name: -p, else $FTF_PROJECT, else the only one there is.

        Raises:
            FtfError: INVALID_ARGUMENT if there are several, FAILED_PRECONDITION if there is none.
        """
        if not self._project:
            chosen = getattr(self.args, "project", "") or os.environ.get("FTF_PROJECT", "")
            self._project = await self._known_project(chosen) if chosen else await self._only_project()
        return self._project

    def use_project(self, name: str) -> None:
        """Make a project the current one for the rest of the command."""
        self._project = name

    def deleted(self, *names: str, remark: str = "") -> None:
        """Say what was deleted: as JSON {"deleted": [...]}, else as a remark; `remark` replaces the usual words."""
        if self.output.as_json:
            self.output.json({"deleted": list(names)})
        for name in names:
            self.screen.say(remark or f"deleted {name}")

    def away(self, error: FtfError) -> None:
        """Say that the connection is lost, once a minute at most; for watches."""
        now = time.monotonic()
        if now >= self._say_again:
            self._say_again = now + 60
            self.screen.say(f"{error.message}; waiting for it")

    async def _known_project(self, chosen: str) -> str:
        """Return a project's name if it exists: lists of a project that does not would only be empty."""
        request = ingest_service_pb2.GetProjectRequest(name=names.full("projects", chosen))
        return (await self.flow.ingest.GetProject(request)).name

    async def _only_project(self) -> str:
        found = [project.name async for project in self.flow.projects()]
        if len(found) == 1:
            return found[0]
        if not found:
            raise FtfError(
                "there is no project", "create one with `ftf project create NAME`", code="FAILED_PRECONDITION"
            )
        choices = ", ".join(names.short(name) for name in found[:10]) + (", …" if len(found) > 10 else "")
        raise FtfError(f"there are {len(found)} projects", f"choose one with -p: {choices}", code="INVALID_ARGUMENT")
