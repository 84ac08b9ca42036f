"""What a program is told from outside: read once, in its main, and passed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.common.errors import InvalidArgument

VERSION = "0.1.0"
SERVICES = ("ingest", "dataset", "hardware", "training", "export")


@dataclass(frozen=True)
class Config:
    """Addresses and limits of one program.

    Args:
        state: folder for this program's own files: keys, caches, scratch.
        documents: URL of the document store; {service} stands for the service's name.
        objects: URL of the object store.
        nats: URL of NATS.
        listen: host:port to serve at; port 0 takes a free one.
        addresses: service name → host:port; a service that is not named is at `listen`.
        instance: this replica's name; one process at a time may bear it.
        allow_hub: whether model hubs may be reached.
        max_upload_bytes: largest upload.
        sweep_seconds: longest wait before due work is seen without being woken.
        lease_seconds: after which work of a replica that went silent is taken over.
        metrics: host:port of the Prometheus metrics; "" for none.
        settings: further settings of single services, by name.
    """

    state: Path
    documents: str
    objects: str
    nats: str
    listen: str = "127.0.0.1:0"
    addresses: Mapping[str, str] = field(default_factory=dict)
    instance: str = "local"
    allow_hub: bool = False
    max_upload_bytes: int = 200_000_000
    sweep_seconds: float = 1.0
    lease_seconds: float = 30.0
    metrics: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


def from_environment(environ: Mapping[str, str]) -> Config:
    """Return the configuration that environment variables give to a service run on its own.

    FTF_STATE, FTF_DOCUMENTS, FTF_OBJECTS, FTF_NATS_URL, FTF_LISTEN, FTF_INSTANCE, FTF_ALLOW_HUB, FTF_METRICS,
    FTF_<SERVICE>_ADDRESS.

    Raises:
        InvalidArgument: a variable that must be set is not.
    """
    missing = [name for name in ("FTF_STATE", "FTF_DOCUMENTS", "FTF_OBJECTS", "FTF_NATS_URL") if not environ.get(name)]
    if missing:
        raise InvalidArgument(f"{', '.join(missing)} not set. Set them, or use `ftf up` on one machine.")
    addresses = {s: environ[f"FTF_{s.upper()}_ADDRESS"] for s in SERVICES if f"FTF_{s.upper()}_ADDRESS" in environ}
    return Config(
        state=Path(environ["FTF_STATE"]),
        documents=environ["FTF_DOCUMENTS"],
        objects=environ["FTF_OBJECTS"],
        nats=environ["FTF_NATS_URL"],
        listen=environ.get("FTF_LISTEN", "127.0.0.1:0"),
        addresses=addresses,
        instance=environ.get("FTF_INSTANCE", "local"),
        allow_hub=environ.get("FTF_ALLOW_HUB", "") == "1",
        metrics=environ.get("FTF_METRICS", ""),
    )
