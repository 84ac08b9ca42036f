"""What reading a PDF costs: python -m tests.bench.extraction [--rounds N] [PDF …]

Reads each PDF in turn, round after round: by a bare loop over pypdfium2 that takes each page's text as it comes, by
pypdf, by our reader in this process, and by our sandbox, a process of its own with limits, started and ended for the
document. Prints pages/s on the clock (median over the rounds), the ratios, and the largest memory of the sandbox and of
this process. Without files: a generated PDF of full pages, and the samples.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pypdf
import pypdfium2

from services.common.confined.cold import child_environment
from services.common.confined.limits import Limits
from services.ingest.child import Sandbox
from services.ingest.core.filenames import PDF
from services.ingest.sandbox.job import Job
from services.ingest.sandbox.pdf import read_pdf
from tests.fakes.big_pdf import big_pdf

_PAGES = 300
_LINES = 45
_SAMPLES = Path("samples/documents")


def bare(path: Path) -> int:
    """Take the text of each page as PDFium gives it."""
    document = pypdfium2.PdfDocument(path)
    count = len(document)
    for index in range(count):
        page = document[index]
        text = page.get_textpage()
        text.get_text_bounded()
        text.close()
        page.close()
    document.close()
    return count


def by_pypdf(path: Path) -> int:
    """Take the text of each page as pypdf gives it."""
    reader = pypdf.PdfReader(path)
    for page in reader.pages:
        page.extract_text()
    return len(reader.pages)


def by_reader(path: Path) -> int:
    """Read as the sandbox does, without a process of its own."""
    return read_pdf(path, "", lambda *said: None).pages


class InSandbox:
    """Reads in a process of its own; notes the most memory that one took."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sandbox = Sandbox(child_environment(os.environ))
        self.peak = 0

    def __call__(self, path: Path) -> int:
        """Read and return how many pages there were."""
        job = Job("extract", str(path), str(self._folder / "target"), Limits(), path.name, PDF)
        pages: int = asyncio.run(self._sandbox.run(job, self._look))["pages"]
        return pages

    async def _look(self, phase: str, done: int, total: int, unit: str) -> None:
        for child in psutil.Process().children(recursive=True):
            try:
                self.peak = max(self.peak, child.memory_info().rss)
            except psutil.NoSuchProcess:
                continue


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="PDF")
    parser.add_argument("--rounds", type=int, default=3, help="at least 3")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = arguments.files
        if not files:
            full = Path(folder) / f"{_PAGES}-full-pages.pdf"
            full.write_bytes(big_pdf(_PAGES, _LINES))
            files = [full, *sorted(_SAMPLES.glob("*.pdf"))]
        measure([path.resolve() for path in files], Path(folder), max(arguments.rounds, 3))


def measure(files: Sequence[Path], folder: Path, rounds: int) -> None:
    """Read each file by all, round after round; print one table."""
    sandbox = InSandbox(folder)
    readers: dict[str, Callable[[Path], int]] = {
        "bare pypdfium2": bare,
        "pypdf": by_pypdf,
        "our reader": by_reader,
        "our sandbox": sandbox,
    }
    print(f"{'pages/s':<32}" + "".join(f"{name:>16}" for name in readers) + f"{'to bare':>10}{'to pypdf':>10}")
    for path in files:
        pages = 0
        seconds: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(rounds):
            for name, read in readers.items():
                begun = time.perf_counter()
                pages = read(path)
                seconds[name].append(time.perf_counter() - begun)
        middle = {name: statistics.median(values) for name, values in seconds.items()}
        row = "".join(f"{pages / middle[name]:>16.1f}" for name in readers)
        last = middle["our sandbox"]
        ratios = f"{middle['bare pypdfium2'] / last:>10.2f}{middle['pypdf'] / last:>10.2f}"
        print(f"{path.name[:30]:<32}{row}{ratios}", flush=True)
    own = psutil.Process().memory_info().rss
    print(f"{rounds} rounds; memory: sandbox at most {sandbox.peak / 1e6:.0f} MB, this process {own / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
