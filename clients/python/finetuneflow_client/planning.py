"""A run to ask for, from what the user set and what is recommended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2, dataset_service_pb2
from finetuneflow.hardware.v1 import hardware_service_pb2, plan_pb2
from finetuneflow.training.v1 import config_pb2, resources_pb2, run_pb2
from finetuneflow_client.errors import FtfError

if TYPE_CHECKING:
    from finetuneflow_client.client import Services

_OBJECTIVES = {
    dataset_pb2.DATASET_KIND_PREFERENCE: config_pb2.OBJECTIVE_DPO,
    dataset_pb2.DATASET_KIND_KTO: config_pb2.OBJECTIVE_KTO,
    dataset_pb2.DATASET_KIND_TEXT: config_pb2.OBJECTIVE_PRETRAIN,
}
"""What is made of a dataset of a kind when nothing is said; of others SFT."""


@dataclass(frozen=True)
class Plan:
    """A run to ask for.

    Args:
        run: dataset, version, model, settings and resources.
        advice: what was recommended; None without a recommendation.
        unadvised: why there is none, where one was asked for.
    """

    run: run_pb2.Run
    advice: plan_pb2.Recommendation | None = None
    unadvised: FtfError | None = None


def unfrozen(dataset: dataset_pb2.Dataset) -> str:
    """Return what is to be done about a dataset that has no version."""
    state = dataset.work.state
    if dataset.HasField("imported"):
        failed = state in (work_pb2.WORK_STATE_FAILED, work_pb2.WORK_STATE_CANCELLED)
        return "it was not imported; import the file again" if failed else "wait for the import"
    if state in (work_pb2.WORK_STATE_FAILED, work_pb2.WORK_STATE_CANCELLED, work_pb2.WORK_STATE_PAUSED):
        return "go on with `ftf dataset resume`, or freeze what there is with `ftf dataset freeze`"
    if state in (work_pb2.WORK_STATE_QUEUED, work_pb2.WORK_STATE_STARTING, work_pb2.WORK_STATE_RUNNING):
        return "wait for its generation, then run `ftf dataset freeze`"
    return "make one with `ftf dataset freeze`"


async def plan(
    flow: Services,
    model: str,
    dataset: str,
    version: int,
    config: config_pb2.TrainingConfig,
    resources: resources_pb2.Resources,
    *,
    recommended: bool = True,
    tolerant: bool = False,
) -> Plan:
    """Return a run to ask for: what `config` leaves open is recommended, or left to the defaults.

    Args:
        flow: the connection.
        model: models/{model}
        dataset: projects/{project}/datasets/{dataset}
        version: of the dataset; 0 for the newest.
        config: what the user set; its objective is set by the kind of dataset, where it is not.
        resources: what is asked of the place where it runs.
        recommended: whether to ask for a recommendation.
        tolerant: go on without a recommendation that is refused, for a check that tells what is wrong, with the rest.

    Raises:
        FtfError: NOT_FOUND; FAILED_PRECONDITION if the dataset has no frozen version, or nothing fits.
    """
    found = await flow.dataset.GetDataset(dataset_service_pb2.GetDatasetRequest(name=dataset))
    if not found.versions:
        raise FtfError(f"{dataset} has no frozen version", unfrozen(found), code="FAILED_PRECONDITION")
    frozen = next((v for v in reversed(found.versions) if version in (0, v.version)), dataset_pb2.DatasetVersion())
    if not config.objective:
        config.objective = _OBJECTIVES.get(found.kind, config_pb2.OBJECTIVE_UNSPECIFIED)
    advice, unadvised = None, None
    if recommended:
        request = hardware_service_pb2.RecommendTrainingRequest(
            model=model, config=config, train_examples=frozen.train_examples, resources=resources
        )
        try:
            advice = await flow.hardware.RecommendTraining(request)
        except FtfError as error:
            # Nothing is recommended for a model that the arithmetic does not know.
            if error.reason != "ARCHITECTURE_UNKNOWN" and (not tolerant or error.away):
                raise
            unadvised = error
    run = run_pb2.Run(
        dataset=dataset,
        dataset_version=frozen.version or version,
        model=model,
        config=advice.config if advice else config,
        resources=resources,
    )
    return Plan(run, advice, unadvised)
