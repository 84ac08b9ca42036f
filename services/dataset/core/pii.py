"""Personal data and secrets in texts: found by kind, and masked.

Rules with a checksum where the kind has one: what is found is likely to be right. A name, an address or a birthday has
no form of its own and is not found.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from services.dataset.core import secrets

KINDS = (
    "EMAIL", "PHONE", "IBAN", "CREDIT_CARD", "IP_ADDRESS", "US_SSN", "PASSPORT", *secrets.KINDS,
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """One find: its kind, and where it stands, in code points."""

    kind: str
    start: int
    end: int


_EMAIL = re.compile(
    r"(?<![\w.+%/-])[\w.+%'-]{1,64}(?<![.'])@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?![\w-])(?!\.\w)"
)
_PHONE = re.compile(
    r"(?<![\w.+-])(?:"
    r"(?:\+|00)[1-9]\d{0,2}[ \-./]?(?:\(0?\d{1,4}\)[ \-./]?)?\d{1,5}(?:[ \-./]?\d{2,5}){1,4}"  # international
    r"|\(?[2-9]\d{2}\)?[ .-][2-9]\d{2}[ .-]\d{4}"  # North America
    r"|0\d{2,5}[ /-]\d{2,8}(?:[ -]\d{2,6}){0,3}"  # with a trunk prefix
    r")(?![\w-]|\.\d)"
)
_AMERICAN = re.compile(r"[2-9]\d{2}[ .-][2-9]\d{2}[ .-]\d{4}")
_TELEPHONE = re.compile(r"\b(?:tel|phone|call|fax|mobile|cell|dial|hotline|telefon|handy|tél|teléfono)\w*\b", re.I)
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,3})?(?!\w)")
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_CARD = re.compile(r"(?<![\w.-])(?:\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{1,7}|\d{4}[ -]\d{6}[ -]\d{5}|\d{13,19})(?![\w-]|\.\d)")
_CARD_BRANDS = re.compile(r"(?:4|5[1-5]|2[2-7]|3[47]|3[068]|6(?:011|4|5|2)|35)")
_IP4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IP6 = re.compile(r"(?<![\w:.])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?:%\w+)?(?![\w:])")
_VERSION = re.compile(r"\b(?:version|release|firmware|build|v|section|chapter|§)\.? ?$", re.I)
_SSN = re.compile(r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_PASSPORT = re.compile(
    r"\b(?:passport|passnummer|reisepass|passeport|pasaporte|passaporto|identity card|id card|personalausweis)\b"
    r"[^\n]{0,30}?\b(?=(?:[A-Z]*\d){3})([A-Z0-9]{6,9})\b",
    re.I,
)
_MRZ = re.compile(r"(?<!\w)P[A-Z<][A-Z]{3}[A-Z<]{20,39}(?![A-Z<])")


def iban(text: str) -> bool:
    """Whether a text is an IBAN: its country's length and its check digits (ISO 13616)."""
    bare = text.replace(" ", "")
    if len(bare) != _IBAN_LENGTHS.get(bare[:2], 0):
        return False
    return int("".join(str(int(letter, 36)) for letter in bare[4:] + bare[:4])) % 97 == 1


def luhn(text: str) -> bool:
    """Whether the digits of a text pass the check of card numbers (ISO/IEC 7812)."""
    digits = [int(letter) for letter in text if letter.isdigit()]
    total = sum(digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(digits[::-1]))
    return total % 10 == 0


def _card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and bool(_CARD_BRANDS.match(digits)) and luhn(digits)


def _address(text: str) -> bool:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    # Loopback, "any" and masks are nobody's.
    # 1::2 is more often a ratio or a range than an address.
    odd = len(text) < 6 or text.startswith(("255.", "0."))
    return not (odd or found.is_loopback or found.is_unspecified)


def _phones(text: str) -> Iterator[tuple[int, int]]:
    for found in _PHONE.finditer(text):
        digits = re.sub(r"\D", "", found.group())
        told = found.group()[0] in "+(" or re.match("00[1-9]", found.group()) or _AMERICAN.fullmatch(found.group())
        near = _TELEPHONE.search(text, max(0, found.start() - 40), found.start())
        varied = Counter(digits).most_common(1)[0][1] < len(digits) - 2
        if 8 <= len(digits) <= 15 and varied and (told or near):
            yield found.span()


def _matching(rule: re.Pattern[str], good: Callable[[str], bool]) -> Callable[[str], Iterator[tuple[int, int]]]:
    return lambda text: (m.span() for m in rule.finditer(text) if good(m.group()))


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for found in _IBAN.finditer(text):
        # What follows may look like one more group: the country says where it ends.
        wanted, taken = _IBAN_LENGTHS.get(found.group()[:2], 0), 0
        for place, letter in enumerate(found.group()):
            taken += letter != " "
            if taken == wanted:
                if iban(found.group()[: place + 1]):
                    yield found.start(), found.start() + place + 1
                break


def _ips(text: str) -> Iterator[tuple[int, int]]:
    for rule in (_IP4, _IP6):
        for found in rule.finditer(text):
            if _address(found.group()) and not _VERSION.search(text, max(0, found.start() - 12), found.start()):
                yield found.span()


def _passports(text: str) -> Iterator[tuple[int, int]]:
    yield from (m.span(1) for m in _PASSPORT.finditer(text))
    yield from (m.span() for m in _MRZ.finditer(text))


_FINDERS: tuple[tuple[str, Callable[[str], Iterator[tuple[int, int]]]], ...] = (
    *secrets.FINDERS,
    ("EMAIL", lambda text: (m.span() for m in _EMAIL.finditer(text)) if "@" in text else iter(())),
    ("IBAN", _ibans),
    ("CREDIT_CARD", _matching(_CARD, _card)),
    ("US_SSN", lambda text: (m.span() for m in _SSN.finditer(text))),
    ("IP_ADDRESS", _ips),
    ("PASSPORT", _passports),
    ("PHONE", _phones),
)


def find(text: str) -> list[Found]:
    """Return the finds in a text, in order; where two meet, the one of the stricter rule is kept."""
    found: list[Found] = []
    for kind, finder in _FINDERS:
        for start, end in finder(text):
            if all(end <= other.start or start >= other.end for other in found):
                found.append(Found(kind, start, end))
    return sorted(found, key=lambda one: one.start)


def mask(text: str, kinds: Collection[str]) -> str:
    """Return a text whose finds of some kinds are replaced by their kind: [EMAIL]. Repeating changes nothing."""
    for one in reversed(find(text)):
        if one.kind in kinds:
            text = f"{text[: one.start]}[{one.kind}]{text[one.end :]}"
    return text
