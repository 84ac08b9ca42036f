"""What an installation behind one address says of itself by reflection, whichever of its programs is asked."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from google.protobuf.descriptor import FileDescriptor

from services.common.config import SERVICES


def served_elsewhere(names: Iterable[str]) -> list[str]:
    """Return the protobuf names of the services of other programs; from then on reflection describes them, too.

    One program answers reflection for all that stand behind an address, and knows the contract of those alone whose
    code is loaded.

    Args:
        names: of services, as configured; what is none of FineTuneFlow's is passed over.
    """
    found = []
    for name in sorted(set(names) & set(SERVICES)):
        module = importlib.import_module(f"finetuneflow.{name}.v1.{name}_service_pb2")
        file: FileDescriptor = module.DESCRIPTOR
        found += [service.full_name for service in file.services_by_name.values()]
    return found
