"""A run to ask for, from flags and what is recommended."""

from __future__ import annotations

from finetuneflow.training.v1 import config_pb2
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.settings import run_resources
from finetuneflow_client.planning import Plan, plan


async def planned(
    session: Session,
    model: str,
    dataset: str,
    version: int,
    config: config_pb2.TrainingConfig,
    *,
    recommended: bool = True,
    tolerant: bool = False,
) -> Plan:
    """Return a run to ask for, with the resources that the flags name. Args and errors: as for plan()."""
    resources = run_resources(session.args)
    return await plan(
        session.flow, model, dataset, version, config, resources, recommended=recommended, tolerant=tolerant
    )
