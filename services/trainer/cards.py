"""What goes with exported weights: a model card and a manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetuneflow.export.v1 import export_pb2
from services.trainer.transfer import sha256_file

CARD = "README.md"
MANIFEST = "manifest.json"

_USE = {
    "adapter": """```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("{base}")
model = PeftModel.from_pretrained(base, ".")
tokenizer = AutoTokenizer.from_pretrained(".")
```""",
    "merged": """```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(".")
tokenizer = AutoTokenizer.from_pretrained(".")
```

To serve it with vLLM:

```sh
vllm serve . --served-model-name tuned
```""",
    "awq": """To serve it with vLLM:

```sh
vllm serve . --served-model-name tuned
```

With transformers, after `pip install compressed-tensors`:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(".")
tokenizer = AutoTokenizer.from_pretrained(".")
```""",
    "onnx": """With ONNX Runtime, after `pip install onnxruntime transformers`:

```python
import numpy as np
import onnxruntime
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
session = onnxruntime.InferenceSession("model.onnx")
caches = [i for i in session.get_inputs() if i.name.startswith("past_key_values.")]
past = {{c.name: np.zeros((1, c.shape[1], 0, c.shape[3]), np.float32) for c in caches}}
ends = {ends}

messages = [{{"role": "user", "content": "What is this document about?"}}]
text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
new = np.array([tokenizer(text, add_special_tokens=False)["input_ids"]])
answer, length = [], 0
while len(answer) < 200:
    length += new.shape[1]
    inputs = {{
        "input_ids": new,
        "attention_mask": np.ones((1, length), np.int64),
        "position_ids": np.arange(length - new.shape[1], length)[None],
    }}
    logits, *present = session.run(None, {{**inputs, **past}})
    past = dict(zip(past, present))
    new = logits[:, -1:].argmax(-1)
    if new[0, 0] in ends:
        break
    answer.append(int(new[0, 0]))
