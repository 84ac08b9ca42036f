"""What became of everything in a dataset, and what people say of its examples."""

from __future__ import annotations

from finetuneflow.dataset.v1 import ledger_pb2, review_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import targets, wording
from finetuneflow_client.cli.session import Session
from finetuneflow_client.client import items
from finetuneflow_client.errors import FtfError


async def ledger(session: Session) -> None:
    """Show each step's balance; with --step, what it dropped, row by row."""
    args = session.args
    name = await targets.dataset(session, args.dataset)
    if args.step or args.reason:
        await _rows(session, name)
        return
    found = await session.flow.dataset.GetLedger(ledger_pb2.GetLedgerRequest(name=name, version=args.version))
    if not any(getattr(step, "in") for step in found.steps):
        session.screen.say(wording.no_examples(name))
    if session.output.as_json:
        session.output.message(found)
        return
    rows = []
    for step in found.steps:
        parts = ", ".join(f"{part.count:,} {part.name}" for part in step.parts)
        dropped = wording.drops([(drop.reason, drop.count) for drop in step.dropped])
        rows.append((step.step, f"{getattr(step, 'in'):,}", f"{step.out:,}", dropped, parts))
    session.output.table(("STEP", "IN", "OUT", "DROPPED", "GOES TO"), rows)


async def _rows(session: Session, name: str) -> None:
    args = session.args
    if args.version:
        raise FtfError("a version keeps no rows", "leave --version or --step out", code="INVALID_ARGUMENT")
    steps = [args.step]
    if not args.step:
        steps = [s.step for s in (await session.flow.dataset.GetLedger(ledger_pb2.GetLedgerRequest(name=name))).steps]
    found: list[ledger_pb2.LedgerRow] = []
    for step in steps:
        request = ledger_pb2.ListLedgerRowsRequest(parent=name, step=step, reason=args.reason, page_size=1000)
        found += [row async for row in items(session.flow.dataset.ListLedgerRows, request, lambda page: page.rows)]
    rows = [(row.reason, f"{row.count:,}", names.short(row.name), " ".join(row.detail.split())) for row in found]
    session.output.listing("rows", found, ("REASON", "COUNT", "NAME", "DETAIL"), rows)


async def review(session: Session) -> None:
    """Approve, reject, tag or note examples."""
    args = session.args
    request = review_pb2.ReviewExamplesRequest(
        filter=args.filter, add_tags=args.tag, remove_tags=args.untag, validate_only=args.dry_run
    )
    for flag in ("approve", "reject", "reset"):
        if getattr(args, flag):
            request.action = review_pb2.ReviewAction.Value(f"REVIEW_ACTION_{flag.upper()}")
    if args.note is not None:
        request.note = args.note
    if not (request.action or args.tag or args.untag or args.note is not None):
        raise FtfError("nothing to say", "give --approve, --reject, --tag, --note, …", code="INVALID_ARGUMENT")
    if args.filter:
        request.parent = await targets.dataset(session, _one_dataset(args.what, args.dataset))
    elif args.what:
        request.names.extend([await targets.example(session, value, args.dataset) for value in args.what])
        request.parent = names.parent(request.names[0])
    else:
        raise FtfError("no example is meant", "name examples, or give --filter; '*' means all", code="INVALID_ARGUMENT")
    done = await session.flow.dataset.ReviewExamples(request, timeout=600)
    if not done.matched:
        session.screen.say(wording.no_examples(request.parent, args.filter))
    if session.output.as_json:
        session.output.message(done)
        return
    verb = "would change" if args.dry_run else "changed"
    session.output.line(f"{wording.many(done.matched, 'example')} meant, {done.changed:,} {verb}")
    if done.taken_in:
        session.screen.warn(
            f"{done.taken_in:,} of them had been dropped; to approve is to take them in again. "
            "A filter with `accepted = true` leaves them out"
        )
    if done.changed and request.action and not args.dry_run:
        session.screen.say("what is trained on changes with the next version: `ftf dataset freeze`")
    for name in done.skipped:
        session.output.line(f"skipped {names.short(name)}: write its prompt and response with `ftf dataset edit`")


def _one_dataset(what: list[str], dataset: str) -> str:
    """Return the dataset that a filter is for; "" for the newest."""
    told = [*what, *([dataset] if dataset else [])]
    if len(told) > 1:
        raise FtfError(
            f"--filter is for one dataset, not for {' and '.join(told)}",
            "name examples, or one dataset with --filter",
            code="INVALID_ARGUMENT",
        )
    return told[0] if told else ""
