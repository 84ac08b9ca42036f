"""The nats-server beside the services: private, and gone when its parent is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import nats
import nats.aio.client
import nats.errors
import pytest

from services.common.errors import Unavailable
from services.common.natsserver import NatsServer

LEFT = {"TMPDIR", "LD_LIBRARY_PATH", "LC_CTYPE"}
"""What may be there; the last is set by a Python that starts without a locale."""
START_AND_HANG = """
import asyncio, sys
from services.common.natsserver import NatsServer

async def main():
    server = NatsServer(sys.argv[1])
    await server.start()
    print(server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_it_sees_of_the_environment_what_it_needs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the hub's token, which that of `ftf up` may have."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    server = NatsServer(tmp_path / "nats")
    await server.start()
    seen = Path(f"/proc/{server.pid}/environ").read_text()
    await server.stop()

    assert {variable.partition("=")[0] for variable in seen.split("\0") if variable} - LEFT == {"PATH"}


async def test_it_serves_on_loopback_to_those_with_the_password(tmp_path: Path) -> None:
    """The password is in no argument, and its files are the owner's alone."""
    server = NatsServer(tmp_path / "nats")
    await server.start()
    command = Path(f"/proc/{server.pid}/cmdline").read_text()
    password = (tmp_path / "nats" / "password").read_text()
    client = await nats.connect(server.url)
    await client.close()
    stranger = nats.aio.client.Client()
    with pytest.raises(nats.errors.Error):
        await stranger.connect(server.url.replace(password, "guess"), allow_reconnect=False, error_cb=ignore)
    await stranger.close()
    await server.stop()

    assert server.url.startswith(f"nats://ftf:{password}@127.0.0.1:")
    assert password not in command
    for name in ("password", "server.conf"):
        assert (tmp_path / "nats" / name).stat().st_mode & 0o077 == 0
    assert (tmp_path / "nats").stat().st_mode & 0o077 == 0


async def ignore(error: Exception) -> None:
    """Take an error that the test expects."""


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    """Even if the parent is killed, so that the next start finds the store free."""
    parent = subprocess.Popen([sys.executable, "-c", START_AND_HANG, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    was_alive = alive(pid)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)

    assert was_alive
    assert not alive(pid)


async def test_stop_ends_it_for_good(tmp_path: Path) -> None:
    """It is not started again, and stopping again does nothing."""
    server = NatsServer(tmp_path)
    await server.start()
    pid = server.pid
    await server.stop()
    await server.stop()
    await asyncio.sleep(0.3)

    assert not alive(pid)
    assert server.pid == 0


async def test_the_password_stays_over_restarts(tmp_path: Path) -> None:
    """Whoever kept the URL can come back."""
    first = NatsServer(tmp_path)
    await first.start()
    await first.stop()
    second = NatsServer(tmp_path, port=int(first.url.rpartition(":")[2]))
    await second.start()
    await second.stop()

    assert second.url == first.url


async def test_a_taken_port_is_unavailable(tmp_path: Path) -> None:
    """The message names the port and the log."""
    first = NatsServer(tmp_path / "a")
    await first.start()
    port = int(first.url.rpartition(":")[2])
    with pytest.raises(Unavailable, match=str(port)):
        await NatsServer(tmp_path / "b", port=port).start()
    await first.stop()


async def until_another(server: NatsServer, pid: int) -> None:
    """Wait until a new process serves."""
    for _ in range(500):
        if server.pid not in (0, pid):
            return
        await asyncio.sleep(0.02)


async def test_it_is_started_again_each_time_it_dies(tmp_path: Path) -> None:
    """At the port it had."""
    server = NatsServer(tmp_path)
    await server.start()
    url = server.url
    for _ in range(2):
        pid = server.pid
        os.kill(pid, 9)
        await until_another(server, pid)
        client = await nats.connect(server.url, max_reconnect_attempts=20, reconnect_time_wait=1, error_cb=ignore)
        await client.close()
    await server.stop()

    assert server.url == url