print(tokenizer.decode(answer))
```

Weights and logits are float32. Batch, sequence and past are of any length; padding goes to the left, with 0 in
attention_mask. `present.N.key` and `.value` are the next call's `past_key_values.N.key` and `.value`.""",
    "gguf": """With llama.cpp, an OpenAI-compatible server on port 8080:

```sh
llama-server -m {file} --jinja --port 8080
```

With Ollama, from this folder:

```sh
ollama create tuned -f Modelfile && ollama run tuned
```""",
}
_HUBS_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{1,60}")
"""What hubs read as a licence: an identifier, no sentence."""
_ELSEWHERE = ("config", "files", "license", "evaluation")
"""Of the manifest, what has a section of its own, or is not in the card."""
_SETS = {
    "generalise": "documents held out",
    "recall": "questions kept back about documents trained on",
    "general": "general questions, which it should not have forgotten",
}
_VLLM = """To serve it with vLLM, which keeps the base model in memory once for any number of adapters:

```sh
vllm serve {base} --enable-lora --max-lora-rank {rank} --lora-modules tuned=.
```"""
_VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as the largest rank of the adapters that it serves."""
_LIBRARIES = {"adapter": "peft", "merged": "transformers", "gguf": "gguf", "awq": "transformers", "onnx": "onnx"}


def proof_of(result: export_pb2.ExportResult) -> str:
    """Return in a sentence or two how weights were proven."""
    differ = (
        f"differ from the tuned model's by at most {result.max_logit_difference:.3g} on {result.prompts} prompts "
        f"({result.logit_bound:.3g} is allowed)."
    )
    if result.HasField("awq"):
        rounded = result.awq
        return (
            f"The merged weights, loaded again, have logits that {differ} Those in 4 bits made of them (AWQ by "
            f"{rounded.maker}, groups of {rounded.group_size}), loaded again, have probabilities that differ from the "
            f"tuned model's by {rounded.divergence:.3g} nats ({rounded.divergence_bound:.3g} is allowed), and the same "
            f"likeliest token in {rounded.agreement:.0%} of {rounded.tokens} places."
        )
    if result.HasField("onnx"):
        graph = result.onnx
        return (
            f"Loaded again from these files by {graph.loader}, the logits {differ} From those of the merged weights "
            f"that the graph was made of ({graph.maker}, opset {graph.opset}) they differ by at most "
            f"{graph.max_logit_difference:.3g} ({graph.logit_bound:.3g} is allowed), in a padded batch and token by "
            f"token with the cache too, and the graph chose the same token in {graph.agreement:.0%} of "
            f"{graph.tokens} places."
        )
    if not result.HasField("gguf"):
        return f"Loaded again from these files, its logits {differ}"
    proof = result.gguf
    return (
        f"The merged weights, loaded again, have logits that {differ} The GGUF file made of them was loaded by "
        f"llama.cpp ({proof.loader}): its probabilities differ from the tuned model's by {proof.divergence:.3g} nats "
        f"({proof.divergence_bound:.3g} is allowed), and it chose the "
        f"same token in {proof.agreement:.0%} of {proof.tokens} places; no tensor was rounded by more than "
        f"{proof.rounding:.2g} ({proof.rounding_bound:.2g} is allowed)."
    )


def write_card(folder: Path, form: str, base: str, is_hub_id: bool, manifest: Mapping[str, Any], proof: str) -> None:
    """Write the model card.

    Args:
        folder: of the export.
        form: "adapter", "merged", "gguf", "awq" or "onnx".
        base: name of the base model.
        is_hub_id: whether that is a hub id; only then is it named in the card's header, where hubs read it.
        manifest: where the weights come from.
        proof: how they were proven, in a sentence.
    """
    header = [
        "---",
        f"library_name: {_LIBRARIES[form]}",
        "pipeline_tag: text-generation",
    ]
    header += [f"base_model: {base}"] if is_hub_id else []
    licence = str(manifest.get("license", ""))
    header += [f"license: {licence}"] if _HUBS_LICENCE.fullmatch(licence) else []
    header += ["tags:", "- lora", "- sft", "- finetuneflow", "---"]
    origin = "\n".join(f"- {name}: `{_flat(value)}`" for name, value in manifest.items() if name not in _ELSEWHERE)
    settings = json.dumps(manifest.get("config", {}), indent=2, sort_keys=True, ensure_ascii=False)
    parts = (
        "\n".join(header),
        f"# {base}, fine-tuned ({form})",
        f"{proof} Every file's SHA-256 stands in {MANIFEST}.",
        f"## Use\n\n{_use(folder, form, base if is_hub_id else f'folder/of/{base}')}",
        f"## Licence\n\n{_licence(licence)}",
        f"## Evaluation\n\n{_evaluation(manifest.get('evaluation', {}))}",
        f"## Where it comes from\n\n{origin}",
        f"## Settings\n\n```json\n{settings}\n```",
    )
    (folder / CARD).write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _licence(licence: str) -> str:
    if not licence:
        return "The base model's licence is unknown: ask the model's owner before you pass these weights on."
    return (
        f"The base model's: {_flat(licence)}. What it asks of models made from the base model holds for these weights; "
        "the documents may have terms of their own."
    )


def _evaluation(found: Mapping[str, Mapping[str, float]]) -> str:
    """Return a table of both models' scores on what neither was trained on."""
    if not found:
        return "The run was not evaluated: no example was held out."
    head = "| asked on | examples | loss before | loss after | perplexity before | perplexity after |"
    rows = [
        f"| {_SETS.get(name, name)} | {score['examples']:,} | {score['base_loss']:.3f} | {score['tuned_loss']:.3f} "
        f"| {score['base_perplexity']:.2f} | {score['tuned_perplexity']:.2f} |"
        for name, score in found.items()
    ]
    return (
        "\n".join((head, "|---|--:|--:|--:|--:|--:|", *rows))
        + "\n\nLoss is the mean per supervised token, in nats; lower is better."
    )


def _use(folder: Path, form: str, base: str) -> str:
    file = next((path.name for path in folder.glob("*.gguf")), "")
    words = _USE[form].format(base=base, file=file, ends=_ends(folder))
    rank = _served_rank(folder) if form == "adapter" else None
    return words if rank is None else f"{words}\n\n{_VLLM.format(base=base, rank=rank)}"


def _ends(folder: Path) -> str:
    """Return the tokens that end an answer as a set in Python: those that the folder names, else the tokenizer's."""
    path = folder / "generation_config.json"
    named = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id") if path.is_file() else None
    if named is None:
        return "{tokenizer.eos_token_id}"
    return "{" + ", ".join(map(str, named if isinstance(named, list) else [named])) + "}"


def _served_rank(folder: Path) -> int | None:
    """Return the rank that vLLM has to be told for a folder's adapter; None if it does not serve such an adapter."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    if config.get("use_dora") or config.get("modules_to_save"):
        return None
    largest = max([int(config["r"]), *(config.get("rank_pattern") or {}).values()])
    return next((rank for rank in _VLLM_RANKS if rank >= largest), None)


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write manifest.json: what was given, and name, size and SHA-256 of every other file of the folder."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    files = [
        {"filename": p.relative_to(folder).as_posix(), "size_bytes": p.stat().st_size, "sha256": sha256_file(p)}
        for p in paths
    ]
    content = json.dumps({**manifest, "files": files}, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / MANIFEST).write_text(content + "\n", encoding="utf-8")


def _flat(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return " ".join(text.split()).replace("`", "'")
