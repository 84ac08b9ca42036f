"""What a container of the bed sees of the host, at its first start and at the next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.cluster.bed.process import LAUNCHER


def run(folder: Path, visible: Path, mounted: Path, *argv: str) -> str:
    """Run a program in a container with a volume over a host folder, and return its output."""
    for name in ("root", "volume"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "log").touch()
    mount = {"source": str(folder / "volume"), "path": str(mounted), "readOnly": False}
    spec = {
        "root": str(folder / "root"), "mounts": [mount],
        "visible": [str(visible)], "show": [], "readOnly": True, "hostname": "h", "terminationLog": str(folder / "log"),
        "workdir": "/", "argv": argv, "env": {},
    }  # fmt: skip
    (folder / "spec.json").write_text(json.dumps(spec))
    pipe = os.open(os.devnull, os.O_RDONLY)
    command = [sys.executable, "-I", "-S", str(LAUNCHER), str(folder / "spec.json"), str(pipe)]
    found = subprocess.run(command, capture_output=True, text=True, pass_fds=[pipe], check=False)
    os.close(pipe)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def test_what_is_visible_under_a_volume_is_so_at_each_start(tmp_path: Path) -> None:
    """The first start leaves an empty folder in the volume, where the next one finds it; so with a clone under /tmp."""
    host = tmp_path / "mounted" / "clone"
    host.mkdir(parents=True)
    (host / "file").write_text("of the host")
    seen = [run(tmp_path, host, tmp_path / "mounted", "/bin/cat", str(host / "file")) for _ in range(2)]

    assert seen == ["of the host"] * 2
    assert list((tmp_path / "volume" / "clone").iterdir()) == []
