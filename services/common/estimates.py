"""What who asks for an estimate and who makes it agree on. Pure."""

from __future__ import annotations

import math

from services.common.errors import InvalidArgument

MOST_EXAMPLES = 2_000
"""Most examples whose lengths are told."""


def require_price(price: float, field: str) -> None:
    """Refuse what is no price of an hour.

    Raises:
        InvalidArgument: it is below 0, infinite or no number.
    """
    if not (math.isfinite(price) and price >= 0):
        raise InvalidArgument(f"price_per_hour is {price:g}. Use 0 or more, and 0 when it is not known.", field=field)
