"""Invisible characters and chat-template control tokens in documents: made harmless, positions kept.

What nobody sees is taken out: zero-width and tag characters, overrides of the writing direction, control characters.
What a chat template gives a meaning, such as <|im_start|>, [INST] or <s>, is kept readable, but its brackets become
ones that no tokenizer knows, one for one: ‹|im_start|›. So every character that is left has its place in the source.
"""

from __future__ import annotations

import re
from dataclasses import replace

from services.dataset.core.example import Source
from services.dataset.core.injection import orders

CONTROL_TOKENS = "CONTROL_TOKENS"
INVISIBLE_TEXT = "INVISIBLE_TEXT"
SUSPECTED_INJECTION = "SUSPECTED_INJECTION"

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f"  # control characters but tab, line feed, form feed, return, next line
    "\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # joiners and fillers without a shape
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # zero width, directions, annotations
    "\ufe00-\ufe0f\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"  # variation selectors, musical marks, tags
)
_JOINERS = "\u200c\u200d"
_JOINED = re.compile(r"[\u0600-\u0dff\u0f00-\u109f\u1780-\u17ff\ufb50-\ufdff\ufe70-\ufefc]")
"""Scripts that write with the zero-width joiner and non-joiner: Arabic, Persian, those of India, Khmer, …"""
_PICTURE = re.compile("[\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff\ufe0f]")
_BIDI_MARKS = "\u200e\u200f\u061c"
_HEBREW_OR_ARABIC = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")

_TOKEN = re.compile(
    r"<[|｜][^<>|｜\s]{1,40}[|｜]>"  # <|im_start|>, <|eot_id|>, DeepSeek's <｜User｜>
    r"|\[/?(?:INST|SYS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|IMG)\]"
    r"|<</?SYS>>"
    r"|</?(?:s|bos|eos|pad|unk|cls|sep|mask)>"
    r"|\[(?:CLS|SEP|PAD|MASK|UNK|BOS|EOS)\]"
    r"|</?(?:start_of_turn|end_of_turn|think|thinking|tool_call|tool_response|function_call|image_soft_token)>"
    r"|<(?:unused|extra_id_|reserved_token_|image_)\d{1,4}>"
    r"|<\|(?=\S)|(?<=\S)\|>",
    re.I,
)
_SAME_WIDTH = str.maketrans({"<": "‹", ">": "›", "[": "⟦", "]": "⟧"})


def _kept(text: str, place: int) -> bool:
    """Whether an invisible character is a part of how a script or a picture is written."""
    letter, before, after = text[place], text[place - 1 : place], text[place + 1 : place + 2]
    if letter in _JOINERS and _JOINED.match(before) and _JOINED.match(after):
        return True
    if letter == "\u200d":
        return bool(_PICTURE.match(before) and _PICTURE.match(after))
    if letter == "\ufe0f":
        return bool(_PICTURE.match(before) or before in "0123456789#*")
    if letter in _BIDI_MARKS:
        return bool(_HEBREW_OR_ARABIC.search(text[max(0, place - 40) : place + 40]))
    # Two line ends of Unicode's own are kept, for they part words.
    return letter in "\u2028\u2029"


def hidden(text: str) -> list[int]:
    """Return the places of the characters that nobody sees and no script needs, in order."""
    if text.isascii() and text.isprintable():
        return []
    return [m.start() for m in _INVISIBLE.finditer(text) if not _kept(text, m.start())]


def disarm(text: str) -> str:
    """Return a text of the same length whose chat-template tokens no template knows any more."""
    return _TOKEN.sub(lambda m: m.group().translate(_SAME_WIDTH), text) if "<" in text or "[" in text else text


def clean(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a text without either, and what was found: INVISIBLE_TEXT, CONTROL_TOKENS. Repeating it finds nothing."""
    gone = set(hidden(text))
    seen = "".join(letter for place, letter in enumerate(text) if place not in gone) if gone else text
    safe = disarm(seen)
    found = ((CONTROL_TOKENS,) if safe != seen else ()) + ((INVISIBLE_TEXT,) if gone else ())
    return safe, found


def neutral(source: Source) -> Source:
    """Return a chunk whose text may be shown to an LLM, its flags say what was found; the same chunk if nothing was.

    Its spans leave out what was taken out, so that every character that is left has its place in the extracted text.
    """
    # A mark of the byte order before the first letter is how some programs begin every text: no flag for that.
    first = 1 if source.text.startswith("\ufeff") else 0
    text, found = clean(source.text[first:])
    headings = [clean(heading) for heading in source.context]
    name, in_name = clean(source.file_name)
    flags = {*found, *in_name, *(flag for _, some in headings for flag in some)}
    if orders(text) or any(orders(heading) for heading, _ in headings):
        flags.add(SUSPECTED_INJECTION)
    if not flags and not first:
        return source
    gone = [*([0] if first else []), *(place + first for place in hidden(source.text[first:]))]
    return replace(
        source,
        text=text,
        context=tuple(heading for heading, _ in headings),
        file_name=name,
        spans=_without(source.spans, gone),
        flags=tuple(sorted(flags)),
    )


def _without(spans: tuple[tuple[int, int], ...], gone: list[int]) -> tuple[tuple[int, int], ...]:
    """Return spans without some places of the text that they make, given in order."""
    left: list[tuple[int, int]] = []
    offset = 0
    places = iter([*gone, -1])
    next_gone = next(places)
    for start, end in spans:
        begin = start
        while 0 <= next_gone < offset + end - start:
            at = start + next_gone - offset
            if begin < at:
                left.append((begin, at))
            begin = at + 1
            next_gone = next(places)
        if begin < end:
            left.append((begin, end))
        offset += end - start
    return tuple(left)
