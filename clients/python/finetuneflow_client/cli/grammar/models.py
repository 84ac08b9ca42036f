"""Words about runs and exports, provenance, and the whole flow at once."""

from __future__ import annotations

import json
from argparse import Action, ArgumentParser, Namespace
from typing import Any

from finetuneflow_client.cli.grammar.command import Command, add_yes
from finetuneflow_client.cli.grammar.examples import spec_flags
from finetuneflow_client.cli.grammar.reruns import add_priority, begin_flags
from finetuneflow_client.cli.grammar.resources import RESOURCES
from finetuneflow_client.cli.grammar.settings import (
    RUN_CHUNK,
    RUN_DATASET,
    add_dry_run,
    add_flags,
    add_hidden,
    add_strategy,
    add_training,
)

FORMATS = ("adapter", "merged", "gguf", "awq", "onnx")
QUANTIZATIONS = ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0")
_MODEL = "base model: id, folder or hub id"
_PAUSABLE = "a run's id, otherwise the newest run's; or datasets/ID"
_FORMAT_OF_RUN = "form of the weights, may be repeated; otherwise adapter and merged, merged alone with --method full"
_RUNS_HELP = 'show this one; "orphans": Jobs without a run and runs without a Job, exit 1 if any; otherwise list all'


class _Schema(Action):
    """Prints the JSON schema of a file of settings, and ends: that needs no server."""

    def __call__(self, parser: ArgumentParser, namespace: Namespace, value: Any, option: str | None = None) -> None:
        if value == "config-schema":
            from finetuneflow_client.cli.configfile import schema

            print(json.dumps(schema(), indent=2, ensure_ascii=False))
            parser.exit()
        setattr(namespace, self.dest, value)


def _trained(parser: ArgumentParser) -> None:
    parser.add_argument("-m", "--model", default="", metavar="MODEL", help=_MODEL)
    parser.add_argument("-d", "--dataset", default="", metavar="DATASET", help="dataset; otherwise the newest")
    parser.add_argument("--dataset-version", type=int, default=0, metavar="N", help="otherwise the newest")


def _train(parser: ArgumentParser) -> None:
    parser.add_argument(
        "schema",
        nargs="?",
        default="",
        action=_Schema,
        metavar="config-schema",
        help="print the JSON schema of what --config reads, and start nothing",
    )
    _trained(parser)
    parser.add_argument("--only-approved", action="store_true", help="only on examples that a person has approved")
    parser.add_argument("--id", default="", metavar="ID", help="id to give the run; otherwise made up")
    add_dry_run(parser)
    parser.add_argument(
        "--price-per-hour", type=float, default=0.0, metavar="N", help="of the machine, for the estimate of the cost"
    )
    parser.add_argument("-w", "--watch", action="store_true", help="follow it to its end")
    parser.add_argument(
        "--judge-llm", default="", metavar="NAME", help="with --watch: let this LLM endpoint judge its answers then"
    )
    parser.add_argument("--no-recommended", action="store_true", help="use plain defaults for what is not set below")
    begin_flags(parser, "--resume-from-checkpoint")
    add_priority(parser)
    add_training(parser.add_argument_group("settings, by the names of TRL and PEFT"))
    add_flags(parser.add_argument_group("where it runs; on one machine only --gpus and --deadline count"), RESOURCES)


