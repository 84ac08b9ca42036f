"""Models on a hub that speaks the Hugging Face API.

They are described from their small files and the headers of their weights; the weights stay where they are.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from huggingface_hub import HfApi, constants, get_session, hf_hub_url
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError: that of the HTTP client it uses
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    SafetensorsParsingError,
)
from huggingface_hub.hf_api import ModelInfo, RepoSibling
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public, but not marked so for type checkers
    build_hf_headers,
    hf_raise_for_status,
)

from services.common import connecting
from services.common.chat.document import chat_document
from services.common.dependencies import Dependency, of_url
from services.common.errors import InvalidArgument, NotFound, NotReady, PermissionDenied, Unavailable
from services.hardware import core_model
from services.hardware.core_model import Description, File, invalid
from services.hardware.core_safetensors import Tensor, broken
from services.hardware.modelfiles import check_tokenizer, license_of_card, no_tokenizer, parse_json

log = logging.getLogger(__name__)

_BLOCK = 1 << 20


class HubSource:
    """Reads models of a hub; see ports.ModelSource.

    Args:
        allowed: whether hubs may be reached at all.
        endpoint: the hub's URL.
        token: returns the access token, None without one; asked at every read, so that a new one is used at once.
        timeout: seconds that one answer may take.
        patience: seconds that all of one model may take.
    """

    def __init__(
        self,
        allowed: bool,
        endpoint: str,
        token: Callable[[], str | None],
        timeout: float = 10,
        patience: float = 120,
    ) -> None:
        # The library would ask huggingface.co which program of an AI agent it may run in, whatever the endpoint.
        constants.HF_HUB_DISABLE_TELEMETRY = True
        self._allowed = allowed
        self._endpoint = endpoint.rstrip("/")
        self._token = token
        self._timeout = timeout
        self._patience = patience

    async def dependencies(self) -> list[Dependency]:
        """Return the hub, for CheckDependencies."""
        if not self._allowed:
            off = "Reaching hubs is switched off; models come from folders."
            return [Dependency("model hub", self._endpoint, state="OFF", message=off)]
        return [of_url("model hub", self._endpoint)]

    async def read(self, location: str, revision: str) -> Description:
        """Return what a hub's model says; see ports.ModelSource."""
        if not self._allowed:
            raise NotReady(
                f"{location[:200]} is on a hub, and reaching hubs is switched off. Use a local folder, or start with "
                "--allow-hub (hub.allow of the chart).",
                reason="HUB_DISABLED",
            )
        token = await asyncio.to_thread(self._token)
        api = HfApi(endpoint=self._endpoint, token=token or False)
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.to_thread(self._read, api, location, revision)
        except TimeoutError:
            raise self._away(f"needs more than {self._patience:g} seconds") from None

    def _read(self, api: HfApi, hub_id: str, revision: str) -> Description:
        with self._errors(hub_id, revision, with_token=isinstance(api.token, str)):
            info = api.model_info(hub_id, revision=revision or None, timeout=self._timeout, files_metadata=True)
            return _Repository(api, hub_id, info, self._timeout).describe()

    @contextmanager
    def _errors(self, hub_id: str, revision: str, with_token: bool) -> Iterator[None]:
        """Turn the library's errors into ours. What they print may be long and hold URLs, so it goes to the log."""
        try:
            yield
        except GatedRepoError as error:
            log.info("%s: %s", hub_id, error)
            how = "the token has no access yet" if with_token else "there is no token"
            raise PermissionDenied(
                f"{hub_id} is gated and {how}. Ask for access at {self._endpoint}/{hub_id}, and give a token that "
                "has it.",
                reason="MODEL_GATED",
            ) from None
        except RevisionNotFoundError:
            raise _missing(f'{hub_id} has no revision "{revision[:80]}". Leave revision out for the newest.') from None
        except RepositoryNotFoundError:
            raise _missing(
                f"{hub_id} is not on {self._endpoint}, or is private. Check the id, or give a token."
            ) from None
        except EntryNotFoundError as error:
            log.warning("%s: %s", hub_id, error)
            raise invalid(f"A file that {hub_id} lists is not there. Try again, or use another model.") from None
        except HFValidationError:
            raise InvalidArgument(
                f'"{hub_id[:200]}" is not a hub id. Write it like HuggingFaceTB/SmolLM2-135M-Instruct.',
                field="model.hub_id",
            ) from None
        except SafetensorsParsingError as error:
            log.info("%s: %s", hub_id, error)
            raise invalid(f"The safetensors files of {hub_id} cannot be read. Use another model.") from None
        except OfflineModeIsEnabled:
            raise self._away("is not asked, for HF_HUB_OFFLINE is set: unset it, or use a local folder") from None
        except (HTTPError, OSError) as error:
            log.warning("%s: %s", hub_id, error)
            status = getattr(getattr(error, "response", None), "status_code", None)
            raise self._away(
                f"answered with HTTP {status}" if status else f"cannot be reached ({connecting.why(error)})"
            ) from None

    def _away(self, what: str) -> Unavailable:
        return Unavailable(
            f"The hub at {self._endpoint} {what}. Try again later, or use a local folder.", retry_after=30
        )


