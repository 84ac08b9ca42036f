"""What an installation on one machine does not have is not imported there."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
import services.local, services.common.main
for name in ("ingest", "dataset", "hardware", "training", "export"):
    __import__(f"services.{name}.compose")
print([name for name in sys.modules if name.partition(".")[0] == "kubernetes"])
"""


def test_the_client_of_kubernetes_is_imported_only_where_it_is_used() -> None:
    """It is no part of an installation without the extra `cluster`, and costs 20 MB."""
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
