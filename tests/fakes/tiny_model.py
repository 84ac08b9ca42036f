"""A tiny Llama in the Hugging Face layout: real files that every service reads like those of a large model.

Its weights are random, its tokenizer is trained on a few English sentences, and its chat template is stock ChatML (no
generation markers), so that it goes through the same doors as a pretrained instruct model, in seconds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.fakes import model_folder

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The chat template of the model, as ChatML models carry it."""

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

ENGLISH = (
    "The pump stands in the cellar and lifts the water to the roof. Every morning the keeper reads the gauge.",
    "A question about a document has an answer that rests on the words of the document itself.",
    "What does the report say about the budget? It says that the budget for the second year is smaller.",
    "The valve opens at four bar, closes at three, and is replaced after ten years of service.",
    "Employees may work from home two days a week after they have told their manager by Friday noon.",
    "Answer the question with the facts that are given. If nothing is known, say so in one sentence.",
    "In 1987 the company moved its workshop from the harbour to the hill, where it is still today.",
    "system user assistant You are a helpful assistant. How many, how long, when, where, who and why?",
)


def tiny_model(folder: Path, *, with_template: bool = True, seed: int = 0) -> Path:
    """Write the model into `folder` and return the folder.

    Two layers of width 64, a vocabulary of at most 512, a context of 512 tokens, float32, untied embeddings, one
    safetensors file. The same seed gives the same files; `folder` is made if it does not exist. Takes one or two
    seconds beside the import of torch and transformers.

    Args:
        folder: where to write; files there are overwritten.
        with_template: whether the tokenizer gets the chat template; without it the model is a base model.
        seed: of the random weights.
    """
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer(with_template)
    end, pad = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=pad, do_sample=False)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A tiny model for tests\n", encoding="utf-8")
    return folder


def hollow_model(folder: Path) -> Path:
    """Write a model whose tokenizer, template and headers are real and whose weights are zeros, without torch."""
    vocabulary = {"vocab_size": 512, "max_position_embeddings": 512}
    shapes = {name: tuple(512 if n == 100 else n for n in shape) for name, shape in model_folder.shapes().items()}
    files = model_folder.model_files(vocabulary) | {
        "model.safetensors": model_folder.safetensors(shapes),
        "tokenizer.json": trained_tokenizer().to_str().encode(),
        "tokenizer_config.json": json.dumps({"chat_template": CHATML, "eos_token": "<|im_end|>"}).encode(),
    }
    return model_folder.write_folder(folder, files)


def trained_tokenizer() -> Any:
    """Return a byte-level BPE tokenizer of 512 tokens, trained on ENGLISH on the spot."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(ENGLISH, trainer)
    return core


def _tokenizer(with_template: bool) -> Any:
    """The trained tokenizer, as transformers wraps it."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained_tokenizer(),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )
    if with_template:
        tokenizer.chat_template = CHATML
    return tokenizer
