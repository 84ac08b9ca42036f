"""Settings that become flags: the names are those of the contract, which are those of TRL and PEFT.

A flag that is not given stays unset, and the server's default or recommendation holds.
"""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, BooleanOptionalAction, _ArgumentGroup
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Setting:
    """One field of a message as a flag.

    Attributes:
        field: its name in the message; "lora.r" is field r of the message lora.
        kind: int, float, bool, str; list for comma-separated words; dict for NAME=value ones, the values of an enum.
        help: what it means, with its range, and in brackets its default where that is one number.
        flag: the flag without dashes, where it is not the field's own name.
        metavar: what stands for its value in the help, where the kind does not say it.
        choices: for the field of an enum, the words that stand for its values.
    """

    field: str
    kind: type
    help: str
    flag: str = ""
    metavar: str = ""
    choices: tuple[str, ...] = ()

    @property
    def option(self) -> str:
        """The flag as typed: "--learning-rate"."""
        return "--" + (self.flag or self.field.rsplit(".", 1)[-1]).replace("_", "-")

    @property
    def key(self) -> str:
        """Its name among the parsed arguments."""
        return self.option[2:].replace("-", "_")


TRAINING = (
    Setting(
        "method",
        str,
        "what is trained: adapters, adapters beside weights in 4 bits, or every weight",
        choices=("lora", "qlora", "full"),
    ),
    Setting(
        "objective",
        str,
        "what is made of the dataset; otherwise what its kind is for",
        choices=("sft", "dpo", "kto", "pretrain"),
    ),
    Setting("beta", float, "DPO, KTO: how much a departure from the base model counts, over 0 to 100"),
    Setting("loss_type", list, "DPO, KTO: losses of TRL by comma: sigmoid, ipo, …; kto, apo_zero_unpaired"),
    Setting("loss_weights", list, "DPO: a weight for each of several losses, by comma"),
    Setting("label_smoothing", float, "DPO: share of preferences taken to be the wrong way round, 0 to 0.5"),
    Setting("desirable_weight", float, "KTO: weight of wanted answers, 0 to 100"),
    Setting("undesirable_weight", float, "KTO: weight of unwanted answers, 0 to 100"),
    Setting("precompute_ref_log_probs", bool, "DPO, KTO: ask the base model once, before the training"),
    Setting("lora.r", int, "rank of the adapter, 1 to 1024"),
    Setting("lora.lora_alpha", float, "scaling: the update is scaled by lora_alpha / r"),
    Setting("lora.lora_dropout", float, "dropout on the adapter's input, 0 to 0.9"),
    Setting("lora.target_modules", list, "modules that get an adapter, by comma; all-linear for every linear layer"),
    Setting("lora.modules_to_save", list, "modules trained whole beside the adapter, by comma: embed_tokens, lm_head"),
    Setting("lora.use_rslora", bool, "scale by lora_alpha / √r instead"),
    Setting("lora.use_dora", bool, "train each weight's magnitude apart from its direction"),
    Setting(
        "lora.init_lora_weights",
        str,
        "how the adapter begins: true, gaussian, orthogonal, olora, pissa, pissa_niter_N, loftq",
    ),
    Setting("learning_rate", float, "peak learning rate, over 0 to 1"),
    Setting("num_train_epochs", float, "passes over the examples, over 0 to 1000"),
    Setting("max_steps", int, "optimizer steps in all; overrides the epochs"),
    Setting("per_device_train_batch_size", int, "examples per device and forward pass, 1 to 1024"),
    Setting("gradient_accumulation_steps", int, "forward passes per optimizer step, 1 to 1024"),
    Setting("max_length", int, "longest example, in tokens"),
    Setting("packing", bool, "pack examples into full sequences"),
    Setting("assistant_only_loss", bool, "train on the assistant's tokens only"),
    Setting("completion_only_loss", bool, "train on the last answer only"),
    Setting("lr_scheduler_type", str, "scheduler of transformers: cosine, linear, constant, …"),
    Setting("warmup_ratio", float, "share of the steps that the learning rate warms up, 0 to 1"),
    Setting("weight_decay", float, "weight decay, 0 to 1"),
    Setting("max_grad_norm", float, "norm that gradients are clipped to, 0 for none"),
    Setting("optim", str, "optimizer of transformers: adamw_torch, …"),
    Setting("seed", int, "seed of every random choice"),
    Setting("logging_steps", int, "steps between reports"),
    Setting("save_steps", int, "steps between checkpoints"),
    Setting("save_total_limit", int, "checkpoints kept"),
    Setting("gradient_checkpointing", bool, "compute activations again to save memory"),
    Setting("bf16", bool, "compute in bfloat16"),
    Setting("num_eval_answers", int, "held-out examples that both models answer at the end, 0 to 1000"),
    Setting("max_forgetting", float, "nats per token that the loss on general questions may rise, 0 to 100"),
    Setting("max_truncated", float, "share of the examples that may be cut at max_length, 0 to 1"),
    Setting("eval_steps", int, "steps between evaluations on held-out examples while training"),
    Setting("early_stopping_patience", int, "stop after so many evaluations in a row without an improvement"),
    Setting("early_stopping_threshold", float, "what an improvement is at least"),
    Setting("load_best_model_at_end", bool, "keep the weights of the best evaluation instead of the last ones"),
    Setting(
        "metric_for_best_model",
        str,
        "what the best is told by: eval_loss, eval_mean_token_accuracy; DPO: eval_rewards/accuracies, /margins",
    ),
    Setting("greater_is_better", bool, "whether more of that metric is better"),
    Setting("divergence_factor", float, "stop when the loss stays above so many times its lowest; 0 for never"),
    Setting("divergence_patience", int, "steps in a row that it is above, until the training stops"),
    Setting("report_to", list, "trackers by comma: tensorboard, mlflow, wandb, trackio; otherwise none"),
    Setting("torch_compile", bool, "compile the model before the first step; needs a GPU"),
    Setting("use_liger_kernel", bool, "compute layers by Liger's kernels; needs a GPU and liger-kernel"),
    Setting("neftune_noise_alpha", float, "strength of the noise on the embeddings, over 0 to 100"),
)

