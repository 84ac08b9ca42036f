"""What goes with exported weights: a model card and a manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
```""",
}


def write_card(folder: Path, form: str, base: str, is_hub_id: bool, manifest: Mapping[str, Any], proof: str) -> None:
    """Write the model card.

    Args:
        folder: of the export.
        form: "adapter" or "merged".
        base: name of the base model.
        is_hub_id: whether that is a hub id; only then is it named in the card's header, where hubs read it.
        manifest: where the weights come from.
        proof: how they were proven, in a sentence.
    """
    header = [
        "---",
        f"library_name: {'peft' if form == 'adapter' else 'transformers'}",
        "pipeline_tag: text-generation",
    ]
    header += [f"base_model: {base}"] if is_hub_id else []
    header += ["tags:", "- lora", "- sft", "- finetuneflow", "---"]
    origin = "\n".join(
        f"- {name}: `{_flat(value)}`" for name, value in manifest.items() if name not in ("config", "files")
    )
    settings = json.dumps(manifest.get("config", {}), indent=2, sort_keys=True, ensure_ascii=False)
    parts = (
        "\n".join(header),
        f"# {base}, fine-tuned ({form})",
        f"{proof} Every file's SHA-256 stands in {MANIFEST}.",
        f"## Use\n\n{_USE[form].format(base=base if is_hub_id else f'folder/of/{base}')}",
        f"## Where it comes from\n\n{origin}",
        f"## Settings\n\n```json\n{settings}\n```",
    )
    (folder / CARD).write_text("\n\n".join(parts) + "\n", encoding="utf-8")


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
