"""Whether a program can do its work now: asked by probes over gRPC health.

""            alive: SERVING as long as the program runs, for a restart helps no store that is away
"readiness"   SERVING while the documents answer and the program is not being stopped; so does each service's own name

What every replica shares takes every replica with it, so only what no call can do without counts. NATS and the object
store are looked at as well, and their absence is logged: reports are taken and questions answered without them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from grpc_health.v1 import health, health_pb2

from services.common.errors import FineTuneFlowError

READINESS = "readiness"
LOOK_SECONDS = 3.0
PATIENCE_SECONDS = 5.0

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

Check = Callable[[], Awaitable[bool]]

log = logging.getLogger(__name__)


class Readiness:
    """Looks at what the program needs, again and again, and tells the health service.

    Args:
        checker: the health service.
        names: protobuf names of the program's services.
        checks: what there is → whether it answers; one that raises, or takes 5 s, does not.
        needed: those of them without which the program is not ready.
    """

    def __init__(
        self,
        checker: health.aio.HealthServicer,
        names: Sequence[str],
        checks: Mapping[str, Check],
        needed: Collection[str],
    ) -> None:
        self._checker = checker
        self._names = (READINESS, *names)
        self._checks = checks
        self._needed = needed
        self._away: tuple[str, ...] = ()
        self._left = False

    async def begin(self) -> None:
        """Say that the program is not ready yet, so that whoever asks before the first look gets an answer."""
        for name in self._names:
            await self._checker.set(name, _NOT_SERVING)

    async def run(self) -> None:
        """Look every three seconds until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Look once, and say what was found."""
        answers = await asyncio.gather(*(self._answers(check) for check in self._checks.values()))
        away = tuple(name for name, answer in zip(self._checks, answers, strict=True) if not answer)
        if away != self._away:
            if away:
                log.warning("no answer from %s", ", ".join(away))
            else:
                log.warning("everything answers again")
            self._away = away
        await self._checker.set("", _SERVING)
        await self._say()

    async def leave(self) -> None:
        """Say from now on that the program is not ready; it stays alive."""
        self._left = True
        await self._say()

    async def _say(self) -> None:
        missing = any(name in self._needed for name in self._away)
        status = _NOT_SERVING if missing or self._left else _SERVING
        for name in self._names:
            await self._checker.set(name, status)

    async def _answers(self, check: Check) -> bool:
        try:
            return await asyncio.wait_for(check(), PATIENCE_SECONDS)
        except (FineTuneFlowError, TimeoutError, OSError):
            return False
