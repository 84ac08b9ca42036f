"""Bytes to and from granted URLs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from finetuneflow.common.v1 import artifact_pb2
from finetuneflow.training.v1 import run_pb2
from services.common.errors import NotReady, Unavailable
from services.trainer.basemodel import fetch_base
from services.trainer.transfer import fetch, send, sha256_file
from tests.fakes.object_store import Store
from tests.trainer.runs import QUICK


@pytest.fixture
def store() -> Iterator[Store]:
    """A store that serves."""
    server = Store()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three megabytes."""
    path = tmp_path / "file.bin"
    path.write_bytes(bytes(range(256)) * 12_000)
    return path


def test_a_file_travels_over_http_and_back(store: Store, file: Path, tmp_path: Path) -> None:
    """A store that answers 503 for a while only makes it later."""
    store.failures = [503, 503]
    send(file, f"{store.url}/key?signature=x", QUICK)
    store.failures = [500]
    back = fetch(f"{store.url}/key?signature=x", sha256_file(file), tmp_path / "a" / "back.bin", QUICK, "It")

    assert back.read_bytes() == file.read_bytes()
    assert store.requests == 5


def test_a_refused_url_is_not_tried_again(store: Store, file: Path) -> None:
    """403 means that the grant is used up or was never good."""
    store.failures = [(403, "AccessDenied")]
    with pytest.raises(Unavailable) as caught:
        fetch(f"{store.url}/key?signature=secret", "0" * 64, file.with_name("back"), QUICK, "Dataset")

    assert store.requests == 1
    assert "HTTP 403 AccessDenied" in caught.value.message
    assert "secret" not in caught.value.message


def test_a_download_that_breaks_off_goes_on_where_it_was(store: Store, file: Path, tmp_path: Path) -> None:
    """Three times in mid-body: no byte is read twice, and the hash is right."""
    store.objects["/key"] = file.read_bytes()
    store.failures = [("cut", 1_100_000), 503, ("cut", 1_000_000), ("cut", 0)]
    back = fetch(f"{store.url}/key", sha256_file(file), tmp_path / "back", QUICK, "It")

    starts = [int(asked.removeprefix("bytes=").removesuffix("-") or 0) for asked in store.ranges]
    assert back.read_bytes() == file.read_bytes()
    assert starts[0] == 0
    assert starts == sorted(starts)
    assert starts[-1] > 1_500_000


def test_a_store_without_ranges_is_read_from_the_beginning(store: Store, file: Path, tmp_path: Path) -> None:
    """It answers 200 with everything."""
    store.objects["/key"] = file.read_bytes()
    store.ranged = False
    store.failures = [("cut", 1_100_000)]
    back = fetch(f"{store.url}/key", sha256_file(file), tmp_path / "back", QUICK, "It")

    assert back.read_bytes() == file.read_bytes()


def test_parts_of_two_objects_are_not_put_together(store: Store, file: Path, tmp_path: Path) -> None:
    """If the bytes changed between two tries, they are fetched once more in one piece."""
    store.objects["/key"] = bytes(len(file.read_bytes()))
    store.failures = [("cut", 1_100_000)]

    def change() -> None:
        while not store.ranges:
            time.sleep(0.001)
        store.objects["/key"] = file.read_bytes()

    changing = threading.Thread(target=change)
    changing.start()
    patience = replace(QUICK, backoff_first=0.2, backoff_last=0.2)
    back = fetch(f"{store.url}/key", sha256_file(file), tmp_path / "back", patience, "It")
    changing.join()

    assert back.read_bytes() == file.read_bytes()


def test_an_expired_url_is_asked_for_anew(store: Store, file: Path, tmp_path: Path) -> None:
    """For reading and for writing; a store that refuses the fresh ones too is believed."""
    urls = [f"{store.url}/key?signature=new", f"{store.url}/key?signature=newer"]
    asked: list[str] = []

    def renew() -> str:
        asked.append(urls[len(asked)])
        return asked[-1]

    store.signature = "newer"
    send(file, f"{store.url}/key?signature=old", QUICK, renew)
    asked_to_send = list(asked)
    asked.clear()
    fetch(f"{store.url}/key?signature=old", sha256_file(file), tmp_path / "back", QUICK, "It", renew)
    store.signature = "never"
    with pytest.raises(Unavailable):
        send(file, f"{store.url}/key", QUICK, lambda: f"{store.url}/key")

    assert asked_to_send == urls
    assert asked == urls


