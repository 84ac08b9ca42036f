"""A hub's model: its files are there before a library looks for one, and a failure is said in our own words.

Transformers looks for some files without minding that the hub does not answer, and would go on without a chat
template or the tokens that end an answer, or say that there are no weights. So they are fetched first, where each
failure is one.
"""

from __future__ import annotations

import errno
import json
from pathlib import Path

from services.common.errors import Exhausted, FineTuneFlowError, NotReady, Unavailable

_SMALL = ("*.json", "*.jinja", "*.model", "*.txt")
"""Configuration and tokenizer."""
_WEIGHTS = "model.safetensors"
_AGAIN = (408, 425, 429)
"""Refusals that may pass, beside those of 500 and above."""


def fetch_small(hub_id: str, revision: str) -> Path:
    """Return the folder of the cache where a model's files are; all but its weights are there now.

    Raises:
        Exception: see `explained`.
    """
    from huggingface_hub import snapshot_download

    found = snapshot_download(hub_id, revision=revision or None, allow_patterns=list(_SMALL), ignore_patterns=["*/*"])
    return Path(found)


def fetch_weights(hub_id: str, revision: str) -> Path:
    """Return the folder of the cache where a model's files are, with its weights: one file, or those of its index.

    Of a model that has both the one file is fetched, which transformers would load. What is there is not asked for.

    Raises:
        Exception: see `explained`.
    """
    from huggingface_hub import snapshot_download

    folder = fetch_small(hub_id, revision)
    index = folder / "model.safetensors.index.json"
    names = [_WEIGHTS]
    if index.is_file() and not _is_known(folder, hub_id, revision, _WEIGHTS):
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    return Path(snapshot_download(hub_id, revision=revision or None, allow_patterns=names))


def has_file(hub_id: str, revision: str, name: str) -> bool:
    """Return whether a model has a file, which is in the cache then. That it is missing there says nothing by itself.

    Raises:
        Exception: that cannot be found out; see `explained`.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    known = _is_known(fetch_small(hub_id, revision), hub_id, revision, name)
    if known is not None:
        return known
    try:
        hf_hub_download(hub_id, name, revision=revision or None)
        return True
    except LocalEntryNotFoundError:
        raise
    except EntryNotFoundError:
        return False


def _is_known(folder: Path, hub_id: str, revision: str, name: str) -> bool | None:
    """Whether a model has a file, by its folder of the cache and the list kept there; None where there is no list."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    if (folder / name).is_file():
        return True
    try:
        return any(file.path == name for file in get_cached_repo_tree(hub_id, revision=revision or None))
    except CachedRepoTreeNotFoundError:
        return None


def explained(hub_id: str, error: BaseException) -> FineTuneFlowError | None:
    """Return what a failure to fetch a hub's model means; None if the hub has no part in it.

    Args:
        hub_id: the model's.
        error: a library's; what it was made of counts.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError: that of the HTTP client it uses
        GatedRepoError,
        HTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    chain = _chain(error)
    if any(_is_full(one) for one in chain):
        return Exhausted(f"The disk of the hub's cache is full: {hub_id} was not fetched whole. Free space there.")
    statuses = (getattr(getattr(one, "response", None), "status_code", None) for one in chain)
    status = next((one for one in statuses if one is not None), 0)
    if any(isinstance(one, GatedRepoError) for one in chain) or status in (401, 403):
        return _gated(hub_id)
    if any(isinstance(one, RepositoryNotFoundError | RevisionNotFoundError) for one in chain):
        return NotReady(
            f"{hub_id}, or its commit, is no longer on the hub. Check the id, and create the model again.",
            reason="MODEL_NOT_FOUND",
        )
    if status >= 500 or status in _AGAIN:
        return Unavailable(f"The hub answered with HTTP {status} for {hub_id}. It is asked again; else wait and retry.")
    if constants.HF_HUB_OFFLINE and any(
        isinstance(one, OfflineModeIsEnabled | LocalEntryNotFoundError) for one in chain
    ):
        return NotReady(
            f"Not all files of {hub_id} are in the hub's cache, and HF_HUB_OFFLINE is set for trainers. Unset it "
            "(hub.allow of the chart), fetch the model there, or use a local folder.",
            reason="HUB_DISABLED",
        )
    lost = (HTTPError, LocalEntryNotFoundError, ConnectionError, TimeoutError)
    if not status and any(isinstance(one, lost) for one in chain):
        return Unavailable(
            f"The hub cannot be reached for {hub_id} ({type(chain[-1]).__name__}). It is asked again; else check the "
            "network of the trainers and retry."
        )
    return None


def _gated(hub_id: str) -> NotReady:
    return NotReady(
        f"{hub_id} is gated, private or no longer there, and the trainer has no token with access. Accept the model's "
        "licence on the hub, and give a token: FTF_HUB_TOKEN_FILE or HF_TOKEN of `ftf up`, hub.existingSecret of "
        "the chart.",
        reason="MODEL_GATED",
    )


def _is_full(error: BaseException) -> bool:
    """Whether a disk is full; Xet's client says so in words alone."""
    number = error.errno if isinstance(error, OSError) else None
    return number in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error)


def _chain(error: BaseException | None) -> list[BaseException]:
    """Return an error and those that it was made of, the outermost first."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
