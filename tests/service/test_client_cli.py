"""The command `ftf` against a real gRPC server: what it prints, what it exits with, and that it can be repeated."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from finetuneflow.dataset.v1 import example_pb2
from finetuneflow.ingest.v1 import project_pb2
from finetuneflow_client.cli import exits
from finetuneflow_client.cli.grammar.parser import build
from finetuneflow_client.cli.main import connected, report
from finetuneflow_client.client import Services
from finetuneflow_client.downloads import download_attestation
from finetuneflow_client.errors import FtfError
from tests.fakes.client_server import TOKEN, Serving, served
from tests.fakes.client_world import World


@dataclass
class Result:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as one JSON document."""
        return json.loads(self.out)


Ftf = Callable[..., Awaitable[Result]]


@pytest.fixture
def ftf(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ftf:
    """Run a command in this process, as main does, on the loop that the server runs on."""
    for name in ("FTF_PROJECT", "FTF_SERVER", "FTF_TOKEN", "FTF_LLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    async def run(server: Serving, *words: str) -> Result:
        args = build(words).parse_args([*words, *server.flags(tmp_path)])
        try:
            code = await connected(args.command, args)
        except Exception as error:
            code = report(error)
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run


def world(**fields: Any) -> World:
    """Return a world with one project."""
    return World(projects={"projects/p": project_pb2.Project(name="projects/p", display_name="P")}, **fields)


def documents(folder: Path) -> Path:
    """Write two documents and return their folder."""
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs" / "a.md").write_text("# Alpha\n")
    (folder / "docs" / "b.txt").write_text("Beta\n")
    return folder / "docs"


async def test_a_command_finds_the_server_of_this_machine_by_its_state_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing needs to be said after `ftf up`."""
    async with served(world()) as server:
        server.announce(tmp_path / "state")
        args = build().parse_args(["status", "--state", str(tmp_path / "state")])
        code = await connected(args.command, args)

    assert code == exits.OK
    assert f"server    {server.address}" in capsys.readouterr().out


async def test_the_only_project_is_the_current_one(ftf: Ftf, monkeypatch: pytest.MonkeyPatch) -> None:
    """With several the error names the choices; with none it says how to make one."""
    async with served(World()) as server:
        none = await ftf(server, "files")
        await ftf(server, "project", "create", "one")
        only = await ftf(server, "files")
        await ftf(server, "project", "create", "two")
        several = await ftf(server, "files")
        flag = await ftf(server, "files", "-p", "two")
        monkeypatch.setenv("FTF_PROJECT", "one")
        environment = await ftf(server, "files")

    assert (none.code, none.err) == (4, "ftf: there is no project — create one with `ftf project create NAME`\n")
    assert (only.code, flag.code, environment.code) == (0, 0, 0)
    assert (several.code, several.err) == (2, "ftf: there are 2 projects — choose one with -p: one, two\n")


async def test_one_bad_document_does_not_stop_the_others(ftf: Ftf, tmp_path: Path) -> None:
    """Each gets its own line with the remedy; the exit code says that not all went well."""
    docs = documents(tmp_path)
    (docs / "c.exe").write_text("x")
    (docs / "scan.pdf").write_text("scan")
    async with served(world()) as server:
        result = await ftf(server, "upload", *map(str, sorted(docs.iterdir())))
        listed = await ftf(server, "files", "--json")

    assert result.code == exits.FAILED
    assert "ftf: c.exe is of no known type — send PDF, DOCX, TXT or Markdown\n" in result.err
    assert "scan.pdf: The document has no text — run OCR over it first\n" in result.err
    assert "a.md: 1 page, 8 characters\n" in result.err
    assert [file["display_name"] for file in listed.json["files"]] == ["a.md", "b.txt", "scan.pdf"]


async def test_a_folder_stands_for_the_documents_in_it(ftf: Ftf, tmp_path: Path) -> None:
    """Hidden files and other types are not sent."""
    docs = documents(tmp_path)
    (docs / ".hidden.md").write_text("x")
    (docs / "notes.exe").write_text("x")
    async with served(world()) as server:
        result = await ftf(server, "upload", str(docs), "--json")

    assert (result.code, [f["display_name"] for f in result.json["files"]]) == (0, ["a.md", "b.txt"])


async def filled(server: Serving, ftf: Ftf, tmp_path: Path) -> None:
    """Walk the flow, so that there is something of everything."""
    for words in (
        "model add ./smollm",
        f"upload {documents(tmp_path)}",
        "chunk --model smollm --max-tokens 64",
        "llm create local --url http://127.0.0.1:9/v1 --llm-model tiny",
        "dataset generate --id d1",
        "train --id r1 --watch",
        "export --id x1",
    ):
        result = await ftf(server, *words.split())
        assert result.code == 0, result.err
    file = next(iter(server.world.files))
    server.world.examples["projects/p/datasets/d1/examples/e1"] = example_pb2.Example(
        name="projects/p/datasets/d1/examples/e1", chunk=f"{file}/chunks/c0", prompt="How many?", response="Ten."
    )


async def test_a_trace_counts_what_the_run_learnt_from(ftf: Ftf, tmp_path: Path) -> None:
    """Of a version its rows are counted, not the dataset's examples as they are now, unless the rows are gone."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        kept = await ftf(server, "trace", "exports/x1")
        server.world.datasets["projects/p/datasets/d1"].versions[0].erased = True
        erased = await ftf(server, "trace", "exports/x1")

    assert kept.out.splitlines()[-1] == "file     a.md (f-1), 1 example"
    assert erased.out.splitlines()[-1] == "file     a.md, 9 examples, as they are now"


async def test_an_id_alone_is_traced_whatever_it_is_of(ftf: Ftf, tmp_path: Path) -> None:
    """As lists show it: a run's, an export's, a dataset's, an example's; nobody's id says where to look."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        await ftf(server, *["dataset", "generate", "--id", "d2"])
        found = {value: await ftf(server, "trace", value) for value in ("r1", "x1", "d1", "e1", "d1/e1", "datasets/d1")}
        nobody = await ftf(server, "trace", "e-none")

    assert {value: result.code for value, result in found.items()} == dict.fromkeys(found, 0)
    assert found["x1"].out.startswith("export   projects/p/exports/x1")
    assert found["d1"].out == found["datasets/d1"].out
    assert found["e1"].out == found["d1/e1"].out
    assert "projects/p/datasets/d1/examples/e1" in found["e1"].out
    assert (nobody.code, "`ftf dataset examples DATASET`" in nobody.err) == (exits.NOT_FOUND, True)


async def test_the_flow_by_hand_needs_no_names_typed_twice(ftf: Ftf, tmp_path: Path) -> None:
    """Each step takes up the newest of the step before; results can be JSON at each."""
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        shown = {
            words: await ftf(server, *words.split(), "--json")
            for words in (
                "project list", "project show", "model list", "model show smollm", "files", "files a.md", "chunks a.md",
                "chunks a.md --gaps", "chunk --preview a.md --show 3",
                "llm list", "dataset list", "dataset show", "dataset stats", "dataset examples", "dataset preview",
                "hardware", "hardware --model smollm --r 4", "runs", "runs r1", "watch r1", "exports", "exports x1",
                "trace exports/x1", "trace datasets/d1/examples/e1", "status", "train --dry-run", "cancel r1",
            )
        }  # fmt: skip
        report = await ftf(server, "report")
        downloaded = await ftf(server, "download", "-o", str(tmp_path / "out"))

    assert {words: (r.code, r.err) for words, r in shown.items() if r.code} == {}
    assert all(isinstance(result.json, dict) for result in shown.values())
    assert shown["runs"].json["runs"][0]["config"]["lora"]["r"] == 8
    assert shown["hardware --model smollm --r 4"].json["recommendation"]["config"]["lora"]["r"] == 4
    assert list(shown["trace exports/x1"].json) == ["export", "run", "dataset"]
    assert report.out == "# Report\n"
    assert (downloaded.code, (tmp_path / "out" / "sub" / "m.json").read_bytes()) == (0, b"{}")


async def test_a_report_is_one_web_page_too(ftf: Ftf, tmp_path: Path) -> None:
    """As the file that was named; a file of the user's is not replaced."""
    page = tmp_path / "r.html"
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        saved = await ftf(server, "report", "r1", "--html", str(page))
        data = page.read_bytes()
        page.write_text("mine")
        refused = await ftf(server, "report", "r1", "--html", str(page))

    assert (saved.code, saved.out) == (0, f"{page}\n")
    assert data.startswith(b"<!DOCTYPE html>")
    assert (refused.code, page.read_text()) == (exits.NOT_READY, "mine")
    assert "is there already" in refused.err


async def test_a_key_that_lies_in_the_folder_is_not_replaced(ftf: Ftf, tmp_path: Path) -> None:
    """Somebody may trust it; and what cannot be written is said as for any other file."""
    key = tmp_path / "out" / "signer.pem"
    key.parent.mkdir()
    async with served(world()) as server:
        await filled(server, ftf, tmp_path)
        key.write_text("the key that I trust")
        refused = await ftf(server, "download", "-o", "out")
        kept = key.read_text()
        key.unlink()
        twice = [await ftf(server, "download", "-o", "out") for _ in range(2)]
        key.unlink()
        key.symlink_to("/proc/self/mem")
        unreadable = await ftf(server, "download", "-o", "out")
        key.unlink()
        key.mkdir()
        async with Services.connect(server.address, TOKEN) as flow:
            with pytest.raises(FtfError) as barred:
                await download_attestation(flow, "projects/p/exports/x1", tmp_path / "out")

    assert (refused.code, kept) == (exits.NOT_READY, "the key that I trust")
    assert "signer.pem is there already and is another file" in refused.err
    assert [result.code for result in twice] == [exits.OK, exits.OK]
    assert unreadable.code == exits.NOT_READY
    assert barred.value.code == "RESOURCE_EXHAUSTED"


async def test_tables_are_plain_text_without_cut_lines_in_a_pipe(ftf: Ftf) -> None:
    """So that grep and awk find whole words."""
    name = "x" * 150
    async with served(World()) as server:
        await ftf(server, "project", "create", "p", "--display-name", name)
        result = await ftf(server, "project", "list")

    assert result.out.splitlines()[0].split() == ["PROJECT", "NAME", "AGE", "DESCRIPTION"]
    assert name in result.out
    assert "\x1b" not in result.out + result.err


async def test_an_llm_key_comes_from_a_file_or_the_environment(
    ftf: Ftf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is printed nowhere."""
    (tmp_path / "key").write_text("sk-file\n")
    (tmp_path / "empty").write_text("\n")
    create = ("llm", "create", "--url", "http://x/v1", "--llm-model", "m")
    async with served(world()) as server:
        from_file = await ftf(server, *create, "a", "--api-key-file", str(tmp_path / "key"), "--json")
        empty = await ftf(server, *create, "b", "--api-key-file", str(tmp_path / "empty"))
        monkeypatch.setenv("FTF_LLM_API_KEY", "sk-env")
        await ftf(server, *create, "c")
        named = await ftf(server, *create, "d", "--api-key-secret", "cloud", "--json")

    assert server.world.keys == {"llmEndpoints/a": "sk-file", "llmEndpoints/c": "sk-env", "llmEndpoints/d": ""}
    assert from_file.json["has_api_key"] is True
    assert named.json["api_key_secret"] == "cloud"
    assert "sk-" not in from_file.out + from_file.err
    assert empty.code == exits.USAGE


def everything(tmp_path: Path) -> list[str]:
    """Return the words of the command that does all of it."""
    llm = ["--llm-url", "http://127.0.0.1:9/v1", "--llm-model", "tiny"]
    return ["run", str(documents(tmp_path)), "-m", "./smollm", *llm, "-o", str(tmp_path / "out")]


async def test_a_download_replaces_no_file_of_the_users(ftf: Ftf, tmp_path: Path) -> None:
    """A README.md that is somebody's own stays, and the command says so."""
    mine = tmp_path / "mine"
    mine.mkdir()
    async with served(World()) as server:
        await ftf(server, *everything(tmp_path))
        export = next(iter(server.world.exports.values()))
        own = mine / export.artifacts[0].filename
        own.write_text("my own notes")
        refused = await ftf(server, "download", export.name, "-o", str(mine))

    assert refused.code == 4
    assert own.read_text() == "my own notes"