DATASET = (
    Setting("examples_per_chunk", int, "examples to ask for per chunk, 1 to 20 (3)"),
    Setting("max_examples", int, "stop after this many accepted examples, 1 to 1,000,000 (0: no limit)"),
    Setting("accepted_examples", int, "go on with further passages and seeds until so many are accepted (0: no goal)"),
    Setting("max_tokens_total", int, "most tokens of prompts and replies together; never passed (0: no limit)"),
    Setting("max_cost", float, "most that the calls may cost, by the endpoint's prices; never passed (0: no limit)"),
    Setting("eval_fraction", float, "share of documents held out: does the model generalise? 0 to 0.9 (0.15)"),
    Setting("recall_fraction", float, "share of questions kept back about trained documents, 0 to 0.5 (0.1)"),
    Setting("temperature", float, "sampling temperature, 0 to 2 (0.3)"),
    Setting("max_tokens", int, "most tokens of a reply, thinking included, 16 to 32768 (512)"),
    Setting("seed", int, "seed sent with each call (0)"),
    Setting("system_prompt", str, "system message of each example", metavar="TEXT"),
    Setting("pii_policy", dict, "personal data: EMAIL=mask,*=drop; flag, mask, drop or ignore by kind", flag="pii"),
    Setting("min_grounding", float, "least score of an answer against its evidence, 0 to 1 (0.7)"),
    Setting("near_duplicate", float, "least similarity of two examples that count as one, 0.5 to 1 (0.9)"),
    Setting("judge", bool, "have an LLM score each example from 1 to 5: is it faithful to its source?"),
    Setting("judge.llm_endpoint", str, "LLM endpoint that judges; otherwise the dataset's own", flag="judge_llm"),
    Setting(
        "judge.min_score", float, "least score of the judge, 1 to 5; what is below is dropped (3)", flag="judge_min"
    ),
    Setting(
        "semantic_duplicates.model", str, "drop what says the same by vectors of this model", flag="embedding_model"
    ),
    Setting(
        "semantic_duplicates.llm_endpoint", str, "endpoint with /embeddings; otherwise the LLM's", flag="embedding_llm"
    ),
    Setting(
        "semantic_duplicates.threshold",
        float,
        "least cosine of embeddings that count as the same, 0.5 to 1 (0.92)",
        flag="semantic_duplicate",
    ),
    Setting("canaries", list, "texts that no example may hold, by comma"),
    Setting("inherit_reviews_from", str, "dataset whose reviews the same texts take over", metavar="DATASET"),
    Setting("language", str, "language to write in, as de; otherwise the document's", metavar="CODE"),
    Setting("labels", list, "labels to classify with, by comma"),
    Setting("include_reasoning", bool, "put the reasoning into the answer too, in <think> tags"),
    Setting("refusal_response", str, "answer to what the document does not tell", metavar="TEXT"),
)

