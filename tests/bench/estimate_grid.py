"""The trainings that estimates are compared with: small models of six families, made from their configurations.

Each is the trainer's own code, two optimizer steps and an evaluation, in a process of its own, forked from one that has
loaded the libraries. There the smallest model trains first, so that what libraries load late is loaded; what the
process then takes is the baseline, and what is measured is the peak above it.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finetuneflow.training.v1 import config_pb2
from services.common.chat.encode import Encoder
from services.common.chat.rows import Row
from services.trainer.evaluate import losses
from services.trainer.measuring import begin_stretch, bytes_below, peak_memory_bytes, resident_memory_bytes
from services.trainer.model import Source, chat_of, load_model, load_quantised, load_tokenizer, source_of
from services.trainer.train import train
from tests.bench.alone import alone
from tests.fakes.tiny_model import ENGLISH, tiny_model

STEPS = 2
"""The optimizer's state is there from the first step's end, so the second has the peak."""
HELD_OUT = 8

_SIZES = {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 6, "vocab_size": 8192}
_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {**_SIZES, **_HEADS, "tie_word_embeddings": True}),
    "llama-wide": (
        "Llama",
        {**_SIZES, **_HEADS, "hidden_size": 640, "intermediate_size": 1728, "num_attention_heads": 10},
    ),
    "llama-deep": ("Llama", {**_SIZES, **_HEADS, "num_hidden_layers": 20, "vocab_size": 2048}),
    "qwen2": ("Qwen2", {**_SIZES, **_HEADS, "vocab_size": 49152, "tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {**_SIZES, **_HEADS, "head_dim": 64}),
    "mistral": ("Mistral", {**_SIZES, **_HEADS, "vocab_size": 32000}),
    "gemma": ("Gemma", {**_SIZES, **_HEADS, "head_dim": 64, "vocab_size": 32000}),
    "phi3": ("Phi3", {**_SIZES, **_HEADS, "pad_token_id": 0}),
    "warm": ("Llama", {**_SIZES, **_HEADS, "hidden_size": 64, "num_hidden_layers": 1, "vocab_size": 1024}),
    "gpt2": ("GPT2", {"n_embd": 256, "n_layer": 6, "n_head": 4, "n_positions": 2048, "vocab_size": 8192}),
}
"""Class in transformers, without its ending, and the sizes."""


@dataclass(frozen=True)
class Case:
    """One run.

    Args:
        model: one of MODELS.
        method: LORA, FULL or QLORA.
        length: max_length.
        batch, accumulation: of a step.
        fill: how long the examples are, as a share of max_length.
    """

    model: str
    method: str = "LORA"
    length: int = 256
    batch: int = 2
    accumulation: int = 1
    checkpointing: bool = False
    packing: bool = False
    fill: float = 0.95
    r: int = 8

    @property
    def title(self) -> str:
        """Return it in one line of a table."""
        marks = [name for name in ("checkpointing", "packing") if getattr(self, name)]
        return " ".join([self.model, self.method, f"{self.batch}×{self.length}", *marks])

    def config(self) -> config_pb2.TrainingConfig:
        """Return its settings."""
        lora = None if self.method == "FULL" else config_pb2.LoraConfig(r=self.r)
        return config_pb2.TrainingConfig(
            method=config_pb2.Method.Value(f"METHOD_{self.method}"),
            lora=lora,
            max_steps=STEPS,
            max_length=self.length,
            per_device_train_batch_size=self.batch,
            gradient_accumulation_steps=self.accumulation,
            gradient_checkpointing=self.checkpointing,
            packing=self.packing,
            assistant_only_loss=False,
            num_eval_answers=2,
        )


GRID = (
    Case("llama"),
    Case("llama", batch=4),
    Case("llama", batch=4, checkpointing=True),
    Case("llama", length=512, batch=1, accumulation=2),
    Case("llama", length=512, packing=True, fill=0.2),
    Case("llama", "FULL"),
    Case("llama", "FULL", batch=4, checkpointing=True),
    Case("llama", "QLORA"),
    Case("llama", length=128, batch=8, fill=0.5),
    Case("llama-wide"),
    Case("llama-wide", "FULL"),
    Case("llama-wide", "QLORA"),
    Case("llama-wide", length=128, batch=1, r=64),
    Case("llama-wide", length=512, checkpointing=True),
    Case("llama-deep"),
    Case("llama-deep", checkpointing=True),
    Case("llama-deep", "FULL", length=128),
    Case("qwen2"),
    Case("qwen2", "FULL"),
    Case("qwen2", "QLORA"),
    Case("qwen2", packing=True, length=512, batch=1, fill=0.1),
    Case("qwen3", length=512),
    Case("qwen3", "FULL", checkpointing=True),
    Case("mistral"),
    Case("mistral", "QLORA", checkpointing=True),
    Case("gemma"),
    Case("gemma", "FULL", length=128),
    Case("phi3"),
    Case("phi3", "FULL", length=128, batch=4),
    Case("gpt2"),
    Case("gpt2", "FULL"),
    Case("gpt2", length=512, batch=1, packing=True, fill=0.3),
)


@dataclass(frozen=True)
class Record:
    """What a training was given and what it took. Bytes above the baseline, and seconds.

    Args:
        lengths: tokens of the examples to train on, not cut.
        held_out: tokens of those that it is evaluated on.
    """

    case: Case
    config_json: dict[str, Any]
    lengths: list[int]
    held_out: list[int]
    baseline: int
    training: int
    evaluation: int
    train_seconds: float
    evaluation_seconds: float
    tokens: int
    steps: int
    disk: int

    def line(self) -> str:
        """Return it as a line of JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def read(line: str) -> Record:
        """Read what `line` gave."""
        fields = json.loads(line)
        return Record(**{**fields, "case": Case(**fields["case"])})


