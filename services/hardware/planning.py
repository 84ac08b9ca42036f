"""What fits where: the arithmetic, on stored models and the place where training runs."""

from __future__ import annotations

from dataclasses import replace

from services.common.documents.port import Document
from services.hardware.calibrations import Calibrations, Measurement
from services.hardware.core_alternative import Alternative, alternative
from services.hardware.core_choice import Choice, Dataset, Decided
from services.hardware.core_cluster import Cluster
from services.hardware.core_inventory import Machine
from services.hardware.core_loading import loading
from services.hardware.core_memory import Estimate, Plan, estimate
from services.hardware.core_model import File
from services.hardware.core_placement import Asked, Placement
from services.hardware.core_range import Range
from services.hardware.core_recommend import recommend
from services.hardware.core_run import Data, RunEstimate, Schedule, estimate_run
from services.hardware.ports import Ground
from services.hardware.store import model_shape


class Planning:
    """Answers what a training needs, and which settings suit. Its errors about the place are those of ports.Ground."""

    def __init__(self, ground: Ground, calibrations: Calibrations) -> None:
        self._ground = ground
        self._calibrations = calibrations

    async def inventory(self) -> Machine | Cluster:
        """Return what there is to train on now."""
        return await self._ground.inventory()

    async def place(self, asked: Asked) -> Placement:
        """Return where a training would run."""
        return await self._ground.place(asked)

    def estimate(self, model: Document, plan: Plan, placement: Placement) -> Estimate:
        """Return what a training needs.

        Raises:
            NotReady: the architecture is not known (ARCHITECTURE_UNKNOWN).
            InvalidArgument: a target module that the model does not have.
        """
        found = estimate(model_shape(model), model["parameters"], plan, placement.device)
        return replace(found, note=" ".join((found.note, *placement.words)))

    async def estimate_run(
        self, model: Document, plan: Plan, schedule: Schedule, data: Data, placement: Placement
    ) -> RunEstimate:
        """Return what a run takes, corrected by what earlier ones on such a device took. Errors: as for estimate."""
        calibration = await self._calibrations.of(placement.device.product)
        shape = model_shape(model)
        return estimate_run(shape, model["parameters"], plan, schedule, data, placement.device, calibration)

    def loading(self, model: Document, plan: Plan, placement: Placement) -> Range | None:
        """Return the main memory that a node's processes take to load a model for GPUs; None without GPUs."""
        if not placement.gpus:
            return None
        return loading(model_shape(model), model["parameters"], model["dtype"], plan, placement.gpus)

    async def fetched(self, model: Document) -> int:
        """Return the bytes that a run fetches of a hub's model, onto the disk that it is judged by; else 0."""
        if not model["hub_id"]:
            return 0
        files = [File(*file) for file in model["files"]]
        return await self._ground.fetched(model["hub_id"], model["model_revision"], files)

    async def record(self, found: Measurement) -> None:
        """Keep what a run took, for later estimates. Errors: as for Calibrations.record."""
        await self._calibrations.record(found)

    def recommend(self, model: Document, dataset: Dataset, placement: Placement, decided: Decided) -> Choice:
        """Return settings that fit.

        Raises:
            NotReady: as for estimate, and INSUFFICIENT_MEMORY when nothing fits.
            InvalidArgument: a target module that the model does not have.
        """
        choice = recommend(
            model_shape(model), model["parameters"], dataset, placement.device, decided, placement.processes
        )
        return replace(choice, reasons=(*placement.words, *choice.reasons))

    def alternative(
        self, model: Document, choice: Choice, placement: Placement, decided: Decided
    ) -> Alternative | None:
        """Return the next best settings, None where there are none. Errors: as for recommend."""
        return alternative(model_shape(model), model["parameters"], choice, placement.device, decided)
