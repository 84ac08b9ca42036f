"""What a server is asked for beside replies: the purpose of a call, which its record's id begins with."""

from __future__ import annotations

JUDGED = "judge"
"""An example is scored."""
EMBEDDED = "embed"
"""The vector of a text is fetched."""
