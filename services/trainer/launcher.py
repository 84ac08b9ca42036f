"""Starts one process a GPU, on each node of a Job, and ends with the exit code of the work.

One node: `accelerate launch`. Several: torchrun, with the store that the nodes meet at on node 0 and the node's rank
from the Job, so that rank 0 is on node 0. What is started is this same program.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from services.trainer.config import EXIT_DONE, EXIT_NEVER, EXIT_RETRY, EXIT_SUPERSEDED, EXIT_TERMINATED, Group, Patience
from services.trainer.places import FOLDER, die_with_parent, notes
from services.trainer.surroundings import last_word

log = logging.getLogger(__name__)

_LOOK = 0.1
"""Seconds between two looks at the processes."""
_LEAVING = 20
"""Seconds that the others have to leave after one has left."""
_FAILED = 2
"""The same when all of this node's have left and the work is to be tried again."""
_MODULE = "services.trainer"


def command(group: Group, subcommand: str) -> list[str]:
    """Return the command line that starts this node's processes."""
    if group.nodes == 1:
        options = ["--multi_gpu", "--num_processes", str(group.processes), "--num_machines", "1", "--gpu_ids", "all"]
        options += ["--main_process_port", "0", "--mixed_precision", "no", "--dynamo_backend", "no"]
        return [sys.executable, "-m", "accelerate.commands.launch", *options, "--module", _MODULE, subcommand]
    host, _, port = group.master.rpartition(":")
    options = ["--nnodes", str(group.nodes), "--nproc-per-node", str(group.processes), "--node-rank", str(group.node)]
    options += ["--master-addr", host.strip("[]"), "--master-port", port, "--max-restarts", "0"]
    return [sys.executable, "-m", "torch.distributed.run", *options, "--module", _MODULE, subcommand]


class Launcher:
    """One node's processes.

    Args:
        group: how many there are and where they meet.
        subcommand: what they do.
        folder: scratch folder of the work.
        patience: how long nodes wait for each other.
    """

    def __init__(self, group: Group, subcommand: str, folder: Path, patience: Patience) -> None:
        self._command = command(group, subcommand)
        self._processes = group.processes
        self._folder = folder / f"launch-{group.node}"
        self._patience = patience
        self._terminated = False
        self._told: set[int] = set()
        self._left = 0.0

    def terminate(self) -> None:
        """Tell the processes to save a checkpoint and leave; for signal handlers."""
        self._terminated = True

    def run(self) -> int:
        """Start the processes and wait for them; return the exit code of the work.

        Nodes of a Job do not start together, and one may meet a process of the pod before the present one. So a group
        that has not met is tried again until `Patience.begin` is over.
        """
        end = time.monotonic() + self._patience.begin
        repeat = 0
        while True:
            status = self._once()
            met = notes(self._folder, "met") or notes(self._folder, "code")
            if met or self._terminated or time.monotonic() > end:
                code = self._code(status)
                if code == EXIT_RETRY:
                    log.error("A process of the training ended early (status %d).", status)
                    last_word("A process of the training ended early. See the log.")
                if code == EXIT_DONE:
                    shutil.rmtree(self._folder, ignore_errors=True)
                return code
            log.warning("The processes of the training did not meet (status %d); trying again.", status)
            time.sleep(self._patience.pause(repeat))
            repeat += 1

    def _once(self) -> int:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._told.clear()
        self._left = 0.0
        environment = {
            **os.environ,
            FOLDER: str(self._folder),
            "TORCH_CPP_LOG_LEVEL": "ERROR",
            "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(_LEAVING),
        }
        # A session of its own: signals reach the processes through us alone. The library would kill them on SIGTERM.
        with (
            (self._folder / "library.log").open("w") as words,
            subprocess.Popen(
                self._command, env=environment, stderr=words, start_new_session=True, preexec_fn=die_with_parent
            ) as process,
        ):
            while process.poll() is None:
                self._look(process)
                time.sleep(_LOOK)
            return process.returncode

    def _look(self, process: subprocess.Popen[bytes]) -> None:
        now = time.monotonic()
        if self._terminated:
            self._tell()
            if not self._told:
                # Nothing has begun.
                _kill(process)
        codes = notes(self._folder, "code")
        if not self._left and codes:
            self._left = now
        # After a failure, the library would wait for nodes that are no more.
        failed = len(codes) == self._processes and str(EXIT_RETRY) in codes.values()
        if self._left and now - self._left > (_FAILED if failed else _LEAVING):
            log.warning("Some processes of the training do not leave; ending them.")
            _kill(process)

    def _tell(self) -> None:
        for number, pid in notes(self._folder, "pid").items():
            if number not in self._told:
                self._told.add(number)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGTERM)

    def _code(self, status: int) -> int:
        """Return the exit code that the processes agreed on, or what their end without an agreement comes to."""
        codes = {int(text) for text in notes(self._folder, "code").values()}
        for certain in (EXIT_SUPERSEDED, EXIT_DONE, EXIT_NEVER):
            if certain in codes:
                return certain
        if EXIT_TERMINATED in codes and (status == 0 or self._terminated):
            return EXIT_TERMINATED
        return EXIT_TERMINATED if self._terminated and not self._told else EXIT_RETRY


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
