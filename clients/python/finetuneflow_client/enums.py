"""The words of an enum's values: "dpo" for OBJECTIVE_DPO."""

from __future__ import annotations

from typing import Any


def words(message: Any, field: str) -> dict[str, int]:
    """Return the words of an enum's field, or of a map's whose values are one, with their numbers."""
    found = message.DESCRIPTOR.fields_by_name[field]
    entry = found.message_type and found.message_type.fields_by_name["value"]
    values = (entry or found).enum_type.values
    prefix = values[0].name.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix).lower(): value.number for value in values if value.number}
