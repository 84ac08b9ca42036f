"""The ledger: what became of everything from the files to the sides of a dataset, so that nothing is lost in silence.

Each thing that came into a step either went on or has one row of what was dropped, with its reason: in = out + dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.dataset.core.judging import BELOW
from services.dataset.core.masking import WITHHELD
from services.dataset.core.rawtext import OVERLAP
from services.dataset.core.ways import judged, ways

REFUSED_CALL = "CALL_REFUSED"
UNREADABLE = frozenset({"EMPTY_REPLY", "REFUSAL_REPLY", "INVALID_JSON", "TRUNCATED", "INVALID_SCHEMA", REFUSED_CALL})
"""Why there was nothing to read in a reply; every other reason is a check's or a person's."""
REVIEWED = frozenset({"REJECTED_BY_REVIEW", "DELETED_BY_REVIEW", "DOCUMENT_DELETED"})
"""What a person decided."""
SHOWN = 20
"""Rows of one reason that a ledger itself names."""
_JUDGED = (("replies", "replies"), ("checks", "examples"), ("judge", "examples"), ("review", "examples"))
OF_EXAMPLES = (*(name for name, _ in _JUDGED), "split")
"""Steps that are made of examples; those before are made of the plan, or of an imported file's rows."""
SIDES = ("TRAIN", "EVAL", "RECALL")
NO_SIDE = "SPLIT_UNSPECIFIED"


@dataclass(frozen=True)
class Row:
    """One thing that was dropped, or as many things of one file as `count` says."""

    reason: str
    name: str
    count: int = 1
    detail: str = ""


Problems = Mapping[str, Sequence[Row]]
"""Rows of an imported file that were left out, by reason."""


@dataclass(frozen=True)
class Step:
    """One step: came = went + the counts of the rows.

    Args:
        unit: what is counted.
        rows: what was dropped, in order.
        parts: what `went` is made of, where it goes several ways.
    """

    name: str
    unit: str
    came: int
    went: int
    rows: Sequence[Row] = ()
    parts: Mapping[str, int] = field(default_factory=dict)

    def dropped(self) -> dict[str, int]:
        """Return how many were dropped by reason, in alphabetical order."""
        found: Counter[str] = Counter()
        for row in self.rows:
            found[row.reason] += row.count
        return dict(sorted(found.items()))

    def to_document(self) -> dict[str, Any]:
        """Return the step as a document keeps it, with the first rows of each reason."""
        names: dict[str, list[str]] = {}
        for row in self.rows:
            shown = names.setdefault(row.reason, [])
            if len(shown) < SHOWN:
                shown.append(row.name)
        drops = [{"reason": r, "count": n, "rows": names[r]} for r, n in self.dropped().items()]
        parts = [{"name": name, "count": count} for name, count in self.parts.items()]
        base = {"step": self.name, "unit": self.unit, "in": self.came, "out": self.went}
        return {**base, "dropped": drops, "parts": parts}


