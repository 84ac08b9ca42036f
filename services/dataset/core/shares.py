"""How the replicas of the service divide the calls that one endpoint may be asked at once.

Each holder of a share renews it, or loses it when its time is over. A share grows only into what nobody holds, and
shrinks on record only once the calls in flight have: so the shares on record never add up to more than there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TURN_SECONDS = 60
"""How long the same holders have one call more than the others, where calls cannot be divided evenly."""


@dataclass(frozen=True)
class Holder:
    """A replica with calls to make.

    Args:
        name: the replica's.
        share: calls that it may have in flight, or still has.
        expires: when its share is anybody's, in seconds since 1970.
        pace: calls at once that it found the server to take; 0 where it has not found that out.
    """

    name: str
    share: int
    expires: float
    pace: int = 0


@dataclass(frozen=True)
class Division:
    """What one holder is given.

    Args:
        others: the other holders that live.
        fair: its part once all of them keep to theirs.
        allowed: what it may have in flight now, at most fair.
        pace: its part of what the holders together found the server to take; 0 where they did not.
    """

    others: tuple[Holder, ...]
    fair: int
    allowed: int
    pace: int

    @property
    def holders(self) -> int:
        """How many share, this one included."""
        return len(self.others) + 1

    def kept(self, name: str, in_flight: int, expires: float, pace: int) -> list[Holder]:
        """Return what to put on record; in_flight counts the calls that it still has, over its part perhaps."""
        return [*self.others, Holder(name, max(self.allowed, in_flight), expires, pace)]


def divide(holders: Sequence[Holder], name: str, most: int, now: float) -> Division:
    """Return what the holder of that name may have of `most` calls; it may be new."""
    others = tuple(one for one in holders if one.name != name and one.expires > now)
    names = sorted([name, *(one.name for one in others)])
    each, over = divmod(most, len(names))
    turn = (names.index(name) + int(now // TURN_SECONDS)) % len(names)
    fair = each + (turn < over)
    room = max(0, most - sum(one.share for one in others))
    found = [one.pace for one in others]
    pace = max(1, sum(found) // len(names)) if found and all(found) else 0
    return Division(others, fair, min(fair, room), pace)
