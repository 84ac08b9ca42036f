"""What runs were measured to take, kept for later estimates: a document for each run."""

from __future__ import annotations

from dataclasses import dataclass

from services.common import ids
from services.common.clock import Clock
from services.common.documents.port import Collection
from services.common.errors import AlreadyExists, InvalidArgument
from services.hardware.core_calibration import LAST, Calibration, calibrated, device_key

INDEXES = ("device,order",)


@dataclass(frozen=True)
class Measurement:
    """What a run took over what was estimated for it without a factor, by the names of Calibration; 0: not measured."""

    run: str
    uid: str
    product: str
    ratios: dict[str, float]


class Calibrations:
    """The measurements there are."""

    def __init__(self, collection: Collection, clock: Clock) -> None:
        self._collection = collection
        self._clock = clock

    async def record(self, found: Measurement) -> None:
        """Keep what a run took. Repeating it changes nothing.

        Raises:
            InvalidArgument: the run or the device is not named.
        """
        device = device_key(found.product)
        if not found.uid or not device:
            raise InvalidArgument("A measurement needs the uid of its run and device_name. Give both.", field="uid")
        document = {
            "_id": found.uid,
            "run": found.run,
            "device": device,
            "order": ids.sortable(self._clock.now()),
            "ratios": found.ratios,
        }
        try:
            await self._collection.insert(document)
        except AlreadyExists:
            return

    async def of(self, product: str) -> Calibration:
        """Return the factors for a type of device: of none where it has no name or nothing was measured on it."""
        device = device_key(product)
        if not device:
            return Calibration(product)
        newest = await self._collection.find({"device": device}, sort="order", descending=True, limit=LAST)
        return calibrated(product, [doc["ratios"] for doc in newest])
