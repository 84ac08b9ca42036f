"""What a run is expected to take, and what is told of it when it has ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict

from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow.hardware.v1 import hardware_service_pb2, plan_pb2
from finetuneflow.training.v1 import check_pb2, config_pb2, estimate_pb2, resources_pb2, run_pb2
from services.common.documents.port import Document
from services.common.errors import NotFound, NotReady
from services.common.estimates import MOST_EXAMPLES, require_price
from services.common.numerals import gib
from services.common.objects.port import Objects
from services.training.core_disk import judge_cache, judge_disk
from services.training.core_loading import Memory, judge_loading
from services.training.core_objectives import SFT, objective_of
from services.training.core_problems import Problems, judge_steps
from services.training.ports import Hardware

READ_BYTES = 2_000_000
"""Most of a dataset's file that is read for the lengths of its examples."""
_PER_MESSAGE, _PER_EXAMPLE = 20, 40
"""Characters that stand for the marks of a chat template."""


@dataclass(frozen=True)
class Expected:
    """What a run is expected to take, as a document's field, and what it has on each node."""

    estimate: Document
    node: hardware_service_pb2.NodeUse

    def judge(self, max_steps: int, disk_free: int, problems: Problems) -> None:
        """Add what of it speaks against the run.

        Args:
            max_steps: the setting.
            disk_free: bytes free where runs keep their files; 0 where nobody knows.
        """
        judge_steps(float(self.estimate.get("steps", {}).get("high", 0)), max_steps, problems)
        node, disk = self.node, self.estimate.get("disk_bytes", {})
        memory = Memory(node.memory_bytes, node.memory_free_bytes, node.memory_limited)
        judge_loading(node.loading_bytes.low, node.loading_bytes.high, node.processes, memory, problems)
        low, high = (disk.get(end, 0) + node.fetched_bytes for end in ("low", "high"))
        judge_disk(low, high, disk_free, node.disk_bytes, problems)
        judge_cache(node.fetched_bytes, node.cache_bytes, problems)


class Estimating:
    """Asks the hardware service before a run, and tells it afterwards.

    Args:
        objects: where the dataset's file is.
    """

    def __init__(self, objects: Objects, hardware: Hardware) -> None:
        self._objects = objects
        self._hardware = hardware

    async def expect(
        self,
        model: str,
        config: config_pb2.TrainingConfig,
        resources: resources_pb2.Resources,
        version: dataset_pb2.DatasetVersion,
        price_per_hour: float,
        labels: check_pb2.LabelPreview | None,
    ) -> Expected | None:
        """Return what a run is expected to take; None for an unknown model.

        Args:
            labels: what was counted of the dataset; None where nothing could be.

        Raises:
            InvalidArgument: the price is below 0, or no number.
            NotReady: it does not fit (INSUFFICIENT_MEMORY).
        """
        require_price(price_per_hour, "run.price_per_hour")
        found = await self._hardware.estimate_run(
            hardware_service_pb2.EstimateRunRequest(
                model=model,
                config=config,
                resources=resources,
                train_examples=version.train_examples,
                held_out_examples=version.eval_examples + version.recall_examples,
                example_characters=await self._characters(version.artifact.key),
                price_per_hour=price_per_hour,
                counted_tokens=labels.tokens if labels else 0,
                counted_examples=labels.checked_examples if labels else 0,
                counted_longest=labels.longest_tokens if labels else 0,
            )
        )
        if found is None:
            return None
        _require_memory(found.memory)
        return Expected(MessageToDict(found.estimate, preserving_proto_field_name=True), found.node)

    async def _characters(self, key: str) -> list[int]:
        """Return the characters of a file's first examples; none if it is gone."""
        data = bytearray()
        try:
            async for part in self._objects.get(key):
                data += part
                if len(data) >= READ_BYTES:
                    break
        except NotFound:
            return []
        lines = bytes(data).split(b"\n")
        whole = lines[:-1] if len(data) >= READ_BYTES else lines
        return [size for _, size in zip(range(MOST_EXAMPLES), _sizes(whole), strict=False)]

    async def tell(self, run: Document) -> None:
        """Let the hardware service learn from a run that did what was estimated. Repeating it changes nothing."""
        expected = estimate_of(run)
        if run["work"]["state"] != "SUCCEEDED" or expected is None or not run["result"]:
            return
        result = ParseDict(run["result"], run_pb2.RunResult(), ignore_unknown_fields=True)
        if not result.device_name or not _comparable(run, result):
            return
        await self._hardware.record(
            hardware_service_pb2.RecordMeasurementRequest(
                run=run["_id"],
                uid=run["uid"],
                estimate=expected,
                device_name=result.device_name,
                training_peak_memory_bytes=result.training_peak_memory_bytes,
                evaluation_peak_memory_bytes=result.evaluation_peak_memory_bytes,
                train_seconds=result.train_seconds,
                evaluation_seconds=result.evaluation_seconds,
            )
        )


def estimate_of(run: Document) -> estimate_pb2.RunEstimate | None:
    """Return what a run was expected to take; None for one of which nothing was."""
    found = run.get("estimate")
    return ParseDict(found, estimate_pb2.RunEstimate(), ignore_unknown_fields=True) if found else None


def _comparable(run: Document, result: run_pb2.RunResult) -> bool:
    """Whether a run did what its estimate counts.

    Not where it took several attempts, went on from a checkpoint, stopped early, or was evaluated while it trained;
    nor where it learnt from preferences or raw text: how long those take is known less well, and would blur the rest.
    """
    config = run["config"]
    part = len(run["attempts"]) > 1 or run.get("start") or result.stopped_early
    return not part and config.get("eval_steps") is None and objective_of(config) == SFT


def _require_memory(estimate: plan_pb2.MemoryEstimate) -> None:
    if not estimate.fits:
        raise NotReady(
            f"This training needs about {gib(estimate.peak)} of {estimate.device} memory; "
            f"{gib(estimate.available)} are there. Lower per_device_train_batch_size or max_length, "
            "or use the settings that `ftf hardware` recommends.",
            reason="INSUFFICIENT_MEMORY",
            metadata={"peak_bytes": str(estimate.peak), "available_bytes": str(estimate.available)},
        )


def _sizes(lines: list[bytes]) -> Iterator[int]:
    for line in lines:
        try:
            row: dict[str, Any] = json.loads(line)
            messages: list[dict[str, Any]] = row["messages"]
            if row.get("raw"):
                yield sum(len(str(m.get("content", ""))) for m in messages)
                continue
            yield _PER_EXAMPLE + sum(_PER_MESSAGE + len(str(m.get("content", ""))) for m in messages)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
