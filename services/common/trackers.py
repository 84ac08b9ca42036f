"""Experiment trackers that a training may report to, by TRL's `report_to`, and what each needs from outside.

Where they are and the keys to them come from the environment of the trainer: on one machine that of `ftf up`, on a
cluster variables and Secrets of the chart's Jobs. No run's settings and no Job's spec holds any of it. Pure.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence

from services.common.errors import InvalidArgument, NotReady

SECRETS = ("WANDB_API_KEY", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD")
"""Variables whose values are never shown."""
VARIABLES = ("WANDB_", "MLFLOW_", "TRACKIO_")
"""How the names of variables begin that are the trackers'."""
_USERINFO = re.compile(r"://([^/?#\s]+)@")
_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "tensorboard": ("tensorboardX", "tensorboard"),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
}
"""Tracker → packages of which one is enough."""
_PLACES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "mlflow": (("MLFLOW_TRACKING_URI",), "MLFLOW_TRACKING_URI to the server's URL"),
    "wandb": (
        ("WANDB_BASE_URL",),
        "WANDB_BASE_URL to the server's URL (https://api.wandb.ai is the public one) and WANDB_API_KEY, or "
        "WANDB_MODE=offline",
    ),
    "trackio": (("TRACKIO_DIR", "TRACKIO_SPACE_ID"), "TRACKIO_DIR to a folder, or TRACKIO_SPACE_ID to a Space"),
}
"""Tracker → variables of which one says where it is, and what to set."""


def secrets_of(environment: Mapping[str, str]) -> list[str]:
    """Return what in the trackers' variables is never shown: keys, and what stands before the host in their URLs."""
    found = [environment[name] for name in SECRETS if environment.get(name)]
    for name, value in environment.items():
        if name.startswith(VARIABLES) and (userinfo := _USERINFO.search(value)):
            password = userinfo[1].partition(":")[2]
            found += [text for text in (userinfo[1], password, urllib.parse.unquote(password)) if text]
    return found


def check_names(names: Sequence[str]) -> list[str]:
    """Return the trackers named, each once; "none" is none.

    Raises:
        InvalidArgument: a name is no tracker's.
    """
    found = [name for name in dict.fromkeys(names) if name != "none"]
    for name in found:
        if name not in _PACKAGES:
            raise InvalidArgument(
                f'report_to is "{name[:80]}". Use one or more of {", ".join(_PACKAGES)}, or none.',
                field="config.report_to",
            )
    return found


def require(names: Sequence[str], installed: Callable[[str], bool], environment: Mapping[str, str]) -> None:
    """Refuse trackers that cannot be reported to from here; nothing is asked of the net.

    Args:
        names: from `check_names`.
        installed: whether a package can be imported.
        environment: of the trainer.

    Raises:
        NotReady: TRACKER_MISSING or TRACKER_NO_HOST.
    """
    for name in names:
        packages = _PACKAGES[name]
        if not any(map(installed, packages)):
            raise NotReady(
                f"report_to {name} needs a package that is not installed with the trainer. Run `pip install "
                f"{packages[0]}` there, or leave it out.",
                reason="TRACKER_MISSING",
                field="config.report_to",
            )
        places, remedy = _PLACES.get(name, ((), ""))
        offline = name == "wandb" and environment.get("WANDB_MODE") in ("offline", "disabled")
        if places and not offline and not any(environment.get(place) for place in places):
            raise NotReady(
                f"report_to {name} does not say where: nothing is sent to a host that nobody named. Set {remedy}, in "
                "the environment of `ftf up` or of the chart's Jobs; or leave it out.",
                reason="TRACKER_NO_HOST",
                field="config.report_to",
            )
