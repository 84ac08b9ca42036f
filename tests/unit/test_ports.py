"""Ports: what is none is refused wherever a user writes one; the system would take it modulo 65536."""

from __future__ import annotations

import pytest

from finetuneflow_client.cli import exits
from finetuneflow_client.cli.grammar.parser import build
from finetuneflow_client.connection import parsed
from finetuneflow_client.errors import FtfError
from services import local
from services.common.errors import InvalidArgument
from services.common.objects.s3url import parse
from services.dataset.endpointfields import check_url
from services.trainer.config import read_group

WRONG = (["--port", "80000"], ["--port=-1"], ["--port", "x"], ["--metrics", "127.0.0.1:80000"], ["--metrics", "9090"])


@pytest.mark.parametrize("flags", WRONG)
def test_the_command_up_refuses_what_is_no_port(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With the range, and the exit code of a wrong command line."""
    with pytest.raises(SystemExit) as caught:
        build().parse_args(["up", *flags])

    said = capsys.readouterr().err
    assert caught.value.code == exits.USAGE
    assert "1 to 65535" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("flags", WRONG)
def test_the_program_behind_it_refuses_the_same(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A supervisor may start it by itself."""
    with pytest.raises(SystemExit) as caught:
        local.parser().parse_args(flags)

    assert caught.value.code == exits.USAGE
    assert "65535" in capsys.readouterr().err


def test_help_says_the_range(capsys: pytest.CaptureFixture[str]) -> None:
    """And what 0 means."""
    with pytest.raises(SystemExit):
        build().parse_args(["up", "--help"])

    said = " ".join(capsys.readouterr().out.split())
    assert "1 to 65535, kept in the state folder (0: that of last time, or a free one)" in said


@pytest.mark.parametrize("number", ["0", "1", "65535"])
def test_the_ends_of_the_range_are_ports(number: str) -> None:
    """0 means any."""
    assert build().parse_args(["up", "--port", number]).port == int(number)


@pytest.mark.parametrize("address", ["host:80000", "https://host:80000", "[::1]:0", "host:123456789"])
def test_an_address_of_a_server_has_a_port_that_is_one(address: str) -> None:
    """The client's flag, environment and profile."""
    with pytest.raises(FtfError, match="use 1 to 65535") as caught:
        parsed(address)

    assert caught.value.code == "INVALID_ARGUMENT"


def test_addresses_without_a_port_stay_what_they_are() -> None:
    """An IPv6 address ends with digits, too."""
    assert [parsed(text)[1] for text in ("https://host", "[::1]", "host:9000")] == ["host:443", "[::1]", "host:9000"]


@pytest.mark.parametrize("url", ["s3://minio:80000/ftf", "s3://minio:0/ftf", "s3://minio/ftf?public=https://h:80000"])
def test_a_bucket_is_at_a_port_that_is_one(url: str) -> None:
    """Its own, and that of its public address."""
    with pytest.raises(InvalidArgument, match="port of 1 to 65535"):
        parse(url)


@pytest.mark.parametrize("url", ["http://host:80000/v1", "http://host:0/v1"])
def test_an_llm_is_at_a_port_that_is_one(url: str) -> None:
    """Said when it is recorded, not at the first call."""
    with pytest.raises(InvalidArgument, match="port of 1 to 65535"):
        check_url(url)


@pytest.mark.parametrize("port", ["80000", "0"])
def test_nodes_meet_at_a_port_that_is_one(port: str) -> None:
    """Otherwise each would wait for the others."""
    with pytest.raises(InvalidArgument, match="port of 1 to 65535"):
        read_group({"FTF_NODES": "2", "FTF_MASTER": f"job-0:{port}"})
