"""A child that is to serve a GGUF file and does not."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from services.common.errors import NotReady
from services.trainer.llama import loaded

CHILDREN = {"dies": "exec <&-; echo 'no such tensor' >&2", "hangs": "echo 'no such tensor' >&2; exec sleep 60"}


@pytest.mark.parametrize("child", CHILDREN)
def test_a_child_that_does_not_serve_is_a_refusal_and_its_words_are_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, child: str
) -> None:
    """Whether it ends at once, before it has read its key, or never says where it serves."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{CHILDREN[child]}\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(NotReady) as caught,
        loaded(tmp_path / "a.gguf", tmp_path / "said", seconds=4.0),
    ):
        pass

    assert caught.value.reason == "ACCEPTANCE_FAILED"
    assert "no such tensor" in caught.value.message
    assert "no such tensor" in caplog.text
