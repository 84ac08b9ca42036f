"""Whether a program can do its work now: asked by probes over gRPC health.

""            alive: SERVING as long as the program runs, for a restart helps no store that is away
"readiness"   SERVING while the stores answer and the program is not being stopped; so does each service's own name
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

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
        checks: what is needed → whether it answers; one that raises, or takes 5 s, does not.
    """

    def __init__(self, checker: health.aio.HealthServicer, names: Sequence[str], checks: Mapping[str, Check]) -> None:
        self._checker = checker
        self._names = (READINESS, *names)
        self._checks = checks
        self._away: tuple[str, ...] = ()
        self._left = False

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
                log.warning("not ready: no answer from %s", ", ".join(away))
            else:
                log.warning("ready again")
            self._away = away
        await self._checker.set("", _SERVING)
        await self._say()

    async def leave(self) -> None:
        """Say from now on that the program is not ready; it stays alive."""
        self._left = True
        await self._say()

    async def _say(self) -> None:
        status = _NOT_SERVING if self._away or self._left else _SERVING
        for name in self._names:
            await self._checker.set(name, status)

    async def _answers(self, check: Check) -> bool:
        try:
            return await asyncio.wait_for(check(), PATIENCE_SECONDS)
        except (FineTuneFlowError, TimeoutError, OSError):
            return False