class _Repository:
    """One model at one commit. Everything blocks."""

    def __init__(self, api: HfApi, hub_id: str, info: ModelInfo, timeout: float) -> None:
        self._api = api
        self._hub_id = hub_id
        self._info = info
        self._timeout = timeout
        # Folders below hold other forms of the same model (onnx/, original/); transformers does not look there.
        self._files = {s.rfilename: s for s in info.siblings or [] if "/" not in s.rfilename}
        self._hashes: dict[str, str] = {}

    def describe(self) -> Description:
        names = tuple(sorted(self._files))
        if len(names) > core_model.MAX_FILES:
            raise invalid(f"{self._hub_id} has {len(names):,} files. Use a repository that holds one model.")
        first = core_model.weight_files(names, self._hub_id)
        config = core_model.check_config(self._json(core_model.CONFIG))
        if core_model.TOKENIZER not in names:
            raise no_tokenizer(self._hub_id)
        tokenizer = self._download(core_model.TOKENIZER, core_model.MAX_TOKENIZER)
        check_tokenizer(tokenizer)
        parameters, dtype = core_model.count_weights(self._weights(first, names), config)
        kept = core_model.kept_config(config)
        core_model.read_sizes(kept)
        return Description(
            revision=self._info.sha or "",
            files=tuple(self._file(self._files[name]) for name in names),
            config=kept,
            parameters=parameters,
            dtype=dtype,
            license=self._license(),
            gated=bool(self._info.gated),
            tokenizer=tokenizer,
            chat=self._chat(names),
        )

    def _weights(self, first: str, names: tuple[str, ...]) -> dict[str, Tensor]:
        if first == core_model.WEIGHTS:
            return self._header(first)
        index = parse_json(first, self._download(first, core_model.MAX_INDEX))
        weight_map = core_model.shards(index, names)
        stored: dict[str, Tensor] = {}
        for filename in sorted(set(weight_map.values())):
            part = self._header(filename)
            core_model.check_shard(filename, weight_map, part)
            stored |= part
        return stored

    def _header(self, filename: str) -> dict[str, Tensor]:
        found = self._api.parse_safetensors_file_metadata(
            self._hub_id, filename, revision=self._info.sha, timeout=self._timeout
        )
        return {name: Tensor(str(t.dtype), tuple(t.shape)) for name, t in found.tensors.items()}

    def _chat(self, names: tuple[str, ...]) -> bytes:
        settings, template = core_model.TOKENIZER_CONFIG, b""
        if core_model.TEMPLATE in names:
            template = self._download(core_model.TEMPLATE, core_model.MAX_JSON)
        return chat_document(self._json(settings) if settings in names else {}, template.decode("utf-8", "replace"))

    def _license(self) -> str:
        tag = next((t for t in self._info.tags or [] if t.startswith("license:")), "")
        if tag:
            return tag.removeprefix("license:")[:100]
        if core_model.README not in self._files:
            return ""
        return license_of_card(self._download(core_model.README, core_model.MAX_JSON).decode("utf-8", "replace"))

    def _json(self, filename: str) -> object:
        if filename not in self._files:
            raise invalid(f"{self._hub_id} has no {filename}. Use a model in the Hugging Face layout.")
        return parse_json(filename, self._download(filename, core_model.MAX_JSON))

    def _download(self, filename: str, limit: int) -> bytes:
        url = hf_hub_url(self._hub_id, filename, revision=self._info.sha, endpoint=self._api.endpoint)
        headers = build_hf_headers(token=self._api.token)
        data = bytearray()
        with get_session().stream("GET", url, headers=headers, timeout=self._timeout) as response:
            if response.is_error:
                response.read()
            hf_raise_for_status(response)
            for block in response.iter_bytes(_BLOCK):
                data += block
                if len(data) > limit:
                    raise broken(filename, f"has more than {limit:,} bytes")
        self._hashes[filename] = hashlib.sha256(data).hexdigest()
        return bytes(data)

    def _file(self, sibling: RepoSibling) -> File:
        # The hub announces SHA-256 for large files alone; of small ones it is known if they were read.
        announced = sibling.lfs.sha256 if sibling.lfs else self._hashes.get(sibling.rfilename, "")
        return File(sibling.rfilename, sibling.size or 0, announced)


def _missing(message: str) -> NotFound:
    return NotFound(message, reason="MODEL_NOT_FOUND", field="model.hub_id")
