"""Words about projects, files and chunks."""

from __future__ import annotations

from argparse import ArgumentParser

from finetuneflow_client.cli.grammar.command import Command, add_yes
from finetuneflow_client.cli.grammar.settings import CHUNK, add_flags, add_hidden, add_strategy


def _create(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="NAME", help='a-z, 0-9 and "-", beginning with a letter')
    parser.add_argument("--display-name", default="", metavar="TEXT", help="name for people")
    parser.add_argument("--description", default="", metavar="TEXT", help="what it is about")


def _project(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="PROJECT", help="its id")


def _project_delete(parser: ArgumentParser) -> None:
    _project(parser)
    add_yes(parser)


def _optional_project(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", default="", metavar="PROJECT", help="its id; otherwise the current one")


def _upload(parser: ArgumentParser) -> None:
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="documents: PDF, DOCX, PPTX, XLSX, ODT, ODS, RTF, EPUB, HTML, CSV, JSON, JSONL, Markdown, text; "
        "folders or zip archives of them",
    )
    parser.add_argument("--no-wait", action="store_true", help="do not wait until they are read")


def _files(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", metavar="FILE", help="show these: an id or a file name; otherwise list all")
    parser.add_argument("--delete", action="store_true", help="delete the files named")
    add_yes(parser)


def _chunk(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", metavar="FILE", help="an id or a file name; otherwise all of the project")
    parser.add_argument("-m", "--model", default="", metavar="MODEL", help="count tokens as this base model does")
    add_strategy(parser)
    add_flags(parser, CHUNK)
    add_hidden(parser, "--chunk-tokens", "max_tokens")  # as `ftf run` has it
    parser.add_argument("--preview", action="store_true", help="show how one FILE would be cut, and store nothing")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="with --preview: chunks to show, 1 to 100")


def _chunks(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="an id or a file name")
    parser.add_argument("--gaps", action="store_true", help="show what is in no chunk, with the reason, instead")


COMMANDS = (
    Command("project create", "Make a project.", "ftf project create handbook", "project.create", _create),
    Command("project list", "List the projects.", "ftf project list", "project.list_projects"),
    Command(
        "project show", "Show a project.", "ftf project show handbook", "project.show", _optional_project, project=True
    ),
    Command(
        "project delete",
        "Delete a project and all that is in it.",
        "ftf project delete handbook --yes",
        "project.delete",
        _project_delete,
    ),
    Command("upload", "Upload documents and read them.", "ftf upload samples/*", "file.upload", _upload, project=True),
    Command("files", "List the project's files, or show some.", "ftf files --json", "file.files", _files, project=True),
    Command(
        "chunk",
        "Cut the files into chunks.",
        "ftf chunk --preview handbook.pdf --max-tokens 384",
        "file.chunk",
        _chunk,
        project=True,
    ),
    Command("chunks", "Show a file's chunks.", "ftf chunks handbook.pdf", "file.chunks", _chunks, project=True),
)
