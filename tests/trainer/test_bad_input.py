"""What cannot be trained on: a reason, a remedy, exit code 3, and nothing half-done."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from services.common.statuses import from_status
from services.trainer.model import folder_revision
from tests.fakes.tiny_model import tiny_model
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import config, rows, run_here, train_spec, write_dataset


def refusal(host: WorkerHost, folder: Path) -> tuple[int, str, str]:
    """Exit code, reason and message of a run that fails."""
    code = run_here(host, folder)
    error = from_status(host.finished[-1].error)
    assert "Traceback" not in error.message
    assert not host.finished[-1].artifacts
    return code, error.reason, error.message


def test_a_dataset_that_is_not_the_announced_one_is_refused(
    tmp_path: Path, objects: Path, dataset: Path, model: Path
) -> None:
    """Its hash tells."""
    spec = train_spec(dataset, model)
    write_dataset(dataset, rows(train=3))
    with WorkerHost(objects, spec) as host:
        code, reason, _ = refusal(host, tmp_path / "work")

    assert (code, reason) == (3, "HASH_MISMATCH")


def test_a_training_set_with_no_supervised_token_is_refused(
    tmp_path: Path, objects: Path, dataset: Path, model: Path
) -> None:
    """Here max_length ends before every answer begins; the message counts the examples."""
    with WorkerHost(objects, train_spec(dataset, model, config(max_length=16))) as host:
        code, reason, message = refusal(host, tmp_path / "work")

    assert (code, reason) == (3, "EMPTY_LOSS_MASK")
    assert "None of the 10 training examples" in message
    assert "10 are longer than max_length" in message


def test_a_model_without_chat_template_is_refused(tmp_path: Path, objects: Path, dataset: Path) -> None:
    """Base models have none."""
    bare = tiny_model(tmp_path / "bare", with_template=False)
    with WorkerHost(objects, train_spec(dataset, bare)) as host:
        code, reason, _ = refusal(host, tmp_path / "work")

    assert (code, reason) == (3, "NO_CHAT_TEMPLATE")


def test_a_dataset_without_training_examples_is_refused(tmp_path: Path, objects: Path, model: Path) -> None:
    """All of its documents are held out."""
    dataset = write_dataset(tmp_path / "d.jsonl", rows(train=0))
    with WorkerHost(objects, train_spec(dataset, model)) as host:
        code, reason, _ = refusal(host, tmp_path / "work")

    assert (code, reason) == (3, "NO_ACCEPTED_EXAMPLES")


def test_a_line_that_is_no_example_is_named_but_not_quoted(tmp_path: Path, objects: Path, model: Path) -> None:
    """Lines hold what the documents say."""
    lines = rows()
    lines[4] = {"id": "x", "split": "TRAIN", "messages": "confidential"}
    dataset = write_dataset(tmp_path / "d.jsonl", lines)
    with WorkerHost(objects, train_spec(dataset, model)) as host:
        code, reason, message = refusal(host, tmp_path / "work")

    assert (code, reason) == (3, "INVALID_FIELD")
    assert "Line 5" in message
    assert "confidential" not in message


def test_pickle_weights_alone_are_refused(tmp_path: Path, objects: Path, dataset: Path, model: Path) -> None:
    """They are not even opened."""
    pickled = tmp_path / "pickled"
    shutil.copytree(model, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with WorkerHost(objects, train_spec(dataset, pickled)) as host:
        code, reason, _ = refusal(host, tmp_path / "work")

    assert (code, reason) == (3, "PICKLE_WEIGHTS")


def test_a_model_that_changed_since_it_was_registered_is_refused(
    tmp_path: Path, objects: Path, dataset: Path, model: Path
) -> None:
    """The revision of a folder is the hash over all of its files."""
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    spec = train_spec(dataset, copy)
    spec.model_revision = folder_revision(copy)
    (copy / "generation_config.json").write_text("{}")
    with WorkerHost(objects, spec) as host:
        code, reason, message = refusal(host, tmp_path / "work")

    assert (code, reason) == (3, "MODEL_INVALID")
    assert "no longer those of its revision" in message


def test_a_folder_that_is_gone_or_damaged_is_refused(tmp_path: Path, objects: Path, dataset: Path, model: Path) -> None:
    """The message names the model, not the path."""
    broken = tmp_path / "secret-path" / "broken"
    shutil.copytree(model, broken)
    (broken / "config.json").write_text(json.dumps({"model_type": "no-such-type"}))
    with WorkerHost(objects, train_spec(dataset, tmp_path / "nowhere")) as host:
        gone = refusal(host, tmp_path / "work")
    with WorkerHost(objects, train_spec(dataset, broken)) as host:
        damaged = refusal(host, tmp_path / "work2")

    assert gone[:2] == (3, "MODEL_NOT_FOUND")
    assert damaged[:2] == (3, "MODEL_INVALID")
    assert "secret-path" not in damaged[2]


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path, objects: Path, dataset: Path, model: Path) -> None:
    """At the step where it happens, with the remedy, and without a checkpoint of it."""
    import torch
    from safetensors.torch import load_file, save_file

    sick = tmp_path / "sick"
    shutil.copytree(model, sick)
    weights = load_file(sick / "model.safetensors")
    weights["lm_head.weight"] = torch.full_like(weights["lm_head.weight"], float("inf"))
    save_file(weights, sick / "model.safetensors", metadata={"format": "pt"})
    with WorkerHost(objects, train_spec(dataset, sick, config(save_steps=1))) as host:
        code, reason, message = refusal(host, tmp_path / "work")

    assert (code, reason) == (3, "LOSS_DIVERGED")
    assert "step 1" in message
    assert host.checkpoints == []


@pytest.mark.parametrize(
    ("setting", "value"), [("lr_scheduler_type", "no-such"), ("optim", "no-such"), ("lora", "no-such")]
)
def test_settings_that_the_libraries_refuse_are_named(
    tmp_path: Path, objects: Path, dataset: Path, model: Path, setting: str, value: str
) -> None:
    """INVALID_ARGUMENT, in one line."""
    settings = config()
    if setting == "lora":
        settings.lora.target_modules.append(value)
    else:
        setattr(settings, setting, value)
    with WorkerHost(objects, train_spec(dataset, model, settings)) as host:
        code, _, message = refusal(host, tmp_path / "work")

    assert code == 3
    assert "no-such" in message
    assert "\n" not in message


def test_work_that_has_ended_needs_no_trainer(tmp_path: Path, objects: Path, dataset: Path, model: Path) -> None:
    """Exit code 0, and no further call."""
    with WorkerHost(objects, train_spec(dataset, model)) as host:
        host.ended = True
        code = run_here(host, tmp_path / "work")

    assert code == 0
    assert host.calls == ["BeginAttempt"]
