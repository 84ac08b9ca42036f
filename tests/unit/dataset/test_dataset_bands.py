"""The hash table of bands."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.dataset.core.bands import Bands, keys

BANDS = 4
Rows = list[list[int]]


@given(st.lists(st.lists(st.integers(0, 40), min_size=BANDS, max_size=BANDS), max_size=400))
def test_texts_that_share_a_key_are_brought_up_and_no_others(texts: Rows) -> None:
    """However many share a slot, and through the growth of the table, one after the other in the order of adding."""
    table, known = Bands(BANDS), [np.array(text, dtype=np.uint32) << 10 for text in texts]
    found = []
    for text in known:
        found.append(table.sharing(text))
        table.add(text)
    told = [[n for n, other in enumerate(known[:at]) if set(other) & set(text)] for at, text in enumerate(known)]

    assert found == told


def test_a_key_is_made_of_its_own_band_and_of_its_place() -> None:
    """Signatures that agree in one band have that key in common and no other; equal bands differ by their places."""
    one, other = np.arange(128, dtype=np.uint32), np.arange(128, dtype=np.uint32) + 1000
    other[8:16] = one[8:16]
    ours, theirs = keys(one, 8), keys(other, 8)

    assert len(ours) == 16
    assert [place for place in range(16) if ours[place] == theirs[place]] == [1]
    assert len(set(keys(np.zeros(128, dtype=np.uint32), 8).tolist())) == 16
