"""Runs the line of Python in its job and answers the value of the name `found`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from services.common.confined.answers import answer
from services.common.confined.limits import Limits, confine


def main(arguments: list[str]) -> int:
    """Do the job that the first argument names; the second is the parent's process id."""
    confine(Limits(memory_bytes=1 << 30), parent=int(arguments[1]))
    names: dict[str, Any] = {}
    exec(json.loads(Path(arguments[0]).read_text())["code"], names)  # the test wrote it
    answer("result", {"found": names.get("found")})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