def test_an_uploaded_models_url_is_asked_for_anew(store: Store, file: Path, tmp_path: Path) -> None:
    """The spec's own may be old when its turn comes."""
    digest = sha256_file(file)
    store.signature = "new"
    store.objects["/key"] = file.read_bytes()
    files = [artifact_pb2.Artifact(filename="config.json", size_bytes=file.stat().st_size, sha256=digest)]
    spec, fresh = (
        run_pb2.TrainSpec(model_files=files, model_urls=[f"{store.url}/key?signature={s}"]) for s in ("old", "new")
    )
    fetch_base(spec, tmp_path / "work", QUICK, lambda: fresh)

    assert (tmp_path / "work/base/config.json").read_bytes() == file.read_bytes()


def test_an_upload_survives_what_a_store_does(store: Store, file: Path) -> None:
    """Resets in mid-body, errors that say to come again, and 500 as SeaweedFS says it while it starts."""
    store.failures = [
        *(("cut", 500_000), 500, (503, "SlowDown"), (400, "RequestTimeout"), (409, "OperationAborted"), 429),
    ]
    send(file, f"{store.url}/key", QUICK)

    assert store.objects["/key"] == file.read_bytes()
    assert store.requests == 7


def test_an_upload_whose_answer_was_lost_is_not_refused(store: Store, file: Path) -> None:
    """The store has it from the first try and keeps what is there: 412 to the second is as good as 200."""
    store.once = True
    store.failures = ["unheard"]
    send(file, f"{store.url}/key", QUICK)

    assert store.objects["/key"] == file.read_bytes()
    assert store.requests == 2


def test_patience_begins_with_the_first_failure_and_anew_with_progress(
    store: Store, file: Path, tmp_path: Path
) -> None:
    """A slow store that always gives a little is not given up."""
    store.objects["/key"] = file.read_bytes()
    store.failures = [("cut", 700_000), 503, 503] * 3
    patience = replace(QUICK, call=2.4, backoff_first=0.4, backoff_last=0.4)
    began = time.monotonic()
    back = fetch(f"{store.url}/key", sha256_file(file), tmp_path / "back", patience, "It")

    assert back.read_bytes() == file.read_bytes()
    assert time.monotonic() - began > 2.4


_SEND_MUCH = """
import sys
from pathlib import Path
from services.trainer.config import Patience
from services.trainer.transfer import send
send(Path(sys.argv[1]), sys.argv[2], Patience())
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells a process's memory there.")
def test_large_files_are_streamed(store: Store, tmp_path: Path) -> None:
    """Sending 300 MB takes no more memory than the program itself."""
    large = tmp_path / "large.bin"
    with large.open("wb") as sparse:
        sparse.truncate(300 * 2**20)
    done = subprocess.run(
        [sys.executable, "-c", _SEND_MUCH, str(large), f"{store.url}/key"],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    size = len(store.objects.pop("/key"))

    assert size == 300 * 2**20
    assert int(done.stdout) < 150 * 2**10


def test_a_store_that_stays_away_is_given_up(file: Path) -> None:
    """After the patience that a call has."""
    with pytest.raises(Unavailable):
        send(file, "http://127.0.0.1:9/key", replace(QUICK, call=0.3))


def test_bytes_with_another_hash_are_not_kept(file: Path, tmp_path: Path) -> None:
    """Neither under the name nor beside it."""
    target = tmp_path / "in" / "target.bin"
    with pytest.raises(NotReady) as caught:
        fetch(file.as_uri(), "0" * 64, target, QUICK, "Dataset")

    assert caught.value.reason == "HASH_MISMATCH"
    assert "Dataset is damaged" in caught.value.message
    assert list(target.parent.iterdir()) == []


def test_a_file_url_gets_its_name_only_when_it_is_whole(file: Path, tmp_path: Path) -> None:
    """Names with spaces and percent signs are names too."""
    target = tmp_path / "a b%20c" / "object"
    send(file, target.as_uri(), QUICK)

    assert sha256_file(target) == sha256_file(file)
    assert [p.name for p in target.parent.iterdir()] == ["object"]
