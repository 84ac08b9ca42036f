"""A service by itself: its tokens, its settings, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import grpc
import pytest

from services.common.natsserver import NatsServer
from services.common.readiness import READINESS
from tests.service.test_server import SERVING, health, info, stack_channel

ROOT = Path(__file__).resolve().parents[2]


async def until(channel: grpc.aio.Channel, service: str, status: int) -> None:
    """Wait until health says so."""
    async with asyncio.timeout(20):
        while await health(channel, service) != status:  # noqa: ASYNC110  # the server's state, not ours
            await asyncio.sleep(0.1)


async def started(environ: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.ingest",
        env={"PATH": os.environ["PATH"], **environ},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_a_service_alone_serves_tokens_of_a_folder_until_sigterm(tmp_path: Path) -> None:
    """As in a pod: token files, a signing key, health; SIGTERM ends it with 0 within seconds."""
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "ann").write_text("anns-token-of-24-letters\n")
    (tmp_path / "key").write_bytes(b"k" * 32)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
    nats = NatsServer(tmp_path / "nats")
    await nats.start()
    process = await started(
        {
            "FTF_STATE": str(tmp_path / "state"),
            "FTF_DOCUMENTS": f"sqlite://{tmp_path}/{{service}}.db",
            "FTF_OBJECTS": f"file://{tmp_path}/objects",
            "FTF_NATS_URL": nats.url,
            "FTF_LISTEN": address,
            "FTF_TOKENS_DIR": str(tmp_path / "tokens"),
            "FTF_SIGNING_KEY_FILE": str(tmp_path / "key"),
        }
    )
    try:
        channel = await asyncio.wait_for(stack_channel(address), 30)
        await until(channel, READINESS, SERVING)
        known = await info(address, "anns-token-of-24-letters"), await info(address, "another")
        (tmp_path / "tokens" / "ann").unlink()
        await asyncio.sleep(2.5)
        revoked = await info(address, "anns-token-of-24-letters")
        await channel.close()
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 15)
    finally:
        if process.returncode is None:
            process.kill()
        await nats.stop()
        _, errors = await process.communicate()

    assert known == (grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED)
    assert revoked == grpc.StatusCode.UNAUTHENTICATED
    assert code == 0, errors.decode()
    assert "Traceback" not in errors.decode()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"FTF_STATE": "/proc/nothing"}, "FTF_STATE"),
        ({"FTF_TOKENS_DIR": "/nothing"}, "FTF_TOKENS_DIR"),
        ({"FTF_TOKEN_FILE": "/nothing"}, "FTF_TOKEN_FILE"),
        ({"FTF_SIGNING_KEY_FILE": "/dev/null"}, "FTF_SIGNING_KEY_FILE"),
        ({"FTF_SERVICE_TOKEN_FILE": "/dev/null"}, "FTF_SERVICE_TOKEN_FILE"),
        (
            {"FTF_SERVICE_ACCOUNTS": "system:serviceaccount:n:s=ingest", "FTF_SERVICE_TOKEN_FILE": "/dev/null"},
            "KUBECONFIG",
        ),
    ],
)
async def test_a_wrong_setting_is_one_line_that_names_it(tmp_path: Path, wrong: dict[str, str], named: str) -> None:
    """No traceback; what to do is in it."""
    environ = {
        "FTF_STATE": str(tmp_path / "state"),
        "FTF_DOCUMENTS": f"sqlite://{tmp_path}/{{service}}.db",
        "FTF_OBJECTS": f"file://{tmp_path}/objects",
        "FTF_NATS_URL": "nats://127.0.0.1:9",
        **wrong,
    }
    process = await started(environ)
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    lines = [line for line in errors.decode().splitlines() if line.startswith("ingest: ")]

    assert process.returncode == 1
    assert len(lines) == 1, errors.decode()
    assert named in lines[0]
    assert "Traceback" not in errors.decode()
