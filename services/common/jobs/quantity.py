"""Kubernetes quantities: "8", "500m", "64Gi", "1e9"."""

from __future__ import annotations

import re
from decimal import Decimal

from services.common.errors import InvalidArgument
from services.common.jobs.port import Resources

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?[0-9]{1,2})?")
_UNITS = {"m": Decimal("0.001"), **{unit: Decimal(1000) ** (n + 1) for n, unit in enumerate("kMGTPE")}}
_UNITS |= {unit + "i": Decimal(1024) ** (n + 1) for n, unit in enumerate("KMGTPE")}
_LONGEST = 32
NAMES = ("cpu", "memory", "ephemeral_storage", "shm_size")


def parse_quantity(text: str, field: str = "quantity") -> Decimal:
    """Return a quantity's value: cores, or bytes.

    Raises:
        InvalidArgument: it is not one, or not over 0; field is its name in the message.
    """
    found = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    number, unit = found.groups() if found else ("0", "")
    if unit and unit[0] in "eE" and unit not in _UNITS:
        value = Decimal(number + unit)
    else:
        value = Decimal(number) * _UNITS.get(unit or "", Decimal(1))
    if value <= 0:
        raise InvalidArgument(
            f'{field} "{text[:80]}" is not a quantity over 0. Write it as Kubernetes does: "8", "500m", "64Gi".',
            field=field,
        )
    return value


def check_quantities(resources: Resources) -> None:
    """Refuse resources with a quantity that is not one.

    Raises:
        InvalidArgument: a quantity is malformed; the message names it.
    """
    for name in NAMES:
        if text := getattr(resources, name):
            parse_quantity(text, f"resources.{name}")
