"""Python packages that some settings of a training need, and that the trainer does not bring. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.common.errors import InvalidArgument

Installed = Callable[[str], bool]
"""Whether a Python package is there for the trainer, by the name that it is imported by."""

OF_PACKAGES: Mapping[str, tuple[str, str]] = {
    # optimizer: what is imported, what is installed
    "adamw_torch_4bit": ("torchao", "torchao"),
    "adamw_torch_8bit": ("torchao", "torchao"),
    "grokadamw": ("grokadamw", "grokadamw"),
    "stable_adamw": ("optimi", "torch-optimi"),
    "schedule_free_adamw": ("schedulefree", "schedulefree"),
    "schedule_free_radam": ("schedulefree", "schedulefree"),
    "schedule_free_sgd": ("schedulefree", "schedulefree"),
}


def require(installed: Installed, *, optim: str = "", use_liger_kernel: bool = False) -> None:
    """Refuse settings whose package is not there.

    Raises:
        InvalidArgument: PACKAGE_MISSING.
    """
    module, package = OF_PACKAGES.get(optim, ("", ""))
    if module and not installed(module):
        raise _missing(f"optim {optim}", package, "config.optim")
    if use_liger_kernel and not installed("liger_kernel"):
        raise _missing("use_liger_kernel", "liger-kernel", "config.use_liger_kernel")


def _missing(what: str, package: str, field: str) -> InvalidArgument:
    return InvalidArgument(
        f"{what} needs the package {package}, which is not installed with the trainer. Run `pip install {package}` "
        "there, or leave the setting out.",
        reason="PACKAGE_MISSING",
        metadata={"package": package},
        field=field,
    )
