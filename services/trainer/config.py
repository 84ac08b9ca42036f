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
        address: gRPC target of the service whose work it does (FTF_ADDRESS): host:port or dns:///host:port.
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
class Group:
    """The processes that train together, as the Job says.

    Args:
        processes: on each node, one a GPU (FTF_PROCESSES).
        nodes: pods of the Job (FTF_NODES).
        node: which of them this is, from 0 (JOB_COMPLETION_INDEX).
        master: host:port at which the nodes meet, on node 0 (FTF_MASTER).
    """

    processes: int = 1
    nodes: int = 1
    node: int = 0
    master: str = ""

    @property
    def size(self) -> int:
        """Processes in all."""
        return self.processes * self.nodes


def read_group(environment: Mapping[str, str]) -> Group:
    """Read the group from an environment; without a word about it there it is one process.

    Raises:
        InvalidArgument: a number is none, or several nodes do not know where to meet.
    """

    def number(name: str, default: int, least: int) -> int:
        text = environment.get(name) or str(default)
        if not text.isdecimal() or int(text) < least:
            raise InvalidArgument(f"{name} is {text!r}. Set a whole number, {least} at least.")
        return int(text)

    group = Group(
        processes=number("FTF_PROCESSES", 1, 1),
        nodes=number("FTF_NODES", 1, 1),
        node=number("JOB_COMPLETION_INDEX", 0, 0),
        master=environment.get("FTF_MASTER", ""),
    )
    host, _, port = group.master.rpartition(":")
    if group.nodes > 1 and (not host or not port.isdecimal() or not 0 < int(port) < 65536):
        raise InvalidArgument(
            "FTF_MASTER is not host:port with a port of 1 to 65535. Several nodes need it, the same on each."
        )
    if group.node >= group.nodes > 1:
        raise InvalidArgument(f"JOB_COMPLETION_INDEX {group.node} is not below FTF_NODES {group.nodes}.")
    return group


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
        silent: without a sign of life of another process of the training before it counts as lost.
        backoff_first: first pause before a repeat; doubled up to backoff_last, with jitter.
        backoff_last: longest pause before a repeat.
    """

    begin: float = 600.0
    call: float = 900.0
    drain: float = 900.0
    ack: float = 30.0
    flush: float = 0.5
    heartbeat: float = 2.0
    silent: float = 60.0
    backoff_first: float = 0.2
    backoff_last: float = 5.0

    def pause(self, repeat: int) -> float:
        """Return the pause before a repeat (0, 1, 2, …), spread so that trainers do not knock all at once."""
        longest = min(self.backoff_first * 2.0 ** min(repeat, 20), self.backoff_last)
        return longest * (0.5 + 0.5 * int.from_bytes(os.urandom(2), "big") / 65535)