def unnamed(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return a step as a document keeps it, without the names of rows."""
    return {**step, "dropped": [{**drop, "rows": []} for drop in step["dropped"]]}


@dataclass(frozen=True)
class Planned:
    """What was there to generate from, and what was to be asked.

    Args:
        files: of every file that was there, {"name", "display_name", "used", "reason", "text", "characters"}; the last
            two are balances {"stage", "in", "out", "dropped"} or None where they are not known.
        chunks: of every chunk of the files used, {"chunk", "calls", "withheld"}: its name, the ids of the examples that
            its calls are to give, in order, and the kinds of personal data for which the LLM may not see it.
        order: those ids in the order of the calls.
        raw: whether nothing was asked: what a chunk says is its example.
    """

    files: Sequence[Mapping[str, Any]]
    chunks: Sequence[Mapping[str, Any]]
    order: Sequence[str]
    raw: bool = False


def fate(example: Mapping[str, Any]) -> tuple[str, str]:
    """Return at which step an example was dropped and why; ("", "") for one that is in the dataset."""
    if example.get("delete_time") is not None:
        gone = example["drop_reason"] == "DOCUMENT_DELETED"
        return "review", "DOCUMENT_DELETED" if gone else "DELETED_BY_REVIEW"
    if example["accepted"]:
        return "", ""
    reason = example["drop_reason"] or "REJECTED_BY_REVIEW"
    if reason in REVIEWED:
        return "review", reason
    if reason == BELOW:
        return "judge", reason
    return ("replies" if reason in UNREADABLE else "checks"), reason


def ledger(
    planned: Planned | None,
    earlier: Sequence[Mapping[str, Any]],
    examples: Sequence[Mapping[str, Any]],
    approved_only: bool = False,
) -> list[Step]:
    """Return the steps from files to sides of a dataset that was generated.

    Args:
        planned: None for datasets that keep no plan: their first steps are then those of `earlier`, without rows.
        earlier: the balances {"stage", "in", "out", "dropped"} that generation told: they say which limit was reached.
        examples: every example, deleted ones too, in order.
        approved_only: whether the newest version takes approved examples alone.
    """
    first = before_examples(planned, earlier, {short(e["_id"]) for e in examples})
    judged = [step for step in _JUDGED if step[0] != "replies"] if planned and planned.raw else _JUDGED
    return [*first, *_examples(examples, judged), _split(examples, approved_only)]


def before_examples(
    planned: Planned | None, earlier: Sequence[Mapping[str, Any]], judged: Collection[str]
) -> list[Step]:
    """Return the steps from files to calls of a dataset that was generated; see ledger.

    Args:
        judged: ids of every example, deleted ones too.
    """
    if planned:
        calls = [] if planned.raw else [_calls(planned, earlier, frozenset(judged))]
        return [*_documents(planned), _chunks(planned), *calls]
    return [_told(count, {}) for count in earlier if count["stage"] not in ("replies", "examples")]


def _documents(planned: Planned) -> Iterable[Step]:
    left = [Row(f["reason"], f["name"], 1, f["display_name"]) for f in planned.files if not f["used"]]
    used = [f for f in planned.files if f["used"]]
    yield Step("files", "files", len(planned.files), len(used), left)
    texts = [f for f in used if f["text"]]
    for unit in dict.fromkeys(f["text"]["stage"] for f in texts):
        yield _balance(unit, unit, [f for f in texts if f["text"]["stage"] == unit], "text")
    cut = [f for f in used if f["characters"]]
    if cut:
        yield _balance("characters", "characters", cut, "characters")


def _balance(name: str, unit: str, files: Sequence[Mapping[str, Any]], key: str) -> Step:
    rows = [
        Row(reason, f["name"], count, f["display_name"]) for f in files for reason, count in f[key]["dropped"].items()
    ]
    return Step(name, unit, sum(f[key]["in"] for f in files), sum(f[key]["out"] for f in files), rows)


def _chunks(planned: Planned) -> Step:
    nothing = OVERLAP if planned.raw else "NO_PASSAGE"
    bare = [
        Row(WITHHELD, c["chunk"], 1, c["withheld"]) if c.get("withheld") else Row(nothing, c["chunk"])
        for c in planned.chunks
        if not c["calls"]
    ]
    return Step("chunks", "chunks", len(planned.chunks), sum(bool(c["calls"]) for c in planned.chunks), bare)


def _calls(planned: Planned, earlier: Sequence[Mapping[str, Any]], judged: frozenset[str]) -> Step:
    # The last calls of the plan are those that a limit cut off.
    waiting = [id for id in planned.order if id not in judged]
    why: list[str] = []
    for count in earlier:
        if count["stage"] == "calls":
            why += [r for r, n in count["dropped"].items() if r != "NOT_MADE_YET" for _ in range(n)]
    why = [*["NOT_MADE_YET"] * (len(waiting) - len(why)), *why][: len(waiting)]
    chunk_of = {id: c["chunk"] for c in planned.chunks for id in c["calls"]}
    rows = [Row(reason, id, 1, chunk_of[id]) for reason, id in zip(why, waiting, strict=True)]
    # Examples of an earlier plan, or written by a person, came without a call of this one.
    others = judged - set(planned.order)
    return Step("calls", "calls", len(planned.order) + len(others), len(judged), rows)


def imported(
    earlier: Sequence[Mapping[str, Any]],
    problems: Problems,
    sides: Mapping[str, int],
    others: Sequence[Mapping[str, Any]] = (),
    approved_only: bool = False,
) -> list[Step]:
    """Return the steps from rows to sides of a dataset that was imported.

    Args:
        earlier: the balances that the import told.
        problems: why rows of the file were left out.
        sides: of the examples that are on a side, how many are on each, by its name in the contract.
        others: every other example, deleted ones too, in order.
        approved_only: whether the newest version takes approved examples alone.
    """
    total, last = sum(sides.values()), _split(others, approved_only)
    parts = {name: last.parts[name] + sides.get(f"SPLIT_{name}", 0) for name in SIDES}
    steps = [*_examples(others, _JUDGED[-1:]), replace(last, parts=parts)]
    rows = [_told(count, problems, "rows") for count in earlier]
    return [*rows, *(replace(s, came=s.came + total, went=s.went + total) for s in steps)]


def on_a_side(example: Mapping[str, Any]) -> bool:
    """Whether an example is in the dataset, and on a side of it."""
    return fate(example) == ("", "") and _side(example) in SIDES


def add_named(found: dict[str, list[Row]], problems: Iterable[Mapping[str, Any]]) -> None:
    """Add lines of an import's report to the rows by reason that a ledger names."""
    for problem in problems:
        rows = found.setdefault(problem["reason"], [])
        if len(rows) < SHOWN:
            rows.append(problem_row(problem))


def problem_row(problem: Mapping[str, Any]) -> Row:
    """Return the row of a line of an import's report."""
    return Row(problem["reason"], f"row {problem['row']}", 1, problem["message"])


def _told(count: Mapping[str, Any], problems: Problems, unit: str = "") -> Step:
    rows: list[Row] = []
    for reason, number in count["dropped"].items():
        known = problems.get(reason, ())
        rows += known
        if number > len(known):
            rows.append(Row(reason, "", number - len(known)))
    return Step(count["stage"], unit or count["stage"], count["in"], count["out"], rows)


def _examples(examples: Sequence[Mapping[str, Any]], steps: Sequence[tuple[str, str]]) -> Iterable[Step]:
    left = list(examples)
    for name, unit in steps:
        if name == "judge" and not any(map(judged, examples)):
            continue
        rows, went = [], []
        for example in left:
            row = row_of(example, name)
            if row is None:
                went.append(example)
            else:
                rows.append(row)
        yield Step(name, unit, len(left), len(went), rows, ways(name, went))
        left = went


def _split(examples: Sequence[Mapping[str, Any]], approved_only: bool) -> Step:
    accepted = [e for e in examples if fate(e) == ("", "")]
    parts = dict.fromkeys(SIDES, 0)
    rows = []
    for example in accepted:
        row = row_of(example, "split", approved_only)
        if row is None:
            parts[_side(example)] += 1
        else:
            rows.append(row)
    return Step("split", "examples", len(accepted), sum(parts.values()), rows, parts)


def row_of(example: Mapping[str, Any], step: str, approved_only: bool = False) -> Row | None:
    """Return the row of an example that a step of OF_EXAMPLES dropped; None for one that it did not drop.

    Args:
        approved_only: whether the newest version takes approved examples alone.
    """
    dropped, reason = fate(example)
    if step != "split":
        return Row(reason, example["_id"], 1, example["drop_detail"]) if dropped == step else None
    if dropped or _side(example) in SIDES:
        return None
    return Row("NOT_APPROVED" if approved_only else "NOT_FROZEN", example["_id"])


def _side(example: Mapping[str, Any]) -> str:
    return str(example["split"]).removeprefix("SPLIT_")


def short(name: str) -> str:
    """Return an example's id: its name without the dataset's."""
    return name.rpartition("/")[2]
