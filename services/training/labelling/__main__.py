"""Makes the preview that a note asks for, within its limits."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from services.common.confined.answers import answer
from services.common.confined.limits import Limits, confine
from services.common.errors import FineTuneFlowError, to_document
from services.training.labelling.preview import Wanted, write

FAILED = 3


def main(arguments: list[str]) -> int:
    """Do the job that the first argument names; the second is the parent's process id."""
    note = Path(arguments[0])
    job: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
    confine(Limits(**job["limits"]), parent=int(arguments[1]))
    try:
        write(Wanted(**job["wanted"]), note.with_name(job["out"]))
    except FineTuneFlowError as error:
        answer("error", to_document(error))
        return FAILED
    answer("result", {})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
