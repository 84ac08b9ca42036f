"""What there is to train on, and what fits."""

from __future__ import annotations

from finetuneflow.hardware.v1 import hardware_service_pb2
from finetuneflow_client.cli import targets
from finetuneflow_client.cli.output import to_json
from finetuneflow_client.cli.session import Session
from finetuneflow_client.cli.settings import described, run_resources, training_config
from finetuneflow_client.cli.view.hardware import estimate_table, inventory_lines, node_table, recommendation_panel


async def hardware(session: Session) -> None:
    """Show the machine, or the cluster's nodes; with a model also what its training needs and how it is best done."""
    inventory = await session.flow.hardware.GetInventory(hardware_service_pb2.GetInventoryRequest())
    found = {"inventory": to_json(inventory)}
    for line in inventory_lines(inventory):
        session.output.line(line)
    if inventory.nodes:
        session.output.render(node_table(inventory))
    if session.args.model:
        request = hardware_service_pb2.RecommendTrainingRequest(
            model=await targets.model(session, session.args.model),
            config=training_config(session.args),
            resources=run_resources(session.args),
        )
        advice = await session.flow.hardware.RecommendTraining(request)
        found["recommendation"] = to_json(advice)
        session.output.line()
        session.output.render(recommendation_panel(advice, described(advice.config)))
        session.output.render(estimate_table(advice.estimate))
        session.output.line(advice.estimate.note)
    if session.output.as_json:
        session.output.json(found)
