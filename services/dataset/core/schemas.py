"""What a JSON schema of a user's may not have."""

from __future__ import annotations

from typing import Any

_REFUSED = frozenset({"$ref", "$dynamicRef", "$recursiveRef", "pattern", "patternProperties"})
"""References make a validator open addresses; patterns can keep it busy for ever."""
_NAMES = frozenset({"properties", "$defs", "definitions", "dependentSchemas", "dependentRequired"})
"""Keywords whose own keys are names, not keywords."""
_VALUES = frozenset({"const", "default", "enum", "examples"})


def refused(schema: Any, named: bool = False) -> str:
    """Return a keyword that is refused, however it was written; "" if there is none.

    Args:
        schema: as json.loads gave it.
        named: whether the keys of this object are names.
    """
    if isinstance(schema, list):
        return next(filter(None, map(refused, schema)), "")
    if not isinstance(schema, dict):
        return ""
    for key, value in schema.items():
        if not named and key in _REFUSED:
            return str(key)
        if named or key not in _VALUES:
            found = refused(value, named=not named and key in _NAMES)
            if found:
                return found
    return ""
