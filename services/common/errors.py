"""Errors that cross a service's boundary, and the gRPC status each becomes.

    FineTuneFlowError         INTERNAL
    ├── InvalidArgument       INVALID_ARGUMENT      the request itself is wrong
    ├── NotFound              NOT_FOUND             the thing named does not exist, or not for you
    ├── AlreadyExists         ALREADY_EXISTS        the name is taken
    ├── Conflict              ABORTED               lost a race; read again and retry
    ├── Unauthenticated       UNAUTHENTICATED       no token, or not a good one
    ├── PermissionDenied      PERMISSION_DENIED     a good token, not for this
    ├── NotReady              FAILED_PRECONDITION   right request, wrong state
    ├── Exhausted             RESOURCE_EXHAUSTED    a quota, a budget or a limit
    └── Unavailable           UNAVAILABLE           a dependency is away; retry later
        └── Unreachable       UNAVAILABLE           nobody is at its address

Every error carries a reason of protos/finetuneflow/common/v1/reasons.proto and a message that ends with the remedy. The
codes are those of google.rpc.Code; this module needs neither gRPC nor protobuf, so that pure code can raise its errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class FineTuneFlowError(Exception):
    """An error with a status code, a reason and a message for a person.

    Args:
        message: what is wrong, then the remedy. Never a secret.
        reason: a Reason without its prefix; each class has its own default.
        metadata: short facts for programs, such as the limit that was passed.
        field: the request's field at fault, as a dotted path.
        retry_after: seconds after which a retry makes sense; 0 says nothing.

    `parts` are the errors that it stands for, where there are several; see together.
    """

    code: ClassVar[int] = 13
    default_reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        field: str = "",
        retry_after: float = 0,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.metadata = dict(metadata or {})
        self.field = field
        self.retry_after = retry_after
        self.parts: tuple[FineTuneFlowError, ...] = ()


class InvalidArgument(FineTuneFlowError):
    """The request itself is wrong."""

    code = 3
    default_reason = "INVALID_FIELD"


class NotFound(FineTuneFlowError):
    """The thing named does not exist, or not for you."""

    code = 5
    default_reason = "NOT_FOUND"


class AlreadyExists(FineTuneFlowError):
    """The name is taken."""

    code = 6
    default_reason = "ALREADY_EXISTS"


class PermissionDenied(FineTuneFlowError):
    """A good token, but not for this."""

    code = 7
    default_reason = "PERMISSION_DENIED"


class Exhausted(FineTuneFlowError):
    """A quota, a budget or a limit is used up."""

    code = 8
    default_reason = "DISK_FULL"


class NotReady(FineTuneFlowError):
    """The request is right, the state is not."""

    code = 9
    default_reason = "CONFLICT"


class Conflict(FineTuneFlowError):
    """Lost a race: read again and retry."""

    code = 10
    default_reason = "CONFLICT"


class Unavailable(FineTuneFlowError):
    """A dependency is away; retry later."""

    code = 14
    default_reason = "DEPENDENCY_UNAVAILABLE"


class Unreachable(Unavailable):
    """Nobody answered at a peer's address, or the connection broke: whoever is there did not say so itself."""


class Unauthenticated(FineTuneFlowError):
    """No token, or not a good one."""

    code = 16
    default_reason = "UNAUTHENTICATED"


_CLASSES: tuple[type[FineTuneFlowError], ...] = (
    InvalidArgument,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    Exhausted,
    NotReady,
    Conflict,
    Unavailable,
    Unauthenticated,
)


def together(errors: Sequence[FineTuneFlowError]) -> FineTuneFlowError:
    """Return several errors as one: the class, reason and field of the first, the messages of all; `parts` has each."""
    first, *rest = errors
    if not rest:
        return first
    message = " Also: ".join(error.message for error in errors)
    found = type(first)(message, reason=first.reason, metadata=first.metadata, field=first.field)
    found.parts = tuple(errors)
    return found


def from_code(
    code: int, message: str, reason: str = "", metadata: Mapping[str, str] | None = None
) -> FineTuneFlowError:
    """Return the error that a google.rpc.Code stands for; an unknown code gives FineTuneFlowError itself."""
    cls = next((c for c in _CLASSES if c.code == code), FineTuneFlowError)
    return cls(message, reason=reason, metadata=metadata)


def to_document(error: FineTuneFlowError) -> dict[str, Any]:
    """Return an error as a document keeps it: code, message, reason, metadata."""
    return {"code": error.code, "message": error.message, "reason": error.reason, "metadata": error.metadata}


def from_document(doc: Mapping[str, Any]) -> FineTuneFlowError:
    """Return the error that to_document wrote."""
    return from_code(doc["code"], doc["message"], doc["reason"], doc["metadata"])
