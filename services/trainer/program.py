"""From the environment to an exit code: begin an attempt, do its work, say how it went.

0    done, stopped by the service, or ended before
1    failed, may work another time: the error was reported, or the service could not be reached
3    failed, will never work: the error was reported
4    a later attempt has taken over
143  SIGTERM: a checkpoint was saved and uploaded first, if training was under way
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from google.protobuf.message import Message

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.common.v1 import worker_service_pb2 as pb
from finetuneflow.export.v1 import export_pb2
from finetuneflow.training.v1 import run_pb2
from services.common.errors import FineTuneFlowError, InvalidArgument, NotFound, Unavailable
from services.common.statuses import to_status
from services.trainer.attempt import Attempt
from services.trainer.config import (
    EXIT_DONE,
    EXIT_NEVER,
    EXIT_RETRY,
    EXIT_SUPERSEDED,
    EXIT_TERMINATED,
    Launch,
    Patience,
    read_launch,
)
from services.trainer.failures import explain
from services.trainer.logs import Log, quiet_libraries
from services.trainer.reporter import Orders, Reporter, Stopped, Terminated
from services.trainer.worker import Superseded, Worker

log = logging.getLogger(__name__)

_SPECS: Mapping[str, type[Message]] = {"train": run_pb2.TrainSpec, "export": export_pb2.ExportSpec}
_PERMANENT = (3, 9)
"""INVALID_ARGUMENT and FAILED_PRECONDITION never work on a retry."""


def main(arguments: list[str]) -> int:
    """Run one subcommand, "train" or "export", with the environment's launch; return the exit code."""
    if len(arguments) != 1 or arguments[0] not in _SPECS:
        sys.stderr.write("usage: python -m services.trainer train|export\n")
        return EXIT_NEVER
    try:
        launch = read_launch(os.environ)
    except InvalidArgument as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_NEVER
    lines = Log([launch.token])
    lines.start()
    orders = Orders()
    signal.signal(signal.SIGTERM, lambda number, frame: orders.terminate())
    return run(arguments[0], launch, Patience(), orders, lines)


def run(subcommand: str, launch: Launch, patience: Patience, orders: Orders, lines: Log) -> int:
    """Begin an attempt and do its work; return the exit code."""
    worker = Worker(launch, patience, superseded=_leave)
    try:
        begun = worker.begin(waiting=orders.check)
    except Terminated:
        return EXIT_TERMINATED
    except FineTuneFlowError as error:
        log.error("The work was not begun: %s", error)
        if error.reason == "WORK_ENDED":
            return EXIT_DONE
        return EXIT_RETRY if isinstance(error, Unavailable) else EXIT_NEVER
    lines.scrub.add(begun.token)
    folder = _attempt_folder(launch.folder, begun.attempt)
    reporter = Reporter(worker, folder, begun.last_seq, patience, orders)
    reporter.start()
    lines.send_to(reporter)
    checkpoint = begun.checkpoint if begun.HasField("checkpoint") else None
    attempt = Attempt(begun.attempt, folder, worker, reporter, orders, patience, checkpoint)
    log.info("Attempt %d of %s.", begun.attempt, launch.work)
    code = EXIT_RETRY
    try:
        code = _work(subcommand, attempt, begun)
        return code
    finally:
        lines.send_to(None)
        reporter.close()
        worker.close()
        if code == EXIT_DONE:
            shutil.rmtree(folder, ignore_errors=True)


def _work(subcommand: str, attempt: Attempt, begun: pb.BeginAttemptResponse) -> int:
    try:
        result, artifacts = _do(subcommand, attempt, begun)
        return _finish(attempt, _success(result, artifacts))
    except Stopped:
        log.info("Stopped: the work was cancelled or deleted.")
        attempt.reporter.drain()
        return EXIT_DONE
    except Terminated:
        log.info("Ended by SIGTERM.")
        attempt.reporter.drain()
        return EXIT_TERMINATED
    except Superseded:
        return EXIT_SUPERSEDED
    except Exception as error:
        (attempt.folder / "traceback.txt").write_text(traceback.format_exc(), encoding="utf-8")
        ours = explain(error)
        log.error("%s", ours)
        return _fail(attempt, ours)


def _do(
    subcommand: str, attempt: Attempt, begun: pb.BeginAttemptResponse
) -> tuple[Message, list[artifact_pb2.Artifact]]:
    spec = _SPECS[subcommand]()
    if not begun.spec.Unpack(spec):
        raise InvalidArgument(f"The spec is no {spec.DESCRIPTOR.name}: this Job was started with the wrong command.")
    attempt.phase("load")
    location: str = spec.model_location  # type: ignore[attr-defined]  # both specs have it
    prepare_libraries(os.environ, offline=os.path.isabs(location))
    if isinstance(spec, run_pb2.TrainSpec):
        from services.trainer.training_job import run_training

        return run_training(attempt, spec)
    from services.trainer.export_job import run_export

    return run_export(attempt, cast(export_pb2.ExportSpec, spec))


def prepare_libraries(environment: Any, offline: bool) -> None:
    """Set what the libraries read from the environment when they are imported, and quieten them.

    No telemetry. No hub for a model in a folder. One GPU without a distributed launcher.

    Args:
        environment: the process's own.
        offline: whether no hub is needed.
    """
    environment["HF_HUB_DISABLE_TELEMETRY"] = "1"
    environment.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")
    if offline:
        environment["HF_HUB_OFFLINE"] = "1"
    if "WORLD_SIZE" not in environment:
        environment.setdefault("CUDA_VISIBLE_DEVICES", "0")
    quiet_libraries()


def _success(result: Message, artifacts: list[artifact_pb2.Artifact]) -> pb.FinishAttemptRequest:
    request = pb.FinishAttemptRequest(artifacts=artifacts)
    request.result.Pack(result)
    return request


def _finish(attempt: Attempt, request: pb.FinishAttemptRequest) -> int:
    log.info("Done.")
    if not attempt.reporter.drain():
        log.warning("Not every report was acknowledged in time.")
    try:
        attempt.worker.finish(request)
    except FineTuneFlowError as error:
        if error.reason == "OBJECT_MISMATCH":
            # Another attempt goes on from the last checkpoint and uploads again; as it stands it would be for good.
            raise Unavailable(error.message, reason=error.reason) from error
        if error.reason != "WORK_ENDED":
            raise
    return EXIT_DONE


def _fail(attempt: Attempt, error: FineTuneFlowError) -> int:
    attempt.reporter.drain()
    try:
        attempt.worker.finish(pb.FinishAttemptRequest(error=to_status(error)))
    except Superseded:
        return EXIT_SUPERSEDED
    except FineTuneFlowError as unheard:
        log.error("The error could not be reported: %s", unheard)
        return EXIT_DONE if isinstance(unheard, NotFound) else EXIT_RETRY
    return EXIT_NEVER if error.code in _PERMANENT else EXIT_RETRY


def _attempt_folder(root: Path, attempt: int) -> Path:
    """Make the attempt's own folder, empty, and remove those of other attempts."""
    root.mkdir(parents=True, exist_ok=True)
    for old in root.glob("attempt-*"):
        shutil.rmtree(old, ignore_errors=True)
    folder = root / f"attempt-{attempt}"
    folder.mkdir(exist_ok=True)
    return folder


def _leave() -> None:
    """End at once, without another write: the work belongs to a later attempt."""
    sys.stdout.write("A later attempt has taken over; leaving.\n")
    sys.stdout.flush()
    os._exit(EXIT_SUPERSEDED)
