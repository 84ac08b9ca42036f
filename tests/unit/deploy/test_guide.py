"""docs/cluster.md names values, files, objects and reasons that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # Comes with kubernetes, without types.

from finetuneflow.common.v1 import waiting_pb2
from services.common.tokenfiles import LEAST_LENGTH

ROOT = Path(__file__).resolve().parents[3]
GUIDE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
VALUES: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "chart" / "values.yaml").read_text(encoding="utf-8"))


def known(dotted: str) -> bool:
    """Whether there is a value of that name; "*" stands for any."""
    found: list[Any] = [VALUES]
    for part in dotted.split("."):
        found = [value for one in found if isinstance(one, dict) for key, value in one.items() if part in ("*", key)]
    return bool(found)


def test_every_value_that_the_guide_names_exists() -> None:
    """Under the name that it gives."""
    groups = "|".join(VALUES)
    named = set(re.findall(rf"`(?:--set '?)?((?:{groups})(?:\.[\w*]+)+)[=:`]", GUIDE))

    assert len(named) > 25
    assert [name for name in sorted(named) if not known(name)] == []


def test_every_file_that_the_guide_names_exists() -> None:
    """Those of deploy/, which are no pages of the site."""
    named = re.findall(r"(?<!unit/)\bdeploy/[\w./-]*\w", GUIDE)

    assert len(named) > 3
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_guide_says_what_to_do_for_each_reason_to_wait() -> None:
    """All of the contract's, and no other."""
    table = GUIDE.partition("## Why does it wait?")[2]
    rows = [cell for line in re.findall(r"^\| ([A-Z_, ]+) \|", table, re.MULTILINE) for cell in line.split(", ")]
    reasons = [name.removeprefix("WAITING_REASON_") for name in waiting_pb2.WaitingReason.DESCRIPTOR.values_by_name]

    assert sorted(rows) == sorted(set(reasons) - {"UNSPECIFIED"})


def test_the_guide_says_how_long_a_token_is_at_least() -> None:
    """A shorter one is refused, which only a line in the log tells."""
    assert f"{LEAST_LENGTH} characters or more" in " ".join(GUIDE.partition("## Tokens")[2].split())
