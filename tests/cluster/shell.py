"""Install the chart into a bed of its own and leave a shell in front of it: `make bed-shell`.

What a platform team types against a cluster can be typed here, without one: `ftf`, helm, a kubectl of your own. It may
come from a script as standard input. Everything ends with the shell, and nothing is kept.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import yaml  # type: ignore[import-untyped]  # Comes with kubernetes, without types.

from tests.cluster.bed.cluster import Bed, Cluster
from tests.cluster.release.install import NAME, TOKEN, Release, installed
from tests.fakes.llm_server import MODEL
from tests.fakes.tiny_model import tiny_model

# What the trainer needs where pods share one interface, as in test_flow.py.
JOBS = {"GLOO_SOCKET_IFNAME": "lo"}
WORDS = f"""
The release {NAME} serves in the namespace {NAME}, without Docker and without images: its pods are processes.

  ftf status                               $FTF_SERVER and $FTF_TOKEN are set
  ftf model add /models/tiny --id tiny     a model of random weights, which trains in seconds
  ftf run samples/documents --model tiny --max-steps 6 --max-length 256 --chunk-tokens 256 \\
      --examples-per-chunk 2 --llm-url $FTF_LLM --llm-model {MODEL} -o build/bed
  helm status {NAME}                 and kubectl, where you have it

The LLM's sentences are cut out of the documents. Nothing outside can be reached. `exit` ends and removes all of it.
"""


def environment(release: Release, folder: Path) -> dict[str, str]:
    """Return the variables of the shell: whom `ftf`, helm and kubectl talk to. Profiles and caches lie in `folder`."""
    config = yaml.safe_load(release.bed.kubeconfig.read_text(encoding="utf-8"))
    for each in config["contexts"]:
        each["context"]["namespace"] = release.namespace
    kubeconfig = folder / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")
    places = {f"HELM_{kind}_HOME": str(folder / "helm" / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    own = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["FTF_CLUSTER_BIN"], os.environ["PATH"]]),
        "FTF_SERVER": release.address,
        "FTF_TOKEN": TOKEN,
        "FTF_LLM": release.llm.url,
        "KUBECONFIG": str(kubeconfig),
        "XDG_CONFIG_HOME": str(folder / "config"),
    }
    return {**os.environ, **places, **own}


async def serve() -> int:
    """Bring everything up, run the shell, and return its exit code."""
    cluster = Cluster()
    folder = Path(tempfile.mkdtemp(prefix="shell-", dir=os.environ["FTF_BED"]))
    tiny_model(folder / "models" / "tiny")
    trainer = [sys.executable, "-m", "services.trainer"]
    try:
        await asyncio.to_thread(cluster.start)
        async with (
            Bed(cluster) as bed,
            installed(bed, folder, folder / "models", trainer, JOBS, namespace=NAME) as release,
        ):
            print(WORDS, file=sys.stderr, flush=True)
            shell = await asyncio.create_subprocess_exec(
                os.environ.get("SHELL") or "bash", env=environment(release, folder)
            )
            return await shell.wait()
    finally:
        cluster.stop()


if __name__ == "__main__":
    sys.exit(asyncio.run(serve()))
