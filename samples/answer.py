"""Ask a model a question: python samples/answer.py FOLDER QUESTION [--base DIR]

FOLDER is what `ftf download` wrote: a merged model, or an adapter, which needs its base model. Uses transformers and
peft alone, nothing of FineTuneFlow: what it loads, everybody can load.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

LONGEST_ANSWER = 48  # tokens


def answer(folder: Path, question: str, base: Path | None) -> str:
    """Load the model in a folder and return its answer to a question, the likeliest token each time."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # read when tqdm is imported
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(base or folder, dtype="float32", local_files_only=True)
    if base:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(folder))
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    chat = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    tokens = model.generate(**prompt, max_new_tokens=LONGEST_ANSWER, do_sample=False)
    return str(tokenizer.decode(tokens[0][prompt["input_ids"].shape[1] :], skip_special_tokens=True)).strip()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Ask a model a question.")
    parser.add_argument("folder", type=Path, help="a merged model or an adapter")
    parser.add_argument("question")
    parser.add_argument("--base", type=Path, help="folder of the base model, for an adapter")
    args = parser.parse_args()
    print(answer(args.folder, args.question, args.base))
