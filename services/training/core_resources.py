"""Rules about what a run asks of the place where it runs. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from services.common.errors import InvalidArgument
from services.common.jobs.port import MAX_GPUS, MAX_NODES, Resources

MAX_DEADLINE_SECONDS = 10 * 365 * 86_400
MOST_PRIORITY = 1000
"""Largest priority of a run; the smallest is its negative."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_TEXTS = ("gpu_product", "cpu", "memory", "ephemeral_storage", "shm_size", "queue", "priority_class")


def checked(given: Mapping[str, Any]) -> Resources:
    """Return what is asked for, with `nodes` filled in.

    Args:
        given: by the contract's names; what is not there is unset.

    Raises:
        InvalidArgument: a number is out of range, or a name is none; the message says which. Quantities are for the
            runner of the Jobs to check.
    """
    gpus = given.get("gpus")
    wanted = Resources(
        gpus=None if gpus is None else _in_range("gpus", int(gpus), 0, MAX_GPUS),
        nodes=_in_range("nodes", int(given.get("nodes", 0)) or 1, 1, MAX_NODES),
        active_deadline_seconds=_in_range(
            "active_deadline_seconds", int(given.get("active_deadline_seconds", 0)), 0, MAX_DEADLINE_SECONDS
        ),
        **{name: str(given.get(name, "")) for name in _TEXTS},
    )
    _check_name("queue", wanted.queue, _LABEL)
    _check_name("priority_class", wanted.priority_class, _NAME)
    _check_name("gpu_product", wanted.gpu_product, _LABEL)
    if wanted.gpu_product and wanted.gpus == 0:
        raise InvalidArgument(
            "gpu_product is given and gpus is 0. Ask for GPUs, or leave the product out.", field="resources.gpu_product"
        )
    return wanted


def _in_range(name: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise InvalidArgument(f"{name} is {value}. Use {low} to {high}.", field=f"resources.{name}")
    return value


def _check_name(name: str, value: str, form: re.Pattern[str]) -> None:
    if value and not form.fullmatch(value):
        raise InvalidArgument(
            f'{name} "{value[:80]}" is not a name in Kubernetes. Use letters, digits, dashes and dots, '
            "beginning and ending with a letter or a digit.",
            field=f"resources.{name}",
        )


def check_priority(priority: int) -> int:
    """Return a run's priority.

    Raises:
        InvalidArgument: it is out of range.
    """
    if not -MOST_PRIORITY <= priority <= MOST_PRIORITY:
        raise InvalidArgument(
            f"priority is {priority}. Use {-MOST_PRIORITY:,} to {MOST_PRIORITY:,}.", field="run.priority"
        )
    return priority
