"""Base models."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from finetuneflow.hardware.v1 import hardware_service_pb2, model_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import dependents, wording
from finetuneflow_client.cli.session import Session
from finetuneflow_client.errors import FtfError

_COLUMNS = ("MODEL", "ARCHITECTURE", "PARAMETERS", "CONTEXT", "TYPE", "LICENCE", "CHAT TEMPLATE", "SOURCE")


async def add(session: Session) -> None:
    """Record a base model; what is recorded already is returned."""
    args = session.args
    path = Path(args.source).expanduser()
    if path.is_dir() or args.source.startswith((".", "/", "~")):
        model = model_pb2.Model(local_path=str(path.absolute()))
    else:
        model = model_pb2.Model(hub_id=args.source, revision=args.revision)
    request = hardware_service_pb2.CreateModelRequest(model=model, model_id=args.id)
    note = f"reading {args.source}: its weights are hashed"
    slow = asyncio.get_running_loop().call_later(2, session.screen.say, note)
    try:
        made = await session.flow.hardware.CreateModel(request, timeout=3600)
    finally:
        slow.cancel()
    _told_apart(session, made)
    if session.output.as_json:
        session.output.message(made)
    else:
        session.output.line(made.name)


async def import_model(session: Session) -> None:
    """Upload a base model's files and record it."""
    from finetuneflow_client import models

    args = session.args
    path = Path(args.source).expanduser()
    wanted = args.id or re.sub(r"[^a-z0-9]+", "-", _stem(path).lower())[:60].strip("-")
    if not wanted:
        raise FtfError(f"no id follows from the name {path.name}", "give one with --id", code="INVALID_ARGUMENT")
    told: set[str] = set()

    def progress(name: str, done: int, total: int) -> None:
        if name not in told:
            told.add(name)
            session.screen.say(f"sending {name}, {wording.size(total)}")

    with models.opened(path) as source:
        if source.left_out:
            session.screen.warn(f"left out: {', '.join(source.left_out)}")
        made = await models.import_model(session.flow, source, wanted, progress)
    _told_apart(session, made)
    if session.output.as_json:
        session.output.message(made)
    else:
        session.output.line(made.name)


def _told_apart(session: Session, made: model_pb2.Model) -> None:
    """Say so where the same files have a name already, for the id that was asked for is then not used."""
    wanted = session.args.id
    if wanted and names.short(made.name) != wanted:
        session.screen.warn(f"recorded already as {made.name}; --id {wanted} was not used")


def _stem(path: Path) -> str:
    name = path.absolute().name
    return next((name.removesuffix(end) for end in (".tar.gz", ".tgz", ".tar", ".zip") if name.endswith(end)), name)


async def list_models(session: Session) -> None:
    """List the base models."""
    found = [model async for model in session.flow.models()]
    rows = [
        (
            names.short(m.name),
            m.architecture,
            f"{m.parameters:,}",
            f"{m.context_length:,}",
            m.dtype,
            m.license,
            "yes" if m.has_chat_template else "no",
            _source(m),
        )
        for m in found
    ]
    session.output.listing("models", found, _COLUMNS, rows)


def _source(model: model_pb2.Model) -> str:
    return "uploaded" if model.uploaded else model.hub_id or model.local_path


async def show(session: Session) -> None:
    """Show a base model with its files."""
    name = names.full("models", session.args.model)
    model = await session.flow.hardware.GetModel(hardware_service_pb2.GetModelRequest(name=name))
    if session.output.as_json:
        session.output.message(model)
        return
    session.output.facts(
        {
            "model": model.name,
            "source": _source(model),
            "revision": model.revision,
            "architecture": model.architecture,
            "parameters": f"{model.parameters:,}",
            "context": wording.many(model.context_length, "token"),
            "layers": f"{model.layers} of width {model.hidden_size}",
            "vocabulary": f"{model.vocab_size:,}",
            "weights": model.dtype,
            "licence": model.license or "not stated",
            "gated": "yes" if model.gated else "no",
            "chat template": "yes" if model.has_chat_template else "no: an instruct model has one",
        }
    )
    session.output.line()
    session.output.table(("FILE", "SIZE", "SHA256"), [wording.artifact(file) for file in model.files])


async def delete(session: Session) -> None:
    """Forget a base model, once that is confirmed where runs depend on it."""
    name = names.full("models", session.args.model)
    await dependents.confirm(session, dependents.of_model, name, f"ftf model delete {names.short(name)}")
    await session.flow.hardware.DeleteModel(hardware_service_pb2.DeleteModelRequest(name=name))
    session.deleted(name, remark=f"forgot {name}; its files stay where they are, uploaded ones for a day")
