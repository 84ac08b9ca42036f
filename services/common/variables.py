"""The environment variables of a service that runs on its own: their names, meanings, forms and defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from services.common.config import SERVICES, Config
from services.common.errors import InvalidArgument

_DRAIN_SECONDS = 20.0
MOST_PORT = 65535
_ACCOUNT = re.compile(r"system:serviceaccount:[a-z0-9]([-a-z0-9]*[a-z0-9])?:[a-z0-9]([-.a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True)
class Variable:
    """One variable.

    Args:
        field: of Config.
        meaning: for --help, on one line.
        read: turns its text into the field's value; raises ValueError that says which form it has.
    """

    name: str
    field: str
    meaning: str
    read: Callable[[str], Any] = str
    required: bool = False


def _path(text: str) -> Path:
    if not text.startswith("/"):
        raise ValueError("an absolute path")
    return Path(text)


def _url(*schemes: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        # Several hosts may follow, separated by commas, with or without a scheme of their own.
        if not text.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(" or ".join(f"{scheme}://…" for scheme in schemes))
        return text

    return read


def host_port(text: str) -> str:
    """Return host:port as it is. Raises ValueError, which says the form, without a host or a port of 0 to 65535."""
    host, _, port = text.rpartition(":")
    if not host or not re.fullmatch("[0-9]{1,5}", port) or int(port) > MOST_PORT:
        raise ValueError(f"host:port with a port of 0 to {MOST_PORT}")
    return text


def _target(text: str) -> str:
    found = re.search(r"[^:/]:([0-9]{1,5})$", text)
    if (
        not found
        or not 0 < int(found[1]) <= MOST_PORT
        or re.search(r"\s", text)
        or text.startswith(("http:", "https:"))
    ):
        raise ValueError(f"a gRPC target: host:port or dns:///host:port, with a port of 1 to {MOST_PORT}")
    return text


def _installation(text: str) -> str:
    if not re.fullmatch(r"[^\s/]+/[^\s/]+", text):
        raise ValueError("NAMESPACE/RELEASE")
    return text


def _switch(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("1 or 0")
    return text == "1"


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"a whole number from {least} to {most}")
        return int(text)

    return read


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text) or float(text) < 0.05:
        raise ValueError("seconds, from 0.05")
    return float(text)


def _one_of(**values: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in values:
            raise ValueError(" or ".join(values))
        return values[text]

    return read


def _accounts(text: str) -> dict[str, str]:
    pairs = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    if not pairs or any(not _ACCOUNT.fullmatch(account) or service not in SERVICES for account, _, service in pairs):
        raise ValueError("system:serviceaccount:NAMESPACE:NAME=SERVICE, separated by commas")
    return {account: service for account, _, service in pairs}


def _prefixes(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    for part in found:
        url = urlsplit(part)
        if url.scheme not in ("http", "https") or not url.hostname or "@" in url.netloc or url.query or url.fragment:
            raise ValueError("URLs such as https://host/v1, separated by commas, without user or query")
    return found


VARIABLES = (
    Variable("FTF_STATE", "state", "folder for the program's own files", _path, required=True),
    Variable(
        "FTF_DOCUMENTS",
        "documents",
        "sqlite:///folder/{service}.db or mongodb://…",
        _url("sqlite", "mongodb", "mongodb+srv"),
        required=True,
    ),
    Variable("FTF_OBJECTS", "objects", "file:///folder or s3://host:port/bucket", _url("file", "s3"), required=True),
    Variable("FTF_NATS_URL", "nats", "nats://host:port, or several", _url("nats", "tls", "ws", "wss"), required=True),
    Variable("FTF_NATS_REPLICAS", "nats_replicas", "copies that NATS keeps of an event (1)", _whole(1, 5)),
    Variable("FTF_LISTEN", "listen", "host:port to serve at (127.0.0.1:0, a free port)", host_port),
    Variable("FTF_METRICS", "metrics", "host:port of the Prometheus metrics (none)", host_port),
    Variable("FTF_INSTANCE", "instance", "this replica's name (local)"),
    Variable("FTF_RELEASE", "release", "name of the installation (finetuneflow)"),
    Variable(
        "FTF_TAKE_OVER",
        "take_over",
        "NAMESPACE/RELEASE that is no more, to go on with its stores; not to stay",
        _installation,
    ),
    Variable("FTF_TOKEN_FILE", "token_file", "file with the one user's token", _path),
    Variable("FTF_TOKENS_DIR", "tokens_dir", "folder of user tokens, a file each, named as the file", _path),
    Variable("FTF_SIGNING_KEY_FILE", "signing_key_file", "key that replicas share, 32 bytes or more", _path),
    Variable("FTF_SERVICE_TOKEN_FILE", "service_token_file", "this service's own ServiceAccount token", _path),
    Variable(
        "FTF_SERVICE_ACCOUNTS",
        "service_accounts",
        "system:serviceaccount:NAMESPACE:NAME=SERVICE,… whose tokens are taken",
        _accounts,
    ),
    Variable("FTF_JOBS", "jobs", "process or kubernetes (process)", _one_of(process="local", kubernetes="kubernetes")),
    Variable("FTF_JOB_TEMPLATE", "job_template", "file with the settings of Kubernetes Jobs", _path),
    Variable(
        "FTF_INVENTORY",
        "inventory",
        "local or kubernetes (local): this machine or the cluster's",
        _one_of(local="local", kubernetes="kubernetes"),
    ),
    Variable("FTF_LLM_KEYS_DIR", "llm_keys_dir", "folder of API keys for LLM endpoints, a file each", _path),
    Variable("FTF_LLM_ALLOW", "llm_allow", "URLs that LLM endpoints may begin with; empty allows none", _prefixes),
    Variable("FTF_ALLOW_HUB", "allow_hub", "1 lets model hubs be reached (0)", _switch),
    Variable("FTF_AWQ", "awq", "1 says that a cluster's trainers have what makes AWQ weights (0)", _switch),
    Variable("FTF_ONNX", "onnx", "1 says that a cluster's trainers have what makes ONNX weights (0)", _switch),
    Variable("FTF_HUB_TOKEN_FILE", "hub_token_file", "file with the model hub's token", _path),
    Variable("FTF_MAX_UPLOAD_BYTES", "max_upload_bytes", "largest upload (200000000)", _whole(1, 1 << 50)),
    Variable("FTF_SWEEP_SECONDS", "sweep_seconds", "longest wait before due work is seen (1)", _seconds),
    Variable("FTF_LEASE_SECONDS", "lease_seconds", "after which a silent replica's work is taken over (30)", _seconds),
    Variable("FTF_DRAIN_SECONDS", "drain_seconds", "how long calls may go on after SIGTERM (20)", _seconds),
)
_EMPTY_COUNTS = ("FTF_LLM_ALLOW",)
"""Variables that mean something when they are set to nothing."""


def from_environment(environ: Mapping[str, str]) -> Config:
    """Return the configuration that environment variables give to a service run on its own.

    Raises:
        InvalidArgument: a variable is missing or wrong; its value is not shown (CONFIGURATION).
    """
    missing = [variable.name for variable in VARIABLES if variable.required and not environ.get(variable.name)]
    if missing:
        raise configuration(f"{', '.join(missing)} not set. Set them, or use `ftf up` on one machine.")
    fields: dict[str, Any] = {"drain_seconds": _DRAIN_SECONDS}
    for variable in VARIABLES:
        text = environ.get(variable.name, "")
        if text or (variable.name in _EMPTY_COUNTS and variable.name in environ):
            fields[variable.field] = _read(variable.name, variable.read, text)
    fields["addresses"] = {
        service: _read(name, _target, environ[name])
        for service in SERVICES
        if environ.get(name := f"FTF_{service.upper()}_ADDRESS")
    }
    fields["object_keys"] = (environ.get("AWS_ACCESS_KEY_ID", ""), environ.get("AWS_SECRET_ACCESS_KEY", ""))
    config = Config(**fields)
    _check_together(config)
    return config


def _read(name: str, read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise configuration(f"{name} is not of its form. Set it to {error}.") from None


def _check_together(config: Config) -> None:
    if config.objects.startswith("s3:") and not all(config.object_keys):
        raise configuration(
            "FTF_OBJECTS is an S3 store, and its credentials are missing. "
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    if config.token_file and config.tokens_dir:
        raise configuration("FTF_TOKEN_FILE and FTF_TOKENS_DIR are both set. Set one of them.")
    if config.jobs == "kubernetes" and not config.job_template:
        raise configuration("FTF_JOBS is kubernetes without settings of Jobs. Set FTF_JOB_TEMPLATE to their file.")
    if config.service_accounts and not config.service_token_file:
        raise configuration(
            "FTF_SERVICE_ACCOUNTS is set, and this service has no such token itself. Set FTF_SERVICE_TOKEN_FILE."
        )


def configuration(message: str) -> InvalidArgument:
    """Return the error of a wrong setting; the message names the setting and the remedy."""
    return InvalidArgument(message, reason="CONFIGURATION")


OF_INGEST = {
    "FTF_INGEST_PROCESSES": "ingest: documents read at once, and processes that read a long PDF (its cores, at most 4)",
    "FTF_OCR": "ingest: off leaves scans unread though tesseract is installed (auto)",
    "FTF_OCR_LANGUAGES": "ingest: languages of scans as tesseract names them, eng+deu (its default)",
}
"""Variables that only the ingest service reads, and what they mean."""


def described() -> Iterator[str]:
    """Yield a line for every variable, for --help."""
    rows = [(variable.name, variable.meaning + ("; required" if variable.required else "")) for variable in VARIABLES]
    rows.append(("FTF_<SERVICE>_ADDRESS", "gRPC target of each other service, such as dns:///host:9000"))
    rows += OF_INGEST.items()
    rows.append(("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY", "credentials of an s3:// store"))
    width = max(len(name) for name, _ in rows[:-1]) + 2
    for name, meaning in rows:
        yield f"  {name.ljust(width)}{meaning}" if len(name) < width else f"  {name}  {meaning}"
