"""The ledger's sums, whatever happens to files, chunks, calls, replies and examples."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.dataset.core.ledger import Planned, Step, fate, imported, ledger, on_a_side

REASONS = ["", "INVALID_JSON", "TRUNCATED", "DUPLICATE", "EVIDENCE_NOT_FOUND", "REJECTED_BY_REVIEW", "DOCUMENT_DELETED"]
SIDES = ["SPLIT_UNSPECIFIED", "SPLIT_TRAIN", "SPLIT_EVAL", "SPLIT_RECALL"]

balances = st.dictionaries(st.sampled_from(["NO_TEXT", "WHITE_SPACE"]), st.integers(1, 9)).flatmap(
    lambda dropped: st.integers(0, 99).map(
        lambda out: {"stage": "pages", "in": out + sum(dropped.values()), "out": out, "dropped": dropped}
    )
)


@st.composite
def worlds(draw: Any) -> tuple[Planned, list[dict[str, Any]], list[dict[str, Any]]]:
    """Files in any state, chunks with any number of calls, each call with any outcome or none."""
    files = [
        {
            "name": f"f{n}",
            "display_name": f"{n}.md",
            "used": draw(st.booleans()),
            "reason": "NOT_CHUNKED",
            "text": draw(st.none() | balances),
            "characters": draw(st.none() | balances),
        }
        for n in range(draw(st.integers(0, 4)))
    ]
    chunks = [
        {"chunk": f"c{n}", "calls": [f"e{n}-{turn}" for turn in range(draw(st.integers(0, 3)))]}
        for n in range(draw(st.integers(0, 5)))
    ]
    order = draw(st.permutations([id for chunk in chunks for id in chunk["calls"]]))
    examples = []
    for id in [*order, "stray"]:
        if not draw(st.booleans()):
            continue
        reason = draw(st.sampled_from(REASONS))
        examples.append(
            {
                "_id": f"d/examples/{id}",
                "accepted": not reason and draw(st.booleans()),
                "drop_reason": reason,
                "drop_detail": "",
                "delete_time": draw(st.none() | st.just(1.0)),
                "split": draw(st.sampled_from(SIDES)),
            }
        )
    limit = draw(st.integers(0, 5))
    earlier = [{"stage": "calls", "in": 0, "out": 0, "dropped": {"LIMIT_REACHED": limit, "NOT_MADE_YET": 3}}]
    return Planned(files, chunks, order), earlier, examples


@given(worlds(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_every_step_balances_and_begins_with_what_the_one_before_let_on(world: Any, approved_only: bool) -> None:
    """in = out + dropped by reason at each step; from calls on, out is the next in; each example has one fate."""
    planned, earlier, examples = world

    steps = ledger(planned, earlier, examples, approved_only)

    assert all(step.came == step.went + sum(step.dropped().values()) for step in steps)
    found = {step.name: step for step in steps}
    chain = [found[name] for name in ("calls", "replies", "checks", "review", "split")]
    assert all(a.went == b.came for a, b in pairwise(chain))
    assert found["calls"].came == len(planned.order) + sum(e["_id"].endswith("stray") for e in examples)
    assert found["split"].went == sum(found["split"].parts.values())
    named = [row.name for step in chain[1:] for row in step.rows]
    assert len(named) == len(set(named))
    assert len(named) + found["split"].went == len(examples)


@given(worlds())
@settings(max_examples=50, deadline=None)
def test_without_a_plan_the_first_steps_are_those_that_were_told(world: Any) -> None:
    """Datasets from before there were plans, and imported ones, balance too."""
    _, _, examples = world
    told = [{"stage": "rows", "in": len(examples) + 2, "out": len(examples), "dropped": {"INVALID_JSON": 2}}]

    steps = ledger(None, told, examples)

    assert [s.name for s in steps] == ["rows", "replies", "checks", "review", "split"]
    assert all(step.came == step.went + sum(step.dropped().values()) for step in steps)
    assert all(a.went == b.came for a, b in pairwise(steps))


def test_calls_that_a_limit_cut_off_are_the_last_of_the_plan() -> None:
    """The first ones that are missing were not made yet."""
    planned = Planned([], [{"chunk": "c", "calls": ["a", "b", "x"]}], ["a", "b", "x"])
    earlier = [{"stage": "calls", "in": 3, "out": 0, "dropped": {"LIMIT_REACHED": 1}}]

    calls: Step = next(s for s in ledger(planned, earlier, []) if s.name == "calls")

    assert [(r.name, r.reason) for r in calls.rows] == [
        ("a", "NOT_MADE_YET"),
        ("b", "NOT_MADE_YET"),
        ("x", "LIMIT_REACHED"),
    ]


def test_a_document_names_the_first_rows_of_each_reason() -> None:
    """A ledger stays small: twenty names a reason, and the whole count."""
    planned = Planned([], [{"chunk": f"c{n}", "calls": []} for n in range(50)], [])

    (chunks,) = [s.to_document() for s in ledger(planned, [], []) if s.name == "chunks"]

    assert (chunks["in"], chunks["out"]) == (50, 0)
    assert chunks["dropped"][0]["count"] == 50
    assert chunks["dropped"][0]["rows"] == [f"c{n}" for n in range(20)]


@given(worlds(), st.booleans(), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_the_ledger_of_an_import_counts_what_is_on_a_side_and_names_the_rest(
    world: Any, approved_only: bool, bad: int
) -> None:
    """From rows to sides each step balances, as if every example had been looked at one by one."""
    examples = [e for e in world[2] if fate(e)[0] in ("", "review")]
    told = [{"stage": "rows", "in": len(examples) + bad, "out": len(examples), "dropped": {"INVALID_JSON": bad}}]
    sides = Counter(e["split"] for e in examples if on_a_side(e))

    few = imported(told, {}, sides, [e for e in examples if not on_a_side(e)], approved_only)

    assert few == imported(told, {}, {}, examples, approved_only)
    assert all(step.came == step.went + sum(step.dropped().values()) for step in few)
    assert [a.went for a in few[:-1]] == [b.came for b in few[1:]]
    assert few[-1].went == sum(few[-1].parts.values())
