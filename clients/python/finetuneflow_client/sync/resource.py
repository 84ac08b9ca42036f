"""What every resource has, and what those have that work is done on; blocking.

Made of resources/resource.py by clients/python/generate.py; do not edit.
"""

from __future__ import annotations

from typing import Any

from finetuneflow_client import resources
from finetuneflow_client.blocking import Front
from finetuneflow_client.errors import FtfError


class Resource(Front):
    """A resource as the server told it last."""

    of: resources.resource.Resource

    @property
    def message(self) -> Any:
        """What the server told: the contract's message, with every field."""
        return self.of.message

    @property
    def name(self) -> str:
        """Resource name: "projects/handbook/runs/r1"."""
        return self.of.name

    @property
    def id(self) -> str:
        """Last part of the name: "r1"."""
        return self.of.id


class Working(Resource):
    """A resource that work is done on: reading, generating, training, exporting."""

    of: resources.resource.Working

    @property
    def state(self) -> str:
        """Where the work is: "queued", "starting", "running", "succeeded", "failed", "cancelled", "paused", …"""
        return self.of.state

    @property
    def error(self) -> FtfError | None:
        """Why the work failed, was cancelled or is paused; None while it goes on and after it succeeded."""
        return self.of.error

    @property
    def progress(self) -> tuple[str, int, int]:
        """What is being done, units done, and units in all (0: not known): ("train", 30, 120)."""
        return self.of.progress
