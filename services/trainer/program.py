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
from typing import cast

from google.protobuf.message import Message

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.common.v1 import worker_service_pb2 as pb
from finetuneflow.export.v1 import export_pb2
from finetuneflow.training.v1 import run_pb2
from services.common import trackers
from services.common.errors import FineTuneFlowError, InvalidArgument, NotFound, Unavailable
from services.common.statuses import to_status
from services.trainer.attempt import Attempt
from services.trainer.basemodel import is_offline
from services.trainer.config import (
    EXIT_DONE,
    EXIT_NEVER,
    EXIT_RETRY,
    EXIT_SUPERSEDED,
    EXIT_TERMINATED,
    Launch,
    Patience,
    read_group,
    read_launch,
)
from services.trainer.failures import explain, is_explained
from services.trainer.follower import follow, leave
from services.trainer.launcher import Launcher
from services.trainer.logs import Log, Scrubber, say
from services.trainer.places import Place, die_with_parent, quiet_errors, read_place
from services.trainer.reporter import Orders, Reporter, Stopped, Terminated
from services.trainer.surroundings import last_word, prepare_libraries, settle_in
from services.trainer.team import Team
from services.trainer.worker import Superseded, Worker

log = logging.getLogger(__name__)

_SPECS: Mapping[str, type[Message]] = {"train": run_pb2.TrainSpec, "export": export_pb2.ExportSpec}
_TELL = 2.0
"""Seconds that a process has to tell why it failed after its going was noticed."""
_PERMANENT = (3, 9)
"""INVALID_ARGUMENT and FAILED_PRECONDITION never work on a retry."""


def main(arguments: list[str]) -> int:
    """Run one subcommand, "train", "export" or "chat", with the environment's launch; return the exit code."""
    if len(arguments) != 1 or arguments[0] not in (*_SPECS, "chat"):
        sys.stderr.write("usage: python -m services.trainer train|export|chat\n")
        return EXIT_NEVER
    try:
        launch = read_launch(os.environ)
        group = read_group(os.environ)
    except InvalidArgument as error:
        sys.stderr.write(f"{error}\n")
        last_word(str(error))
        return EXIT_NEVER
    settle_in(os.environ, launch.folder)
    lines = Log([launch.token, os.environ.get("HF_TOKEN", ""), *trackers.secrets_of(os.environ)])
    place = read_place(os.environ)
    lines.start(place.rank if place else 0)
    if arguments[0] == "chat":
        from services.trainer.chat import chat

        return chat(launch, Patience(), lines.scrub)
    if place is not None:
        return _take_place(arguments[0], launch, place, lines)
    if group.size > 1 and arguments[0] == "train":
        launcher = Launcher(group, arguments[0], launch.folder, Patience())
        signal.signal(signal.SIGTERM, lambda number, frame: launcher.terminate())
        return launcher.run()
    orders = Orders()
    signal.signal(signal.SIGTERM, lambda number, frame: orders.terminate())
    return run(arguments[0], launch, Patience(), orders, lines)


def _take_place(subcommand: str, launch: Launch, place: Place, lines: Log) -> int:
    """Be one of several processes; leaves by itself, with a note for the launcher."""
    from services.trainer.ranks import Ranks, connect
    from services.trainer.watch import Watch

    die_with_parent()
    quiet_errors()
    orders, patience = Orders(), Patience()
    signal.signal(signal.SIGTERM, lambda number, frame: orders.terminate())
    place.note("pid", str(os.getpid()))
    try:
        team = Ranks(place, connect(place, patience), patience)
        team.each(lambda: place.note("met"))
    except Unavailable as error:
        log.error("%s", error)
        return EXIT_RETRY

    def lost(code: int | None, error: FineTuneFlowError) -> None:
        log.error("%s", error)
        if team.leads:
            code = team.report(error)
            team.end(code)
        leave(place, code)

    team.watch(Watch(place, connect(place, patience), patience, orders, lost))
    if team.leads:
        leave(place, run(subcommand, launch, patience, orders, lines, team))
    leave(place, follow(launch, patience, orders, team))
    return EXIT_RETRY


def run(
    subcommand: str, launch: Launch, patience: Patience, orders: Orders, lines: Log, team: Team | None = None
) -> int:
    """Begin an attempt and do its work, for the team if there is one; return the exit code."""
    team = team or Team()
    code = EXIT_RETRY
    try:
        code = _run(subcommand, launch, patience, orders, lines, team)
        return code
    finally:
        team.end(code)


