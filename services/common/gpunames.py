"""What the name of an NVIDIA GPU's product tells of it, where neither a driver nor a label of its node does.

Names are those of drivers and of node labels: "NVIDIA A100-SXM4-40GB", "NVIDIA-H100-80GB-HBM3".
"""

from __future__ import annotations

import re

_WITH = re.compile(
    # Ampere, Ada, Hopper, Blackwell; of data centres, then of workstations.
    r"a(2|10|10g|10m|16|30|40|100|800)|l(2|4|20|40|40s)|h(20|100|200|800)|gh200|g?b[123]00"
    r"|a(400|1000|2000|4000|4500|5000|5500|6000)|ada|blackwell"
)
_WITHOUT = re.compile(r"v100s?|t4g?|p(4|40|100)|m(4|6|10|40|60)|k(40|40m|80)|gtx|quadro")
_RTX_WITH, _RTX_WITHOUT = re.compile(r"2050|[345]0[5-9]0"), re.compile(r"20[6-9]0")
_GIGABYTES = {
    # Where the name has no memory: the least with which the product is sold.
    "a2": 16, "a10": 24, "a10g": 24, "a30": 24, "a40": 48, "a100": 40, "a800": 40, "l4": 24, "l40": 48, "l40s": 48,
    "h20": 96, "h100": 80, "h800": 80, "h200": 141, "gh200": 96, "b200": 180, "gb200": 186, "a6000": 48,
    "v100": 16, "t4": 16, "p100": 12, "p40": 24, "p4": 8, "k80": 12,
}  # fmt: skip
_PART = re.compile(
    # Of MIG, with compute instances of its own or not; of a virtual GPU, by its profile.
    r"mig-(?:\d+c\.)?\d+g\.(\d{1,3})gb|-(\d{1,3})[abcq](?:-shared)?$"
)


def has_bf16(product: str) -> bool | None:
    """Return whether a product computes in bfloat16, as all since Ampere do; None where the name does not tell."""
    words = _words(product)
    rtx = "rtx" in words
    if any(_WITHOUT.fullmatch(word) or (rtx and _RTX_WITHOUT.fullmatch(word)) for word in words):
        return False
    if any(_WITH.fullmatch(word) or (rtx and _RTX_WITH.fullmatch(word)) for word in words):
        return True
    return None


def memory_of(product: str) -> int:
    """Return the bytes of memory that a product has at least; 0 where the name does not tell.

    A gigabyte of a name counts as 10⁹ bytes, which is somewhat less than there is.
    """
    if part := _PART.search(product.lower()):
        return int(part[1] or part[2]) * 10**9
    words = _words(product)
    # What the name of a Grace superchip has is the processor's memory.
    named = [] if "gh200" in words else [int(word[:-2]) for word in words if re.fullmatch(r"\d{1,3}gb", word)]
    known = [_GIGABYTES[word] for word in words if word in _GIGABYTES]
    return max((named or known), default=0) * 10**9


def _words(product: str) -> list[str]:
    return re.split(r"[^a-z0-9]+", product.lower())
