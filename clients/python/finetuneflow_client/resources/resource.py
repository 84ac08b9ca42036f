"""What every resource has, and what those have that work is done on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finetuneflow.common.v1 import work_pb2
from finetuneflow_client import names
from finetuneflow_client.errors import FtfError, from_work

if TYPE_CHECKING:
    from finetuneflow_client.client import Services


class Resource:
    """A resource as the server told it last.

    Args:
        services: the connection.
        message: what the server told: the contract's message, with every field.
    """

    message: Any

    def __init__(self, services: Services, message: Any) -> None:
        self._services = services
        self.message = message

    @property
    def name(self) -> str:
        """Resource name: "projects/handbook/runs/r1"."""
        return str(self.message.name)

    @property
    def id(self) -> str:
        """Last part of the name: "r1"."""
        return names.short(self.name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Working(Resource):
    """A resource that work is done on: reading, generating, training, exporting."""

    @property
    def state(self) -> str:
        """Where the work is: "queued", "starting", "running", "succeeded", "failed", "cancelled", "paused", …"""
        return work_pb2.WorkState.Name(self.message.work.state).removeprefix("WORK_STATE_").lower()

    @property
    def error(self) -> FtfError | None:
        """Why the work failed, was cancelled or is paused; None while it goes on and after it succeeded."""
        return from_work(self.message.work, f"{type(self).__name__.lower()} {self.id}")

    @property
    def progress(self) -> tuple[str, int, int]:
        """What is being done, units done, and units in all (0: not known): ("train", 30, 120)."""
        at = self.message.work.progress
        return at.phase, at.done, at.total

    def _raise_error(self) -> None:
        """Raise the error, if there is one."""
        if error := self.error:
            raise error

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.state}>"


def named(collection: str, value: Resource | str, parent: str = "") -> str:
    """Return the name of a resource, of its id, or its name as it is; "" stays."""
    if isinstance(value, Resource):
        return value.name
    return names.full(collection, value, parent) if value else ""
