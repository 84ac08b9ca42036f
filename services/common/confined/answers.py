"""What a confined program answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any


def answer(kind: str, value: Mapping[str, Any] | list[Any]) -> None:
    """Write one line of answer."""
    sys.stdout.write(json.dumps({kind: value}, separators=(",", ":")) + "\n")
    sys.stdout.flush()
