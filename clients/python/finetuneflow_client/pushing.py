"""Weights out: a downloaded folder to an OCI registry, as a ModelPack artifact, or to a model hub.

In a registry each file is a layer of its own, uncompressed, so that files that are there already are not sent again.
The artifact is a CNCF ModelPack, https://github.com/modelpack/model-spec; each layer bears its file's name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetuneflow_client.errors import FtfError
from finetuneflow_client.uploads import measure

ARTIFACT = "application/vnd.cncf.model.manifest.v1+json"
CONFIG = "application/vnd.cncf.model.config.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_WEIGHT, _SETTINGS, _PAPER = (
    f"application/vnd.cncf.model.{kind}.v1.raw" for kind in ("weight", "weight.config", "doc")
)
_LOGIN = "run `docker login`, or give --username and --password-file"
_INSTALL = 'install it with `pip install "finetuneflow-client[push]"`'

_PATIENCE_SECONDS, _SILENCE_SECONDS = 10.0, 300.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Login:
    """Who pushes; empty: the registry's entry in ~/.docker/config.json, or for a hub $HF_TOKEN or its saved login."""

    user: str = ""
    secret: str = ""


def push_oci(folder: Path, reference: str, login: Login, *, plain_http: bool = False, say: Say = print) -> str:
    """Push a folder to an OCI registry and return the reference with the manifest's digest.

    Layers that are there are not sent again; pushing the same folder again gives the same digest.

    Args:
        folder: what `ftf download` wrote.
        reference: registry.example.com/team/model:tag; without a tag: latest.
        plain_http: for a registry without TLS.
        say: hears of each file that is sent.

    Raises:
        FtfError: FAILED_PRECONDITION without the package oras; UNAUTHENTICATED; INVALID_ARGUMENT for a bad reference,
            or when the registry refuses; UNAVAILABLE when it does not answer.
    """
    with _explained(reference):
        registry, container = _registry(reference, login, plain_http)
        layers = []
        for path in _files(folder):
            layer = _layer(path.name, *measure(path))
            if not registry.blob_exists(layer, container):
                say(f"sending {path.name}")
                _accepted(registry.put_upload(str(path), container, layer), path.name)
            layers.append(layer)
        with _config_file(folder, layers) as (config, path):
            _accepted(registry.upload_blob(str(path), container, config), "the configuration")
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "artifactType": ARTIFACT, "config": config}
        answer = registry.upload_manifest({**manifest, "layers": layers}, container)
        _accepted(answer, "the manifest")
    name = container.uri.rpartition(":")[0]
    return f"{name}@{answer.headers.get('Docker-Content-Digest', '')}"


@contextlib.contextmanager
def _explained(reference: str) -> Iterator[None]:
    """Turn the library's errors into ours."""
    try:
        import requests
    except ImportError:
        raise FtfError("the package oras is missing", _INSTALL, code="FAILED_PRECONDITION") from None
    try:
        yield
    except ImportError:
        raise FtfError("the package oras is missing", _INSTALL, code="FAILED_PRECONDITION") from None
    except requests.RequestException as error:
        message = f"the registry of {reference} does not answer ({type(error).__name__})"
        raise FtfError(message, "check its address, and --plain-http for one without TLS", code="UNAVAILABLE") from None
    except ValueError as error:  # what oras raises for a reference, and for a login that is refused
        if "auth" in str(error).lower():
            raise FtfError("the registry asks for a login", _LOGIN, code="UNAUTHENTICATED") from None
        raise FtfError(f"{reference} cannot be pushed to: {error}", "check it", code="INVALID_ARGUMENT") from None


def push_hub(folder: Path, repository: str, login: Login, *, private: bool = True, endpoint: str = "") -> str:
    """Push a folder to a model hub and return the commit's URL; the repository is made if it is not there.

    Args:
        folder: what `ftf download` wrote.
        repository: owner/name.
        private: whether a new repository is.
        endpoint: URL of the hub; empty: $HF_ENDPOINT, or Hugging Face's.

    Raises:
        FtfError: FAILED_PRECONDITION without the package huggingface-hub, or with HF_HUB_OFFLINE set; UNAUTHENTICATED;
            INVALID_ARGUMENT when the hub refuses; UNAVAILABLE when it does not answer.
    """
    with _explained_by_hub(repository):
        from huggingface_hub import HfApi

        api = HfApi(endpoint=endpoint or None, token=login.secret or None)
        api.create_repo(repository, private=private, exist_ok=True)
        names = [path.name for path in _files(folder)]
        commit = api.upload_folder(repo_id=repository, folder_path=folder, allow_patterns=names)
        return str(commit.commit_url)


