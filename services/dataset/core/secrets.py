"""Secrets in texts: keys, tokens, passwords, by the prefixes that their makers gave them, or by how random they are."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator

KINDS = ("PRIVATE_KEY", "JWT", "AWS_KEY", "URL_CREDENTIALS", "API_KEY", "SECRET")

RANDOM_BITS = 3.5
"""Bits per character from which a value that is called a key or a password counts as random; English has about 4 over a
long text but under 3.5 over a word or two."""

_PRIVATE = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.S,
)
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{10,}(?![\w-])")
_AWS = re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA|AROA|AIDA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])")
_AWS_SECRET = re.compile(
    r"(?i:aws[\w .-]{0,20}secret[\w .-]{0,20}|secret_?access_?key)[\"']?\s*[:=]\s*[\"']?"
    r"([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"'<>]{1,80}:([^\s/@\"'<>]{1,120})@[^\s/\"'<>]+", re.I)
_API = re.compile(
    r"(?<![\w-])(?:"
    r"sk-(?:proj-|ant-|or-|svcacct-)?[\w-]{20,200}"  # OpenAI, Anthropic, OpenRouter
    r"|(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{16,99}|whsec_[A-Za-z0-9+/=]{24,99}"  # Stripe
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{36,255}|glpat-[\w-]{20,64}"  # GitHub, GitLab
    r"|xox[abeprs]-[\w-]{10,200}|xapp-\d-[\w-]{10,200}"  # Slack
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,400}|GOCSPX-[\w-]{28}"  # Google
    r"|hf_[A-Za-z0-9]{30,99}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,400}"  # Hugging Face, npm, PyPI
    r"|SG\.[\w-]{16,32}\.[\w-]{32,64}|key-[0-9a-f]{32}|SK[0-9a-f]{32}|AC[0-9a-f]{32}"  # SendGrid, Mailgun, Twilio
    r"|dop_v1_[0-9a-f]{64}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|gsk_[A-Za-z0-9]{40,60}|r8_[A-Za-z0-9]{30,50}"
    r"|dp\.(?:pt|st|ct)\.[\w.-]{30,99}|hv[sb]\.[\w-]{24,200}|lin_api_[A-Za-z0-9]{32,64}|ntn_[A-Za-z0-9]{40,60}"
    r"|\d{8,10}:AA[\w-]{33}|nvapi-[\w-]{40,99}|AGE-SECRET-KEY-1[A-Z0-9]{58}|tskey-[a-z]+-[\w-]{20,99}"
    r")(?![\w-])"
)
_SLACK_HOOK = re.compile(
    r"https://hooks\.slack\.com/services/T\w{6,}/B\w{6,}/\w{20,}|"
    r"https://discord(?:app)?\.com/api/webhooks/\d{15,}/[\w-]{50,}"
)
_NAMED = re.compile(
    r"\b[\w.-]{0,40}(?:api[_ -]?key|secret(?:[_ -]?key)?|access[_ -]?(?:key|token)|auth[_ -]?token|"
    r"client[_ -]?secret|token|"
    r"passw(?:or)?d|passwort|kennwort|pwd|credential|bearer)\b[\"']?\s*(?:[:=]|:=|=>|\bis\b|\bist\b|\s)\s*[\"'`]?"
    r"(?P<value>[^\s\"'`,;<>()]{8,200})",
    re.I,
)


_LONG = re.compile(r"[\w.:+/=-]{15}")
"""What every key with a prefix of its own has, and prose seldom: looking for this first takes a tenth of the time."""
_CALLED = ("key", "secret", "token", "passw", "kennwort", "pwd", "credential", "bearer")
"""What _NAMED needs one of: looking for these first takes a tenth of its time."""


def entropy(text: str) -> float:
    """Return the bits of information per character of a text, by how often each of them is in it."""
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


def _random(value: str) -> bool:
    """Whether a value looks made up by a machine or a careful person: mixed characters, no words, high entropy."""
    value = value.rstrip(".:")
    kinds = sum(bool(re.search(kind, value)) for kind in (r"[a-z]", r"[A-Z]", r"\d", r"[^\w]"))
    if len(value) < 8 or re.match(r"(?:https?:|/|\$|\{|\[|<|%)", value):
        return False
    # Digits between letters are rare in words; a short password needs three kinds of characters.
    return (
        entropy(value) >= (RANDOM_BITS if len(value) >= 16 else 2.7)
        and bool(re.search(r"\d", value))
        and kinds >= (2 if len(value) >= 16 else 3)
    )


def _jwt(text: str) -> bool:
    head = text.partition(".")[0]
    try:
        return isinstance(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))), dict)
    except (ValueError, binascii.Error):
        return False


def _aws(text: str) -> Iterator[tuple[int, int]]:
    if not _LONG.search(text):
        return
    yield from (m.span() for m in _AWS.finditer(text))
    yield from (m.span(1) for m in _AWS_SECRET.finditer(text))


def _api(text: str) -> Iterator[tuple[int, int]]:
    if not _LONG.search(text):
        return
    yield from (m.span() for m in _SLACK_HOOK.finditer(text))
    # A prefix alone is no proof: sk-learn-contributors-and-others is none.
    yield from (m.span() for m in _API.finditer(text) if entropy(m.group()) >= 3 and re.search(r"\d", m.group()))


def _named(text: str) -> Iterator[tuple[int, int]]:
    low = text.lower()
    if not any(word in low for word in _CALLED):
        return
    for found in _NAMED.finditer(text):
        start, end = found.span("value")
        while text[end - 1] in ".:!?":
            end -= 1
        if _random(text[start:end]):
            yield start, end


def private_keys(text: str) -> Iterator[tuple[int, int]]:
    """Yield where private keys stand that have both a beginning and an end."""
    if "-----END" in text:
        yield from (m.span() for m in _PRIVATE.finditer(text) if "-----END" in m.group())


FINDERS: tuple[tuple[str, Callable[[str], Iterator[tuple[int, int]]]], ...] = (
    ("PRIVATE_KEY", lambda text: (m.span() for m in _PRIVATE.finditer(text))),
    ("JWT", lambda text: (m.span() for m in _JWT.finditer(text) if _jwt(m.group()))),
    ("AWS_KEY", _aws),
    ("URL_CREDENTIALS", lambda text: (m.span() for m in _URL.finditer(text)) if "://" in text else iter(())),
    ("API_KEY", _api),
    ("SECRET", _named),
)
"""Kind → where its finds stand in a text; the strictest first."""
