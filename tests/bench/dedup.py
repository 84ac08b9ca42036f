"""Near duplicates beside datasketch: python -m tests.bench.dedup [--texts N] [--threshold X]

The same made-up examples, a third of them changed copies, go into both in the same order; each text is asked for and
then added. Printed: texts a second, the share of the pairs that an exact comparison of the same kind of shingles finds,
and how many pairs are wrong. Ends in less than a minute with the defaults.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from datasketch import MinHash, MinHashLSH

from services.dataset.core.nearness import PERMUTATIONS, SHINGLE, Nearness, jaccard, shingles
from tests.unit.dataset.test_dataset_doubles import texts

Pairs = set[tuple[int, int]]


def ours(some: list[str], threshold: float) -> Pairs:
    """Find near pairs as the service does."""
    known, found = Nearness(threshold), set()
    for text in some:
        near = known.near(text)
        number = known.add(text)
        found.update((other, number) for other in near)
    return found


def theirs(some: list[str], threshold: float) -> Pairs:
    """Find near pairs with datasketch, its own bands, and no comparison afterwards, as its manual shows."""
    index, found = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS), set()
    for number, text in enumerate(some):
        minhash = MinHash(num_perm=PERMUTATIONS)
        minhash.update_batch([text[i : i + SHINGLE].encode() for i in range(max(1, len(text) - SHINGLE + 1))])
        found.update((other, number) for other in index.query(minhash))
        index.insert(number, minhash)
    return found


def exact(some: list[str], threshold: float) -> Pairs:
    """Compare every text with every other."""
    sets = [shingles(text) for text in some]
    return {(a, b) for b in range(len(some)) for a in range(b) if jaccard(sets[a], sets[b]) >= threshold}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=1500, help="examples (%(default)s)")
    parser.add_argument("--threshold", type=float, default=0.9, help="least similarity (%(default)s)")
    args = parser.parse_args()
    some = texts(args.texts)
    right = exact(some, args.threshold)
    print(f"{len(some)} texts, {len(right)} near pairs at {args.threshold}")
    ways: dict[str, Callable[[list[str], float], Pairs]] = {"ours": ours, "datasketch": theirs}
    for name, way in ways.items():
        began = time.perf_counter()
        found = way(some, args.threshold)
        seconds = time.perf_counter() - began
        print(
            f"{name:12} {len(some) / seconds:8.0f} texts/s   recall {len(found & right) / len(right):.4f}"
            f"   wrong pairs {len(found - right)}"
        )


if __name__ == "__main__":
    main()
