"""What NATS's errors mean."""

from __future__ import annotations

import nats.errors
import nats.js.errors

from services.common.errors import Unavailable

AWAY = (nats.errors.Error, OSError, TimeoutError)
"""What the driver raises when NATS is away, or does not do what is asked."""

_OFF = (10039, 10076)  # not enabled for the account, not enabled
_TOO_MANY_COPIES = (10005, 10074)  # no suitable peers, not a cluster


def explain(error: BaseException) -> Unavailable:
    """Return the error of ours for one of NATS's; what only a person can set right is CONFIGURATION."""
    code = error.err_code if isinstance(error, nats.js.errors.APIError) else None
    off = isinstance(error, nats.js.errors.ServiceUnavailableError) and error.code is None  # nobody listens there
    if off or code in _OFF:
        wrong = "NATS keeps no events, for JetStream is off. Start it as `nats-server --jetstream`."
    elif code in _TOO_MANY_COPIES:
        wrong = (
            "NATS has too few servers for the copies that FTF_NATS_REPLICAS (nats.replicas of the chart) asks for. "
            "Set it to 1, or run three."
        )
    else:
        return Unavailable(f"NATS did not take a message ({error}). Wait a moment, then repeat.")
    return Unavailable(wrong, reason="CONFIGURATION")
