"""What the inventory makes of drivers, control groups and CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

from pathlib import Path

import pynvml
import pytest

from services.common.controlgroup import ControlGroup, whole_cores
from services.hardware.core_inventory import Driver, Gpu, summary, visible
from services.hardware.inventory import Inventory
from tests.fakes.nvml import GB10, H100, T4, FakeNvml

MIB = 1 << 20


def read(nvml: FakeNvml, folder: Path, visible_devices: str | None = None) -> Driver:
    """What the inventory says of the driver."""
    return Inventory(folder, visible_devices, nvml).read().driver


def test_gpus_are_described_and_nvml_is_closed_again(tmp_path: Path) -> None:
    """bfloat16 from compute capability 8.0, 4-bit from 6.0."""
    nvml = FakeNvml([H100, T4])
    driver = read(nvml, tmp_path)

    assert (driver.version, driver.cuda, nvml.open) == ("580.65.06", "12.8", 0)
    assert [(g.product, g.bf16, g.bitsandbytes_4bit) for g in driver.gpus] == [
        ("NVIDIA H100 80GB HBM3", True, True),
        ("Tesla T4", False, True),
    ]
    assert driver.gpus[0].memory == 85_520_809_984


def test_the_best_gpu_decides_what_is_available(tmp_path: Path) -> None:
    """A run uses one."""
    machine = Inventory(tmp_path, None, FakeNvml([T4, H100])).read()

    assert (machine.device, machine.available, machine.bf16) == ("cuda", 85_520_809_984, True)
    assert summary(machine) == (
        "2 GPUs, one used by a run: training runs on NVIDIA H100 80GB HBM3 (79.6 GiB) in bfloat16"
    )


@pytest.mark.parametrize("error", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED])
def test_a_machine_without_a_driver_trains_on_its_cpu(tmp_path: Path, error: int) -> None:
    """And says it in one sentence."""
    machine = Inventory(tmp_path, None, FakeNvml(error=error)).read()

    assert (machine.device, machine.bf16) == ("cpu", False)
    assert summary(machine).startswith("no GPU: training runs on the CPU (")


def test_a_driver_that_is_broken_is_told_apart_from_none(tmp_path: Path) -> None:
    """Such as after an upgrade without a restart."""
    machine = Inventory(tmp_path, None, FakeNvml(error=pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)).read()

    assert "the NVIDIA driver does not answer" in summary(machine)
    assert machine.driver.gpus == ()


def test_a_gpu_that_shares_the_main_memory_has_that(tmp_path: Path) -> None:
    """It says that it supports no question about its memory."""
    machine = Inventory(tmp_path, None, FakeNvml([GB10])).read()

    assert machine.driver.gpus[0].memory == machine.memory


def test_gpus_that_are_hidden_are_not_there(tmp_path: Path) -> None:
    """The trainer would not see them either."""
    machine = Inventory(tmp_path, "", FakeNvml([H100])).read()

    assert machine.device == "cpu"
    assert "CUDA_VISIBLE_DEVICES" in summary(machine)


@pytest.mark.parametrize(
    ("wish", "indices"),
    [(None, [0, 1]), ("", []), ("-1", []), ("1", [1]), ("1,0", [1, 0]), ("0,7,1", [0]), ("GPU-222", [1]), ("GPU-", [])],
)
def test_visible_devices_are_read_as_cuda_reads_them(wish: str | None, indices: list[int]) -> None:
    """Up to the first entry that names none, or more than one."""
    gpus = [Gpu(0, "a", "GPU-111", 1, 1, (8, 0)), Gpu(1, "b", "GPU-222", 1, 1, (8, 0))]

    assert [gpu.index for gpu in visible(gpus, wish)] == indices


def group(tmp_path: Path, membership: str, files: dict[str, str]) -> ControlGroup:
    """A control group file system in a folder."""
    (tmp_path / "self").write_text(membership)
    for name, content in files.items():
        (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / name).write_text(content)
    return ControlGroup(tmp_path / "fs", tmp_path / "self")


def test_the_tightest_limit_of_version_2_counts(tmp_path: Path) -> None:
    """A group's limits hold for all inside."""
    limits = group(
        tmp_path,
        "0::/slice/pod\n",
        {
            "slice/memory.max": str(512 * MIB),
            "slice/memory.current": str(100 * MIB),
            "slice/memory.stat": f"anon 5\ninactive_file {40 * MIB}\n",
            "slice/cpu.max": "max 100000\n",
            "slice/pod/memory.max": "max\n",
            "slice/pod/memory.current": "1\n",
            "slice/pod/cpu.max": "150000 100000\n",
        },
    )

    assert limits.memory() == (512 * MIB, 452 * MIB)
    assert limits.cpus() == 1.5


def test_version_1_has_a_tree_for_each_controller(tmp_path: Path) -> None:
    """And writes "no limit" as a huge number."""
    limits = group(
        tmp_path,
        "4:memory:/job\n3:cpuset:/\n1:cpu,cpuacct:/\n0::/\n",
        {
            "memory/job/memory.limit_in_bytes": str(256 * MIB),
            "memory/job/memory.usage_in_bytes": str(56 * MIB),
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/cpu.cfs_period_us": "100000",
        },
    )

    assert limits.memory() == (256 * MIB, 200 * MIB)
    assert limits.cpus() is None


def test_no_control_groups_limit_nothing(tmp_path: Path) -> None:
    """Their files may be missing."""
    limits = ControlGroup(tmp_path, tmp_path / "none")

    assert limits.memory() is None
    assert limits.cpus() is None


@pytest.mark.parametrize(
    ("affinity", "quota", "cores"), [(8, None, 8), (8, 1.5, 2), (1, 4.0, 1), (8, 0.1, 1), (8, 8.0, 8)]
)
def test_cores_are_what_affinity_and_quota_leave(affinity: int, quota: float | None, cores: int) -> None:
    """Rounded up: half a core is still a thread."""
    assert whole_cores(affinity, quota) == cores


def test_this_machine_can_be_read(tmp_path: Path) -> None:
    """With the real driver library, if there is one, and the real control groups."""
    machine = Inventory(tmp_path / "not" / "there").read()

    assert 0 < machine.memory_free <= machine.memory
    assert machine.cpu_cores >= 1
    assert machine.disk_free > 0
