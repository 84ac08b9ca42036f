"""The program: reads its job, limits itself, does it, answers."""

from __future__ import annotations

import errno
import gc
import os
import sys
import traceback
from pathlib import Path

from services.common.confined.answers import answer
from services.common.confined.limits import confine
from services.common.errors import Exhausted, FineTuneFlowError, to_document
from services.ingest.core.extraction import corrupt
from services.ingest.sandbox.job import Job, reporter

FAILED = 3
_GARBAGE = 50_000
"""Objects after which garbage is looked for: a process that lives for one document has little, and looks in vain."""


def main(arguments: list[str]) -> int:
    """Do the job that the first argument names; the second is the parent's process id."""
    job = Job.read(Path(arguments[0]))
    confine(job.limits, parent=int(arguments[1]))
    gc.set_threshold(_GARBAGE)
    try:
        answer("result", _do(job))
        return 0
    except FineTuneFlowError as error:
        answer("error", to_document(error))
    except MemoryError:
        answer("error", to_document(too_much("memory", f"{job.limits.memory_bytes >> 20} MiB")))
    except OSError as error:
        traceback.print_exc()
        answer("error", to_document(_file_trouble(error, job)))
    except Exception as error:  # a stranger's document may break a reader in any way
        traceback.print_exc()
        answer("error", to_document(_broken(error, job)))
    return FAILED


def _do(job: Job) -> dict[str, object]:
    if job.task == "extract":
        from services.ingest.sandbox.extract import extract

        return extract(job, reporter())
    if job.task == "unpack":
        from services.ingest.sandbox.unpack import unpack

        return unpack(job, reporter())
    from services.ingest.sandbox.cut import cut

    return cut(job, reporter())


def too_much(what: str, limit: str) -> Exhausted:
    """Return the error for work that needed more of something than it may use."""
    return Exhausted(
        f"Reading the document took more {what} than the {limit} allowed. Split or simplify the document.",
        reason="EXTRACTION_LIMIT",
        metadata={"limit": limit},
    )


def _file_trouble(error: OSError, job: Job) -> FineTuneFlowError:
    if error.errno == errno.EFBIG:
        return too_much("output", f"{job.limits.output_bytes >> 20} MiB")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Exhausted(f"The disk is full ({os.path.dirname(job.target)}). Free space there, then upload again.")
    if error.errno == errno.ENOMEM:
        return too_much("memory", f"{job.limits.memory_bytes >> 20} MiB")
    return _broken(error, job)


def _broken(error: Exception, job: Job) -> FineTuneFlowError:
    if job.task in ("extract", "unpack"):
        return corrupt(f"cannot be read ({type(error).__name__})")
    return FineTuneFlowError(
        "Cutting the text met a mistake in FineTuneFlow. Report it; the service's log has the details."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