def _run(parser: ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", default="", metavar="RUN", help="its id; otherwise the newest")


def _runs(parser: ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", default="", metavar="RUN", help=_RUNS_HELP)
    parser.add_argument("--delete", action="store_true", help="delete the run named")
    add_yes(parser)


def _work(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="a run's id, datasets/ID or exports/ID")


def _cancel(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a run's id, or datasets/ID, exports/ID, files/ID")


def _pause(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help=_PAUSABLE)


def _resume(parser: ArgumentParser) -> None:
    _pause(parser)
    parser.add_argument("-w", "--watch", action="store_true", help="follow it to its end")


def _logs(parser: ArgumentParser) -> None:
    _run(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the run has ended")


def _compare(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="*", metavar="RUN", help="ids of two runs or more")
    parser.add_argument("--sweep", default="", metavar="ID", help="all runs of this sweep")
    parser.add_argument(
        "-o", "--output", default="", metavar="FILE.html", help="write table and plots as one web page too"
    )


def _sweep(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="name of the sweep; its runs are ID-1, ID-2, …")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="NAME=A,B",
        help="setting of `ftf train` and its values, a run for each; a list as one value needs --runs",
    )
    which.add_argument(
        "--runs",
        default="",
        metavar="FILE",
        help="YAML or JSON list of the runs, each with its settings as in --config",
    )
    _trained(parser)
    parser.add_argument("--dry-run", action="store_true", help="check every run and show its settings; start nothing")
    parser.add_argument("--no-recommended", action="store_true", help="use plain defaults for what is not set")
    add_priority(parser)
    add_training(parser.add_argument_group("settings of every run, by the names of TRL and PEFT"))
    add_flags(parser.add_argument_group("where they run; on one machine only --gpus and --deadline count"), RESOURCES)


def _report(parser: ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", default="", metavar="RUN", help="its id; otherwise the newest that succeeded")
    parser.add_argument(
        "-o", "--output", default="", metavar="DIR", help="save report and plots here; otherwise print it"
    )
    parser.add_argument("--html", default="", metavar="FILE", help="save it as one web page, plots inside")
    parser.add_argument("--open", action="store_true", help="open the web page in a browser")


def _export(parser: ArgumentParser) -> None:
    _run(parser)
    parser.add_argument("--format", choices=FORMATS, default="adapter", help="form of the weights (%(default)s)")
    parser.add_argument(
        "--quantization", choices=QUANTIZATIONS, metavar="NAME", help=f"of gguf: {', '.join(QUANTIZATIONS)} (Q8_0)"
    )
    parser.add_argument("--max-shard-size", metavar="SIZE", help="of merged: largest weights file, such as 500MB (2GB)")
    _accept_forgetting(parser)
    parser.add_argument("--id", default="", metavar="ID", help="id to give the export; otherwise made up")
    parser.add_argument("-w", "--watch", action="store_true", help="follow it to its end")


def _accept_forgetting(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--accept-forgetting", action="store_true", help="although it forgot more general knowledge than is allowed"
    )


def _exports(parser: ArgumentParser) -> None:
    parser.add_argument("export", nargs="?", default="", metavar="EXPORT", help="show this one; otherwise list all")
    parser.add_argument("--delete", action="store_true", help="delete the export named")


def _trace(parser: ArgumentParser) -> None:
    parser.add_argument(
        "name", metavar="NAME", help="exports/ID, runs/ID, datasets/ID, DATASET/EXAMPLE, or an id alone"
    )


def _everything(parser: ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", metavar="DOC", help="documents, or folders of them")
    parser.add_argument("-m", "--model", required=True, metavar="MODEL", help=_MODEL)
    parser.add_argument("--llm-url", default="", metavar="URL", help="LLM server that writes the examples")
    parser.add_argument("--llm-model", default="", metavar="NAME", help="the model that it is asked for")
    parser.add_argument("--format", action="append", choices=FORMATS, help=_FORMAT_OF_RUN)
    _accept_forgetting(parser)
    parser.add_argument("-o", "--output", default="", metavar="DIR", help="folder to write; otherwise ./PROJECT")
    spec_flags(parser, RUN_DATASET)
    add_strategy(parser)
    add_flags(parser, RUN_CHUNK)
    add_hidden(parser, "--max-tokens", "max_tokens")  # as `ftf chunk` has it
    add_training(parser.add_argument_group("training, by the names of TRL and PEFT"))
    add_flags(parser.add_argument_group("where it trains; on one machine only --gpus and --deadline count"), RESOURCES)


COMMANDS = (
    Command(
        "train",
        "Fine-tune a model on a dataset; what you do not set is recommended for this machine.",
        "ftf train --model smollm2 --num-train-epochs 2 --watch",
        "training.train",
        _train,
        project=True,
    ),
    Command("runs", "List the project's runs, or show one.", "ftf runs", "runs.runs", _runs, project=True),
    Command(
        "watch", "Follow a run, dataset or export to its end.", "ftf watch run-1", "training.watch", _work, project=True
    ),
    Command("logs", "Print a run's log.", "ftf logs run-1 --follow", "logs.logs", _logs, project=True, streams=True),
    Command("cancel", "Stop work.", "ftf cancel run-1", "training.cancel", _cancel, project=True),
    Command(
        "pause",
        "Hold a run or a dataset: its GPU is free, and `ftf resume` goes on where it was.",
        "ftf pause run-1",
        "training.pause",
        _pause,
        project=True,
    ),
    Command(
        "resume",
        "Go on with paused work where it was.",
        "ftf resume run-1 --watch",
        "training.resume",
        _resume,
        project=True,
    ),
    Command(
        "sweep",
        "Start a run for each combination of settings, or each of a list; `ftf compare --sweep ID` compares them.",
        "ftf sweep rates --model smollm2 --vary learning-rate=1e-4,2e-4 --vary r=8,16",
        "sweeping.sweep",
        _sweep,
        project=True,
    ),
    Command(
        "compare",
        "Show runs beside each other: where their settings differ, what came of them, their curves.",
        "ftf compare run-1 run-2",
        "comparing.compare",
        _compare,
        project=True,
    ),
    Command(
        "report",
        "Print a run's report, save it, or open it as one web page.",
        "ftf report --html report.html",
        "reports.report",
        _report,
        project=True,
    ),
    Command(
        "export",
        "Make weights to take away.",
        "ftf export --format merged --watch",
        "export.export",
        _export,
        project=True,
    ),
    Command(
        "exports", "List the project's exports, or show one.", "ftf exports", "export.exports", _exports, project=True
    ),
    Command(
        "trace",
        "Follow a result back to the pages that it comes from.",
        "ftf trace exports/x1",
        "trace.trace",
        _trace,
        project=True,
    ),
    Command(
        "run",
        "Do all of it: documents in, weights out. The same command again goes on where it was.",
        "ftf run docs/ --model ./smollm2 --llm-url http://127.0.0.1:11434/v1 --llm-model qwen3 -o out",
        "run.run",
        _everything,
        project=True,
    ),
)
