"""The log of a run."""

from __future__ import annotations

from finetuneflow.training.v1 import training_service_pb2
from finetuneflow_client.cli import targets
from finetuneflow_client.cli.output import to_json
from finetuneflow_client.cli.session import Session
from finetuneflow_client.watch import read_logs


async def logs(session: Session) -> None:
    """Print a run's log; when following, a connection that breaks off is taken up at the line that comes next."""
    name = await targets.run(session, session.args.run)
    async for line in read_logs(session.flow, name, follow=session.args.follow, away=session.away):
        _written(session, line)


def _written(session: Session, line: training_service_pb2.ReadLogsResponse) -> None:
    if session.output.as_json:
        session.output.json_line(to_json(line))
    else:
        session.output.raw(" ".join(filter(None, (line.time, line.level, line.text))) + "\n")
        session.output.flush()
