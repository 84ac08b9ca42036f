"""The base model and its tokenizer, as files and in memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common.chat.tokens import Chat, Message
from services.common.errors import FineTuneFlowError, NotReady
from services.trainer.hub import explained, fetch_small, fetch_weights, has_file
from services.trainer.transfer import sha256_file

_GENERATION = "generation_config.json"


@dataclass(frozen=True)
class Source:
    """Where a base model is.

    Args:
        location: absolute path of a folder, or a hub id.
        revision: commit, for a hub id; for a folder the SHA-256 over its files' names and hashes; "" for any.
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
    """Refuse a folder that cannot be a model, or is not the one that was asked for, before anything heavy is loaded.

    A folder's revision is computed from all of its files, weights too; a hub's files are pinned by their commit.

    Raises:
        NotReady: with reason MODEL_NOT_FOUND, MODEL_INVALID or PICKLE_WEIGHTS.
    """
    if not source.is_folder:
        return
    folder = Path(source.location)
    if not folder.is_dir():
        raise NotReady(f"The folder of model {source.name} is gone. Put it back.", reason="MODEL_NOT_FOUND")
    if not (folder / "config.json").is_file():
        raise NotReady(f"Model {source.name} has no config.json. Use a complete folder.", reason="MODEL_INVALID")
    if not any(folder.glob("*.safetensors")):
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth"))
        if pickled:
            raise NotReady(
                f"Model {source.name} has only pickle weights, which can run code. Use one with safetensors.",
                reason="PICKLE_WEIGHTS",
            )
        raise NotReady(f"Model {source.name} has no weights. Use a complete folder.", reason="MODEL_INVALID")
    if source.revision and folder_revision(folder) != source.revision:
        raise NotReady(
            f"The files of model {source.name} are no longer those of its revision. Put them back, or create the model "
            "again and train with that.",
            reason="MODEL_INVALID",
            metadata={"revision": source.revision},
        )


def folder_revision(folder: Path) -> str:
    """Return a folder's revision: SHA-256 over the lines "name sha256" of its files, sorted, each with a newline.

    Files in folders below and those whose name begins with "." do not count. Every file is read.
    """
    files = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    lines = sorted(f"{path.name} {sha256_file(path)}\n" for path in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def load_tokenizer(source: Source) -> Any:
    """Return the stock tokenizer.

    Raises:
        FineTuneFlowError: as load_model.
    """
    from transformers import AutoTokenizer

    return _load(source, lambda: AutoTokenizer.from_pretrained(source.location, **_pinned(source)))


def chat_of(tokenizer: Any) -> Chat:
    """Return the stock tokenizer as what makes labelled tokens; its template may be missing.

    Raises:
        NotReady: with reason MODEL_INVALID if it is none of the kind that a tokenizer.json holds.
    """
    core = getattr(tokenizer, "backend_tokenizer", None)
    if core is None:
        raise NotReady(
            "The model's tokenizer is none that a tokenizer.json describes. Use another model.", reason="MODEL_INVALID"
        )
    named = {name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    return Chat(core, tokenizer.chat_template, named)


def render(tokenizer: Any, messages: Sequence[Message]) -> str:
    """Return a conversation up to where the assistant is to speak, as the library renders it for everybody."""
    text: str = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    return text


def load_config(source: Source) -> Any:
    """Return the base model's configuration.

    Raises:
        FineTuneFlowError: as load_model.
    """
    from transformers import AutoConfig

    return _load(source, lambda: AutoConfig.from_pretrained(source.location, **_pinned(source)))


def load_generation(source: Source) -> Any | None:
    """Return the base model's generation settings, None if it has none.

    Raises:
        FineTuneFlowError: as load_model.
    """
    from transformers import GenerationConfig

    def load() -> Any:
        if source.is_folder:
            has = (Path(source.location) / _GENERATION).is_file()
        else:
            has = has_file(source.location, source.revision, _GENERATION)
        return GenerationConfig.from_pretrained(source.location, **_pinned(source)) if has else None

    return _load(source, load)


def local_folder(source: Source) -> Path:
    """Return the folder of the base model's weights; those of a hub are fetched if they are not there yet.

    Raises:
        FineTuneFlowError: as load_model.
    """
    if source.is_folder:
        return Path(source.location)
    return Path(_load(source, lambda: fetch_weights(source.location, source.revision)))


def load_model(source: Source, dtype: Any) -> Any:
    """Return the base model on the CPU, in evaluation mode, from safetensors only and without remote code.

    Args:
        source: where it is.
        dtype: a torch dtype.

    Raises:
        NotReady: with reason MODEL_INVALID, and of a hub MODEL_NOT_FOUND, MODEL_GATED or HUB_DISABLED.
        Unavailable: the hub does not answer, or with an error of its own.
        Exhausted: with reason DISK_FULL: the hub's cache has no room for it.
    """
    return _pretrained(source, dtype=dtype)


def load_quantised(source: Source, dtype: Any) -> Any:
    """Return the base model with the matrices of its layers in 4 bits: NF4 with double quantisation.

    On a GPU it is there already, otherwise on the CPU. As for load_model.

    Args:
        source: where it is.
        dtype: what is computed in, and what the rest of the weights is kept in.
    """
    from bitsandbytes.nn.modules import Linear4bit
    from transformers import BitsAndBytesConfig

    settings = BitsAndBytesConfig(  # type: ignore[no-untyped-call]  # untyped in transformers
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    model = _pretrained(source, dtype=dtype, quantization_config=settings)
    for layer in model.modules():
        if isinstance(layer, Linear4bit):
            # On some CPUs it would pack the weights for a kernel that computes in bfloat16, and not all shapes.
            layer.support_avx512bf16_for_cpu = False
    return model


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


def _pretrained(source: Source, **options: Any) -> Any:
    from transformers import AutoModelForCausalLM

    def load() -> Any:
        if not source.is_folder:
            fetch_weights(source.location, source.revision)
        model = AutoModelForCausalLM
        return model.from_pretrained(source.location, use_safetensors=True, **options, **_pinned(source))

    return _load(source, load)


def _load(source: Source, load: Callable[[], Any]) -> Any:
    try:
        if not source.is_folder:
            fetch_small(source.location, source.revision)
        return load()
    except FineTuneFlowError:
        raise
    except Exception as error:
        ours = None if source.is_folder else explained(source.location, error)
        if ours is None and not isinstance(error, OSError | ValueError | KeyError):
            raise
        raise ours or _invalid(source, error) from error


def _invalid(source: Source, error: Exception) -> NotReady:
    first = str(error).strip().split("\n")[0].replace(source.location, source.name)[:300]
    return NotReady(f"Model {source.name} cannot be loaded: {first} Check its files.", reason="MODEL_INVALID")
