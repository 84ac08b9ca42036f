"""What a run takes, as messages, and what is asked and told about it."""

from __future__ import annotations

from dataclasses import replace

from finetuneflow.hardware.v1 import hardware_service_pb2 as pb
from finetuneflow.training.v1 import config_pb2, estimate_pb2
from services.common.documents.port import Document
from services.common.errors import InvalidArgument
from services.common.estimates import MOST_EXAMPLES, require_price
from services.hardware.calibrations import Measurement
from services.hardware.core_calibration import ANY_CPU, Calibration, ratio
from services.hardware.core_memory import Device
from services.hardware.core_placement import Placement
from services.hardware.core_range import Range
from services.hardware.core_run import Counted, Data, RunEstimate, Schedule


def data(request: pb.EstimateRunRequest) -> Data:
    """Return what is known of the dataset.

    Raises:
        InvalidArgument: a number is below 0, or there are more than MOST_EXAMPLES lengths.
    """
    for field in ("train_examples", "held_out_examples", "counted_tokens", "counted_examples", "counted_longest"):
        if getattr(request, field) < 0:
            raise InvalidArgument(f"{field} is below 0. Use 0 when it is not known.", field=field)
    require_price(request.price_per_hour, "price_per_hour")
    characters = request.example_characters
    if len(characters) > MOST_EXAMPLES or min(characters, default=0) < 0:
        raise InvalidArgument(
            f"example_characters has {len(characters)} entries. Use up to {MOST_EXAMPLES}, each 0 or more.",
            field="example_characters",
        )
    found = Data.of_characters(request.train_examples, request.held_out_examples, tuple(characters))
    if request.counted_tokens and request.counted_examples:
        counted = Counted(request.counted_examples, request.counted_tokens, request.counted_longest)
        return replace(found, counted=counted)
    return found


def schedule(request: pb.EstimateRunRequest, model: Document, placement: Placement) -> Schedule:
    """Return how long the run of a stored model goes on; what is unset has the contract's default."""
    default, config = Schedule(), request.config
    return Schedule(
        num_train_epochs=config.num_train_epochs if config.HasField("num_train_epochs") else default.num_train_epochs,
        max_steps=config.max_steps if config.HasField("max_steps") else default.max_steps,
        num_eval_answers=config.num_eval_answers if config.HasField("num_eval_answers") else default.num_eval_answers,
        processes=placement.processes,
        price_per_hour=request.price_per_hour,
        tokenizer_bytes=model["tokenizer"]["size_bytes"],
        # An uploaded model's files are fetched into the trainer's folder; there were no such models before.
        fetched_bytes=sum(size for _, size, _ in model["files"]) if model.get("uploaded", False) else 0,
        answers=2 if config.objective == config_pb2.OBJECTIVE_DPO else 1,
        blocks=config.objective == config_pb2.OBJECTIVE_PRETRAIN,
    )


def to_proto(found: RunEstimate, device: Device, words: tuple[str, ...]) -> estimate_pb2.RunEstimate:
    """Return an estimate as a message."""
    return estimate_pb2.RunEstimate(
        training_memory_bytes=_range(found.training_memory),
        evaluation_memory_bytes=_range(found.evaluation_memory),
        tokens=_range(found.tokens),
        steps=_range(found.steps),
        train_seconds=_range(found.train_seconds),
        evaluation_seconds=_range(found.evaluation_seconds),
        disk_bytes=_range(found.disk),
        cost=_range(found.cost) if found.cost else None,
        calibration=_calibration(found.calibration),
        note=" ".join((_note(found.calibration, device), *words)),
    )


def node_to_proto(loading: Range | None, fetched: int, placement: Placement) -> pb.NodeUse:
    """Return what a run needs and has on each node beside its GPUs, as a message."""
    room = placement.room
    return pb.NodeUse(
        loading_bytes=_range(loading) if loading else None,
        processes=max(placement.gpus, 1),
        memory_bytes=room.memory,
        memory_free_bytes=room.memory_free,
        memory_limited=room.limited,
        disk_bytes=room.disk,
        fetched_bytes=fetched,
        cache_bytes=room.cache,
    )


def measurement(request: pb.RecordMeasurementRequest) -> Measurement:
    """Return what a run took over what was estimated without a factor."""
    expected, used = request.estimate, request.estimate.calibration
    return Measurement(
        run=request.run,
        uid=request.uid,
        # By the name by which it was estimated, for by that one the next run will be.
        product=ANY_CPU if used.device == ANY_CPU and request.device_name else request.device_name,
        ratios={
            "training_memory": ratio(
                request.training_peak_memory_bytes, expected.training_memory_bytes.likely, used.training_memory
            ),
            "evaluation_memory": ratio(
                request.evaluation_peak_memory_bytes, expected.evaluation_memory_bytes.likely, used.evaluation_memory
            ),
            "train_seconds": ratio(request.train_seconds, expected.train_seconds.likely, used.train_seconds),
            "evaluation_seconds": ratio(
                request.evaluation_seconds, expected.evaluation_seconds.likely, used.evaluation_seconds
            ),
        },
    )


def _range(found: Range) -> estimate_pb2.Range:
    return estimate_pb2.Range(low=found.low, likely=found.likely, high=found.high)


def _calibration(found: Calibration) -> estimate_pb2.Calibration:
    return estimate_pb2.Calibration(
        device=found.device,
        runs=found.runs,
        training_memory=found.training_memory,
        evaluation_memory=found.evaluation_memory,
        train_seconds=found.train_seconds,
        evaluation_seconds=found.evaluation_seconds,
    )


def _note(found: Calibration, device: Device) -> str:
    name = found.device or device.kind
    if found.runs:
        return f"Calibrated by {'1 run' if found.runs == 1 else f'{found.runs} runs'} on {name}."
    fitted = {"cpu": "memory is fitted to runs on a CPU", "cuda": "memory follows published formulas"}[device.kind]
    return (
        f"No training has ended on {name} yet, so these are not measured figures: {fitted}, times are a first guess. "
        "Each run that ends makes the next estimate better."
    )