def _run(subcommand: str, launch: Launch, patience: Patience, orders: Orders, lines: Log, team: Team) -> int:
    worker = Worker(launch, patience, superseded=lambda: _leave(team))
    begun = _begin(worker, orders, lines.scrub)
    if isinstance(begun, int):
        team.share(pb.BeginAttemptResponse().SerializeToString())
        return begun
    lines.scrub.add(begun.token)
    folder = _attempt_folder(launch.folder, begun.attempt)
    reporter = Reporter(worker, folder, begun.last_seq, patience, orders)
    reporter.start()
    lines.send_to(reporter)
    checkpoint = begun.checkpoint if begun.HasField("checkpoint") else None
    best = begun.best_checkpoint if begun.HasField("best_checkpoint") else None
    attempt = Attempt(begun.attempt, folder, worker, reporter, orders, patience, checkpoint, team, best)
    team.report = lambda error: _fail(attempt, explain(error, lines.scrub))
    log.info("Attempt %d of %s.", begun.attempt, launch.work)
    _share(team, begun)
    code = EXIT_RETRY
    try:
        code = _work(subcommand, attempt, begun, lines.scrub)
        return code
    finally:
        lines.send_to(None)
        reporter.close()
        worker.close()
        if code == EXIT_DONE:
            shutil.rmtree(folder, ignore_errors=True)


def _begin(worker: Worker, orders: Orders, scrub: Scrubber) -> pb.BeginAttemptResponse | int:
    """Begin the attempt, or return the exit code if there is none."""
    try:
        return worker.begin(waiting=orders.check)
    except Terminated:
        return EXIT_TERMINATED
    except FineTuneFlowError as error:
        log.error("The work was not begun: %s", error)
        if error.reason == "WORK_ENDED":
            return EXIT_DONE
        last_word(scrub(f"The work was not begun: {error}"))
        return EXIT_RETRY if isinstance(error, Unavailable) else EXIT_NEVER


def _share(team: Team, begun: pb.BeginAttemptResponse) -> None:
    """Tell the team what has begun; the token stays here."""
    told = pb.BeginAttemptResponse()
    told.CopyFrom(begun)
    told.token = ""
    team.share(told.SerializeToString())


def _work(subcommand: str, attempt: Attempt, begun: pb.BeginAttemptResponse, scrub: Scrubber) -> int:
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
        attempt.team.let_go()
        (attempt.folder / "traceback.txt").write_text(scrub(traceback.format_exc()), encoding="utf-8")
        ours = explain(_cause(attempt.team, error), scrub)
        log.error("%s", ours)
        last_word(str(ours))
        return _fail(attempt, ours)


def _cause(team: Team, error: Exception) -> Exception:
    """Return what is to be explained; of a team an exception may be the echo of what happened to another process."""
    if is_explained(error) or team.size == 1:
        return error
    return team.failure(_TELL) or Unavailable(
        "A process of the training ended, with it the others. The run goes on from its last checkpoint; see the logs "
        "of its pods if that happens again."
    )


def _do(
    subcommand: str, attempt: Attempt, begun: pb.BeginAttemptResponse
) -> tuple[Message, list[artifact_pb2.Artifact]]:
    spec = _SPECS[subcommand]()
    if not begun.spec.Unpack(spec):
        raise InvalidArgument(f"The spec is no {spec.DESCRIPTOR.name}: this Job was started with the wrong command.")
    attempt.phase("load")
    prepare_libraries(os.environ, offline=is_offline(spec))  # type: ignore[arg-type]  # both specs are such
    if isinstance(spec, run_pb2.TrainSpec):
        from services.trainer.training_job import run_training

        return run_training(attempt, spec)
    from services.trainer.export_job import run_export

    return run_export(attempt, cast(export_pb2.ExportSpec, spec))


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


def _leave(team: Team) -> None:
    """End at once, without another write: the work belongs to a later attempt."""
    place = read_place(os.environ)
    if place is not None:
        place.note("code", str(EXIT_SUPERSEDED))
        team.end(EXIT_SUPERSEDED)
    say("INFO", "A later attempt has taken over; leaving.")
    os._exit(EXIT_SUPERSEDED)
