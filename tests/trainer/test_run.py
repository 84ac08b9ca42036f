"""A whole run against the worker contract: what it reports, what it leaves, how it ends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.training.v1 import run_pb2
from services.trainer.transfer import sha256_file
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import STEPS, config, rows, run_here, train_spec, write_dataset

LOSSES = (6.250542, 6.272719, 6.186341, 6.110707, 6.139710, 6.034327, 6.057524, 6.061784)
"""Losses of the run below, steps 1 to 8. They change only when what is trained on, or how, changes."""

ADAPTER = {"adapter_model.safetensors", "adapter_config.json"}
TOKENIZER = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
REPORT = {"report.md", "report.html", "loss.png", "evaluation.png", "evaluation.json", "answers.jsonl"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[WorkerHost]:
    """A run that has been done, uninterrupted."""
    folder = tmp_path_factory.mktemp("run")
    dataset = write_dataset(folder / "dataset.jsonl", rows())
    with WorkerHost(folder / "objects", train_spec(dataset, model)) as host:
        assert run_here(host, folder / "work") == 0
        yield host


def result_of(host: WorkerHost) -> run_pb2.RunResult:
    """What the last FinishAttempt said."""
    result = run_pb2.RunResult()
    assert host.finished[-1].result.Unpack(result)
    return result


def reason_of(host: WorkerHost) -> str:
    """Reason of the error that the last FinishAttempt told."""
    from services.common.statuses import from_status

    return from_status(host.finished[-1].error).reason


def test_the_curve_is_reported_step_by_step(finished: WorkerHost) -> None:
    """With TRL's names and ours, the total, and phases in their order."""
    points = [r.metrics for r in finished.reports if r.HasField("metrics")]

    assert [p.step for p in points] == list(range(1, STEPS + 1))
    assert {p.total_steps for p in points} == {STEPS}
    assert set(points[0].values) == {
        *("loss", "learning_rate", "grad_norm", "entropy", "mean_token_accuracy", "num_tokens", "epoch"),
        *("step_seconds", "tokens_per_second", "peak_memory_bytes"),
    }
    assert finished.phases() == ["load", "check", "train", "evaluate", "upload"]


def test_an_uploaded_model_is_fetched_and_checked(tmp_path: Path, model: Path, finished: WorkerHost) -> None:
    """It trains as the same folder does; a file that is not what was announced ends the run before it is loaded."""
    dataset = write_dataset(tmp_path / "dataset.jsonl", rows())
    spec = train_spec(dataset, model)
    files = [path for path in sorted(model.iterdir()) if path.is_file()]
    spec.model_location = ""
    spec.model_urls.extend(path.as_uri() for path in files)
    spec.model_files.extend(
        artifact_pb2.Artifact(filename=p.name, size_bytes=p.stat().st_size, sha256=sha256_file(p)) for p in files
    )
    with WorkerHost(tmp_path / "objects", spec) as host:
        assert run_here(host, tmp_path / "work") == 0
        curve = host.curve()
    spec.model_files[0].sha256 = "0" * 64
    with WorkerHost(tmp_path / "others", spec) as host:
        assert run_here(host, tmp_path / "again") != 0
        reason = reason_of(host)

    assert [loss for _, _, loss in curve] == [loss for _, _, loss in finished.curve()]
    assert reason == "HASH_MISMATCH"


def test_the_losses_are_those_of_last_time(finished: WorkerHost) -> None:
    """A fixed seed gives fixed losses; processors differ in later digits than these."""
    assert [loss for _, _, loss in finished.curve()] == pytest.approx(LOSSES, abs=5e-5)


