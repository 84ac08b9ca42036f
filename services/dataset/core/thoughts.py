"""What an LLM writes round its answer: thinking, the tokens of its chat template, and refusals."""

from __future__ import annotations

import re

_NAMES = "think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis|inner_monologue|seed:think"
_THINKING = re.compile(rf"<({_NAMES})(?:\s[^<>]*)?>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_THOUGHT_BEFORE = re.compile(rf"\A.*</(?:{_NAMES})>", re.DOTALL | re.IGNORECASE)
_OTHERS = (
    re.compile(r"◁think▷.*?(?:◁/think▷|\Z)", re.DOTALL),  # Kimi
    re.compile(r"\[THINK\].*?(?:\[/THINK\]|\Z)", re.DOTALL),  # Magistral
    re.compile(r"<\|begin_of_thought\|>.*?(?:<\|end_of_thought\|>|\Z)", re.DOTALL),
    re.compile(r"\AThinking\.\.\.\s.*?\.\.\.done thinking\.", re.DOTALL),  # Ollama
    # gpt-oss: all channels but the last one are thinking.
    re.compile(r"<\|channel\|>(?:analysis|commentary)\b.*?(?:<\|channel\|>final(?=<\|message\|>)|\Z)", re.DOTALL),
)
_TEMPLATE = (
    r"(?:<\|[^<>|\s]{1,40}\|>|</?s>|</?(?:bos|eos|pad)>|\[/?INST\]|<(?:start|end)_of_turn>|"
    r"[\s\ufeff\u200b-\u200f\u2060])"
)
_EDGES = re.compile(rf"\A{_TEMPLATE}+|{_TEMPLATE}+\Z")

_SORRY = (
    r"i['’]?m (?:very |so |truly )?sorry|i am (?:very |so )?sorry|sorry,|i apologi[sz]e|my apologies|"
    r"unfortunately,? i\b|"
    r"i (?:cannot|can['’]?t|won['’]?t|will not|must (?:decline|refuse)|do(?: not|n['’]?t) have access|decline|"
    r"refuse)\b|"
    r"i['’]?(?: a)?m (?:unable|not (?:able|allowed|permitted))|as an ai\b|my guidelines\b|"
    r"it is not possible for me|"
    # German, French, Spanish, Portuguese, Italian, Dutch, Polish
    r"(?:es )?tut mir leid|leider kann ich|ich kann (?:das|dabei|dir|ihnen|leider|diese\w*)\b[^.]*\bnicht|"
    r"je suis (?:désolé|navré)|désolée?\b|je ne (?:peux|puis) pas|lo siento|lamento\b|no puedo\b|"
    r"desculpe|sinto muito|não posso|mi dispiace|non posso|het spijt me|ik kan (?:dat|dit|je|u) niet|przykro mi|"
    r"przepraszam|nie mogę|"
    # Russian, Chinese, Japanese, Korean, Arabic
    r"извините|простите|к сожалению|я не могу|抱歉|很抱歉|对不起|對不起|我无法|我不能|申し訳|すみません|"
    r"죄송|عذراً|عذرا|آسف|لا أستطيع"
)
_REFUSAL = re.compile(
    r"^\W{0,20}(?:(?:refusal|answer|response|note)\W{1,9})?(?:" + _SORRY + "|i do not have access)", re.IGNORECASE
)


def answer(reply: str) -> str:
    """Return a reply without thinking and without what a chat template puts round it; "" if nothing is left."""
    text = _THOUGHT_BEFORE.sub("", _THINKING.sub("", reply))
    for thinking in _OTHERS:
        text = thinking.sub("", text)
    return _EDGES.sub("", text)


def refuses(text: str) -> bool:
    """Whether a text begins as refusals do, in 13 languages."""
    return bool(_REFUSAL.match(text))
