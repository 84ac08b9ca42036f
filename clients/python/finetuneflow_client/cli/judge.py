"""An LLM's judgement of a run's answers: base against tuned, blind and in both orders."""

from __future__ import annotations

from finetuneflow.training.v1 import judgement_pb2, training_service_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import targets
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.view.judge import JudgeView, win_rate_line


async def judge(session: Session) -> None:
    """Let an LLM compare a run's answers, and say how often the tuned model's was better."""
    args = session.args
    run = await targets.finished_run(session, args.run)
    llm = names.full("llmEndpoints", args.llm) if args.llm else ""
    request = training_service_pb2.JudgeRunRequest(name=run, llm_endpoint=llm, max_pairs=args.pairs)
    view = JudgeView(names.short(run))
    found = judgement_pb2.Judgement()
    with session.screen.showing(view) as changed:
        async for update in session.flow.training.JudgeRun(request):
            view.update(update.done, update.total)
            changed()
            found = update.judgement if update.HasField("judgement") else found
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
