"""What a program is told from outside: read once, in its main, and passed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

VERSION = "0.1.0"
SERVICES = ("ingest", "dataset", "hardware", "training", "export")

Place = Literal["local", "kubernetes"]


@dataclass(frozen=True)
class Config:
    """Addresses and limits of one program.

    Args:
        state: folder for this program's own files: keys, caches, scratch.
        documents: URL of the document store; {service} stands for the service's name.
        objects: URL of the object store.
        nats: URL of NATS.
        nats_replicas: copies that NATS keeps of every event, 1 to 5.
        listen: host:port to serve at; port 0 takes a free one.
        addresses: service name → gRPC target; a service that is not named is at `listen`.
        instance: this replica's name; one process at a time may bear it.
        release: name of the installation; it marks the objects that belong to it.
        take_over: namespace/release of an installation that is no more, whose documents this one goes on with.
        allow_hub: whether model hubs may be reached.
        awq: whether a cluster's trainers have the packages of AWQ; on one machine that is seen.
        onnx: the same of the packages of ONNX.
        max_upload_bytes: largest upload.
        sweep_seconds: longest wait before due work is seen without being woken.
        lease_seconds: after which work of a replica that went silent is taken over.
        drain_seconds: how long calls may go on after the program was told to end.
        metrics: host:port of the Prometheus metrics; "" for none.
        object_keys: access key and secret key of the object store; empty for a folder.
        token_file: file with the one user's token.
        tokens_dir: folder of user tokens: a file's name is the token's.
        signing_key_file: key of launches' and attempts' tokens, and that from which the one of signed weights follows;
            shared by replicas; None: one of this state folder.
        service_token_file: this service's own ServiceAccount token, for calls to other services; None: a signed one.
        service_accounts: user name of a ServiceAccount → the service that it stands for; not empty: services show
            ServiceAccount tokens, which the Kubernetes API checks, and signed tokens of services are not taken.
        jobs: where runs and exports run: "local" as processes, or as Kubernetes Jobs.
        job_template: file with the settings of Kubernetes Jobs.
        inventory: which machines the hardware service knows: this one, or the cluster's nodes.
        llm_keys_dir: folder of API keys for LLM endpoints: a file's name is the key's; None: keys come with the call.
        llm_allow: beginnings of the URLs that LLM endpoints may have; None allows all.
        hub_token_file: file with the model hub's token.
        settings: further settings of single services, by name: llm_patience_seconds.
    """

    state: Path
    documents: str = field(repr=False)
    objects: str
    nats: str = field(repr=False)
    nats_replicas: int = 1
    listen: str = "127.0.0.1:0"
    addresses: Mapping[str, str] = field(default_factory=dict)
    instance: str = "local"
    release: str = "finetuneflow"
    take_over: str = ""
    allow_hub: bool = False
    awq: bool = False
    onnx: bool = False
    max_upload_bytes: int = 200_000_000
    sweep_seconds: float = 1.0
    lease_seconds: float = 30.0
    drain_seconds: float = 3.0
    metrics: str = ""
    object_keys: tuple[str, str] = field(default=("", ""), repr=False)
    token_file: Path | None = None
    tokens_dir: Path | None = None
    signing_key_file: Path | None = None
    service_token_file: Path | None = None
    service_accounts: Mapping[str, str] = field(default_factory=dict)
    jobs: Place = "local"
    job_template: Path | None = None
    inventory: Place = "local"
    llm_keys_dir: Path | None = None
    llm_allow: tuple[str, ...] | None = None
    hub_token_file: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
