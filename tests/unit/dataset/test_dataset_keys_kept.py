"""Where keys of LLM endpoints may be kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.common.errors import InvalidArgument
from services.common.secretfiles import Secrets
from services.dataset.keys import Keys


@pytest.mark.parametrize(("kept", "mounted"), [(False, False), (False, True), (True, True)])
def test_a_key_from_a_call_is_kept_on_one_machine_alone(tmp_path: Path, kept: bool, mounted: bool) -> None:
    """Elsewhere it would lie with one of several replicas, until its pod goes."""
    keys = Keys(Secrets(tmp_path / "secrets"), tmp_path if mounted else None, kept)

    with pytest.raises(InvalidArgument, match="FTF_LLM_KEYS_DIR"):
        keys.check("sk-key", "")
    assert keys.check("", "") == ""


def test_on_one_machine_a_key_comes_with_the_call(tmp_path: Path) -> None:
    assert Keys(Secrets(tmp_path / "secrets"), None).check(" sk-key\n", "") == "sk-key"
