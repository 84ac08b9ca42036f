"""A run to ask for, from flags and what is recommended, which is shown."""

from __future__ import annotations

from finetuneflow.training.v1 import config_pb2, run_pb2
from finetuneflow_client.cli import flow
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.settings import run_resources
from finetuneflow_client.planning import plan


async def planned(
    session: Session,
    model: str,
    dataset: str,
    version: int,
    config: config_pb2.TrainingConfig,
    *,
    recommended: bool = True,
    tolerant: bool = False,
    told: bool = True,
) -> run_pb2.Run:
    """Return a run to ask for, with the resources that the flags name. Further args and errors: as for plan().

    Args:
        told: whether to show the recommendation.
    """
    resources = run_resources(session.args)
    found = await plan(
        session.flow, model, dataset, version, config, resources, recommended=recommended, tolerant=tolerant
    )
    if told:
        flow.tell_advice(session, found)
    return found.run
