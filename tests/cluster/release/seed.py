"""What a run needs: a project with a frozen dataset, and a model."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.release.install import MODELS, Release

PROJECT = "p1"


async def seed(release: Release, document: Path) -> None:
    """Read a document, have the LLM write examples, and record the model: `tiny` of the models' volume."""
    release.project = PROJECT
    await release.ftf("project", "create", PROJECT)
    await release.ftf("model", "add", f"{MODELS}/tiny", "--id", "tiny")
    await release.ftf("upload", str(document))
    await release.ftf("chunk", "--model", "tiny", "--max-tokens", "256")
    await release.ftf("llm", "create", "teacher", "--url", release.llm.url, "--llm-model", "fake-model")
    await release.ftf("dataset", "generate", "--examples-per-chunk", "2")
