"""Exports: weights to take away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

from finetuneflow.export.v1 import export_pb2, export_service_pb2
from finetuneflow_client import watch
from finetuneflow_client.downloads import download_attestation, download_export_artifact, of_file
from finetuneflow_client.resources.html import facts
from finetuneflow_client.resources.resource import Working


class Export(Working):
    """A run's weights in one form, proven by loading them again."""

    message: export_pb2.Export

    @property
    def files(self) -> list[str]:
        """Names of its files; empty before it has succeeded."""
        return [artifact.filename for artifact in self.message.artifacts]

    async def refresh(self) -> Export:
        """Ask the server how it is now. Raises FtfError NOT_FOUND."""
        request = export_service_pb2.GetExportRequest(name=self.name)
        self.message = await self._services.export.GetExport(request)
        return self

    async def watch(self) -> AsyncIterator[Export]:
        """Yield the export now and at every change until it has ended, across broken connections."""
        async for message in watch.watch_export(self._services, self.name):
            self.message = message
            yield self

    async def wait(self) -> Export:
        """Wait until it has ended. Raises WorkFailed or WorkCancelled."""
        async for _ in self.watch():
            pass
        self._raise_error()
        return self

    async def download(
        self, folder: str | Path, *, progress: Callable[[str, int, int], None] | None = None
    ) -> list[Path]:
        """Wait until it has ended, and fetch its files and what was signed about them.

        Files with the right hash that are there already stay; a transfer that broke off goes on where it was.

        Args:
            folder: where to; made if it is missing.
            progress: called with a file's name, its bytes there and its bytes in all.

        Raises:
            FtfError: WorkFailed or WorkCancelled; DATA_LOSS if bytes do not have the announced hash;
                RESOURCE_EXHAUSTED if they cannot be written.
        """
        await self.wait()
        paths = []
        for artifact in self.message.artifacts:
            told = of_file(progress, artifact.filename)
            paths.append(await download_export_artifact(self._services, self.name, artifact, Path(folder), told))
        return [*paths, *await download_attestation(self._services, self.name, Path(folder))]

    async def cancel(self) -> None:
        """Stop it; if it has ended, nothing changes. Raises FtfError NOT_FOUND."""
        request = export_service_pb2.CancelExportRequest(name=self.name)
        self.message = await self._services.export.CancelExport(request)

    async def delete(self) -> None:
        """Delete it with its files. Raises FtfError NOT_FOUND."""
        await self._services.export.DeleteExport(export_service_pb2.DeleteExportRequest(name=self.name))

    def _repr_html_(self) -> str:
        """Return it for a notebook: its form, how it was proven, its files and their size."""
        message = self.message
        kind = export_pb2.Format.Name(message.format).removeprefix("FORMAT_").lower()
        quantised = export_pb2.Quantization.Name(message.quantization).removeprefix("QUANTIZATION_")
        size = sum(artifact.size_bytes for artifact in message.artifacts)
        result = message.result
        known = {
            "export": self.name,
            "state": self.state,
            "error": self.error or "",
            "run": message.run,
            "format": f"{kind} {quantised}" if message.quantization else kind,
            "proof": f"logits differ by {result.max_logit_difference:.3g} at most, on {result.prompts} prompts"
            if result.prompts
            else "",
            "files": ", ".join(self.files),
            "size": f"{size:,} bytes" if size else "",
        }
        return facts(known)
