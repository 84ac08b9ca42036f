"""A process that has a run's base and tuned model loaded and answers questions to them until nobody asks any more.

It obeys the stream of ChatWorkerService: the first message says what to load, the others are questions. A thread reads
them, so that one that is taken back is broken off while its answer is made. When the stream ends, so does the process;
a line that breaks ends it too, and the service starts another with the next question.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc

from finetuneflow.training.v1 import chat_worker_service_pb2 as pb
from finetuneflow.training.v1 import chat_worker_service_pb2_grpc
from services.common.errors import FineTuneFlowError
from services.common.statuses import to_status
from services.trainer.basemodel import is_offline
from services.trainer.config import EXIT_DONE, EXIT_NEVER, EXIT_RETRY, Launch, Patience
from services.trainer.failures import explain
from services.trainer.logs import Scrubber
from services.trainer.surroundings import last_word, prepare_libraries
from services.trainer.worker import OPTIONS, as_error

log = logging.getLogger(__name__)

_TOLD_SECONDS = 10.0
"""How long a process that cannot load its models waits until that was heard."""


class Line:
    """The line to the service.

    Args:
        launch: where it is, and the token that opens it.
    """

    def __init__(self, launch: Launch) -> None:
        self._channel = grpc.insecure_channel(launch.address, options=OPTIONS)
        self._said: queue.SimpleQueue[pb.ConverseRequest | None] = queue.SimpleQueue()
        self._asks: queue.SimpleQueue[pb.Ask | None] = queue.SimpleQueue()
        self._stopped = 0
        self._over = threading.Event()
        stub = chat_worker_service_pb2_grpc.ChatWorkerServiceStub(self._channel)
        self._orders = stub.Converse(
            iter(self._said.get, None), metadata=(("authorization", f"Bearer {launch.token}"),), wait_for_ready=True
        )

    def spec(self) -> pb.ChatSpec:
        """Return what to load, and begin to listen. Raises FineTuneFlowError if the chat is over."""
        try:
            spec: pb.ChatSpec = next(self._orders).spec
        except grpc.RpcError as error:
            raise as_error(error) from error
        except StopIteration:
            raise FineTuneFlowError("The chat was over before it began. Ask again.") from None
        threading.Thread(target=self._listen, daemon=True).start()
        return spec

    def _listen(self) -> None:
        try:
            for order in self._orders:
                if order.HasField("ask"):
                    self._asks.put(order.ask)
                elif order.HasField("stop"):
                    self._stopped = order.stop
        except grpc.RpcError as error:
            log.info("The line ended: %s", as_error(error))
        finally:
            self._over.set()
            self._asks.put(None)

    def asks(self) -> Iterator[pb.Ask]:
        """Yield questions as they come, until the line ends; those that were taken back meanwhile are left out."""
        while (ask := self._asks.get()) is not None:
            if not self.is_stopped(ask.number):
                yield ask

    def is_stopped(self, number: int) -> bool:
        """Whether nobody waits for the answer to a question any more."""
        return self._over.is_set() or self._stopped >= number

    def say(self, number: int, **said: Any) -> None:
        """Say something about a question, or about none (0)."""
        self._said.put(pb.ConverseRequest(ask=number, **said))

    def close(self) -> None:
        """End the line once what was said is on its way."""
        self._said.put(None)
        self._over.wait(_TOLD_SECONDS)
        self._channel.close()


def chat(launch: Launch, patience: Patience, scrub: Scrubber) -> int:
    """Load what the service says and answer its questions; return the exit code."""
    line = Line(launch)
    try:
        spec = line.spec()
    except FineTuneFlowError as error:
        log.error("The chat was not begun: %s", error)
        last_word(scrub(f"The chat was not begun: {error}"))
        return EXIT_RETRY
    try:
        models = _load(launch, patience, spec, line)
    except Exception as error:
        ours = explain(error, scrub)
        log.error("%s", ours)
        last_word(str(ours))
        line.say(0, failed=to_status(ours))
        line.close()
        return EXIT_NEVER
    for ask in line.asks():
        try:
            for conversation in ask.conversations:
                line.say(ask.number, answer=models.answer(conversation, ask, line))
        except Exception as error:
            line.say(ask.number, failed=to_status(explain(error, scrub)))
    line.close()
    return EXIT_DONE


def _load(launch: Launch, patience: Patience, spec: pb.ChatSpec, line: Line) -> Any:
    began = time.perf_counter()
    prepare_libraries(os.environ, offline=is_offline(spec))
    from services.trainer.chatmodels import load

    models = load(launch.folder, patience, spec)
    seconds = time.perf_counter() - began
    log.info("The models of %s are loaded, in %.1f s.", spec.run, seconds)
    line.say(0, loaded=pb.Loaded(seconds=seconds))
    return models
