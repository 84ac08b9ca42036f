"""The base model and its tokenizer, as files and in memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common.errors import FineTuneFlowError, NotReady


@dataclass(frozen=True)
class Source:
    """Where a base model is.

    Args:
        location: absolute path of a folder, or a hub id.
        revision: commit, for a hub id; not looked at for a folder, whose hash the service has checked.
        name: what to call it in files that go out: never a path of this machine.
    """

    location: str
    revision: str
    name: str

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of this machine."""
        return os.path.isabs(self.location)


def source_of(location: str, revision: str, name: str = "") -> Source:
    """Return a source whose name is the hub id, or the model's own last name, or the folder's."""
    if not os.path.isabs(location):
        return Source(location, revision, location)
    return Source(location, revision, name.rpartition("/")[2] or Path(location).name)


def check_files(source: Source) -> None:
    """Refuse a folder that cannot be a model before anything heavy is loaded.

    Raises:
        NotReady: with reason MODEL_NOT_FOUND, MODEL_INVALID or PICKLE_WEIGHTS.
    """
    if not source.is_folder:
        return
    folder = Path(source.location)
    if not folder.is_dir():
        raise NotReady(f"The folder of model {source.name} is gone. Put it back.", reason="MODEL_NOT_FOUND")
    for name in ("config.json", "tokenizer_config.json"):
        if not (folder / name).is_file():
            raise NotReady(f"Model {source.name} has no {name}. Use a complete folder.", reason="MODEL_INVALID")
    if not any(folder.glob("*.safetensors")):
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth"))
        if pickled:
            raise NotReady(
                f"Model {source.name} has only pickle weights, which can run code. Use one with safetensors.",
                reason="PICKLE_WEIGHTS",
            )
        raise NotReady(f"Model {source.name} has no weights. Use a complete folder.", reason="MODEL_INVALID")


def load_tokenizer(source: Source) -> Any:
    """Return the stock tokenizer.

    Raises:
        NotReady: with reason MODEL_INVALID or MODEL_NOT_FOUND.
    """
    from transformers import AutoTokenizer

    return _load(source, lambda: AutoTokenizer.from_pretrained(source.location, **_pinned(source)))


def load_model(source: Source, dtype: Any) -> Any:
    """Return the base model on the CPU, in evaluation mode, from safetensors only and without remote code.

    Args:
        source: where it is.
        dtype: a torch dtype.

    Raises:
        NotReady: with reason MODEL_INVALID or MODEL_NOT_FOUND.
    """
    from transformers import AutoModelForCausalLM

    options = {"dtype": dtype, "use_safetensors": True, "attn_implementation": "sdpa"}
    return _load(source, lambda: AutoModelForCausalLM.from_pretrained(source.location, **options, **_pinned(source)))


def dtype_for(bf16: bool) -> Any:
    """Return bfloat16 if it is wanted and there is a GPU that has it, else float32."""
    import torch

    return torch.bfloat16 if bf16 and torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32


def _pinned(source: Source) -> dict[str, Any]:
    pinned: dict[str, Any] = {"trust_remote_code": False}
    if source.is_folder:
        pinned["local_files_only"] = True
    elif source.revision:
        pinned["revision"] = source.revision
    return pinned


def _load(source: Source, load: Any) -> Any:
    try:
        return load()
    except FineTuneFlowError:
        raise
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().split("\n")[0].replace(source.location, source.name)[:300]
        reason = "MODEL_INVALID" if source.is_folder else "MODEL_NOT_FOUND"
        raise NotReady(f"Model {source.name} cannot be loaded: {first} Check its files.", reason=reason) from error
