"""What a process does that does not lead: its share of the training, without a word to the service."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from pathlib import Path

from finetuneflow.common.v1 import worker_service_pb2 as pb
from finetuneflow.training.v1 import run_pb2
from services.trainer.attempt import Attempt
from services.trainer.basemodel import is_offline
from services.trainer.config import EXIT_RETRY, Launch, Patience
from services.trainer.failures import explain, is_explained
from services.trainer.places import Place
from services.trainer.reporter import Orders, Silence, Stopped, Terminated
from services.trainer.surroundings import prepare_libraries
from services.trainer.team import Elsewhere, Team
from services.trainer.worker import Nobody

log = logging.getLogger(__name__)

_ANSWER = 12.0
"""Seconds that the leader has to say how the work ends when this process failed."""
_ECHO = 3.0
"""The same for a failure that may only be the echo of another's."""
_LOOK = 0.2


def follow(launch: Launch, patience: Patience, orders: Orders, team: Team) -> int | None:
    """Take part in what the leader has begun; return the exit code that it tells, or None if it tells none."""
    begun = pb.BeginAttemptResponse.FromString(team.share())
    if not begun.attempt:
        return _code(team)
    folder = own_folder(launch.folder, begun.attempt, team.rank)
    checkpoint = begun.checkpoint if begun.HasField("checkpoint") else None
    best = begun.best_checkpoint if begun.HasField("best_checkpoint") else None
    attempt = Attempt(begun.attempt, folder, Nobody(), Silence(), orders, patience, checkpoint, team, best)
    try:
        _train(attempt, begun)
    except (Elsewhere, Stopped, Terminated):
        pass
    except Exception as error:
        ours = explain(error)
        log.error("Process %d: %s", team.rank, ours)
        team.fail(ours)
        return team.ended(_ANSWER if is_explained(error) else _ECHO)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _code(team)


def _train(attempt: Attempt, begun: pb.BeginAttemptResponse) -> None:
    spec = run_pb2.TrainSpec()
    begun.spec.Unpack(spec)
    prepare_libraries(os.environ, offline=is_offline(spec))
    from services.trainer.training_job import take_part

    take_part(attempt, spec)


def _code(team: Team) -> int | None:
    """Wait for the leader's word for as long as it takes; the watch ends this process if the leader is lost."""
    while (code := team.ended(60.0)) is None:
        time.sleep(_LOOK)
    return code


def own_folder(root: Path, attempt: int, rank: int) -> Path:
    """Make a process's own folder in an attempt, empty, and remove those of earlier attempts."""
    root.mkdir(parents=True, exist_ok=True)
    for old in root.glob(f"attempt-*-rank-{rank}"):
        shutil.rmtree(old, ignore_errors=True)
    folder = root / f"attempt-{attempt}-rank-{rank}"
    folder.mkdir()
    return folder


def leave(place: Place, code: int | None) -> None:
    """End this process at once: 0 for the library when the team agrees on how the work ended, else 1."""
    place.note("code", str(EXIT_RETRY if code is None else code))
    sys.stdout.flush()
    os._exit(0 if code is not None else EXIT_RETRY)
