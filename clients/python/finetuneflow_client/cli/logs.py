"""The log of a run."""

from __future__ import annotations

import asyncio

from finetuneflow.training.v1 import training_service_pb2
from finetuneflow_client.cli import targets
from finetuneflow_client.cli.output import to_json
from finetuneflow_client.cli.session import Session
from finetuneflow_client.errors import FtfError


async def logs(session: Session) -> None:
    """Print a run's log; when following, a connection that breaks off is taken up at the line that comes next."""
    args = session.args
    request = training_service_pb2.ReadLogsRequest(name=await targets.run(session, args.run), follow=args.follow)
    printed, pause = 0, 0.2
    while True:
        try:
            number = 0
            async for line in session.flow.training.ReadLogs(request):
                number += 1
                if number > printed:
                    printed, pause = number, 0.2
                    _written(session, line)
            return
        except FtfError as error:
            if not (args.follow and error.away):
                raise
            session.away(error)
        await asyncio.sleep(pause)
        pause = min(pause * 2, 5.0)


def _written(session: Session, line: training_service_pb2.ReadLogsResponse) -> None:
    if session.output.as_json:
        session.output.json_line(to_json(line))
    else:
        session.output.raw(" ".join(filter(None, (line.time, line.level, line.text))) + "\n")
        session.output.flush()
