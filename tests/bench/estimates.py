"""Estimates against measurements: python -m tests.bench.estimates [--records FILE]

Trains 32 small models (seven families, LoRA, full and QLoRA, several lengths and batches, with and without gradient
checkpointing and packing) for two steps, each in a process of its own, and prints what its peak was estimated to be
beside what it was. Bytes are those above what the process takes with its libraries, for those are 0.9 GB whatever is
trained and would make every error look small. Ends in about ten minutes on two cores; exit code 1 if fewer than 90 % of
the training peaks lie within their range, or the median error is 10 % or more.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.hardware.core_evaluation import BATCH_TOKENS
from services.hardware.core_memory import LIBRARIES, Device, Plan
from services.hardware.core_parameters import shape
from services.hardware.core_peaks import LIBRARIES_SPREAD, evaluation_peaks, training_peaks
from services.hardware.core_range import Range
from services.hardware.core_trained import Target
from tests.bench.estimate_grid import GRID, MODELS, Record, make_model, measure

_DEVICE = Device("cpu", 1 << 40, 1 << 40, cores=1)
MB = 1e6
WANTED_SHARE, WANTED_ERROR = 0.9, 0.1


@dataclass(frozen=True)
class Row:
    """One quantity of one training: the range that was expected, and what came."""

    title: str
    expected: Range
    measured: float

    @property
    def within(self) -> bool:
        return self.expected.low <= self.measured <= self.expected.high

    @property
    def error(self) -> float:
        """How far off the likely value is, as a share of what was measured."""
        return self.expected.likely / self.measured - 1

    @property
    def width(self) -> float:
        """The range's width as a share of the likely value."""
        return (self.expected.high - self.expected.low) / self.expected.likely


def expected(record: Record) -> tuple[Range, Range]:
    """Return the peaks of training and of evaluating, from what is known before: settings and lengths in tokens."""
    case, found = record.case, shape(record.config_json)
    plan = Plan(
        target=Target(method=case.method, r=case.r),
        per_device_train_batch_size=case.batch,
        gradient_accumulation_steps=case.accumulation,
        max_length=case.length,
        gradient_checkpointing=case.checkpointing,
        packing=case.packing,
    )
    longest = Range.exactly(min(max(record.lengths), case.length))
    batch = min(BATCH_TOKENS, sum(record.held_out))
    training = training_peaks(found, found.parameters, plan, longest, _DEVICE)
    return training, evaluation_peaks(found, found.parameters, plan, longest, _DEVICE, batch)


def above_libraries(found: Range) -> Range:
    """Return the part of a range that the model makes."""
    fixed = LIBRARIES["cpu"]
    margin = fixed * LIBRARIES_SPREAD
    return Range(found.low - fixed + margin, found.likely - fixed, found.high - fixed - margin)


def table(name: str, rows: Sequence[Row]) -> tuple[float, float]:
    """Print the rows and return the share within the range, and the median error."""
    print(f"\n{name}, MB\n{'':<38}{'low':>7}{'likely':>8}{'high':>7}{'measured':>10}{'error':>8}")
    for row in rows:
        low, likely, high = (v / MB for v in (row.expected.low, row.expected.likely, row.expected.high))
        mark = "" if row.within else "  out"
        print(f"{row.title:<38}{low:>7.0f}{likely:>8.0f}{high:>7.0f}{row.measured / MB:>10.0f}{row.error:>+8.0%}{mark}")
    share = sum(row.within for row in rows) / len(rows)
    error = statistics.median(abs(row.error) for row in rows)
    width = statistics.median(row.width for row in rows)
    print(f"within the range: {share:.0%} of {len(rows)}; median error {error:.1%}; median width {width:.0%}")
    return share, error


def main() -> int:
    """Measure what has not been measured yet, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, help="file that measurements are kept in and read from")
    chosen = parser.parse_args().records
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        kept = chosen or folder / "records.jsonl"
        records = [Record.read(line) for line in kept.read_text().splitlines()] if kept.exists() else []
        missing = [case for case in GRID if case not in {record.case for record in records}]
        for name in MODELS if missing else ():
            make_model(name, folder / name)
        for case in missing:
            records.append(measure(case, folder, folder / "work"))
            with kept.open("a") as lines:
                lines.write(records[-1].line() + "\n")
    estimates = [(record, expected(record)) for record in records]
    training = [Row(r.case.title, above_libraries(peaks[0]), r.training) for r, peaks in estimates]
    evaluation = [Row(r.case.title, above_libraries(peaks[1]), r.evaluation) for r, peaks in estimates]
    share, error = table("Peak memory of training, above the libraries", training)
    table("Peak memory of evaluation, above the libraries", evaluation)
    return 0 if share >= WANTED_SHARE and error < WANTED_ERROR else 1


if __name__ == "__main__":
    sys.exit(main())
