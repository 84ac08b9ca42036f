"""Settings by the contract's names, as keyword arguments. Made by clients/python/generate.py; do not edit.

What each means, its range and its default stand in the contract, and so in the reference of the documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict


class ChunkSettings(TypedDict, total=False):
    """Fields of finetuneflow.ingest.v1.ChunkSettings."""

    model: str
    max_tokens: int
    overlap_tokens: int
    strategy: Literal["structure", "markdown", "code"]
    heading_depth: int


class JudgeSettings(TypedDict, total=False):
    """Fields of finetuneflow.dataset.v1.Judge."""

    llm_endpoint: str
    min_score: float


class SemanticDuplicatesSettings(TypedDict, total=False):
    """Fields of finetuneflow.dataset.v1.SemanticDuplicates."""

    llm_endpoint: str
    model: str
    threshold: float


class GenerationSettings(TypedDict, total=False):
    """Fields of finetuneflow.dataset.v1.DatasetSpec."""

    task_type: Literal[
        "question_answer",
        "instruction",
        "chat",
        "summary",
        "classification",
        "extraction",
        "reasoning",
        "template",
        "text",
    ]
    examples_per_chunk: int
    max_examples: int
    eval_fraction: float
    recall_fraction: float
    temperature: float
    max_tokens: int
    seed: int
    system_prompt: str
    pii_policy: Mapping[str, Literal["flag", "mask", "drop", "ignore"]]
    canaries: Sequence[str]
    min_grounding: float
    near_duplicate: float
    inherit_reviews_from: str
    accepted_examples: int
    max_tokens_total: int
    max_cost: float
    question_types: Sequence[Literal["fact", "why", "how", "compare", "unanswerable"]]
    personas: Sequence[str]
    language: str
    labels: Sequence[str]
    extraction_schema: str
    include_reasoning: bool
    refusal_response: str
    judge: JudgeSettings
    semantic_duplicates: SemanticDuplicatesSettings


class ImportSettings(TypedDict, total=False):
    """Fields of finetuneflow.dataset.v1.ImportHeader."""

    format: Literal["alpaca", "sharegpt", "messages", "prompt_completion", "preference", "kto", "text"]
    encoding: Literal["jsonl", "csv", "parquet"]
    mapping: Mapping[str, str]
    split_column: str
    strict: bool
    system_prompt: str
    eval_fraction: float
    recall_fraction: float


class ResourceSettings(TypedDict, total=False):
    """Fields of finetuneflow.training.v1.Resources."""

    gpus: int
    gpu_product: str
    cpu: str
    memory: str
    ephemeral_storage: str
    shm_size: str
    nodes: int
    queue: str
    priority_class: str
    active_deadline_seconds: int


class LoraConfigSettings(TypedDict, total=False):
    """Fields of finetuneflow.training.v1.LoraConfig."""

    r: int
    lora_alpha: float
    lora_dropout: float
    target_modules: Sequence[str]
    use_rslora: bool
    use_dora: bool
    init_lora_weights: str
    modules_to_save: Sequence[str]


class TrainingSettings(TypedDict, total=False):
    """Fields of finetuneflow.training.v1.TrainingConfig."""

    method: Literal["lora", "full", "qlora"]
    lora: LoraConfigSettings
    learning_rate: float
    num_train_epochs: float
    max_steps: int
    per_device_train_batch_size: int
    gradient_accumulation_steps: int
    max_length: int
    packing: bool
    assistant_only_loss: bool
    lr_scheduler_type: str
    warmup_ratio: float
    weight_decay: float
    max_grad_norm: float
    optim: str
    seed: int
    logging_steps: int
    save_steps: int
    save_total_limit: int
    gradient_checkpointing: bool
    bf16: bool
    neftune_noise_alpha: float
    completion_only_loss: bool
    num_eval_answers: int
    max_forgetting: float
    max_truncated: float
    eval_steps: int
    early_stopping_patience: int
    early_stopping_threshold: float
    load_best_model_at_end: bool
    metric_for_best_model: str
    greater_is_better: bool
    divergence_factor: float
    divergence_patience: int
    objective: Literal["sft", "dpo", "kto", "pretrain"]
    beta: float
    loss_type: Sequence[str]
    loss_weights: Sequence[float]
    label_smoothing: float
    desirable_weight: float
    undesirable_weight: float
    precompute_ref_log_probs: bool
    report_to: Sequence[str]
    torch_compile: bool
    use_liger_kernel: bool
