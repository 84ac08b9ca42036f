"""Documents, the truth of every service: the port, and the store for one machine (`sqlite`)."""

from __future__ import annotations

from services.common.documents.port import Collection, Document, Documents, Where

__all__ = ["Collection", "Document", "Documents", "Where"]
