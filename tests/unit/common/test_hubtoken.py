"""Where the model hub's token comes from."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from services.common.errors import NotReady
from services.common.hubtoken import hub_token, is_given
from services.common.secretfiles import Secrets
from services.hardware.config import hardware_config
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


def test_a_newline_is_no_part_of_a_token() -> None:
    """A secret that was written with an editor, a variable that was read from a file; blanks alone are no token."""
    of_secret = hub_token(None, {"hub-token": "hf_secret\n"}.get, {})
    of_variable = hub_token(None, {"hub-token": "\n"}.get, {"HF_TOKEN": " hf_variable\n"})

    assert (of_secret(), of_variable()) == ("hf_secret", "hf_variable")
    assert hub_token(None, {}.get, {"HF_TOKEN": "\n"})() is None


def test_a_token_that_is_no_text_is_refused_and_not_told(tmp_path: Path) -> None:
    """In its file as in the secret; so is a secret that cannot be read, and neither counts as given."""
    path, secrets = tmp_path / "token", Secrets(tmp_path / "secrets")
    path.touch(mode=0o600)
    path.write_bytes(b"hf_\xff\xfe")
    (tmp_path / "secrets" / "hub-token").write_bytes(b"hf_\xff\xfe")
    (tmp_path / "folders" / "hub-token").mkdir(parents=True)
    tokens = [
        hub_token(path, secrets.get, {}),
        hub_token(None, secrets.get, {}),
        hub_token(None, Secrets(tmp_path / "folders").get, {"HF_TOKEN": "hf_variable"}),
    ]
    for token in tokens:
        with pytest.raises(NotReady, match="cannot be read") as caught:
            token()
        assert "hf_" not in str(caught.value)
        assert not is_given(token)


def test_a_token_of_several_lines_or_with_a_nul_is_refused(tmp_path: Path) -> None:
    """As text of another encoding is: no environment takes it, and a Job would not start."""
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_bytes("hf_secret".encode("utf-16-le"))
    for token in (hub_token(path, {}.get, {}), hub_token(None, {"hub-token": "hf_one\nhf_two"}.get, {})):
        with pytest.raises(NotReady, match="not one line of text") as caught:
            token()
        assert "hf_" not in str(caught.value)


def test_ftf_up_takes_the_file_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a service of its own does. The hardware service asks the hub with the trainers' token and no other."""
    options = argparse.Namespace(allow_hub=True, metrics="")
    monkeypatch.delenv("FTF_HUB_TOKEN_FILE", raising=False)
    without = config(tmp_path, 0, "", options)
    monkeypatch.setenv("FTF_HUB_TOKEN_FILE", str(tmp_path / "token"))
    named = config(tmp_path, 0, "", options)

    assert (without.hub_token_file, named.hub_token_file) == (None, tmp_path / "token")
    for settings in (without, named):
        hardware = hardware_config(replace(settings, settings={"hub_token_file": "/other"}), {})
        assert hardware.hub_token_file == settings.hub_token_file
