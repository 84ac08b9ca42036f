"""`ftf compare`: runs side by side, what differs in their settings first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from finetuneflow.training.v1 import evaluation_pb2, run_pb2, training_service_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import targets, wording
from finetuneflow_client.cli.comparisonpage import page
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.settings import described
from finetuneflow_client.cli.sweeping import of_sweep
from finetuneflow_client.cli.view.curves import Curves
from finetuneflow_client.errors import FtfError

_Fact = Callable[[run_pb2.Run], str]


async def compare(session: Session) -> None:
    """Show runs beside each other: settings that are not the same for all, what came of them, and their curves.

    With --output all of it goes into one web page too.
    """
    wanted = [await targets.run(session, name) for name in session.args.runs]
    if session.args.sweep:
        wanted += [run.name for run in await of_sweep(session, session.args.sweep) if run.name not in wanted]
    if len(set(wanted)) < 2:
        raise FtfError(
            "a comparison needs two runs", "name two at least: `ftf runs` lists them", code="INVALID_ARGUMENT"
        )
    runs = [await session.flow.training.GetRun(training_service_pb2.GetRunRequest(name=name)) for name in wanted]
    head, rows = ["", *[names.short(run.name) for run in runs]], [*_settings(runs), *_results(runs)]
    session.output.listing("runs", runs, head, rows)
    curves = {names.short(run.name): _curve(run) for run in runs}
    if drawn := {name: points for name, points in curves.items() if len(points) > 1}:
        session.output.line()
        session.output.render(Curves(drawn))
    if session.args.output:
        title = f"Sweep {session.args.sweep}" if session.args.sweep else "Comparison of runs"
        held_out = {names.short(run.name): loss for run in runs if (loss := _held_out(run))}
        _write(session, Path(session.args.output), page(title, [head, *rows], curves, held_out))


def _write(session: Session, path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        problem = f"{path} cannot be written: {error.strerror}"
        raise FtfError(problem, "name another file with -o", code="FAILED_PRECONDITION") from error
    session.screen.say(f"written: {path}")


def _curve(run: run_pb2.Run) -> list[tuple[float, float]]:
    """Return a run's loss by step; nothing before it has ended."""
    found = [(point.step, point.values["loss"]) for point in run.curve if "loss" in point.values]
    return [point for point in found if math.isfinite(point[1])]


def _held_out(run: run_pb2.Run) -> float:
    """Return a tuned model's loss on documents held out, or where there are none on questions kept back; else 0."""
    found = run.result.evaluation
    score = found.generalise if found.generalise.examples else found.recall
    return score.tuned_loss


def _settings(runs: Sequence[run_pb2.Run]) -> list[list[str]]:
    """Return a row for each setting in which the runs differ, "–" where one has none."""
    found = [
        {
            "model": names.short(run.model),
            "dataset": f"{names.short(run.dataset)} v{run.dataset_version}",
            **dict(described(run.config)),
        }
        for run in runs
    ]
    rows = [
        [name, *[some.get(name, "–") for some in found]] for name in dict.fromkeys(n for some in found for n in some)
    ]
    return [row for row in rows if len(set(row[1:])) > 1]


def _results(runs: Sequence[run_pb2.Run]) -> list[list[str]]:
    """Return a row for each thing that came of them, without those that none has."""
    rows = [[label, *[fact(run) for run in runs]] for label, fact in _FACTS]
    return [row for row in rows if any(row[1:])]


def _losses(pick: Callable[[evaluation_pb2.Evaluation], evaluation_pb2.EvalScore]) -> _Fact:
    """Return what tells the loss of base and tuned model on a set."""

    def fact(run: run_pb2.Run) -> str:
        score = pick(run.result.evaluation)
        return f"{score.base_loss:.4f} → {score.tuned_loss:.4f}" if score.examples else ""

    return fact


def _answers(pick: Callable[[evaluation_pb2.Evaluation], evaluation_pb2.EvalScore]) -> _Fact:
    """Return what tells the F1 of base and tuned model's answers on a set."""

    def fact(run: run_pb2.Run) -> str:
        score = pick(run.result.evaluation)
        return f"{score.base_answers.token_f1:.3f} → {score.tuned_answers.token_f1:.3f}" if score.answers else ""

    return fact


def _forgot(run: run_pb2.Run) -> str:
    found = run.result.evaluation.forgetting
    if not found.score.examples:
        return ""
    return f"{found.score.tuned_loss - found.score.base_loss:+.4f}" + ("" if found.passed else " NOT passed")


def _judged(run: run_pb2.Run) -> str:
    found = run.judgement.all
    return f"{found.rate:.0%} ({found.low:.0%} to {found.high:.0%})" if run.HasField("judgement") else ""


def _done(run: run_pb2.Run, text: str) -> str:
    """Return a text, or nothing before the run has trained."""
    return text if run.result.steps else ""


_FACTS: tuple[tuple[str, _Fact], ...] = (
    ("state", lambda run: wording.state(run.work)),
    ("steps", lambda run: _done(run, f"{run.result.steps:,}")),
    ("parameters trained", lambda run: _done(run, f"{run.result.trainable_parameters:,}")),
    ("loss of training", lambda run: _done(run, f"{run.result.train_loss:.4f}")),
    ("loss: generalise", _losses(lambda found: found.generalise)),
    ("loss: recall", _losses(lambda found: found.recall)),
    ("token F1: generalise", _answers(lambda found: found.generalise)),
    ("token F1: recall", _answers(lambda found: found.recall)),
    ("forgetting, nats per token", _forgot),
    ("judged: tuned better", _judged),
    ("training took", lambda run: _done(run, wording.duration(run.result.train_seconds))),
    ("most memory", lambda run: _done(run, wording.memory(run.result.peak_memory_bytes))),
)
