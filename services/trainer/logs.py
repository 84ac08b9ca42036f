"""Log lines: plain on stdout, and up to the service as reports, both without secrets."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from typing import Protocol

_SIGNED_URL = re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]+")
_USERINFO = re.compile(r"(\w://)[^/?#\s'\"]+@")
_BEARER = re.compile(r"(?i)bearer\s+[\w.~+/=-]+")
_LEVELS = {"DEBUG": "INFO", "CRITICAL": "ERROR"}


class Lines(Protocol):
    """Takes log lines; Reporter is one."""

    def line(self, level: str, text: str) -> None:
        """Take one line."""
        ...


class Scrubber:
    """Takes secrets out of text: what it was told of, bearer headers, of URLs the query and what is before the host."""

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def add(self, secret: str) -> None:
        """Take this out of every text from now on."""
        if secret := secret.strip():  # as what uses it does
            self._secrets.append(secret)

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = _USERINFO.sub(r"\1***@", _SIGNED_URL.sub(r"\1?***", text))
        return _BEARER.sub("Bearer ***", text)


def say(level: str, text: str, when: float = 0) -> None:
    """Write a line of the log to stdout and nowhere else; `when`: seconds since 1970, 0 stands for this moment."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when or time.time()))
    sys.stdout.write(f"{stamp} {level} {text}\n")
    sys.stdout.flush()


class _Handler(logging.Handler):
    """Makes one line of a record. Of a traceback only the exception's class is kept."""

    def __init__(self, scrub: Scrubber) -> None:
        super().__init__(logging.INFO)
        self._scrub = scrub
        self.up: Lines | None = None
        self._inside = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to stdout, and hand it up."""
        if getattr(self._inside, "busy", False):
            return
        self._inside.busy = True
        try:
            text = self._scrub(" ".join(record.getMessage().split("\n")).strip())
            if record.exc_info and record.exc_info[1] is not None:
                text += f" ({type(record.exc_info[1]).__name__})"
            level = _LEVELS.get(record.levelname, record.levelname)
            say(level, text, record.created)
            if self.up is not None:
                self.up.line(level, text)
        except Exception:
            self.handleError(record)
        finally:
            self._inside.busy = False


class Log:
    """The program's log.

    Lines of ours from INFO up, of the libraries from WARNING up: "2026-01-31T12:00:00Z INFO text".
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self.scrub = Scrubber()
        for secret in secrets:
            self.scrub.add(secret)
        self._handler = _Handler(self.scrub)

    def start(self, rank: int = 0) -> None:
        """Take over Python's logging and its warnings; a process that does not lead only warns."""
        root = logging.getLogger()
        root.addHandler(self._handler)
        root.setLevel(logging.WARNING)
        logging.getLogger("services.trainer").setLevel(logging.WARNING if rank else logging.INFO)
        logging.captureWarnings(True)

    def send_to(self, lines: Lines | None) -> None:
        """Hand lines up from now on; None ends it."""
        self._handler.up = lines

    def stop(self) -> None:
        """Let go of Python's logging."""
        logging.getLogger().removeHandler(self._handler)
        logging.captureWarnings(False)


def quiet_libraries() -> None:
    """Send what the libraries log through Python's logging; no progress bars, and no word of what they will change."""
    import datasets
    import huggingface_hub.constants
    import transformers

    huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY = True

    transformers.utils.logging.disable_default_handler()
    transformers.utils.logging.enable_propagation()
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # has no types
    datasets.utils.logging.enable_propagation()
    datasets.disable_progress_bars()
    # It misses kernels for 4-bit weights on CPUs, which nothing here has.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
