"""`ftf train --dry-run`: everything that would be found out too late otherwise."""

from __future__ import annotations

from finetuneflow.training.v1 import check_pb2, config_pb2, run_pb2
from finetuneflow_client.cli import exits, wording
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.settings import described
from finetuneflow_client.cli.view.check import (
    answers,
    coloured,
    example_title,
    label_facts,
    marked,
    problem_lines,
)
from finetuneflow_client.errors import FtfError
from finetuneflow_client.sweeps import refusal


def show_check(session: Session, run: run_pb2.Run) -> int:
    """Write what was found about a run that was not started; return the exit code: whether it would start."""
    check, output = run.check, session.output
    if not output.as_json:
        _show_labels(session, check)
        facts = {
            "disk": f"{wording.size(check.disk_free_bytes)} free" if check.disk_free_bytes else "",
            "queue": f"{wording.many(check.jobs_before, 'job')} at work or waiting" if check.jobs_before else "",
        }
        output.facts(facts)
        for line in problem_lines(check):
            output.line(line)
    if refusal(run) is None:
        session.screen.say("every check passed; nothing was started")
        return exits.OK
    session.screen.say("it would be refused; nothing was started")
    return exits.FAILED


def is_told(error: FtfError | None, check: check_pb2.RunCheck) -> bool:
    """Whether a check says what an error says, as where both the recommendation and the run are refused for it."""
    return error is not None and any(problem.message.rstrip(".") == error.message for problem in check.problems)


def tell_warnings(session: Session, run: run_pb2.Run) -> None:
    """Say what was found about a run that was started all the same; nothing of one that was there already."""
    for line in problem_lines(run.check):
        session.screen.warn(line)


def asked_settings(run: run_pb2.Run, asked: config_pb2.TrainingConfig) -> str:
    """Return a checked run's settings in one line: what was asked for as it was given, and which of it is refused.

    The answer to a check has the default where a setting is refused, which is not what anybody asked for.
    """
    problems = [p for p in run.check.problems if p.severity == check_pb2.Problem.SEVERITY_REFUSE]
    refused = {p.field.rpartition(".")[2] for p in problems if p.field.startswith("config.")}
    given = dict(described(asked))
    return ", ".join(
        f"{name} {value}{' (refused)' if name in refused & given.keys() else ''}"
        for name, value in (dict(described(run.config)) | given).items()
    )


def _show_labels(session: Session, check: check_pb2.RunCheck) -> None:
    output = session.output
    if not check.HasField("labels"):
        return
    output.line()
    output.facts(label_facts(check.labels))
    for example in check.labels.examples:
        output.line()
        output.line(example_title(example))
        for word, tokens in answers(example):
            if word:
                output.line(word)
            if output.coloured:
                output.render(coloured(tokens))
            else:
                output.line(marked(tokens))
    output.line()
