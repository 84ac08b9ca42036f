"""An LLM's judgement of a run's answers: base against tuned, blind and in both orders."""

from __future__ import annotations

from finetuneflow.training.v1 import judgement_pb2, run_pb2, training_service_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import targets
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.view.judge import JudgeView, win_rate_line
from finetuneflow_client.errors import FtfError


async def judge(session: Session) -> None:
    """Let an LLM compare a run's answers, and say how often the tuned model's was better."""
    run = await targets.finished_run(session, session.args.run)
    found = await judged(session, run, session.args.llm, session.args.pairs)
    if session.output.as_json:
        session.output.message(found)
        return
    session.output.facts(
        {
            "run": run,
            "judge": f"{found.model} at {found.llm_endpoint}",
            "tuned better": win_rate_line(found.all),
            "generalise": win_rate_line(found.generalise),
            "recall": win_rate_line(found.recall),
        }
    )


async def judged_after(session: Session, run: run_pb2.Run, llm: str) -> None:
    """Let an endpoint judge a run that has just ended, and note it in the run; one that fails is a warning."""
    try:
        run.judgement.CopyFrom(await judged(session, run.name, llm))
    except FtfError as error:
        session.screen.warn(f"not judged: {error}")


async def judged(session: Session, run: str, llm: str, pairs: int = 0) -> judgement_pb2.Judgement:
    """Return what an LLM says of a run's answers, shown while it is asked.

    Args:
        llm: the endpoint; "" for the only one there is.
        pairs: most to judge; 0 for all.
    """
    endpoint = names.full("llmEndpoints", llm) if llm else ""
    request = training_service_pb2.JudgeRunRequest(name=run, llm_endpoint=endpoint, max_pairs=pairs)
    view = JudgeView(names.short(run))
    found = judgement_pb2.Judgement()
    with session.screen.showing(view) as changed:
        async for update in session.flow.training.JudgeRun(request):
            view.update(update.done, update.total)
            changed()
            found = update.judgement if update.HasField("judgement") else found
    return found
