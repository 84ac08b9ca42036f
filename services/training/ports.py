"""What training needs of other services."""

from __future__ import annotations

from typing import Protocol

from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.hardware.v1 import model_pb2, plan_pb2
from finetuneflow.training.v1 import config_pb2, resources_pb2


class Datasets(Protocol):
    """The dataset service."""

    async def get(self, name: str) -> dataset_pb2.Dataset:
        """Return a dataset. Raises NotFound, Unavailable."""
        ...


class Hardware(Protocol):
    """The hardware service."""

    async def model(self, name: str) -> model_pb2.Model:
        """Return a model. Raises NotFound, Unavailable."""
        ...

    async def bf16(self, product: str) -> bool:
        """Whether training would compute in bfloat16, on GPUs of a product ("" for any)."""
        ...

    async def estimate(
        self, model: str, config: config_pb2.TrainingConfig, resources: resources_pb2.Resources
    ) -> plan_pb2.MemoryEstimate | None:
        """Return what a training needs beside what it asks for; None if the arithmetic does not know the model."""
        ...
