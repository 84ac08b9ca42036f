"""Every method of training: it learns, goes on where it was, leaves what it says, and can be exported."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.export.v1 import export_pb2
from finetuneflow.training.v1 import config_pb2, run_pb2
from tests.fakes.worker_host import WorkerHost
from tests.trainer.runs import STEPS, config, export_spec, rows, run_here, train_spec, write_dataset

FULL: dict[str, Any] = {"method": config_pb2.METHOD_FULL, "lora": None, "learning_rate": 0.005}


def lora(**settings: Any) -> dict[str, Any]:
    """Settings of a training with an adapter."""
    return {"lora": config_pb2.LoraConfig(**{"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, **settings})}


METHODS: dict[str, dict[str, Any]] = {
    "full": FULL,
    "dora": lora(use_dora=True),
    "pissa": lora(init_lora_weights="pissa", use_rslora=True),
    "qlora": {"method": config_pb2.METHOD_QLORA},
}
"""By each of these a whole run and its resume are quick enough to be tested always."""

MORE: dict[str, dict[str, Any]] = {
    "gaussian": lora(init_lora_weights="gaussian"),
    "orthogonal": lora(init_lora_weights="orthogonal"),
    "olora": lora(init_lora_weights="olora"),
    "pissa-fast": lora(init_lora_weights="pissa_niter_4"),
    "loftq": {"method": config_pb2.METHOD_QLORA, **lora(init_lora_weights="loftq")},
    "qlora-dora": {"method": config_pb2.METHOD_QLORA, **lora(use_dora=True)},
    "attention-only": lora(target_modules=["q_proj", "v_proj"]),
    "neftune": {"neftune_noise_alpha": 5.0},
    "modules-to-save": lora(modules_to_save=["lm_head", "embed_tokens"]),
    "qlora-modules-to-save": {"method": config_pb2.METHOD_QLORA, **lora(modules_to_save=["lm_head"])},
    "gradient-checkpointing": {"gradient_checkpointing": True},
}


@dataclass(frozen=True)
class Done:
    """A finished run by one of the methods."""

    name: str
    host: WorkerHost
    settings: config_pb2.TrainingConfig
    result: run_pb2.RunResult

    @property
    def folder(self) -> Path:
        """Where its artifacts lie."""
        return self.host.artifact("report.md").parent

    @property
    def is_full(self) -> bool:
        """Whether it trained every weight."""
        return self.settings.method == config_pb2.METHOD_FULL

    def base(self, folder: Path) -> Any:
        """The base model that it trained beside, loaded afresh."""
        import torch

        from services.trainer.model import load_model, load_quantised, source_of

        load = load_quantised if self.settings.method == config_pb2.METHOD_QLORA else load_model
        return load(source_of(str(folder), ""), torch.float32)

    def tuned(self, base: Any) -> Any:
        """What it left, loaded as the libraries do."""
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        if self.is_full:
            return AutoModelForCausalLM.from_pretrained(self.folder)
        return PeftModel.from_pretrained(base, str(self.folder))


EVERY = [*METHODS, *(pytest.param(name, marks=pytest.mark.model) for name in MORE)]


@pytest.fixture(scope="module", params=EVERY)
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Done]:
    """A run by each method, uninterrupted."""
    folder = tmp_path_factory.mktemp(request.param)
    dataset = write_dataset(folder / "dataset.jsonl", rows())
    spec = train_spec(dataset, model, config(**{**METHODS, **MORE}[request.param]))
    with WorkerHost(folder / "objects", spec) as host:
        assert run_here(host, folder / "work") == 0
        yield Done(request.param, host, spec.config, result_of(host))


def result_of(host: WorkerHost) -> run_pb2.RunResult:
    """What the last FinishAttempt said."""
    result = run_pb2.RunResult()
    assert host.finished[-1].result.Unpack(result)
    return result


def logits(model: Any) -> Any:
    """What a model says to one fixed sequence."""
    import torch

    with torch.no_grad():
        return model.eval()(torch.arange(20, 60).unsqueeze(0)).logits


def loss_by_hand(model: Any, tokenizer: Any) -> float:
    """A model's mean loss on the answers about documents held out, example by example."""
    import torch

    losses: list[Any] = []
    for row in (r for r in rows() if r["split"] == "EVAL"):
        question, answer = (m["content"] for m in row["messages"])
        before = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        start = len(tokenizer(before, add_special_tokens=False)["input_ids"])
        ids = tokenizer(f"{before}{answer}<|im_end|>\n", add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            logs = model.eval()(ids).logits[0].log_softmax(-1)
        losses += [-logs[place - 1, ids[0, place]] for place in range(start, ids.shape[1] - 1)]
    return float(torch.stack(losses).mean())


def test_the_loss_falls_and_the_evaluation_is_of_the_true_models(done: Done, model: Path) -> None:
    """The base model is the one in its folder, the tuned one is what the artifacts load to, whatever was in memory."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    # LoftQ begins closer to the plain model than its quantised base is, and is meant to end beside the plain one.
    close = 0.02 if done.name == "loftq" else 1e-5
    losses = [loss for _, _, loss in done.host.curve()]
    score = done.result.evaluation.generalise

    assert losses[-1] < losses[0]
    assert score.base_loss == pytest.approx(loss_by_hand(done.base(model), tokenizer), close)
    assert score.tuned_loss == pytest.approx(loss_by_hand(done.tuned(done.base(model)), tokenizer), close)
    assert score.tuned_loss < score.base_loss


def test_the_run_leaves_an_ordinary_adapter_or_a_whole_model(done: Done) -> None:
    """No path of this machine is in it, and nothing special is needed to load it."""
    names = {a.filename for a in done.host.finished[-1].artifacts}
    if done.is_full:
        settings = json.loads((done.folder / "config.json").read_text())

        assert names >= {"config.json", "generation_config.json", "model.safetensors"}
        assert settings.get("use_cache", True)
        assert "Full fine-tuning on **tiny**" in (done.folder / "report.md").read_text()
        return
    adapter = json.loads((done.folder / "adapter_config.json").read_text())
    began = done.name in ("olora", "pissa", "pissa-fast", "loftq")

    assert not names & {"config.json", "model.safetensors"}
    assert adapter["base_model_name_or_path"] == "tiny"
    assert adapter["r"] == (8 if began else 4)
    assert not began or adapter["init_lora_weights"] is True


def test_the_trained_parameters_are_what_the_hardware_service_says(done: Done, model: Path) -> None:
    """The arithmetic needs no torch and is exact."""
    from services.hardware.core_parameters import shape
    from services.hardware.core_trained import Target, trained_parameters

    form = shape(json.loads((model / "config.json").read_text()))
    settings = done.settings
    target = Target(
        method=config_pb2.Method.Name(settings.method or config_pb2.METHOD_LORA).removeprefix("METHOD_"),
        r=4,
        target_modules=tuple(settings.lora.target_modules),
        use_dora=settings.lora.use_dora,
        modules_to_save=tuple(settings.lora.modules_to_save),
    )

    assert done.result.trainable_parameters == trained_parameters(form, form.parameters, target)


def test_a_resumed_run_goes_on_as_if_nothing_had_happened(done: Done, tmp_path: Path) -> None:
    """From the checkpoint of step 3: every later loss, gradient and the weights that come out are the same bytes."""
    objects = tmp_path / "objects"
    shutil.copytree(done.host.folder, objects)
    with WorkerHost(objects, done.host.spec) as host:
        host.pods.append("pod-0")
        host.checkpoints = [c for c in done.host.checkpoints if c.step <= 3]
        code = run_here(host, tmp_path / "work", pod="pod-1")
    weights = "model.safetensors" if done.is_full else "adapter_model.safetensors"

    assert code == 0
    for name in ("loss", "grad_norm", "learning_rate"):
        assert [p[1:] for p in host.curve(name)] == [p[1:] for p in done.host.curve(name)][3:]
    assert host.artifact(weights).read_bytes() == done.host.artifact(weights).read_bytes()


def test_a_run_killed_after_its_last_step_evaluates_what_it_trained(done: Done, tmp_path: Path) -> None:
    """From the last checkpoint, without another step."""
    objects = tmp_path / "objects"
    shutil.copytree(done.host.folder, objects)
    with WorkerHost(objects, done.host.spec) as host:
        host.pods.append("pod-0")
        host.checkpoints = [c for c in done.host.checkpoints if c.step == STEPS]
        run_here(host, tmp_path / "work", pod="pod-1")

    assert host.curve() == []
    assert result_of(host).evaluation.generalise == done.result.evaluation.generalise


def test_a_merged_export_answers_as_the_tuned_model_does(done: Done, tmp_path: Path, model: Path) -> None:
    """From the artifacts of the run and the unchanged base model."""
    from transformers import AutoModelForCausalLM

    spec = export_spec(done.host, model, export_pb2.FORMAT_MERGED)
    with WorkerHost(tmp_path / "objects", spec, work="projects/p/exports/x") as host:
        code = run_here(host, tmp_path / "work", command="export")
        plain = AutoModelForCausalLM.from_pretrained(model)
        before = logits(plain)
        expected = logits(done.tuned(plain))
        found = logits(AutoModelForCausalLM.from_pretrained(host.artifact("model.safetensors").parent))

    assert code == 0
    assert float((expected - found).abs().max()) < 1e-4
    assert float((expected - before).abs().max()) > 0.01


def test_an_adapter_that_takes_a_part_needs_matrices_of_its_rank(tmp_path: Path, dataset: Path, model: Path) -> None:
    """PiSSA of rank 48 finds no 48 singular values in a matrix of 32 rows."""
    from services.common.statuses import from_status

    spec = train_spec(dataset, model, config(**lora(r=48, init_lora_weights="pissa")))
    with WorkerHost(tmp_path / "objects", spec) as host:
        code = run_here(host, tmp_path / "work")

    assert code == 3
    assert "Lower r" in from_status(host.finished[-1].error).message


def test_the_bytes_of_quantised_weights_are_what_the_hardware_service_says(model: Path) -> None:
    """4 bits and two levels of scales for the matrices of the layers; the rest as it was."""
    import torch
    from bitsandbytes.nn.modules import Linear4bit

    from services.hardware.core_parameters import shape
    from services.hardware.core_trained import Target, kept
    from services.trainer.model import load_quantised, source_of

    loaded = load_quantised(source_of(str(model), ""), torch.float32)
    stored = sum(p.numel() * p.element_size() for p in loaded.parameters())
    for layer in (m for m in loaded.modules() if isinstance(m, Linear4bit)):
        weight: Any = layer.weight
        state = weight.quant_state
        stored += state.absmax.numel() + state.state2.absmax.numel() * 4
    form = shape(json.loads((model / "config.json").read_text()))

    assert kept(form, form.parameters, Target(method="QLORA"), 4).weights == pytest.approx(stored, rel=1e-3)
