"""Examples: look at them with their evidence, change them, take them out."""

from __future__ import annotations

from google.protobuf.field_mask_pb2 import FieldMask

from finetuneflow.dataset.v1 import dataset_service_pb2, example_pb2
from finetuneflow_client.cli import targets, wording
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.view.dataset import example_panel
from finetuneflow_client.errors import FtfError


async def examples(session: Session) -> None:
    """Show a dataset's examples."""
    args = session.args
    found: list[example_pb2.Example] = []
    name, shown = await targets.dataset(session, args.dataset), 0
    async for example in session.flow.examples(name, args.filter):
        shown += 1
        if session.output.as_json:
            found.append(example)
        else:
            session.output.render(example_panel(example))
        args.limit -= 1
        if args.limit == 0:
            break
    if session.output.as_json:
        session.output.listing("examples", found, (), ())
    if not shown:
        session.screen.say(wording.no_examples(name, args.filter or "accepted = true"))


async def edit(session: Session) -> None:
    """Change an example's prompt, response or fate."""
    args = session.args
    example = example_pb2.Example(name=await targets.example(session, args.example, args.dataset))
    fields = []
    for field in ("prompt", "response"):
        if getattr(args, field) is not None:
            setattr(example, field, getattr(args, field))
            fields.append(field)
    if args.accept:
        example.accepted = True
        fields.append("accepted")
    if not fields:
        raise FtfError("nothing to change", "give --prompt, --response or --accept", code="INVALID_ARGUMENT")
    _shown(session, await _update(session, example, fields))


async def drop(session: Session) -> None:
    """Take examples out: kept as dropped, or deleted."""
    args = session.args
    found = [await targets.example(session, value, args.dataset) for value in args.examples]
    if args.delete:
        for name in found:
            await session.flow.dataset.DeleteExample(dataset_service_pb2.DeleteExampleRequest(name=name))
        session.deleted(*found)
        return
    dropped = [await _update(session, example_pb2.Example(name=name), ["accepted"]) for name in found]
    if session.output.as_json:
        session.output.listing("examples", dropped, (), ())
    for example in dropped:
        session.output.render(example_panel(example))


async def _update(session: Session, example: example_pb2.Example, fields: list[str]) -> example_pb2.Example:
    request = dataset_service_pb2.UpdateExampleRequest(example=example, update_mask=FieldMask(paths=fields))
    return await session.flow.dataset.UpdateExample(request)


def _shown(session: Session, example: example_pb2.Example) -> None:
    if session.output.as_json:
        session.output.message(example)
    else:
        session.output.render(example_panel(example))