@contextlib.contextmanager
def _explained_by_hub(repository: str) -> Iterator[None]:
    """Turn the hub library's errors into ours."""
    try:
        from huggingface_hub import errors
    except ImportError:
        raise FtfError("the package huggingface-hub is missing", _INSTALL, code="FAILED_PRECONDITION") from None
    try:
        yield
    except errors.OfflineModeIsEnabled:
        raise FtfError("HF_HUB_OFFLINE is set", "unset it to reach the hub", code="FAILED_PRECONDITION") from None
    except errors.LocalTokenNotFoundError:
        raise FtfError("the hub asks for a token", "set $HF_TOKEN", code="UNAUTHENTICATED") from None
    except errors.HfHubHTTPError as error:
        raise _refused_by_hub(error.response.status_code) from None
    except errors.HFValidationError as error:
        raise FtfError(f"{repository}: {error}", "use owner/name", code="INVALID_ARGUMENT") from None
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]  # that of the HTTP client it uses
        what = type(error).__name__
        raise FtfError(f"the hub does not answer ({what})", "try again later", code="UNAVAILABLE") from None


def _refused_by_hub(status: int) -> FtfError:
    if status in (401, 403):
        return FtfError("the hub refuses the token", "give one that may write there", code="UNAUTHENTICATED")
    code = "INVALID_ARGUMENT" if 400 <= status < 500 else "UNAVAILABLE"
    return FtfError(f"the hub answers with HTTP {status}", "check the repository's name", code=code)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _registry(reference: str, login: Login, plain_http: bool) -> tuple[Any, Any]:
    """Return oras's client and the parsed reference."""
    import requests
    from oras.container import Container

    container = Container(reference)
    scheme = "http" if plain_http else "https"
    greeting = requests.get(f"{scheme}://{container.registry}/v2/", timeout=_PATIENCE_SECONDS)
    basic = greeting.headers.get("Www-Authenticate", "").lower().startswith("basic")
    registry = _client()(insecure=plain_http, auth_backend="basic" if basic else "token")
    if login.user:
        registry.auth.set_basic_auth(login.user, login.secret)
    else:
        registry.auth.load_configs(container)
    if basic and not hasattr(registry.auth, "_basic_auth"):
        raise FtfError("the registry asks for a login", _LOGIN, code="UNAUTHENTICATED")
    if basic:
        # Sent from the start: a file whose upload is refused would have to be read again.
        registry.session.headers.update(registry.auth.get_auth_header())
    return registry, container


def _client() -> Any:
    """Return the class of oras's client with ways of our own: the library is there only where it is needed."""
    from oras.provider import Registry
    from requests.adapters import HTTPAdapter

    class Patient(HTTPAdapter):
        """Gives up a registry that says nothing for a while."""

        def send(self, *args: Any, **options: Any) -> Any:
            return super().send(*args, **{**options, "timeout": (_PATIENCE_SECONDS, _SILENCE_SECONDS)})

    class Streaming(Registry):  # type: ignore[misc]  # ships no types
        """Sends a blob from its file, where the library has it in memory whole; a refusal is not repeated."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.session.mount(f"{self.prefix}://", Patient())

        def do_request(self, *args: Any, **options: Any) -> Any:
            return Registry.do_request.__wrapped__(self, *args, **options)

        def put_upload(self, blob: str, container: Any, layer: dict[str, Any]) -> Any:
            begun = self.do_request(f"{self.prefix}://{container.upload_blob_url()}", "POST")
            _accepted(begun, "an upload")
            place = self._get_location(begun, container)
            place += ("&" if "?" in place else "?") + f"digest={layer['digest']}"
            headers = {"Content-Length": str(layer["size"]), "Content-Type": "application/octet-stream"}
            with Path(blob).open("rb") as file:
                return self.do_request(place, "PUT", data=file, headers=headers)

    return Streaming


def _layer(name: str, size: int, sha256: str) -> dict[str, Any]:
    suffix = name.rpartition(".")[2]
    kind = (
        _WEIGHT
        if suffix in ("safetensors", "gguf", "onnx", "onnx_data")
        else _PAPER
        if suffix in ("md", "html", "png", "pem")
        else _SETTINGS
    )
    titles = {"org.cncf.model.filepath": name, "org.opencontainers.image.title": name}
    return {"mediaType": kind, "digest": f"sha256:{sha256}", "size": size, "annotations": titles}


@contextlib.contextmanager
def _config_file(folder: Path, layers: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Path]]:
    """Yield the descriptor of the artifact's configuration, and the file that holds it."""
    form = next((form for form in ("gguf", "onnx") if any(folder.glob(f"*.{form}"))), "safetensors")
    content = {
        "descriptor": {"name": folder.absolute().name},
        "config": {"format": form},
        "modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in layers]},
    }
    data = json.dumps(content, sort_keys=True).encode()
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "config.json"
        path.write_bytes(data)
        yield {"mediaType": CONFIG, "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}, path


def _accepted(answer: Any, what: str) -> None:
    if answer.status_code in (200, 201, 202):
        return
    if answer.status_code in (401, 403):
        raise FtfError(f"the registry does not let you push {what}", _LOGIN, code="UNAUTHENTICATED")
    code = "INVALID_ARGUMENT" if answer.status_code < 500 else "UNAVAILABLE"
    raise FtfError(f"the registry refuses {what} (HTTP {answer.status_code})", "check the reference", code=code)
