"""Settings as a program gives them, by the contract's names → messages."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from google.protobuf.message import Message

from finetuneflow_client.enums import words
from finetuneflow_client.errors import FtfError

Filled = TypeVar("Filled", bound=Message)
_ALIKE = 0.5
"""difflib's ratio from which a name may be meant: "map" for "mapping", which have 0.6."""


def filled(message: Filled, settings: Mapping[str, Any]) -> Filled:
    """Set fields of a message and return it.

    Args:
        message: what they are set in.
        settings: field, or "message.field", → value. An enum's value is its word: "dpo"; a message's a mapping; None
            leaves it as it is.

    Raises:
        FtfError: INVALID_ARGUMENT for a name that is no field, or a value of the wrong kind.
    """
    for name, value in settings.items():
        if value is None:
            continue
        outer, dot, inner = name.partition(".")
        field = message.DESCRIPTOR.fields_by_name.get(outer)
        if field is None:
            known = sorted(message.DESCRIPTOR.fields_by_name)
            meant = "".join(f'did you mean "{near}"? ' for near in get_close_matches(outer, known, 1, _ALIKE))
            remedy = f"{meant}these are: {', '.join(known)}"
            raise FtfError(f"{name} is no setting", remedy, code="INVALID_ARGUMENT")
        if dot and field.message_type:
            filled(getattr(message, outer), {inner: value})
            continue
        try:
            _set(message, field, value)
        except (TypeError, ValueError) as error:
            raise FtfError(f"{name}={value!r}: {error}", "give another value", code="INVALID_ARGUMENT") from None
    return message


def _set(message: Any, field: Any, value: Any) -> None:
    owner = getattr(message, field.name)
    if field.message_type and field.message_type.GetOptions().map_entry:
        of_enum = field.message_type.fields_by_name["value"].enum_type
        owner.update({key: _number(message, field, one) for key, one in value.items()} if of_enum else value)
    elif field.message_type:
        owner.SetInParent()
        owner.CopyFrom(value) if isinstance(value, Message) else filled(owner, value)
    elif hasattr(owner, "extend"):  # repeated
        if isinstance(value, str):
            raise TypeError("a list is wanted")
        owner[:] = [_number(message, field, one) for one in value] if field.enum_type else value
    else:
        setattr(message, field.name, _number(message, field, value) if field.enum_type else value)


def _number(message: Any, field: Any, word: object) -> int:
    known = words(message, field.name)
    plain = str(word).lower().replace("-", "_")
    if plain not in known:
        raise ValueError(f"none of {', '.join(known)}")
    return known[plain]
