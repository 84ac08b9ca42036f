"""What a set-up reaches, and whether each of it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetuneflow.common.v1 import server_service_pb2 as pb
from finetuneflow_client import __version__
from finetuneflow_client.cli import exits
from finetuneflow_client.discovery import find_server

if TYPE_CHECKING:
    from collections.abc import Iterable

    from finetuneflow_client.cli.session import Session

_WORDS = {
    pb.Dependency.STATE_ANSWERS: "answers",
    pb.Dependency.STATE_FAILS: "FAILS",
    pb.Dependency.STATE_OFF: "off",
    pb.Dependency.STATE_NOT_ASKED: "not asked",
}


async def doctor(session: Session) -> int:
    """List what the server reaches and ask each; exit 1 if something fails."""
    info = await session.flow.server.GetServerInfo(pb.GetServerInfoRequest())
    found = await session.flow.server.CheckDependencies(pb.CheckDependenciesRequest())
    failed = [one for one in found.dependencies if one.state == pb.Dependency.STATE_FAILS]
    if session.output.as_json:
        session.output.message(found)
        return exits.FAILED if failed else exits.OK
    args = session.args
    address = find_server(args.server, args.token_file, args.state, profile=args.profile).address
    session.output.facts({"server": f"{address}, version {info.version}", "this client": f"version {__version__}"})
    session.output.line()
    shown = _once(found.dependencies)
    rows = [
        (_WORDS.get(one.state, "?"), one.what, one.address, "yes" if one.outside else "", one.service, one.message)
        for one in shown
    ]
    # A terminal cuts at the right.
    session.output.table(("STATE", "WHAT", "WHERE", "OUTSIDE", "BY", ""), rows)
    session.output.line()
    hosts = sorted({one.address for one in found.dependencies if one.outside and one.state != pb.Dependency.STATE_OFF})
    session.output.line(f"hosts outside: {', '.join(hosts) or 'none is needed'}")
    failing = [one for one in shown if one.state == pb.Dependency.STATE_FAILS]
    for one in failing:
        session.screen.warn(f"{one.what}, {one.address}: {one.message}")
    if failing:
        session.screen.warn(f"{len(failing)} of {len(shown)} {'does' if len(failing) == 1 else 'do'} not answer")
        return exits.FAILED
    return exits.OK


def _once(found: Iterable[pb.Dependency]) -> list[pb.Dependency]:
    """Return the dependencies with those that several services share once, with the services' names joined."""
    kept: dict[tuple[str, str, int, str], pb.Dependency] = {}
    for one in found:
        # The clock's tenths differ between two looks at the same store.
        key = (one.what, one.address, one.state, one.message if one.state == pb.Dependency.STATE_FAILS else "")
        if key in kept:
            kept[key].service += f", {one.service}"
        else:
            kept[key] = pb.Dependency()
            kept[key].CopyFrom(one)
    return list(kept.values())
