"""What can go wrong, as one exception: a code, a reason, what happened and the remedy.

    FtfError              any failure of a call, or of the client itself
    ├── DocumentsRefused  the server did not take some of the documents that were sent
    ├── WorkFailed        a file, dataset, run or export ended as FAILED
    ├── WorkPaused        a dataset or run is PAUSED, and goes on when it is resumed
    └── WorkCancelled     … or as CANCELLED

`code` is a name of google.rpc.Code ("NOT_FOUND"), `reason` one of finetuneflow.common.v1.Reason without its prefix.
Importing this module imports no grpc.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc
    from google.rpc import status_pb2

    from finetuneflow.common.v1 import work_pb2

# A sentence's end: servers say what is wrong in the first sentence and the remedy in the rest.
_SENTENCE = re.compile(r"(?<=[^\s.])\. (?=[A-Z`])")
# Codes of a connection that is gone, and the reasons that a server gives with them when the same call may work later.
_AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
_LATER = ("", "DEPENDENCY_UNAVAILABLE")


class FtfError(Exception):
    """A failure in words for a person, with a code and a reason for a program.

    Args:
        message: what is wrong, without the remedy.
        remedy: what to do about it; empty if there is nothing to say.
        code: name of a google.rpc.Code.
        reason: a Reason without its prefix; empty where no server gave one.
        metadata: short facts, such as the limit that was passed.
    """

    def __init__(
        self,
        message: str,
        remedy: str = "",
        *,
        code: str = "UNKNOWN",
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{message} — {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})

    @property
    def away(self) -> bool:
        """Whether the server, or what it needs, could not be reached: the same call may work later."""
        return self.code in _AWAY and self.reason in _LATER


class DocumentsRefused(FtfError):
    """The server did not take some documents; all others were sent and read.

    Args:
        refused: why not, one error a document; each message begins with, or names, the document.
    """

    def __init__(self, refused: Sequence[FtfError]) -> None:
        first = refused[0]
        more = f" (and {len(refused) - 1} more)" if refused[1:] else ""
        super().__init__(f"{first.message}{more}", first.remedy, code=first.code, reason=first.reason)
        self.refused = list(refused)


class WorkFailed(FtfError):
    """Work that the server did ended as FAILED."""


class WorkPaused(FtfError):
    """Work that the server did is PAUSED: it lacks something, or somebody asked."""


class WorkCancelled(FtfError):
    """Work that the server did ended as CANCELLED."""


def from_status(status: status_pb2.Status, kind: type[FtfError] = FtfError, subject: str = "") -> FtfError:
    """Return the error that a google.rpc.Status stands for; `subject` goes before its message."""
    from google.rpc import code_pb2, error_details_pb2

    reason, metadata = "", {}
    bad = error_details_pb2.BadRequest()
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        detail.Unpack(bad)
    what, remedy = _split(status.message)
    if len(bad.field_violations) > 1:
        # Several things at once: the message of each, one a line.
        what, remedy = joined([_split(violation.description) for violation in bad.field_violations])
    code = code_pb2.Code.Name(status.code) if status.code in code_pb2.Code.values() else "UNKNOWN"
    return kind(f"{subject}: {what}" if subject else what, remedy, code=code, reason=reason, metadata=metadata)


def joined(faults: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Return several faults, each with its remedy, as what is wrong and the remedy of one error: the others follow."""
    (what, remedy), *others = faults
    return what, remedy + "".join(f"\nalso: {other}{' — ' if then else ''}{then}" for other, then in others)


def from_rpc(error: grpc.aio.AioRpcError) -> FtfError:
    """Return the error that a failed call stands for."""
    from grpc_status import rpc_status

    code = error.code().name
    # from_call raises ValueError when a proxy has sent details that do not match the code.
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        status = None
    if status is not None and status.details:
        return from_status(status)
    details = error.details() or ""
    if code == "UNAVAILABLE":
        return FtfError("the server cannot be reached", "start it with `ftf up`, or check --server", code=code)
    if code == "DEADLINE_EXCEEDED":
        return FtfError("the server did not answer in time", "look at `ftf status` and repeat the command", code=code)
    if code == "UNAUTHENTICATED":
        return FtfError(
            "the server does not know this token", "check --token-file or FTF_TOKEN, or `ftf login` again", code=code
        )
    if code == "UNIMPLEMENTED":
        return FtfError(
            "the server does not know this call", "use the server's version of ftf: `ftf status`", code=code
        )
    what, remedy = _split(details or code)
    return FtfError(what, remedy, code=code)


def from_work(work: work_pb2.Work, subject: str) -> FtfError | None:
    """Return why work did not end well, or is paused; None while it is under way and after it succeeded."""
    from finetuneflow.common.v1 import work_pb2 as pb

    if work.state == pb.WORK_STATE_FAILED:
        return from_status(work.error, WorkFailed, subject)
    if work.state == pb.WORK_STATE_PAUSED and work.HasField("error"):
        return from_status(work.error, WorkPaused, f"{subject}: paused")
    if work.state == pb.WORK_STATE_PAUSED:
        command = "ftf resume" if subject.startswith("run ") else "ftf dataset resume"
        return WorkPaused(f"{subject}: paused", f"go on with `{command}`", code="FAILED_PRECONDITION")
    if work.state == pb.WORK_STATE_CANCELLED:
        return WorkCancelled(f"{subject}: cancelled", code="CANCELLED")
    return None


@contextmanager
def translated() -> Iterator[None]:
    """Turn the errors of grpc into FtfError."""
    import grpc

    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error) from error


def _split(message: str) -> tuple[str, str]:
    """Part a server's message into what is wrong and the remedy, without full stops at their ends."""
    what, *rest = _SENTENCE.split(message.strip(), maxsplit=1)
    # As the client says it of itself: "there is no model". Other words at the beginning may be names.
    what = re.sub(r"^There (?=is |are )", "there ", what)
    remedy = rest[0].rstrip(".") if rest else ""
    # "Run it" becomes "run it"; "LoRA" and "OCR" stay.
    return what.rstrip("."), remedy[:1].lower() + remedy[1:] if remedy[1:2].islower() else remedy
