"""Objects, the bytes that documents name: the port, and the store in a folder (`folder`)."""

from __future__ import annotations

from services.common.objects.port import Objects, Stored

__all__ = ["Objects", "Stored"]
