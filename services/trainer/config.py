"""What the program is told from outside, and how long it waits for what."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.common.errors import InvalidArgument

EXIT_DONE = 0
"""The work is done, was stopped, or had already ended."""
EXIT_RETRY = 1
"""Something failed that may work another time."""
EXIT_NEVER = 3
"""The work can never succeed as it is: the error that was reported says why."""
EXIT_SUPERSEDED = 4
"""A later attempt has taken over."""
EXIT_TERMINATED = 143
"""SIGTERM: a checkpoint was saved, uploaded and recorded."""


@dataclass(frozen=True)
class Launch:
    """Who the program is and where it works.

    Args:
        address: host:port of the service whose work it does (FTF_ADDRESS).
        work: resource name of the run or export (FTF_WORK).
        pod_uid: identity of this process (FTF_POD_UID); made up if empty.
        token: launch token, from the file launch_token in FTF_SECRETS_DIR.
        folder: scratch folder, kept over restarts of the same work (FTF_WORK_DIR).
    """

    address: str
    work: str
    pod_uid: str
    token: str
    folder: Path

    def __repr__(self) -> str:
        return f"Launch(address={self.address!r}, work={self.work!r}, pod_uid={self.pod_uid!r}, folder={self.folder!r})"


def read_launch(environment: Mapping[str, str]) -> Launch:
    """Read the launch from an environment and the secrets folder that it names.

    Raises:
        InvalidArgument: a variable or the token's file is missing.
    """
    missing = [n for n in ("FTF_ADDRESS", "FTF_WORK", "FTF_SECRETS_DIR", "FTF_WORK_DIR") if not environment.get(n)]
    if missing:
        raise InvalidArgument(f"{', '.join(missing)} is not set. The trainer is started by a service, not by hand.")
    token_file = Path(environment["FTF_SECRETS_DIR"]) / "launch_token"
    try:
        token = token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InvalidArgument(f"{token_file} cannot be read ({error.strerror}). Start the Job again.") from error
    return Launch(
        address=environment["FTF_ADDRESS"],
        work=environment["FTF_WORK"],
        pod_uid=environment.get("FTF_POD_UID") or uuid.uuid4().hex,
        token=token,
        folder=Path(environment["FTF_WORK_DIR"]),
    )


@dataclass(frozen=True)
class Patience:
    """How long the program waits, in seconds. Tests shorten them.

    Args:
        begin: for BeginAttempt while the server is away; then EXIT_RETRY.
        call: for any other call while the server is away, retried all the while; then the call fails as Unavailable.
        drain: at the end, for the acknowledgement of every report.
        ack: without an answer on an open report stream before it is opened anew.
        flush: between a report and its batch going out.
        heartbeat: between batches when there is nothing to report; commands come with the answers.
        backoff_first: first pause before a repeat; doubled up to backoff_last, with jitter.
        backoff_last: longest pause before a repeat.
    """

    begin: float = 600.0
    call: float = 900.0
    drain: float = 900.0
    ack: float = 30.0
    flush: float = 0.5
    heartbeat: float = 2.0
    backoff_first: float = 0.2
    backoff_last: float = 5.0

    def pause(self, repeat: int) -> float:
        """Return the pause before a repeat (0, 1, 2, …), spread so that trainers do not knock all at once."""
        longest = min(self.backoff_first * 2.0 ** min(repeat, 20), self.backoff_last)
        return longest * (0.5 + 0.5 * int.from_bytes(os.urandom(2), "big") / 65535)
