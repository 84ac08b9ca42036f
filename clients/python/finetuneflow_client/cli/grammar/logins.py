"""Words about what one sets up once: servers that one has logged in to, and a shell that completes."""

from __future__ import annotations

from argparse import ArgumentParser

from finetuneflow_client.cli.grammar.command import Command

SHELLS = ("bash", "zsh", "fish")


def _login(parser: ArgumentParser) -> None:
    parser.add_argument("--server", required=True, metavar="ADDRESS", help="host:port, or https://host for TLS")
    parser.add_argument("--profile", default="", metavar="NAME", help="name to keep it by; else $FTF_PROFILE, default")
    token = parser.add_mutually_exclusive_group()
    token.add_argument(
        "--token-file", default="", metavar="FILE", help="file with the token; else $FTF_TOKEN or $FTF_TOKEN_FILE"
    )
    token.add_argument("--ask-token", action="store_true", help="ask for the token in the terminal")
    parser.add_argument(
        "--ca-file",
        "--tls-ca",
        dest="tls_ca",
        default="",
        metavar="FILE",
        help="certificates to trust with https://; else the system's",
    )


def _use(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="its name; without, that of `ftf up`")


def _remove(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="its name")


def _completion(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help="%(choices)s")


COMMANDS = (
    Command(
        "login",
        "Keep a server and your token under a name, so that commands find them.",
        "ftf login --server https://finetuneflow.example.com --ask-token",
        "login.login",
        _login,
        connects=False,
    ),
    Command(
        "profiles list",
        "List the servers that you have logged in to.",
        "ftf profiles list",
        "login.list_profiles",
        connects=False,
    ),
    Command(
        "profiles use",
        "Choose the server that commands talk to.",
        "ftf profiles use work",
        "login.use",
        _use,
        connects=False,
    ),
    Command(
        "profiles remove",
        "Forget a server and its token.",
        "ftf profiles remove work",
        "login.remove",
        _remove,
        connects=False,
    ),
    Command(
        "completion",
        "Print what lets a shell complete commands, flags, values and names.",
        "ftf completion bash",
        "completing.completion",
        _completion,
        connects=False,
    ),
)
