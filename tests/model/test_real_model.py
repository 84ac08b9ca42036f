"""The flow with a real pretrained model, SmolLM2-135M-Instruct, as base model and as the LLM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from samples import model
from samples.stage import Stage
from samples.teacher import NAME

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "samples" / "documents" / name for name in ("safety-rules.md", "travel-policy.docx")]
PARAMETERS = 134_515_008

pytestmark = [pytest.mark.model, pytest.mark.timeout(1200)]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A place to run `ftf` in."""
    return Stage(tmp_path / "state", "real")


@pytest.fixture
def teacher(stage: Stage, tmp_path: Path) -> Iterator[str]:
    """The base URL of a running LLM server."""
    with stage.teacher(tmp_path / "teacher.log") as url:
        yield url


def ask(url: str, prompt: str, schema: dict[str, Any]) -> str:
    """Return an LLM's reply that is held to a JSON schema."""
    body = {
        "model": NAME,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": 200,
        "response_format": {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": True}},
    }
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/chat/completions", data=json.dumps(body).encode(), headers=headers)
    with urllib.request.urlopen(request, timeout=60) as reply:
        return str(json.load(reply)["choices"][0]["message"]["content"])


def test_the_model_is_an_ordinary_folder(base: Path) -> None:
    """Safetensors, tokenizer, chat template, generation settings, and a card with the licence; nothing quantized."""
    names = {path.name for path in base.iterdir()}
    config = json.loads((base / "config.json").read_text())

    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja", "generation_config.json"} <= names
    assert "license: apache-2.0" in (base / "README.md").read_text()
    assert config["dtype"] == "float32"
    assert "quantization_config" not in config


def test_a_model_that_is_there_is_left_as_it_is(base: Path) -> None:
    """Making it again touches nothing."""
    before = {path: path.stat().st_mtime_ns for path in base.iterdir()}
    model.make(base)

    assert {path: path.stat().st_mtime_ns for path in base.iterdir()} == before


def test_the_teacher_keeps_to_a_schema(teacher: str) -> None:
    """Every reply is JSON of the form that was asked for, whatever the model would like to say."""
    schema = {
        "type": "object",
        "properties": {"question": {"type": "string", "maxLength": 80}, "sure": {"type": "boolean"}},
        "required": ["question", "sure"],
        "additionalProperties": False,
    }
    replies = [json.loads(ask(teacher, f"Ask something about the number {n}.", schema)) for n in range(4)]

    for reply in replies:
        jsonschema.validate(reply, schema)


def test_the_teacher_ends_with_the_process_that_started_it() -> None:
    """Even one that is killed leaves nothing running."""
    script = (
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, {str(ROOT / 'samples' / 'teacher.py')!r}], stdout=subprocess.PIPE)\n"
        "p.stdout.readline(); print(p.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)

    assert not alive(pid)


def alive(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_documents_become_a_model_that_knows_them_better(
    base: Path, stage: Stage, teacher: str, tmp_path: Path
) -> None:
    """One command: real examples, a real training, a lower loss on questions kept back, and both forms load again."""
    out = tmp_path / "out"
    llm = ("--llm-url", teacher, "--llm-model", NAME)
    examples = (
        "--chunk-tokens",
        "128",
        "--examples-per-chunk",
        "2",
        "--max-examples",
        "24",
        "--recall-fraction",
        "0.3",
    )
    training = ("--max-steps", "16", "--learning-rate", "5e-4", "--max-length", "256")
    with stage.server():
        stage.ftf("project", "create", "real")
        stage.ftf("run", *DOCUMENTS, "--model", base, *llm, *examples, *training, "-o", out)
        found = stage.facts("model", "list")["models"][0]
        run = stage.facts("runs")["runs"][0]
    recall = run["result"]["evaluation"]["recall"]
    adapter = next(path.parent for path in out.rglob("adapter_config.json"))
    merged = next(path.parent for path in out.rglob("model.safetensors"))
    answers = [
        stage.python(ROOT / "samples" / "answer.py", adapter, "Who is the nurse?", "--base", base),
        stage.python(ROOT / "samples" / "answer.py", merged, "Who is the nurse?"),
    ]

    assert int(found["parameters"]) == PARAMETERS
    assert recall["tuned_loss"] < recall["base_loss"]
    assert answers[0]
    assert answers[0] == answers[1]
