"""What the names of GPUs tell where nothing else does."""

from __future__ import annotations

import pytest

from services.common.gpunames import has_bf16, memory_of


@pytest.mark.parametrize(
    ("product", "bf16", "gigabytes"),
    [
        ("NVIDIA-H100-80GB-HBM3", True, 80),
        ("NVIDIA H100 PCIe", True, 80),
        ("NVIDIA-A100-SXM4-40GB", True, 40),
        ("NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", True, 10),
        ("NVIDIA-H100-80GB-HBM3-MIG-1c.3g.40gb", True, 40),
        ("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb.me", True, 10),
        ("NVIDIA-A40-8Q", True, 8),
        ("NVIDIA A100-4-20C", True, 20),
        ("GRID-T4-16C-SHARED", False, 16),
        ("NVIDIA-A10G", True, 24),
        ("NVIDIA-A30-SHARED", True, 24),
        ("NVIDIA-L4", True, 24),
        ("NVIDIA-L40S", True, 48),
        ("NVIDIA-H20", True, 96),
        ("NVIDIA-H200", True, 141),
        ("NVIDIA-GH200-480GB", True, 96),
        ("NVIDIA-B100", True, 0),
        ("NVIDIA-B200", True, 180),
        ("NVIDIA-GB200", True, 186),
        ("NVIDIA-RTX-A6000", True, 48),
        ("NVIDIA-RTX-6000-Ada-Generation", True, 0),
        ("NVIDIA-GeForce-RTX-2050", True, 0),
        ("NVIDIA-GeForce-RTX-2060", False, 0),
        ("NVIDIA-GeForce-RTX-3060-Ti", True, 0),
        ("NVIDIA GeForce RTX 4090", True, 0),
        ("NVIDIA-GeForce-RTX-5090", True, 0),
        ("NVIDIA-GeForce-RTX-2080-Ti", False, 0),
        ("Quadro-RTX-6000", False, 0),
        ("Tesla-V100-SXM2-16GB", False, 16),
        ("Tesla-V100S-PCIE-32GB", False, 32),
        ("Tesla-T4", False, 16),
        ("Tesla-P100-PCIE-16GB", False, 16),
        ("Tesla-P40", False, 24),
        ("Tesla-P4", False, 8),
        ("Tesla-K80", False, 12),
        ("AMD-Instinct-MI300X", None, 0),
        ("In-House-9", None, 0),
        ("", None, 0),
    ],
)
def test_a_name_tells_generation_and_memory_or_nothing(product: str, bf16: bool | None, gigabytes: int) -> None:
    """As drivers and labels write it; of a name that is not known nothing is claimed."""
    assert has_bf16(product) is bf16
    assert memory_of(product) == gigabytes * 10**9
