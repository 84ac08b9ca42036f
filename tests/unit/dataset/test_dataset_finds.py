"""Personal data and secrets that the end of a chunk cuts in two, or parts from the words that tell what they are."""

from __future__ import annotations

import pytest

from services.dataset.core.example import Source
from services.dataset.core.finds import AROUND, Held, Surroundings, held
from services.dataset.core.masking import DROP, FLAG, MASK, shown

_KEY = "\n".join(f"{n:02}MIIEpAIBAAKCAQEA7bq3wXk9Zy5vQp1sT8uH2mJ4cR6dF0gL{n:02}" for n in range(30))
PLANTED = {
    "EMAIL": "jane.doe@example.com",
    "CREDIT_CARD": "4111 1111 1111 1111",
    "IBAN": "DE89 3704 0044 0532 0130 00",
    "US_SSN": "536-22-8745",
    "PHONE": "+49 30 901820-15",
    "IP_ADDRESS": "192.168.17.42",
    "AWS_KEY": "AKIAIOSFODNN7EXAMPLE",
    "API_KEY": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "PRIVATE_KEY": f"-----BEGIN RSA PRIVATE KEY-----\n{_KEY}\n-----END RSA PRIVATE KEY-----",
}
BEFORE, AFTER = "The one that they have written down is ", " and nothing else was ever said of it."


def chunk(document: str, *spans: tuple[int, int]) -> Source:
    """A chunk of a document."""
    text = "".join(document[first:last] for first, last in spans)
    return Source(f"f/c{spans[0][0]}-{spans[-1][1]}", "f", "f.md", text, spans=spans)


def offsets(kind: str) -> range:
    """Places around and in what is planted: all of them, of a private key some."""
    whole = len(PLANTED[kind])
    return range(len(BEFORE) - 3, len(BEFORE) + whole + 4, 97 if kind == "PRIVATE_KEY" else 1)


@pytest.mark.parametrize("kind", PLANTED)
def test_what_a_chunks_end_cuts_in_two_is_masked_on_both_sides(kind: str) -> None:
    """Wherever it is cut: each part by the same placeholder, which stands for its place in the document."""
    document, start = BEFORE + PLANTED[kind] + AFTER, len(BEFORE)
    end, place = start + len(PLANTED[kind]), f"[{kind}_1]"
    for cut in offsets(kind):
        left, right = shown([chunk(document, (0, cut)), chunk(document, (cut, len(document)))], {"*": MASK})

        assert left.text == (BEFORE + place if cut > start else BEFORE[:cut]) + AFTER[: max(0, cut - end)], cut
        assert right.text == BEFORE[cut:] + (place if cut < end else "") + AFTER[max(0, cut - end) :], cut
        for source in (left, right):
            for mask in source.masks:
                first, last = source.in_document(mask.start, mask.end)
                assert start <= first < last <= end
                assert cut in (first, last) or (first, last) == (start, end)


@pytest.mark.parametrize("kind", PLANTED)
def test_both_chunks_that_have_a_part_are_withheld_where_the_policy_drops(kind: str) -> None:
    """And no other one."""
    document, start = BEFORE + PLANTED[kind] + AFTER, len(BEFORE)
    end = start + len(PLANTED[kind])
    for cut in offsets(kind):
        left, right = shown([chunk(document, (0, cut)), chunk(document, (cut, len(document)))], {kind: DROP})

        assert [left.withheld, right.withheld] == [kind if cut > start else "", kind if cut < end else ""], cut


