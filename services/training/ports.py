"""What training needs of other services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.dataset.v1 import comparison_pb2, dataset_pb2
from finetuneflow.hardware.v1 import hardware_service_pb2, model_pb2
from finetuneflow.training.v1 import check_pb2, training_service_pb2

Queue = Callable[[], Awaitable[int]]
"""Returns how many Jobs have been asked for and have not ended."""


class Datasets(Protocol):
    """The dataset service."""

    async def get(self, name: str) -> dataset_pb2.Dataset:
        """Return a dataset. Raises NotFound, Unavailable."""
        ...

    async def compare(self, request: comparison_pb2.CompareAnswersRequest) -> comparison_pb2.CompareAnswersResponse:
        """Ask an LLM which of two answers is better. Raises NotFound, NotReady (NO_LLM_ENDPOINT), Unavailable."""
        ...


@dataclass(frozen=True)
class Gpus:
    """GPUs to train on.

    Args:
        most: how many a run can have; None where nobody can say, as in a cluster that grows.
        bf16: whether there are some, and all compute in bfloat16; where there are none yet, whether the product does.
        disk_free: bytes free where runs keep their files; 0 where nobody knows, as in a cluster.
    """

    most: int | None
    bf16: bool
    disk_free: int = 0


class Hardware(Protocol):
    """The hardware service."""

    async def model(self, name: str) -> model_pb2.Model:
        """Return a model. Raises NotFound, Unavailable."""
        ...

    async def gpus(self, product: str) -> Gpus:
        """Return what is known of the GPUs, in a cluster of those of a product ("" for any)."""
        ...

    async def estimate_run(
        self, request: hardware_service_pb2.EstimateRunRequest
    ) -> hardware_service_pb2.EstimateRunResponse | None:
        """Return what a run takes; None if the arithmetic does not know the model."""
        ...

    async def record(self, request: hardware_service_pb2.RecordMeasurementRequest) -> None:
        """Tell what a run took. Raises Unavailable."""
        ...


class Replicas(Protocol):
    """The other replicas of this service, each by its address."""

    def generate(
        self, address: str, request: training_service_pb2.GenerateRequest
    ) -> AsyncIterator[training_service_pb2.GenerateResponse]:
        """Pass a question on to the replica that has the run's models. Raises what it raises; Unreachable."""
        ...

    async def unload(self, address: str, name: str) -> None:
        """Have it let a run's models go. Raises what it raises; Unreachable."""
        ...


class Labels(Protocol):
    """Looks at datasets as models see them."""

    async def look(
        self,
        dataset: artifact_pb2.Artifact,
        tokenizer: artifact_pb2.Artifact,
        chat: artifact_pb2.Artifact,
        settings: Mapping[str, Any],
        shown: int,
    ) -> check_pb2.LabelPreview:
        """Return which tokens of a dataset have a loss.

        Args:
            dataset: a version's file.
            tokenizer, chat: of the model.
            settings: complete ones.
            shown: examples whose tokens are shown.

        Raises:
            InvalidArgument: a line of the dataset is no example.
            NotReady: NO_CHAT_TEMPLATE, CONVERSATION_REFUSED or NO_ACCEPTED_EXAMPLES; LABELS_UNCHECKED if it took too
                long.
        """
        ...
