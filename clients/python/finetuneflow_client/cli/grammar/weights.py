"""Words about weights that were exported: fetch, check, send on."""

from __future__ import annotations

from argparse import ArgumentParser

from finetuneflow_client.cli.grammar.command import Command


def _push(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="what `ftf download` wrote")
    parser.add_argument("destination", metavar="TO", help="oci://registry/team/model:tag, or hf://owner/name")
    parser.add_argument("--username", default="", metavar="NAME", help="otherwise that of `docker login`")
    parser.add_argument(
        "--password-file", default="", metavar="FILE", help="file with the password or the hub's token; or $HF_TOKEN"
    )
    parser.add_argument("--plain-http", action="store_true", help="for a registry without TLS")
    parser.add_argument("--public", action="store_true", help="let a new repository of a hub be public")


def _verify(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="as `ftf download` wrote it")
    parser.add_argument("--key", default="", metavar="FILE", help="key to trust; otherwise the folder's signer.pem")


def _download(parser: ArgumentParser) -> None:
    parser.add_argument(
        "export", nargs="?", default="", metavar="EXPORT", help="its id; else the newest that succeeded"
    )
    parser.add_argument(
        "-o", "--output", default="", metavar="DIR", help="folder to write; otherwise one named after it"
    )


COMMANDS = (
    Command(
        "download",
        "Fetch an export's files, checked by hash.",
        "ftf download -o model",
        "export.download",
        _download,
        project=True,
    ),
    Command(
        "verify",
        "Say whether a downloaded folder is what was signed, without a server; exit 1 if it is not.",
        "ftf verify model --key signer.pem",
        "verify.verify",
        _verify,
        connects=False,
    ),
    Command(
        "push",
        "Send a downloaded folder to an OCI registry or a model hub, if it is as it was signed.",
        "ftf push model oci://registry.example.com/team/handbook:1",
        "push.push",
        _push,
        connects=False,
    ),
    Command("key", "Write the public key that this installation signs exports with.", "ftf key", "verify.key"),
)
