"""The page of a training's defaults, a part of docs/reference.py: values from the code, reasons from defaults.toml.

What the libraries have instead is read from their own sources, without importing them: that takes half a minute.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from docs import recommended
from services.training import core
from services.training.core_methods import FULL, QLORA
from services.training.core_objectives import DPO, KTO, PRETRAIN

ROOT = Path(__file__).resolve().parents[1]
CASES: dict[str, dict[str, Any]] = {
    "": {},
    "qlora": {"method": QLORA},
    "full": {"method": FULL},
    "pretrain": {"objective": PRETRAIN},
    "dpo": {"objective": DPO},
    "dpo, full": {"objective": DPO, "method": FULL},
    "kto": {"objective": KTO},
}
"""What a default may depend on: the settings that are chosen. The first is LoRA on examples."""

UNSET = "not set"
_CHOSEN = ("method", "objective")
_SOURCES = {
    "SFTConfig": ("transformers.training_args", "trl.trainer.base_config", "trl.trainer.sft_config"),
    "DPOConfig": ("trl.trainer.dpo_config",),
    "KTOConfig": ("trl.trainer.kto_config",),
    "LoraConfig": ("peft.tuners.lora.config",),
}
"""Class of a library → the modules whose classes it is made of, in the order in which one overrides another."""

_INTRODUCTION = """# Training defaults

Made by `make docs`. The second column is what the service fills in, the third what TRL {trl}, transformers
{transformers} and PEFT {peft} would have taken. These are the contract's defaults, which `--no-recommended` keeps;
`ftf run` and `ftf train` otherwise [recommend](#what-is-recommended-instead) values for the model, the dataset and the
machine, and say so. A value with a name before it holds for that method or objective. "ours" means that nothing but
the reason given speaks for it: no paper, no library.

| setting | default | libraries | why | from |
|---|---|---|---|---|
"""


def completed() -> dict[str, dict[str, Any]]:
    """Return the settings that the service makes of nothing, for each case, those of the adapter as lora.…"""
    found = {}
    for case, given in CASES.items():
        settings = core.complete(dict(given), context_length=0, bf16_available=False)
        adapter = {f"lora.{name}": value for name, value in settings.pop("lora", {}).items()}
        unset = dict.fromkeys(core.OPEN - set(settings), UNSET) if not case else {}
        found[case] = {**{n: v for n, v in settings.items() if n not in _CHOSEN}, **unset, **adapter}
    return found


def rows() -> Iterator[tuple[str, str, str, str, str]]:
    """Yield each setting with its default, that of the libraries, the reason and the source."""
    reasons = tomllib.loads((ROOT / "docs/defaults.toml").read_text(encoding="utf-8"))
    cases, libraries, said = completed(), library(), comments()
    for name in dict.fromkeys(name for settings in cases.values() for name in settings):
        reason = reasons.get(name, {"why": said.get(name.removeprefix("lora."), ""), "source": "ours"})
        theirs = libraries["LoraConfig"].get(name[5:]) if name.startswith("lora.") else _theirs(name, libraries)
        yield name, _ours(name, cases), theirs or "", reason["why"], reason["source"]


def _ours(name: str, cases: dict[str, dict[str, Any]]) -> str:
    usual = cases[""].get(name)
    found = [] if usual is None else [written(usual)]
    for case, settings in cases.items():
        if name in settings and settings[name] != usual:
            if case == "dpo, full" and settings[name] == cases["dpo"].get(name):
                continue
            found.append(f"{case}: {written(settings[name])}")
    return "; ".join(found)


def _theirs(name: str, libraries: dict[str, dict[str, str]]) -> str:
    usual = libraries["SFTConfig"].get(name)
    others = {config: libraries[config].get(name) for config in ("DPOConfig", "KTOConfig")}
    found = [f"{config}: {value}" for config, value in others.items() if value and value != usual]
    return "; ".join([usual, *found] if usual else found)


def written(value: Any) -> str:
    """Return a value as the page writes it."""
    if value == UNSET:
        return UNSET
    if isinstance(value, float) and (value == int(value) or 0 < value < 0.001):
        return f"`{value:.0e}`".replace("e-0", "e-") if value % 1 else f"`{value:g}`"
    if isinstance(value, list):
        return "`" + (", ".join(map(str, value)) or "none") + "`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def library() -> dict[str, dict[str, str]]:
    """Return the defaults of each class of the libraries, as the page writes them, from their sources."""
    found = {}
    for config, modules in _SOURCES.items():
        values: dict[str, str] = {}
        for module in modules:
            values |= dict(_declared(module))
        found[config] = values
    return found


def _declared(module: str) -> Iterator[tuple[str, str]]:
    package, *below = module.split(".")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(package)
    path = Path(spec.origin).parent.joinpath(*below).with_suffix(".py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            value = _default(node.value)
            with contextlib.suppress(ValueError):  # what is computed is not told
                plain = ast.literal_eval(value) if value else []
                if plain != []:
                    yield node.target.id, UNSET if plain is None else written(plain)


def _default(value: ast.expr) -> ast.expr | None:
    """Return the expression of a dataclass's field that is its default."""
    if not isinstance(value, ast.Call):
        return value
    for keyword in value.keywords:
        if keyword.arg == "default":
            return keyword.value
        if keyword.arg == "default_factory" and isinstance(keyword.value, ast.Lambda):
            return keyword.value.body
    return None


def comments() -> dict[str, str]:
    """Return what the contract says of each setting."""
    text = (ROOT / "protos/finetuneflow/training/v1/config.proto").read_text(encoding="utf-8")
    found = re.findall(r"((?:^  //.*\n)+)  (?:optional|repeated)? ?\w+ (\w+) = \d+;", text, re.MULTILINE)
    return {name: " ".join(line.strip(" /") for line in comment.splitlines()) for comment, name in found}


def page() -> str:
    """Return the page."""
    versions = {name: version(name) for name in ("trl", "transformers", "peft")}
    table = (f"| `{row[0]}` | " + " | ".join(cell.replace("|", "\\|") for cell in row[1:]) + " |\n" for row in rows())
    return _INTRODUCTION.format(**versions) + "".join(table) + recommended.section()
