"""Pages of a large dataset: all rows that a step dropped, and all that differs between two versions.

    python -m tests.bench.dataset_pages [ROWS]

Over a real gRPC server on SQLite, in pages of 100: the first page, the median of ten that follow. ROWS is 20,000 unless
it is given. Ends in less than a minute.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from finetuneflow.dataset.v1 import ledger_pb2, versions_pb2
from services.common.clock import SystemClock
from services.common.documents.sqlite import SqliteDocuments
from services.common.objects.folder import FolderObjects
from services.common.resources import Resources
from tests.fakes.datasets import NAME, dataset_service, generated
from tests.fakes.llm_server import llm

PAGE = 100


async def fill(folder: Path, rows: int) -> None:
    """Put dropped examples and two versions without a common row into the dataset's store."""
    documents, objects = SqliteDocuments(folder / "documents" / "dataset.db"), FolderObjects(folder / "objects")
    examples = Resources(documents.collection("examples"), "example", SystemClock())
    datasets = documents.collection("datasets")
    dataset = await datasets.get(NAME)
    (made, *_) = await examples.collection.find({"dataset_uid": (dataset or {})["uid"]}, limit=1)
    fields = {key: made[key] for key in made if key not in ("_id", "revision", "order", "uid")}
    dropped = {**fields, "accepted": False, "drop_reason": "DUPLICATE", "drop_detail": "as another"}
    await examples.create_many((f"{NAME}/examples/x-{n:06}", dropped) for n in range(rows))
    assert dataset is not None
    for number, said in enumerate(("once", "again"), 2):
        lines = [
            {
                "id": f"{NAME}/examples/x-{n:06}",
                "split": "TRAIN",
                "messages": [{"role": "user", "content": f"{said} {n}"}],
            }
            for n in range(rows)
        ]
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        key = f"datasets/{dataset['uid']}/{hashlib.sha256(content).hexdigest()}.jsonl"
        await objects.put(key, content)
        artifact = {**dataset["versions"][0]["artifact"], "key": key, "sha256": hashlib.sha256(content).hexdigest()}
        dataset["versions"].append({**dataset["versions"][0], "version": number, "artifact": artifact})
    await datasets.replace(dataset)
    await documents.close()


async def timed(call: Callable[[str], Awaitable[Any]]) -> tuple[float, float]:
    """Return the seconds of the first page, and the median of ten pages that follow."""
    token, took = "", []
    for _ in range(11):
        began = time.perf_counter()
        token = (await call(token)).next_page_token
        took.append(time.perf_counter() - began)
    return took[0], statistics.median(took[1:])


async def main(rows: int) -> None:
    """Fill a dataset and ask for its pages."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with llm() as server, dataset_service(folder, server) as (stub, _):
            await generated(stub)
        await fill(folder, rows)
        async with dataset_service(folder) as (stub, _):
            for step, reason in (("checks", ""), ("checks", "DUPLICATE"), ("calls", "")):
                request = ledger_pb2.ListLedgerRowsRequest(parent=NAME, step=step, reason=reason, page_size=PAGE)

                def ledger(token: str, request: ledger_pb2.ListLedgerRowsRequest = request) -> Any:
                    request.page_token = token
                    return stub.ListLedgerRows(request)

                print(f"ledger {step} {reason}".ljust(28), "first {:.3f} s, next {:.4f} s".format(*await timed(ledger)))

            def diff(token: str) -> Any:
                return stub.DiffVersions(versions_pb2.DiffVersionsRequest(base=NAME, page_size=PAGE, page_token=token))

            print("diff".ljust(28), "first {:.3f} s, next {:.4f} s".format(*await timed(diff)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 20_000))
