"""How a service ends whose stores are refused, or that still waits for one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from services.common.natsserver import NatsServer
from tests.fakes import stores
from tests.service.test_startup import SECRET


async def test_a_service_that_is_refused_ends_with_one_line(tmp_path: Path, seaweedfs: stores.S3) -> None:
    """Exit code 1, no traceback, no secret."""
    nats = NatsServer(tmp_path / "nats")
    await nats.start()
    environment = {
        "PATH": os.environ["PATH"],
        "FTF_STATE": str(tmp_path / "state"),
        "FTF_DOCUMENTS": f"sqlite://{tmp_path}/{{service}}.db",
        "FTF_OBJECTS": seaweedfs.url("no-such-bucket"),
        "AWS_ACCESS_KEY_ID": seaweedfs.keys[0],
        "AWS_SECRET_ACCESS_KEY": seaweedfs.keys[1],
        "FTF_NATS_URL": nats.url,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.hardware", env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, messages = await process.communicate()
    await nats.stop()
    lines = [line for line in messages.decode().splitlines() if line.startswith("hardware:")]

    assert process.returncode == 1
    assert len(lines) == 1
    assert "no bucket no-such-bucket" in lines[0]
    assert "Traceback" not in messages.decode()
    assert seaweedfs.keys[1] not in messages.decode()


async def test_a_service_that_waits_for_a_store_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """At once and in peace, though the store might come any moment."""
    environment = {
        "PATH": os.environ["PATH"],
        "FTF_STATE": str(tmp_path / "state"),
        "FTF_DOCUMENTS": f"sqlite://{tmp_path}/{{service}}.db",
        "FTF_OBJECTS": "s3://127.0.0.1:1/bucket?secure=false",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "FTF_NATS_URL": "nats://127.0.0.1:1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.hardware", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    await process.stderr.readline()  # that something does not answer
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        _, messages = await process.communicate()

    assert process.returncode == 0
    assert b"Traceback" not in messages
