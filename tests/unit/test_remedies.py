"""What the code tells a user to install can be installed: no package index has our own packages."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from services.common.ranks import INSTALLS

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
_OURS = re.compile(r"""(?P<before>[^\n"'`]*)["']?finetuneflow\[(?P<extras>[\w,]+)\]""")


def ours(where: Path) -> Iterator[tuple[str, str, set[str]]]:
    """Yield the file, what is written before it, and the extras, of each place where the server is to be installed."""
    for path in sorted(where.rglob("*.py")):
        for found in _OURS.finditer(path.read_text(encoding="utf-8")):
            yield str(path.relative_to(ROOT)), found["before"], set(found["extras"].split(","))


def test_the_server_is_installed_from_wheels_of_a_clone() -> None:
    """With extras that exist; a name by itself would be looked for in an index."""
    found = [*ours(ROOT / "services"), *ours(ROOT / "clients" / "python" / "finetuneflow_client")]
    alone = [file for file, before, _ in found if not before.rstrip().endswith("--find-links dist")]

    assert alone == []
    assert found != []
    assert all(extras <= set(EXTRAS) for _, _, extras in found)


def test_the_package_with_cl100k_base_is_that_of_the_extra() -> None:
    """In the very release whose file has the known hash."""
    assert INSTALLS in EXTRAS["local"]
