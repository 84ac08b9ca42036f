"""Settings of a training in a file, by way of the command ftf."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from finetuneflow.training.v1 import config_pb2
from finetuneflow_client.cli.grammar.parser import build
from finetuneflow_client.cli.settings import training_config
from finetuneflow_client.errors import FtfError


def test_settings_come_from_a_file_and_flags_come_before_it(tmp_path: Path) -> None:
    """By the contract's names; PEFT's `true` and numbers such as 2e-4 are read as people write them."""
    (tmp_path / "run.yaml").write_text(
        "method: qlora\nlearning_rate: 2e-4\nmax_steps: 7\n"
        "lora:\n  r: 16\n  init_lora_weights: true\n  target_modules: [q_proj, v_proj]\n"
    )
    args = build().parse_args(["train", "--config", str(tmp_path / "run.yaml"), "--max-steps", "9"])
    config = training_config(args)

    assert config.method == config_pb2.METHOD_QLORA
    assert (config.learning_rate, config.max_steps, config.lora.r) == (2e-4, 9, 16)
    assert (config.lora.init_lora_weights, list(config.lora.target_modules)) == ("true", ["q_proj", "v_proj"])


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        ("learning_rat: 1\n", '"learning_rate"'),
        ("lora: {rank: 8}\n", '"lora.r"'),
        ("method: dora\n", "lora, full, qlora"),
        ("max_steps: many\n", "config-schema"),
        ("- 1\n", "NAME: VALUE"),
        ("a: b: c\n", "NAME: VALUE"),
        ("lora: 8\n", "below it"),
    ],
)
def test_a_file_with_what_is_no_setting_is_refused(tmp_path: Path, content: str, remedy: str) -> None:
    """The remedy names the nearest setting, or the form."""
    (tmp_path / "run.yaml").write_text(content)
    args = build().parse_args(["train", "--config", str(tmp_path / "run.yaml")])
    with pytest.raises(FtfError) as caught:
        training_config(args)

    assert remedy in caught.value.remedy


def test_everything_wrong_with_a_file_is_said_at_once(tmp_path: Path) -> None:
    """Names and values, in groups too, so that one correction is enough."""
    (tmp_path / "run.yaml").write_text("learning_rat: 1\nmethod: dora\nlora: {rank: 8}\n")
    args = build().parse_args(["train", "--config", str(tmp_path / "run.yaml")])
    with pytest.raises(FtfError) as caught:
        training_config(args)

    said = str(caught.value)
    assert all(part in said for part in ('"learning_rat"', 'method is "dora"', '"lora.rank"', '"lora.r"'))


def test_the_schema_of_a_file_describes_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """Printed without a server; a file is checked by it as by the command."""
    with pytest.raises(SystemExit) as ended:
        build().parse_args(["train", "config-schema"])
    schema = json.loads(capsys.readouterr().out)
    check = jsonschema.Draft202012Validator(schema)
    described = {**schema["properties"], **schema["properties"]["lora"]["properties"]}

    assert ended.value.code == 0
    assert all("description" in field for name, field in described.items() if name != "lora")
    assert check.is_valid({"method": "full", "learning_rate": 1e-5})
    assert not check.is_valid({"learning_rat": 1e-5})
    assert not check.is_valid({"lora": {"r": "many"}})
