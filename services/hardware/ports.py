"""What the hardware service needs from outside, in its own words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from services.hardware.core_cluster import Cluster
from services.hardware.core_inventory import Machine
from services.hardware.core_model import Description, File
from services.hardware.core_placement import Asked, Placement


class ModelSource(Protocol):
    """A place that models come from."""

    async def read(self, location: str, revision: str) -> Description:
        """Return what a model's files say.

        Args:
            location: a folder's absolute path, or a hub id.
            revision: a branch, tag or commit of the hub, or the hash that a folder must have; "" for the newest.

        Raises:
            NotFound: it is not there (MODEL_NOT_FOUND).
            InvalidArgument: it is there, but is not a model that can be trained (MODEL_INVALID, PICKLE_WEIGHTS).
            PermissionDenied: the hub asks for approval first (MODEL_GATED).
            NotReady: the hub is switched off (HUB_DISABLED).
            Unavailable: the hub does not answer.
        """
        ...


class Uploads(Protocol):
    """Files of models that were uploaded."""

    async def take(self, file: File, data: AsyncIterator[bytes], offset: int = 0) -> None:
        """Store a file's bytes, those before the offset from an upload that broke off; the same again change nothing.

        Raises:
            InvalidArgument: it is no file of a model (PICKLE_WEIGHTS, MODEL_INVALID), or damaged (HASH_MISMATCH).
            NotReady: fewer bytes than the offset are here (UPLOAD_OFFSET).
            Exhausted: DISK_FULL.
        """
        ...

    async def received(self, file: File) -> int:
        """Return how many bytes of a file need not be sent. Raises InvalidArgument if it is no file of a model."""
        ...

    async def read(self, files: Sequence[File]) -> Description:
        """Return what uploaded files say together.

        Raises:
            InvalidArgument: they are no model (MODEL_INVALID, PICKLE_WEIGHTS).
            NotReady: some are not there (MODEL_FILES_MISSING).
        """
        ...

    async def require(self, files: Sequence[File]) -> None:
        """Raise NotReady (MODEL_FILES_MISSING) if one of the files is not there."""
        ...


class Ground(Protocol):
    """Knows what there is to train on.

    Errors, in a cluster: Unavailable while its API does not answer, or when it may not be asked (CONFIGURATION).
    """

    async def inventory(self) -> Machine | Cluster:
        """Return what there is now."""
        ...

    async def place(self, asked: Asked) -> Placement:
        """Return where a training would run. Raises InvalidArgument for more GPUs than one machine has."""
        ...

    async def fetched(self, hub_id: str, revision: str, files: Sequence[File]) -> int:
        """Return the bytes of a hub's model, by its commit and all of its files, that a run fetches onto its disk."""
        ...


class MachineReader(Protocol):
    """Knows one machine."""

    def read(self) -> Machine:
        """Return what there is now; blocks."""
        ...