CHUNK = (
    Setting("max_tokens", int, "most tokens in a chunk, 32 to 8192 (384)"),
    Setting("overlap_tokens", int, "tokens that a chunk repeats from the one before (0)", flag="overlap"),
    Setting("heading_depth", int, "with --strategy markdown: headings down to this level begin a chunk, 1 to 6 (2)"),
)
STRATEGIES = ("structure", "markdown", "code")

# In `ftf run`, where all meet, names that occur twice say which is meant.
RUN_CHUNK = (replace(CHUNK[0], flag="chunk_tokens"), *CHUNK[1:])
RUN_DATASET = tuple(
    replace(s, flag={"max_tokens": "reply_tokens", "seed": "sampling_seed"}.get(s.field, s.flag)) for s in DATASET
)


def add_flags(parser: ArgumentParser | _ArgumentGroup, settings: tuple[Setting, ...]) -> None:
    """Add a flag for each setting; those not given are None."""
    for setting in settings:
        if setting.kind is bool:
            parser.add_argument(setting.option, dest=setting.key, action=BooleanOptionalAction, help=setting.help)
        elif setting.choices:
            parser.add_argument(setting.option, dest=setting.key, choices=setting.choices, help=setting.help)
        else:
            value = str if setting.kind in (list, dict) else setting.kind
            metavar = setting.metavar or {int: "N", float: "X", list: "A,B", dict: "KIND=ACTION,…"}.get(
                setting.kind, "NAME"
            )
            parser.add_argument(setting.option, dest=setting.key, type=value, metavar=metavar, help=setting.help)


def add_hidden(parser: ArgumentParser, option: str, dest: str) -> None:
    """Add a whole number's flag by the name that another command has for it; help and completion leave it out."""
    parser.add_argument(option, dest=dest, type=int, default=SUPPRESS, help=SUPPRESS)


def add_training(group: _ArgumentGroup) -> None:
    """Add the settings of a training, as flags and as a file."""
    group.add_argument(
        "--config", default="", metavar="FILE", help="YAML or JSON file of such settings; flags come before it"
    )
    add_flags(group, TRAINING)


def add_dry_run(parser: ArgumentParser) -> None:
    """Add the flags of a run that is only looked at."""
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything, show estimate and trained tokens; start nothing"
    )
    parser.add_argument(
        "--preview", type=int, default=3, metavar="N", help="examples whose tokens a dry run shows, 0 to 20 (3)"
    )


def add_strategy(parser: ArgumentParser | _ArgumentGroup) -> None:
    """Add the flag that says where chunks are cut first; not given it is None."""
    parser.add_argument(
        "--strategy",
        choices=STRATEGIES,
        help="where to cut first: at sections, paragraphs and sentences (structure, the default); at every heading "
        "(markdown); before definitions and between lines (code)",
    )