def test_the_run_leaves_adapter_tokenizer_and_report(finished: WorkerHost) -> None:
    """Nothing else, and nothing in it says where this machine keeps its files."""
    names = {a.filename for a in finished.finished[-1].artifacts}
    adapter = json.loads(finished.artifact("adapter_config.json").read_text())

    assert names == ADAPTER | TOKENIZER | REPORT
    assert adapter["base_model_name_or_path"] == "tiny"
    assert "{% generation" not in finished.artifact("chat_template.jinja").read_text()
    assert "/tmp" not in finished.artifact("report.md").read_text()
    assert finished.artifact("loss.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_is_left_in_the_scratch_folder(finished: WorkerHost) -> None:
    """Everything that counts is stored by then."""
    assert list((finished.folder.parent / "work").iterdir()) == []


def test_the_result_counts_what_was_trained_on(finished: WorkerHost, model: Path) -> None:
    """Steps, tokens and supervised tokens are those of the dataset; the report repeats them."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    answers = [r["messages"][1]["content"] + "<|im_end|>" for r in rows() if r["split"] == "TRAIN"]
    supervised = sum(len(tokenizer(a, add_special_tokens=False)["input_ids"]) for a in answers)
    result = result_of(finished)

    assert result.steps == STEPS
    assert result.supervised_tokens == supervised
    assert result.truncated_examples == 0
    assert result.trainable_parameters == 8960
    assert 0 < result.platform_seconds < result.train_seconds
    assert result.peak_memory_bytes > 2**28
    assert result.training_peak_memory_bytes >= result.libraries_memory_bytes > 2**28
    assert 0 < result.evaluation_peak_memory_bytes <= result.peak_memory_bytes
    assert result.evaluation_seconds > 0
    assert result.trained_tokens > 0
    assert result.disk_bytes > 12 * result.trainable_parameters
    assert (result.device, bool(result.device_name)) == ("cpu", True)
    assert f"| of these supervised | {supervised} |" in finished.artifact("report.md").read_text()


def test_checkpoints_hold_what_a_resume_needs_and_no_base_weights(finished: WorkerHost) -> None:
    """Every three steps and at the end; recorded only after their files are written."""
    files = {f.filename for f in finished.checkpoints[0].files}

    assert [c.step for c in finished.checkpoints] == [3, 6, 8]
    assert files >= ADAPTER | {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"}
    assert not files & {"model.safetensors", "training_args.bin"}


def test_the_evaluation_is_what_a_computation_by_hand_gives(finished: WorkerHost, model: Path) -> None:
    """Loss per supervised token, example by example, with base and artifact loaded afresh."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    base = AutoModelForCausalLM.from_pretrained(model)
    held_out = [r for r in rows() if r["split"] == "EVAL"]
    expected: dict[str, float] = {}
    for name in ("base", "tuned"):
        tested = base
        if name == "tuned":
            tested = PeftModel.from_pretrained(base, str(finished.artifact("adapter_config.json").parent))
        losses: list[Any] = []
        for row in held_out:
            question, answer = (m["content"] for m in row["messages"])
            before = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
            start = len(tokenizer(before, add_special_tokens=False)["input_ids"])
            ids = tokenizer(f"{before}{answer}<|im_end|>\n", add_special_tokens=False, return_tensors="pt")["input_ids"]
            with torch.no_grad():
                logs = tested(ids).logits[0].log_softmax(-1)
            losses += [-logs[place - 1, ids[0, place]] for place in range(start, ids.shape[1] - 1)]
        expected[name] = float(torch.stack(losses).mean())
    score = result_of(finished).evaluation.generalise

    assert score.examples == len(held_out)
    assert score.base_loss == pytest.approx(expected["base"], rel=1e-6)
    assert score.tuned_loss == pytest.approx(expected["tuned"], rel=1e-6)
    assert score.tuned_loss < score.base_loss
    assert score.tuned_perplexity == pytest.approx(2.718281828459045**score.tuned_loss)


def test_samples_come_from_both_sets(finished: WorkerHost) -> None:
    """With prompt, reference and both answers."""
    samples = result_of(finished).evaluation.samples

    assert [(s.example, s.set) for s in samples] == [
        *(("e10", "generalise"), ("e11", "generalise")),
        *(("e12", "recall"), ("e13", "recall")),
    ]
    assert samples[0].prompt == "Question 10: what stands there?"
    assert samples[0].reference
    assert samples[0].base != samples[0].tuned


def resumed_from(host: WorkerHost, step: int, folder: Path, objects: Path, spec: run_pb2.TrainSpec) -> WorkerHost:
    """A host whose newest checkpoint is another's of a step."""
    shutil.copytree(host.folder, objects)
    resumed = WorkerHost(objects, spec)
    resumed.pods.append("pod-0")
    resumed.checkpoints = [c for c in host.checkpoints if c.step <= step]
    return resumed


def test_a_resumed_run_goes_on_as_if_nothing_had_happened(finished: WorkerHost, tmp_path: Path, objects: Path) -> None:
    """Every value of the curve is equal to the last digit, totals go on, and so does the result."""
    with resumed_from(finished, 3, tmp_path, objects, finished.spec) as host:
        code = run_here(host, tmp_path / "work", pod="pod-1")

    assert code == 0
    for name in ("loss", "grad_norm", "learning_rate", "num_tokens", "epoch"):
        assert [p[1:] for p in host.curve(name)] == [p[1:] for p in finished.curve(name)][3:]
    assert result_of(host).train_loss == result_of(finished).train_loss
    assert result_of(host).steps == STEPS
    assert result_of(host).train_seconds > 0
    one, other = (h.artifact("adapter_model.safetensors").read_bytes() for h in (host, finished))
    assert one == other


def test_a_run_killed_after_its_last_step_trains_no_further(
    finished: WorkerHost, tmp_path: Path, objects: Path
) -> None:
    """It evaluates from the last checkpoint, which lies in the midst of an epoch."""
    with resumed_from(finished, STEPS, tmp_path, objects, finished.spec) as host:
        code = run_here(host, tmp_path / "work", pod="pod-1")

    assert code == 0
    assert host.curve() == []
    assert result_of(host).steps == STEPS
    assert result_of(host).evaluation.generalise == result_of(finished).evaluation.generalise


def test_means_over_several_steps_survive_a_resume(tmp_path: Path, objects: Path, dataset: Path, model: Path) -> None:
    """With reports every four steps and a checkpoint after three, the resumed mean covers all four."""
    spec = train_spec(dataset, model, config(logging_steps=4))
    with WorkerHost(objects, spec) as whole:
        run_here(whole, tmp_path / "whole")
    with resumed_from(whole, 3, tmp_path, tmp_path / "again", spec) as host:
        run_here(host, tmp_path / "resumed", pod="pod-1")

    assert [step for _, step, _ in whole.curve()] == [4, 8]
    assert [p[1:] for p in host.curve()] == [p[1:] for p in whole.curve()]
    assert host.curve()[0][2] == pytest.approx(sum(LOSSES[:4]) / 4, rel=1e-3)


def test_a_damaged_checkpoint_is_named(finished: WorkerHost, tmp_path: Path, objects: Path) -> None:
    """It is not trained on from; the error says which file."""
    with resumed_from(finished, 3, tmp_path, objects, finished.spec) as host:
        file = next(f for f in host.checkpoints[-1].files if f.filename == "optimizer.pt")
        (objects / file.key).write_bytes(b"damaged")
        code = run_here(host, tmp_path / "work", pod="pod-1")

    assert code == 3
    assert reason_of(host) == "HASH_MISMATCH"
    assert "Checkpoint 3: optimizer.pt is damaged" in host.finished[-1].error.message
