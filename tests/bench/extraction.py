"""What reading a PDF costs: python -m tests.bench.extraction [--rounds N] [--pages N] [PDF …]

Reads sets of PDFs by all readers in turn, round after round: by a bare loop over pypdfium2 (open, get_textpage,
get_text_range, page after page), by pypdf, by our reader in one process, and by our sandbox, whose limited processes
are forked for each document: by one process at a time, and as the service uses it, with several documents and several
processes for a long one at once. Prints pages/s on the clock, the medians over the rounds of the ratios within a round,
and the largest memory of the processes. Without files there are two sets: a generated PDF of full
pages, and a mixed set of the samples and of generated manuals of 2 to 60 pages.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import psutil
import pypdf
import pypdfium2

from services.common.config import Config
from services.common.confined.cold import child_environment
from services.common.confined.limits import Limits
from services.common.controlgroup import usable_cores
from services.ingest.child import Sandbox
from services.ingest.config import ingest_config
from services.ingest.core.filenames import PDF
from services.ingest.sandbox.job import Job
from services.ingest.sandbox.pdf import read_pdf
from tests.fakes.big_pdf import big_pdf
from tests.fakes.documents import PROSE, pdf

_LINES = 45
_SAMPLES = Path("samples/documents")
BARE, PYPDF, READER, ALONE, SERVICE = "bare pypdfium2", "pypdf", "our reader", "sandbox, 1", "sandbox"


def bare(path: Path) -> int:
    """Take the text of each page as PDFium gives it."""
    document = pypdfium2.PdfDocument(path)
    count = len(document)
    for index in range(count):
        page = document[index]
        text = page.get_textpage()
        text.get_text_range()
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
    """Read as the sandbox does, in this process alone."""
    return read_pdf(path, "", lambda *said: None).pages


class InSandbox:
    """Reads in processes of its own; notes the most memory that they took together.

    Looking takes longer than reading a short document, so it is done where no time is taken.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sandbox = Sandbox(child_environment(os.environ))
        self.peak = 0
        self.looks = True

    def __call__(self, paths: Sequence[Path], parallel: int, processes: int) -> int:
        """Read so many documents at once, long ones by so many processes; return how many pages there were."""
        return asyncio.run(self._read(paths, parallel, processes))

    async def _read(self, paths: Sequence[Path], parallel: int, processes: int) -> int:
        left = list(enumerate(paths))[::-1]

        async def reader() -> int:
            pages = 0
            while left:
                number, path = left.pop()
                target = str(self._folder / f"target-{number}")
                job = Job("extract", str(path), target, Limits(), path.name, PDF, processes=processes)
                pages += (await self._sandbox.run(job, self._look))["pages"]
            return pages

        return sum(await asyncio.gather(*(reader() for _ in range(parallel))))

    async def _look(self, phase: str, done: int, total: int, unit: str) -> None:
        if not self.looks:
            return
        taken = sum(memory(child) for nursery in nurseries() for child in nursery.children(recursive=True))
        self.peak = max(self.peak, taken)


def nurseries() -> list[psutil.Process]:
    """Return the processes that fork those which read."""
    return psutil.Process().children()


def memory(process: psutil.Process) -> int:
    """Return a process's memory that no other one shares, in bytes; 0 if it has ended."""
    try:
        return int(process.memory_full_info().uss)
    except psutil.NoSuchProcess:
        return 0


def one_by_one(read: Callable[[Path], int], paths: Sequence[Path]) -> int:
    """Read in this process, one document after the other; return how many pages there were."""
    return sum(map(read, paths))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="PDF")
    parser.add_argument("--rounds", type=int, default=5, help="at least 3")
    parser.add_argument("--pages", type=int, default=500, help="of the generated PDF")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sets = {path.name: [path.resolve()] for path in arguments.files} or made(Path(folder), arguments.pages)
        measure(sets, Path(folder), max(arguments.rounds, 3))


def made(folder: Path, pages: int) -> dict[str, list[Path]]:
    """Return the generated sets."""
    full = folder / f"{pages}-full-pages.pdf"
    full.write_bytes(big_pdf(pages, _LINES))
    mixed = sorted(path.resolve() for path in _SAMPLES.glob("*.pdf"))
    for count in (2, 5, 12, 30, 60):
        manual = folder / f"manual-{count}.pdf"
        parts = (f"# Part {n}\n\n{PROSE * 8}\n\n## Details of part {n}\n\n{PROSE * 4}" for n in range(count))
        manual.write_bytes(pdf(*parts, header="Tarnfield Instruments"))
        mixed.append(manual)
    return {f"{pages} full pages": [full], f"{len(mixed)} files of 2 to 60": mixed}


def measure(sets: dict[str, list[Path]], folder: Path, rounds: int) -> None:
    """Read each set by all, round after round; print one table."""
    sandbox = InSandbox(folder)
    config = ingest_config(Config(folder, "", "", ""), {}, usable_cores())
    service = f"{SERVICE}, {config.parallel}"
    readers: dict[str, Callable[[Sequence[Path]], int]] = {
        BARE: partial(one_by_one, bare),
        PYPDF: partial(one_by_one, by_pypdf),
        READER: partial(one_by_one, by_reader),
        ALONE: partial(sandbox, parallel=1, processes=1),
        service: partial(sandbox, parallel=config.parallel, processes=config.processes),
    }
    for paths in sets.values():  # the nursery starts with the first document
        readers[service](paths)
    sandbox.looks = False
    names = "".join(f"{name:>16}" for name in (*readers, "to bare", "to pypdf"))
    print(f"{'pages/s, by processes':<24}{names}")
    for name, paths in sets.items():
        seconds: dict[str, list[float]] = {reader: [] for reader in readers}
        pages = 0
        for _ in range(rounds):
            for reader, read in readers.items():
                begun = time.perf_counter()
                pages = read(paths)
                seconds[reader].append(time.perf_counter() - begun)
        row = "".join(f"{pages / statistics.median(seconds[reader]):>15.0f}" for reader in readers)
        ratios = "".join(
            f"{'; '.join(f'{_ratio(seconds[peer], seconds[ours]):.2f}' for ours in (ALONE, service)):>16}"
            for peer in (BARE, PYPDF)
        )
        print(f"{name[:23]:<24}{row}{ratios}", flush=True)
    own, nursery = psutil.Process().memory_info().rss, sum(map(memory, nurseries()))
    print(
        f"{rounds} rounds, {len(os.sched_getaffinity(0))} processors, load {os.getloadavg()[0]:.1f}; memory: those that"
        f" read {sandbox.peak / 1e6:.0f} MB, their nursery {nursery / 1e6:.0f} MB, this process {own / 1e6:.0f} MB"
    )


def _ratio(peer: Sequence[float], ours: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(peer, ours, strict=True))


if __name__ == "__main__":
    main()
