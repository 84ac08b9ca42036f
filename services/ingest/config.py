"""What ingest is told from outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from services.common.config import Config
from services.common.errors import InvalidArgument
from services.ingest.child import child_environment
from services.ingest.sandbox.job import Limits

_MOST_PARALLEL = 4


@dataclass(frozen=True)
class IngestConfig:
    """Settings of the ingest service.

    Args:
        scratch: folder for the files of running child processes; emptied at the start.
        ranks: folder where cl100k_base is kept once it was found.
        given_ranks: TIKTOKEN_CACHE_DIR, or "".
        max_upload_bytes: largest upload.
        limits: what one child process may use.
        parallel: child processes at once.
        environment: what child processes see of the environment.
    """

    scratch: Path
    ranks: Path
    given_ranks: str
    max_upload_bytes: int
    limits: Limits
    parallel: int
    environment: Mapping[str, str]


def ingest_config(config: Config, environ: Mapping[str, str], cores: int) -> IngestConfig:
    """Return the settings; Config.settings may hold ingest.memory_bytes, ingest.cpu_seconds and ingest.wall_seconds.

    Raises:
        InvalidArgument: one of them is not a whole number over 0.
    """
    limits = Limits()
    for name in ("memory_bytes", "cpu_seconds", "wall_seconds"):
        text = config.settings.get(f"ingest.{name}", "")
        if text:
            limits = replace(limits, **{name: _whole(text, f"ingest.{name}")})
    return IngestConfig(
        scratch=config.state / "ingest" / "scratch",
        ranks=config.state / "ingest" / "tiktoken",
        given_ranks=environ.get("TIKTOKEN_CACHE_DIR", ""),
        max_upload_bytes=config.max_upload_bytes,
        limits=limits,
        parallel=max(2, min(cores, _MOST_PARALLEL)),
        environment=child_environment(environ),
    )


def _whole(text: str, name: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise InvalidArgument(f'The setting {name} is "{text}". Use a whole number over 0.')
    return int(text)
