"""GPUs that are not there: the functions of NVML that the inventory asks, over made-up devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pynvml


@dataclass(frozen=True)
class FakeGpu:
    """One GPU; memory in bytes, 0 for one that shares the main memory."""

    product: str
    uuid: str
    memory: int
    memory_free: int
    capability: tuple[int, int]


H100 = FakeGpu("NVIDIA H100 80GB HBM3", "GPU-11111111-aaaa", 85_520_809_984, 85_000_000_000, (9, 0))
T4 = FakeGpu("Tesla T4", "GPU-22222222-bbbb", 15_843_721_216, 15_000_000_000, (7, 5))
GB10 = FakeGpu("NVIDIA GB10", "GPU-33333333-cccc", 0, 0, (12, 1))


@dataclass(frozen=True)
class MemoryInfo:
    """What nvmlDeviceGetMemoryInfo returns."""

    total: int
    free: int


class FakeNvml:
    """NVML with these GPUs, or with an error at nvmlInit. Strings are bytes, as older bindings give them."""

    def __init__(self, gpus: Sequence[FakeGpu] = (), error: int = 0) -> None:
        self._gpus = gpus
        self._error = error
        self.open = 0

    def nvmlInit(self) -> None:
        if self._error:
            raise pynvml.NVMLError(self._error)
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlSystemGetDriverVersion(self) -> bytes:
        return b"580.65.06"

    def nvmlSystemGetCudaDriverVersion(self) -> int:
        return 12080

    def nvmlDeviceGetCount(self) -> int:
        return len(self._gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        return self._gpus[index]

    def nvmlDeviceGetName(self, handle: FakeGpu) -> bytes:
        return handle.product.encode()

    def nvmlDeviceGetUUID(self, handle: FakeGpu) -> bytes:
        return handle.uuid.encode()

    def nvmlDeviceGetMemoryInfo(self, handle: FakeGpu) -> MemoryInfo:
        if not handle.memory:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return MemoryInfo(handle.memory, handle.memory_free)

    def nvmlDeviceGetCudaComputeCapability(self, handle: FakeGpu) -> tuple[int, int]:
        return handle.capability
