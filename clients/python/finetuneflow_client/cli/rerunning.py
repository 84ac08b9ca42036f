"""`ftf rerun`: a run again, with some settings changed."""

from __future__ import annotations

from collections.abc import Sequence

from finetuneflow.training.v1 import run_pb2, training_service_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import targets
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.sweeping import Overrides, overridden, setting_of
from finetuneflow_client.cli.training import start
from finetuneflow_client.errors import FtfError


async def rerun(session: Session) -> int | None:
    """Start a run like another one."""
    args = session.args
    name = await targets.run(session, args.run)
    old = await session.flow.training.GetRun(training_service_pb2.GetRunRequest(name=name))
    overrides = _overrides(args.set)
    run = run_pb2.Run(
        display_name=old.display_name,
        dataset=old.dataset,
        dataset_version=args.dataset_version or old.dataset_version,
        model=old.model,
        config=overridden(old.config, overrides, "--set"),
        resources=old.resources,
        only_approved=old.only_approved,
        priority=old.priority if args.priority is None else args.priority,
        price_per_hour=old.price_per_hour,
        resume_weights_only=args.resume_weights_only,
    )
    run.meta.labels.update(old.meta.labels)
    if args.from_checkpoint:
        run.resume_from_checkpoint = await targets.checkpoint(session, args.from_checkpoint)
    return await start(
        session, training_service_pb2.CreateRunRequest(parent=names.parent(name), run=run, run_id=args.id)
    )


def _overrides(words: Sequence[str]) -> Overrides:
    """Return "NAME=VALUE" words as settings with their values. Raises FtfError INVALID_ARGUMENT."""
    found = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not value.strip():
            raise FtfError(f"--set {word}: no value", "write --set learning_rate=1e-4", code="INVALID_ARGUMENT")
        found.append((setting_of(name.strip(), "--set"), value.strip()))
    return tuple(found)
