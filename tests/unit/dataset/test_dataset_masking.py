"""What a policy lets of a chunk reach the LLM: placeholders that keep their place in the document, or nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.dataset.core.example import Source
from services.dataset.core.masking import DROP, FLAG, IGNORE, MASK, placeholders, shown

JANE, MAX = "jane.doe@example.com", "max@example.org"
MASKED = {"EMAIL": MASK}


def source(text: str, number: int = 0, file: str = "f", context: tuple[str, ...] = ()) -> Source:
    """A chunk that lies in its document from place 100 on; each further one a thousand places later."""
    spans = ((100 + 1000 * number, 100 + 1000 * number + len(text)),)
    return Source(f"{file}/c{number}", file, f"{file}.md", text, context=context, spans=spans)


def test_the_same_find_has_the_same_number_in_all_of_a_file() -> None:
    """Whatever its case; another file begins anew, so that no file's chunks depend on another file."""
    chunks = [source(f"{MAX} or {JANE}"), source(f"{JANE.title()} only", 1), source(JANE, 2, "g")]

    assert [s.text for s in shown(chunks, MASKED)] == ["[EMAIL_1] or [EMAIL_2]", "[EMAIL_2] only", "[EMAIL_1]"]


def test_what_an_llm_sees_does_not_depend_on_later_chunks() -> None:
    """A preview of the first chunks shows what generation will."""
    chunks = [source(f"a {MAX}"), source(f"b {JANE} {MAX}", 1), source(f"c {JANE}", 2)]

    assert shown(chunks[:2], MASKED) == shown(chunks, MASKED)[:2]


def test_headings_and_names_of_files_are_masked_too() -> None:
    """They stand in prompts."""
    (found,) = shown([source("Nothing here.", file=f"to {JANE} 2", context=(f"For {MAX}",))], MASKED)

    assert (found.file_name, found.context) == ("to [EMAIL_1] 2.md", ("For [EMAIL_2]",))


def test_a_chunk_that_holds_what_is_dropped_is_withheld() -> None:
    """With its headings, and it says for what; one whose heading holds it too, the others stay."""
    chunks = [source(f"Write to {JANE}."), source("Fine.", 1), source("Fine.", 2, context=(MAX,))]
    found = shown(chunks, {"*": DROP})

    assert [(s.text, s.withheld) for s in found] == [("", "EMAIL"), ("Fine.", ""), ("", "EMAIL")]


def test_other_actions_change_nothing() -> None:
    """Flagged and ignored kinds are sent as they are."""
    text = source(f"{JANE} at 192.168.17.4")

    assert shown([text], {"*": FLAG}) == [text]
    (found,) = shown([text], {"EMAIL": IGNORE, "*": MASK})
    assert found.text == f"{JANE} at [IP_ADDRESS_1]"


def test_what_only_a_prompt_puts_on_one_line_is_found() -> None:
    """A number over a line's end is one number in the prompt; what stands there already is found once and whole."""
    (found,) = shown([source("Tel. 030\n  1234 5678.\nMail jane.doe@example.com\nnow")], {"*": MASK})

    assert found.text == "Tel. [PHONE_1].\nMail [EMAIL_1]\nnow"


def test_placeholders_are_told_from_other_brackets() -> None:
    """Only those of kinds that there are."""
    assert placeholders("[EMAIL_1] [IP_ADDRESS_12] [NOTE_1] [EMAIL] [EMAIL_0]") == {"EMAIL", "IP_ADDRESS"}


@given(st.lists(st.sampled_from(["One two.", " three", JANE, MAX, "ü", "\n"]), min_size=1, max_size=12))
def test_every_place_of_a_masked_text_is_found_again_in_the_document(parts: list[str]) -> None:
    """Words at their own place, a placeholder as the whole find, and all of the text as all of the chunk."""
    text = " ".join(parts)
    (found,) = shown([source(text)], MASKED)

    assert JANE not in found.text
    assert found.in_document(0, len(found.text)) == (100, 100 + len(text))
    for mask in found.masks:
        start, end = found.in_document(mask.start, mask.end)
        assert text[start - 100 : end - 100] in (JANE, MAX)
        assert found.in_document(mask.start + 1, mask.end - 1) == (start, end)
    inside = {place for mask in found.masks for place in range(mask.start, mask.end)}
    for place, letter in enumerate(found.text):
        if place not in inside:
            start, end = found.in_document(place, place + 1)
            assert text[start - 100 : end - 100] == letter
