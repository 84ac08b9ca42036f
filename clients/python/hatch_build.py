"""Hatch build hook: the contract goes into the sdist, and the code generated from it into the wheel.

In the repository the contract lies two folders up; in an unpacked sdist beside this file. An editable install takes the
code that `make gen` wrote.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GeneratedCode(BuildHookInterface[Any]):
    """Adds protos/ to an sdist and finetuneflow/ to a wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files to add, generating them first for a wheel."""
        if version == "editable":
            return
        protos = self._protos()
        if self.target_name == "sdist":
            build_data["force_include"][str(protos / "finetuneflow")] = "protos/finetuneflow"
            build_data["force_include"][str(protos / "generate.py")] = "protos/generate.py"
            return
        self._scratch = tempfile.mkdtemp(prefix="finetuneflow-")
        subprocess.run([sys.executable, str(protos / "generate.py"), self._scratch], check=True)
        build_data["force_include"][str(Path(self._scratch, "finetuneflow"))] = "finetuneflow"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was generated; the wheel has it."""
        if scratch := getattr(self, "_scratch", None):
            shutil.rmtree(scratch)

    def _protos(self) -> Path:
        root = Path(self.root)
        for folder in (root / "protos", root.parent.parent / "protos"):
            if (folder / "generate.py").exists():
                return folder
        sys.exit("The contract is missing: build from the repository or from an sdist.")
