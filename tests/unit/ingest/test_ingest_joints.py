"""Where the tokenizer of a model divides every text: known from its file, and true of every text."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from services.ingest.core.tokens import TokenMap
from services.ingest.sandbox.joints import JOINT, joint_of
from services.ingest.sandbox.tokenizer import load_tokenizer
from tests.unit.ingest.test_ingest_tokens import PARTS, written

ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"\s*[\r\n]+|\s+(?!\S)|\s+"
SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
LOWER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
UPPER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
DEEPSEEK = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|"""
    "[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
)
PATTERNS = {
    "llama 3": [rf"{ENDINGS}|{WORD}|\p{{N}}{{1,3}}|{SIGNS}|{REST}"],
    "qwen 2 and 3": [rf"{ENDINGS}|{WORD}|\p{{N}}|{SIGNS}|{REST}"],
    "qwen 3.5": [
        rf"{ENDINGS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{REST}"
    ],
    "gpt-oss": [rf"{LOWER}{ENDINGS}?|{UPPER}{ENDINGS}?|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{REST}"],
    "nemotron": [rf"{LOWER}|{UPPER}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{REST}"],
    "minicpm": [r"\p{N}{1,3}", rf"{ENDINGS}|{WORD}|\p{{N}}+|{SIGNS}|{REST}"],
    "deepseek": [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+", DEEPSEEK],
}
"""The expressions of the tokenizer.json of these models."""

BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False)


def splits(name: str) -> pre_tokenizers.Sequence:
    """Return what divides a text for a model."""
    return pre_tokenizers.Sequence([*(pre_tokenizers.Split(Regex(one), "isolated") for one in PATTERNS[name]), BYTES])


def trained(before: pre_tokenizers.PreTokenizer, normalizer: normalizers.Normalizer | None = None) -> Tokenizer:
    """Return a tokenizer with two thousand tokens, those of what `written` writes among them."""
    found = Tokenizer(models.BPE())
    found.pre_tokenizer, found.post_processor = before, processors.ByteLevel(trim_offsets=True)
    if normalizer:
        found.normalizer = normalizer
    chance = random.Random(1)
    texts = [Path("docs/quality.md").read_text(encoding="utf-8"), *(written(chance, 2_000) for _ in range(4))]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    found.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=2_000, initial_alphabet=alphabet, show_progress=False)
    )  # type: ignore[call-arg]  # stubs
    found.add_special_tokens(["<|im_start|>", "<|endoftext|>", "</think>"])  # type: ignore[list-item]  # stubs
    return found


CASES = {
    "gpt-2": (GPT2, None),
    "smollm2": (pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), GPT2]), None),
    **{name: (splits(name), normalizers.NFC() if "qwen" in name else None) for name in PATTERNS},
}


@pytest.mark.parametrize("name", CASES)
def test_joints_divide_every_text(name: str) -> None:
    """Both sides have the tokens of the whole, whatever stands there."""
    tokenizer = trained(*CASES[name])
    chance = random.Random(name)
    wrong, joints = [], 0

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    for _ in range(250):
        text = "".join(chance.choices([*PARTS, "，", "字", "；\n", "\u0338", "<|im_start|>", "/\n"], k=30))
        whole = ids(text)
        for joint in (place.start() for place in re.finditer(JOINT, text)):
            joints += 1
            if ids(text[:joint]) + ids(text[joint:]) != whole:
                wrong.append((text, joint))

    assert joint_of(tokenizer) == JOINT
    assert joints > 500
    assert wrong == []


@pytest.mark.parametrize("name", ["smollm2", "qwen 2 and 3", "gpt-oss"])
def test_ranges_have_as_many_tokens_as_alone(name: str, tmp_path: Path) -> None:
    """Of a file's tokenizer, wherever a range begins and ends; the text is encoded in pieces from joint to joint."""
    trained(*CASES[name]).save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(str(tmp_path / "tokenizer.json"))
    chance = random.Random(name)
    wrong = []
    for _ in range(10):
        text = written(chance, 12_000)
        found = TokenMap(text, [], tokenizer)
        for _ in range(40):
            start = chance.randrange(len(text))
            end = start + len(text[start : start + chance.randrange(6_000)].rstrip())
            if found.exact(start, end) != tokenizer.count(text[start:end]):
                wrong.append(text[start:end])

    assert tokenizer.joint == JOINT
    assert wrong == []


UNKNOWN = {
    "a space before the text": pre_tokenizers.ByteLevel(add_prefix_space=True),
    "words by their marks": pre_tokenizers.Metaspace(),
    "no piece of white space": pre_tokenizers.Digits(individual_digits=True),
    "words and marks in one piece": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\s+"), "isolated"), BYTES]),
    "bytes before expressions": pre_tokenizers.Sequence(
        [BYTES, pre_tokenizers.Split(Regex(PATTERNS["llama 3"][0]), "isolated")]
    ),
    "an expression that looks behind": pre_tokenizers.Split(Regex(r"(?<=a) b|\s+"), "isolated"),
    "an expression over a space": pre_tokenizers.Split(Regex(r"\p{L}+ \p{L}+|\s+"), "isolated"),
    "pieces that go with the next": pre_tokenizers.Split(Regex(PATTERNS["llama 3"][0]), "merged_with_next"),
}


@pytest.mark.parametrize("why", UNKNOWN)
def test_of_other_tokenizers_nothing_is_said(why: str) -> None:
    """Their chunks are encoded once more."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = UNKNOWN[why]

    assert joint_of(tokenizer) == ""


@pytest.mark.parametrize(
    "token", [AddedToken("<a b>"), AddedToken("<mask>", lstrip=True), AddedToken("x", single_word=True)]
)
def test_a_token_that_reaches_over_a_joint_leaves_none(token: AddedToken) -> None:
    """Such tokens are found before the text is divided."""
    tokenizer = trained(GPT2)
    tokenizer.add_tokens([token])  # type: ignore[list-item]  # stubs

    assert joint_of(tokenizer) == ""


def test_a_tokenizer_that_changes_or_guesses_leaves_none() -> None:
    """A normaliser may take away what divides; dropout gives other tokens each time."""
    changing, guessing = Tokenizer(models.BPE()), Tokenizer(models.BPE(dropout=0.1))
    changing.normalizer = normalizers.Replace(" ", "_")
    changing.pre_tokenizer = guessing.pre_tokenizer = GPT2

    assert (joint_of(changing), joint_of(guessing)) == ("", "")
