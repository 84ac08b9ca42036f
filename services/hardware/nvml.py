"""GPUs through NVML, the NVIDIA driver's own library; nvidia-ml-py binds it."""

from __future__ import annotations

from typing import Any, Protocol

import pynvml

from services.hardware.core_inventory import Driver, Gpu, visible


class Nvml(Protocol):
    """The functions of NVML that are needed; the module pynvml has them, and so has the fake in the tests.

    Each raises pynvml.NVMLError. Strings may come as bytes, depending on the binding's version.
    """

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlSystemGetDriverVersion(self) -> str | bytes: ...
    def nvmlSystemGetCudaDriverVersion(self) -> int: ...
    def nvmlDeviceGetCount(self) -> int: ...
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any: ...
    def nvmlDeviceGetName(self, handle: Any) -> str | bytes: ...
    def nvmlDeviceGetUUID(self, handle: Any) -> str | bytes: ...
    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any: ...
    def nvmlDeviceGetCudaComputeCapability(self, handle: Any) -> tuple[int, int]: ...


_ABSENT = (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
"""Errors that mean that there is no NVIDIA GPU, rather than one that does not work."""


def read_driver(nvml: Nvml, visible_devices: str | None, main_memory: tuple[int, int]) -> Driver:
    """Ask the driver what there is; a driver that is absent or broken gives no GPUs and never an error.

    Args:
        nvml: the module pynvml.
        visible_devices: CUDA_VISIBLE_DEVICES, None where it is not set.
        main_memory: total and free bytes, for GPUs that have no memory of their own.
    """
    try:
        nvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Driver() if error.value in _ABSENT else Driver(problem=_problem(error))
    try:
        gpus = [_gpu(nvml, index, main_memory) for index in range(nvml.nvmlDeviceGetCount())]
        return Driver(
            version=_text(nvml.nvmlSystemGetDriverVersion()),
            cuda=_cuda(nvml.nvmlSystemGetCudaDriverVersion()),
            gpus=visible(gpus, visible_devices),
            problem="GPUs hidden by CUDA_VISIBLE_DEVICES" if gpus and not visible(gpus, visible_devices) else "",
        )
    except pynvml.NVMLError as error:
        return Driver(problem=_problem(error))
    finally:
        nvml.nvmlShutdown()


def _gpu(nvml: Nvml, index: int, main_memory: tuple[int, int]) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    try:
        info = nvml.nvmlDeviceGetMemoryInfo(handle)
        memory, free = int(info.total), int(info.free)
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_NOT_SUPPORTED:
            raise
        memory, free = main_memory  # a GPU that shares the main memory has none to tell of
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        index=index,
        product=_text(nvml.nvmlDeviceGetName(handle)),
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        memory=memory,
        memory_free=free,
        capability=(major, minor),
    )


def _problem(error: Any) -> str:
    return f"the NVIDIA driver does not answer ({error})"


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _cuda(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"