def test_chunks_that_overlap_or_have_a_gap_between_them_are_no_obstacle() -> None:
    """A gap is a space that was trimmed; a header that stands before the rows of a table is a span of its own."""
    document = "name, card\n" + "x" * 40 + "\nJane, " + PLANTED["CREDIT_CARD"] + "\nMax, none\n"
    at = document.index("4111")
    overlapping = [chunk(document, (0, at + 12)), chunk(document, (0, 11), (at + 7, len(document)))]
    apart = [chunk(document, (0, at + 9)), chunk(document, (0, 11), (at + 10, len(document)))]

    for chunks in (overlapping, apart):
        left, right = shown(chunks, {"*": MASK})
        assert left.text.endswith("\nJane, [CREDIT_CARD_1]")
        assert right.text == "name, card\n[CREDIT_CARD_1]\nMax, none\n"


def test_words_in_the_chunk_before_tell_what_a_number_is() -> None:
    """A number after "Tel." is one of a telephone, also where a chunk begins with it."""
    document = "Reach the desk by phone: 030 1234 5678, or come by. " + "No more. " * (AROUND // 9)
    cut = document.index("030")
    left, right = shown([chunk(document, (0, cut)), chunk(document, (cut, len(document)))], {"*": MASK})

    assert left.text == document[:cut]
    assert right.text.startswith("[PHONE_1], or come by.")


def test_what_only_looks_cut_in_two_stays() -> None:
    """Neither half is anything, nor are both together."""
    document = "Order 1234 5678 9012 3456 and write to desk at example dot com."
    for cut in range(1, len(document)):
        chunks = [chunk(document, (0, cut)), chunk(document, (cut, len(document)))]

        assert shown(chunks, {"CREDIT_CARD": MASK, "EMAIL": MASK}) == chunks


@pytest.mark.parametrize(
    ("before", "secret", "kind"),
    [
        ("See ", "https://user:secret123@host.example.com", "URL_CREDENTIALS"),
        ("The password: ", "aB3!x9@a.de", "SECRET"),
    ],
)
def test_where_looking_begins_decides_nothing(before: str, secret: str, kind: str) -> None:
    """Some 500 characters before a chunk's end, the rest of a secret may look like an address."""
    start, long = "It is known. " * 5 + before, "And no more. " * 60
    document, end = start + secret + " " + long, len(start) + len(secret)
    for cut in range(len(start) + AROUND, end + AROUND + 64):
        chunks = [chunk(document, (0, cut)), chunk(document, (cut, len(document)))]
        left, right = shown(chunks, {kind: MASK, "*": FLAG})

        assert left.text == start + f"[{kind}_1]" + document[end:cut], cut
        assert right.text == document[cut:], cut


def test_what_lies_within_a_private_key_does_not_uncover_it() -> None:
    """Where the key is masked and what it seems to hold is not; the longer find comes first, whatever the hash seed."""
    inner = "\n".join(["AKIAIOSFODNN7EXAMPLE", "jane.doe@example.com", "192.168.17.42", "536-22-8745"])
    key = f"-----BEGIN RSA PRIVATE KEY-----\n{_KEY}\n{inner}\n{_KEY}\n-----END RSA PRIVATE KEY-----"
    document = BEFORE + key + AFTER
    for cut in range(document.index("AKIA") - 2, document.index("8745") + 6, 3):
        chunks = [chunk(document, (0, cut)), chunk(document, (cut, len(document)))]
        around = [list(Surroundings(chunks).held(one)) for one in chunks]
        left, right = shown(chunks, {"PRIVATE_KEY": MASK, "*": FLAG})

        assert (left.text, right.text) == (BEFORE + "[PRIVATE_KEY_1]", "[PRIVATE_KEY_1]" + AFTER), cut
        assert all(found == sorted(found, key=lambda one: (one.start, -one.end)) for found in around)


def test_a_longer_find_of_the_chunks_own_keeps_its_kind() -> None:
    """Whatever a part of it looks like from elsewhere."""
    text = "See https://user:secret123@host.example.com for it."
    mail = text.index("secret123")
    found = held(text, [Held("EMAIL", mail, text.index(" for"), "secret123@host.example.com")])

    assert [(one.kind, one.whole) for one in found] == [("URL_CREDENTIALS", text[4 : text.index(" for")])]
