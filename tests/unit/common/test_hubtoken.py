"""Where the model hub's token comes from."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from services.common.hubtoken import hub_token, is_given
from services.local import config


def test_a_file_goes_before_the_secret_and_that_before_the_environment(tmp_path: Path) -> None:
    """It is read at every use: a file that is written later counts."""
    path = tmp_path / "token"
    secrets: dict[str, str] = {}
    of_file, other = (hub_token(file, secrets.get, {"HF_TOKEN": "of-environment"}) for file in (path, None))
    before = is_given(of_file), other()
    path.write_text("of-file\n")
    path.chmod(0o600)
    secrets["hub-token"] = "of-secret"

    assert before == (False, "of-environment")
    assert (of_file(), other()) == ("of-file", "of-secret")
    assert not is_given(hub_token(None, {}.get, {"HF_TOKEN": ""}))


def test_ftf_up_takes_the_file_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a service of its own does."""
    options = argparse.Namespace(allow_hub=True, metrics="")
    monkeypatch.delenv("FTF_HUB_TOKEN_FILE", raising=False)
    without = config(tmp_path, 0, "", options)
    monkeypatch.setenv("FTF_HUB_TOKEN_FILE", str(tmp_path / "token"))
    named = config(tmp_path, 0, "", options)

    assert (without.hub_token_file, named.hub_token_file) == (None, tmp_path / "token")
