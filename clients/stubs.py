"""Make the code of the contract in other languages, and compile it: python clients/stubs.py [LANGUAGE …]

Each language has a folder beside this file, with a template for buf, its plugins and libraries pinned by hash, and a
small program that calls a server. What is made lies in its `gen` and is not committed. A language whose tool is missing
is left out, with a word.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
GENERATE = ("buf", "generate", str(ROOT), "--path", str(ROOT / "protos" / "finetuneflow"))


@dataclass(frozen=True)
class Language:
    """How the code of a language comes about, in the folder of its name.

    Attributes:
        tool: the program that has to be there.
        fetches: gets what the language's own lock file pins.
        compiles: compiles all of it, the program too.
        program: calls a server with it; reads FTF_SERVER and FTF_TOKEN.
        fetched: what is there once everything was fetched; compared by time with the lock file.
        lock: the lock file.
    """

    tool: str
    fetches: tuple[str, ...]
    compiles: tuple[str, ...]
    program: tuple[str, ...]
    fetched: Path
    lock: str


LANGUAGES = {
    "go": Language(
        tool="go",
        fetches=("go", "mod", "download"),
        compiles=("go", "build", "-o", "bin/", "./..."),
        program=("bin/serverinfo",),
        fetched=Path("bin/serverinfo"),
        lock="go.sum",
    ),
    "typescript": Language(
        tool="npm",
        fetches=("npm", "ci", "--ignore-scripts", "--no-fund", "--no-audit"),
        compiles=("node_modules/.bin/tsc",),
        program=("node", "dist/src/serverinfo.js"),
        fetched=Path("node_modules/.package-lock.json"),
        lock="package-lock.json",
    ),
}


def missing(name: str) -> str:
    """Return why a language cannot be made without the network; "" if it can."""
    language, folder = LANGUAGES[name], HERE / name
    if shutil.which(language.tool) is None:
        return f"{language.tool} is not installed here"
    there = folder / language.fetched
    if not there.exists() or there.stat().st_mtime < (folder / language.lock).stat().st_mtime:
        return f"its libraries were not fetched: python clients/stubs.py {name}"
    return ""


def make(name: str) -> None:
    """Fetch what is missing, generate, compile. Raises CalledProcessError or OSError where a step fails."""
    language = LANGUAGES[name]
    if missing(name):
        _run(name, language.fetches)
    _run(name, GENERATE)
    _run(name, language.compiles)


def _run(name: str, command: tuple[str, ...]) -> None:
    # buf lies beside the interpreter.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    subprocess.run(command, cwd=HERE / name, env={**os.environ, "PATH": path, "GOFLAGS": "-mod=readonly"}, check=True)


def main() -> None:
    """Make the languages that are named, or all whose tool is there."""
    parser = argparse.ArgumentParser(description="Generate and compile the contract's code.")
    parser.add_argument("--missing", action="store_true", help="only those whose libraries were not fetched yet")
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help=f"of {', '.join(LANGUAGES)}; all if none")
    args = parser.parse_args()
    for name in args.languages or list(LANGUAGES):
        if name not in LANGUAGES:
            parser.error(f"{name} is none of {', '.join(LANGUAGES)}")
        language = LANGUAGES[name]
        if shutil.which(language.tool) is None:
            print(f"{name}: left out, since {language.tool} is not installed here", flush=True)
            continue
        if args.missing and not missing(name):
            continue
        try:
            make(name)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SystemExit(f"{name}: {error}. It needs {language.tool}, and at first its registry.") from None
        print(f"{name}: generated and compiled in {HERE / name}", flush=True)


if __name__ == "__main__":
    main()
