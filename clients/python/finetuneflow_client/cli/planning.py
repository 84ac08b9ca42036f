"""A run to ask for, from what the user set and what is recommended."""

from __future__ import annotations

from finetuneflow.dataset.v1 import dataset_pb2, dataset_service_pb2
from finetuneflow.hardware.v1 import plan_pb2
from finetuneflow.training.v1 import config_pb2, run_pb2
from finetuneflow_client.cli import flow
from finetuneflow_client.cli.session import Session
from finetuneflow_client.errors import FtfError

_OBJECTIVES = {
    dataset_pb2.DATASET_KIND_PREFERENCE: config_pb2.OBJECTIVE_DPO,
    dataset_pb2.DATASET_KIND_KTO: config_pb2.OBJECTIVE_KTO,
    dataset_pb2.DATASET_KIND_TEXT: config_pb2.OBJECTIVE_PRETRAIN,
}
"""What is made of a dataset of a kind when nothing is said; of others SFT."""


async def planned(
    session: Session,
    model: str,
    dataset: str,
    version: int,
    config: config_pb2.TrainingConfig,
    *,
    recommended: bool = True,
    tolerant: bool = False,
) -> run_pb2.Run:
    """Return a run to ask for: what `config` leaves open is recommended, or left to the defaults.

    Args:
        tolerant: go on without a recommendation that is refused, for a check that tells what is wrong, with the rest.
    """
    found = await session.flow.dataset.GetDataset(dataset_service_pb2.GetDatasetRequest(name=dataset))
    if not found.versions:
        raise FtfError(f"{dataset} has no frozen version", "run `ftf dataset freeze`", code="FAILED_PRECONDITION")
    frozen = next((v for v in reversed(found.versions) if version in (0, v.version)), dataset_pb2.DatasetVersion())
    if not config.objective:
        config.objective = _OBJECTIVES.get(found.kind, config_pb2.OBJECTIVE_UNSPECIFIED)
    if recommended and (advice := await _advice(session, model, config, frozen.train_examples, tolerant)):
        config = advice.config
    return run_pb2.Run(dataset=dataset, dataset_version=frozen.version or version, model=model, config=config)


async def _advice(
    session: Session, model: str, config: config_pb2.TrainingConfig, train_examples: int, tolerant: bool
) -> plan_pb2.Recommendation | None:
    try:
        return await flow.recommend(session, model, config, train_examples)
    except FtfError as error:
        if not tolerant or error.away:
            raise
        session.screen.warn(f"no recommendation: {error}")
        return None