def make_model(name: str, folder: Path) -> Path:
    """Write a model with random weights and the tiny model's tokenizer."""
    import torch
    import transformers

    kind, sizes = MODELS[name]
    tiny_model(folder)
    config = getattr(transformers, f"{kind}Config")(**sizes, bos_token_id=0, eos_token_id=2)
    suffix = "LMHeadModel" if kind == "GPT2" else "ForCausalLM"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        getattr(transformers, kind + suffix)(config).save_pretrained(folder)
    return folder


def rows(case: Case) -> list[Row]:
    """Return the examples of a training, and behind them those held out."""
    per_step = case.batch * case.accumulation
    count = max(per_step * STEPS, int(per_step * STEPS / case.fill) if case.packing else 0)
    # The tokenizer makes a token of about 2.6 characters of these sentences.
    wanted = int(case.length * case.fill * 2.6)
    text = " ".join(ENGLISH)
    long = (text + " ") * (wanted // len(text) + 1)
    return [
        Row(
            f"e{n}",
            "TRAIN" if n < count else "EVAL",
            (
                {"role": "user", "content": f"Question {n}: what stands there?"},
                {"role": "assistant", "content": long[n % 7 : max(wanted - 60 - 7 * (n % 5), 20)]},
            ),
        )
        for n in range(count + HELD_OUT)
    ]


def _load(source: Source, case: Case) -> Any:
    import torch

    return (load_quantised if case.method == "QLORA" else load_model)(source, torch.float32)


def _do(case: Case, model: Path, folder: Path) -> Record:
    """Train and evaluate in this process."""
    found = rows(case)
    source = source_of(str(model), "")
    tokenizer = load_tokenizer(source)
    begin_stretch()
    baseline = resident_memory_bytes()
    encoder = Encoder(chat_of(tokenizer), found, case.length, assistant_only=False)
    encoded = [encoder.encode(row) for row in found]
    learnt, held_out = encoded[:-HELD_OUT], encoded[-HELD_OUT:]
    training = alone(case.config(), folder, source, lambda: _load(source, case))
    trained = train(training, _load(source, case), tokenizer, learnt)
    peak = peak_memory_bytes()
    stretch = begin_stretch()
    losses(trained.tuned, held_out, 0, lambda done: None)
    evaluation, seconds = stretch.peak_memory_bytes(), stretch.seconds()
    trained.tuned.save(folder / "out")
    return Record(
        case=case,
        config_json=json.loads((model / "config.json").read_text()),
        lengths=[len(e.input_ids) for e in learnt],
        held_out=[len(e.input_ids) for e in held_out],
        baseline=baseline,
        training=peak - baseline,
        evaluation=evaluation - baseline,
        train_seconds=trained.totals.train_seconds,
        evaluation_seconds=seconds,
        tokens=round(trained.totals.num_tokens),
        steps=trained.totals.steps,
        disk=max(trained.totals.disk_bytes, bytes_below(folder)),
    )


def _child(case: Case, models: Path, folder: Path, told: Any) -> None:
    _do(Case("warm", length=16, batch=1, method=case.method), models / "warm", folder / "warm")
    told.put(_do(case, models / case.model, folder / "run").line())


def measure(case: Case, models: Path, folder: Path) -> Record:
    """Train and evaluate in a process of its own and return what it took."""
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()
    process = context.Process(target=_child, args=(case, models, folder, told))
    process.start()
    process.join()
    shutil.rmtree(folder, ignore_errors=True)
    if process.exitcode:
        raise SystemExit(f"{case.title} ended with {process.exitcode}.")
    return Record.read(told.get())
