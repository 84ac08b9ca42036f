"""What ingest is told from outside."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from services.common.config import Config
from services.common.confined.cold import child_environment
from services.common.confined.limits import Limits
from services.common.errors import InvalidArgument
from services.ingest.sandbox.job import Ocr

_MOST_PROCESSES = 4
"""That read at once unless a setting says otherwise, where there are as many processors."""


@dataclass(frozen=True)
class IngestConfig:
    """Settings of the ingest service.

    Args:
        scratch: folder for the files of running child processes; emptied at the start.
        ranks: folder where cl100k_base is kept once it was found.
        given_ranks: TIKTOKEN_CACHE_DIR, or "".
        max_upload_bytes: largest upload.
        limits: what one child process may use.
        ocr: how pictures of pages are read.
        parallel: documents that are read at once, each by a child process.
        processes: how many may read one long document at once.
        environment: what child processes see of the environment.
    """

    scratch: Path
    ranks: Path
    given_ranks: str
    max_upload_bytes: int
    limits: Limits
    ocr: Ocr
    parallel: int
    processes: int
    environment: Mapping[str, str]


def ingest_config(config: Config, environ: Mapping[str, str], cores: int) -> IngestConfig:
    """Return the settings.

    Config.settings may hold ingest.memory_bytes, ingest.cpu_seconds, ingest.wall_seconds, ingest.ocr,
    ingest.ocr_languages, ingest.ocr_pages, ingest.ocr_page_seconds and ingest.processes; FTF_OCR, FTF_OCR_LANGUAGES and
    FTF_INGEST_PROCESSES of the environment stand for those of the same name.

    Args:
        cores: that this process may use; without ingest.processes as many processes read at once, but at most four.

    Raises:
        InvalidArgument: one of them is not a whole number over 0, or not one of its words.
    """
    limits = Limits()
    for name in ("memory_bytes", "cpu_seconds", "wall_seconds"):
        text = config.settings.get(f"ingest.{name}", "")
        if text:
            limits = replace(limits, **{name: _whole(text, f"ingest.{name}")})
    wanted = config.settings.get("ingest.processes", "") or environ.get("FTF_INGEST_PROCESSES", "")
    processes = _whole(wanted, "ingest.processes") if wanted else min(cores, _MOST_PROCESSES)
    return IngestConfig(
        scratch=config.state / "ingest" / "scratch",
        ranks=config.state / "ingest" / "tiktoken",
        given_ranks=environ.get("TIKTOKEN_CACHE_DIR", ""),
        max_upload_bytes=config.max_upload_bytes,
        limits=limits,
        ocr=_ocr(config.settings, environ),
        parallel=max(2, processes),  # a small document need not wait for a large one
        processes=processes,
        environment=child_environment(environ),
    )


def _ocr(settings: Mapping[str, str], environ: Mapping[str, str]) -> Ocr:
    """Return how pictures of pages are read: by tesseract where it is installed, unless FTF_OCR is "off"."""
    wanted = settings.get("ingest.ocr", "") or environ.get("FTF_OCR", "") or "auto"
    if wanted not in ("auto", "off"):
        raise InvalidArgument(f'The setting FTF_OCR is "{wanted}". Use auto or off.', reason="CONFIGURATION")
    languages = settings.get("ingest.ocr_languages", "") or environ.get("FTF_OCR_LANGUAGES", "")
    if not re.fullmatch(r"[A-Za-z_]*(\+[A-Za-z_]+)*", languages):
        raise InvalidArgument(
            f'The setting FTF_OCR_LANGUAGES is "{languages}". Use codes of tesseract, such as eng+deu.',
            reason="CONFIGURATION",
        )
    found = Ocr(languages=languages)
    if text := settings.get("ingest.ocr_pages", ""):
        found = replace(found, pages=_whole(text, "ingest.ocr_pages"))
    if text := settings.get("ingest.ocr_page_seconds", ""):
        found = replace(found, page_seconds=_whole(text, "ingest.ocr_page_seconds"))
    program = shutil.which("tesseract", path=environ.get("PATH", os.defpath)) if wanted == "auto" else None
    return replace(found, program=program or "")


def _whole(text: str, name: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise InvalidArgument(f'The setting {name} is "{text}". Use a whole number over 0.')
    return int(text)
