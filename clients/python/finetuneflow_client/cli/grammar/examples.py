"""Words about LLM endpoints, datasets and examples."""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction

from finetuneflow_client.cli.grammar.command import Command, add_yes
from finetuneflow_client.cli.grammar.settings import DATASET, Setting, add_flags
from finetuneflow_client.cli.grammar.transfers import form_flags

TASKS = ("question-answer", "instruction", "chat", "summary", "classification", "extraction", "reasoning")
TEXT = "text"
"""The task of a dataset that is the documents' own text, for which no LLM is asked."""


def _llm_create(parser: ArgumentParser) -> None:
    parser.add_argument("id", nargs="?", default="", metavar="NAME", help="id to give it; otherwise made up")
    parser.add_argument("--url", required=True, help="up to and without /chat/completions: http://127.0.0.1:11434/v1")
    parser.add_argument("--llm-model", required=True, metavar="MODEL", help="the model that the server is asked for")
    parser.add_argument("--api-key-file", default="", metavar="FILE", help="file with the key; else $FTF_LLM_API_KEY")
    parser.add_argument(
        "--api-key-secret", default="", metavar="KEY", help="name of one of the keys that the server was given"
    )
    parser.add_argument("--ask-key", action="store_true", help="ask for the key in the terminal")
    parser.add_argument("--max-concurrency", type=int, default=0, metavar="N", help="calls in flight at most, 1 to 256")
    parser.add_argument("--adaptive", action="store_true", help="find by trying how many calls at once it takes")
    parser.add_argument("--prompt-price", type=float, default=0, metavar="X", help="price of a million prompt tokens")
    parser.add_argument("--reply-price", type=float, default=0, metavar="X", help="price of a million reply tokens")
    parser.add_argument("--timeout-seconds", type=int, default=0, metavar="N", help="seconds that a call may take")


def _llm_update(parser: ArgumentParser) -> None:
    _llm(parser)
    parser.add_argument("--url", help="up to and without /chat/completions")
    key = parser.add_mutually_exclusive_group()
    key.add_argument("--api-key-file", default="", metavar="FILE", help="file with the new key")
    key.add_argument("--api-key-secret", metavar="KEY", help="name of one of the keys that the server was given")
    key.add_argument("--ask-key", action="store_true", help="ask for the new key in the terminal")
    key.add_argument("--no-key", action="store_true", help="send no key any more")
    parser.add_argument("--max-concurrency", type=int, metavar="N", help="calls in flight at most, 1 to 256")
    parser.add_argument(
        "--adaptive", action=BooleanOptionalAction, help="find by trying how many calls at once it takes"
    )
    parser.add_argument("--prompt-price", type=float, metavar="X", help="price of a million prompt tokens")
    parser.add_argument("--reply-price", type=float, metavar="X", help="price of a million reply tokens")
    parser.add_argument("--timeout-seconds", type=int, metavar="N", help="seconds that a call may take")


def _llm(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="NAME", help="its id")


def _llm_delete(parser: ArgumentParser) -> None:
    _llm(parser)
    add_yes(parser)


def _dataset(parser: ArgumentParser) -> None:
    parser.add_argument("dataset", nargs="?", default="", metavar="DATASET", help="its id; otherwise the newest")


def _named_dataset(parser: ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", help="its id")


def _dataset_delete(parser: ArgumentParser) -> None:
    _named_dataset(parser)
    add_yes(parser)


def spec_flags(parser: ArgumentParser, settings: tuple[Setting, ...] = DATASET) -> None:
    """Add the flags that say what to generate."""
    parser.add_argument(
        "--task",
        choices=(*TASKS, TEXT),
        help=f"kind of example ({TASKS[0]}); {TEXT}: the documents' own text, to pretrain on, without an LLM",
    )
    parser.add_argument("--template", default="", metavar="NAME", help="prompt template instead, or NAME/VERSION")
    parser.add_argument(
        "--question-types",
        default="",
        metavar="A,B",
        help="kinds of question, by comma: fact, why, how, compare, unanswerable",
    )
    parser.add_argument("--persona", action="append", default=[], metavar="TEXT", help="who asks; may be repeated")
    parser.add_argument("--extract", default="", metavar="FILE", help="JSON schema of what is to be extracted")
    parser.add_argument("--llm", default="", metavar="NAME", help="LLM endpoint; otherwise the only one there is")
    add_flags(parser, settings)


def _preview(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", metavar="FILE", help="use these files only")
    parser.add_argument("--calls", type=int, default=0, metavar="N", help="calls to make, 1 to 10")
    spec_flags(parser)


def _generate(parser: ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", metavar="FILE", help="use these files only")
    parser.add_argument("--id", default="", metavar="ID", help="id to give it; otherwise made up")
    parser.add_argument("--no-watch", action="store_true", help="return at once")
    parser.add_argument("--dry-run", action="store_true", help="say what it would take; make nothing, ask nothing")
    spec_flags(parser)


def _stats(parser: ArgumentParser) -> None:
    _dataset(parser)
    _counted(parser)
    parser.add_argument("--tokens", action="store_true", help="count tokens as cl100k_base does, without a model")


def _counted(parser: ArgumentParser) -> None:
    parser.add_argument("-m", "--model", default="", metavar="MODEL", help="count tokens as this base model does")
    parser.add_argument("--max-length", type=int, default=0, metavar="N", help="how many examples are longer?")


def _dataset_report(parser: ArgumentParser) -> None:
    _dataset(parser)
    _counted(parser)
    parser.add_argument(
        "-o", "--output", default="", metavar="DIR", help="folder to write; otherwise one named after the dataset"
    )


def _freeze(parser: ArgumentParser) -> None:
    _dataset(parser)
    parser.add_argument("--approved-only", action="store_true", help="take only examples that a person has approved")


def _resume(parser: ArgumentParser) -> None:
    _dataset(parser)
    parser.add_argument("--no-watch", action="store_true", help="return at once")


def _examples(parser: ArgumentParser) -> None:
    _dataset(parser)
    parser.add_argument("--filter", default="", metavar="F", help='drop_reason = "DUPLICATE", flag = "PII_EMAIL", *, …')
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="show at most this many")


def _edit(parser: ArgumentParser) -> None:
    parser.add_argument("example", metavar="EXAMPLE", help="its id, or DATASET/EXAMPLE")
    parser.add_argument("-d", "--dataset", default="", metavar="DATASET", help="its dataset; otherwise the newest")
    parser.add_argument("--prompt", metavar="TEXT", help="the new question or instruction")
    parser.add_argument("--response", metavar="TEXT", help="the new answer")
    parser.add_argument("--accept", action="store_true", help="take it into the dataset")


def _drop(parser: ArgumentParser) -> None:
    parser.add_argument("examples", nargs="+", metavar="EXAMPLE", help="ids, or DATASET/EXAMPLE")
    parser.add_argument("-d", "--dataset", default="", metavar="DATASET", help="their dataset; otherwise the newest")
    parser.add_argument("--delete", action="store_true", help="delete them instead of keeping them as dropped")


def _download(parser: ArgumentParser) -> None:
    _dataset(parser)
    parser.add_argument(
        "-o",
        "--output",
        default="",
        metavar="FILE",
        help="file to write, folders are made; otherwise DATASET-VERSION.jsonl",
    )
    parser.add_argument("--version", type=int, default=0, metavar="N", help="frozen version; otherwise the newest")
    form_flags(parser)


COMMANDS = (
    Command(
        "llm create",
        "Record an OpenAI-compatible LLM server; it writes the examples.",
        "ftf llm create local --url http://127.0.0.1:11434/v1 --llm-model qwen3",
        "llm.create",
        _llm_create,
    ),
    Command(
        "llm update",
        "Change an LLM endpoint: its URL, its key, how many calls at once it takes, its prices.",
        "ftf llm update local --max-concurrency 16",
        "llm.update",
        _llm_update,
    ),
    Command("llm list", "List the LLM endpoints.", "ftf llm list", "llm.list_endpoints"),
    Command("llm delete", "Remove an LLM endpoint and its key.", "ftf llm delete local", "llm.delete", _llm_delete),
    Command(
        "dataset preview",
        "Make a few examples at once and keep none of them.",
        "ftf dataset preview --calls 3",
        "dataset.preview",
        _preview,
        project=True,
    ),
    Command(
        "dataset generate",
        "Write examples from the chunks, check them, and freeze what is good.",
        "ftf dataset generate --examples-per-chunk 3",
        "dataset.generate",
        _generate,
        project=True,
    ),
    Command("dataset list", "List the project's datasets.", "ftf dataset list", "dataset.list_datasets", project=True),
    Command(
        "dataset show",
        "Show a dataset: what came in, went on and was dropped.",
        "ftf dataset show",
        "dataset.show",
        _dataset,
        project=True,
    ),
    Command(
        "dataset stats",
        "Count a dataset's examples, and their tokens.",
        "ftf dataset stats --model smollm2 --max-length 512",
        "statistics.stats",
        _stats,
        project=True,
    ),
    Command(
        "dataset report",
        "Save a dataset's report: ledger, lengths, balance, drops, versions, with plots.",
        "ftf dataset report --model smollm2 -o report",
        "statistics.report",
        _dataset_report,
        project=True,
    ),
    Command(
        "dataset examples",
        "Show a dataset's examples with their evidence.",
        "ftf dataset examples --filter 'drop_reason = \"DUPLICATE\"'",
        "example.examples",
        _examples,
        project=True,
    ),
    Command(
        "dataset edit",
        "Change an example; frozen versions keep the old text.",
        "ftf dataset edit ex-1 --response 'Ten days.'",
        "example.edit",
        _edit,
        project=True,
    ),
    Command(
        "dataset drop",
        "Take examples out of the dataset.",
        "ftf dataset drop ex-1",
        "example.drop",
        _drop,
        project=True,
    ),
    Command(
        "dataset freeze",
        "Make a version of the examples as they are now.",
        "ftf dataset freeze",
        "dataset.freeze",
        _freeze,
        project=True,
    ),
    Command(
        "dataset pause",
        "Let the LLM rest and keep everything made; `ftf dataset resume` goes on.",
        "ftf dataset pause",
        "dataset.pause",
        _dataset,
        project=True,
    ),
    Command(
        "dataset resume",
        "Go on generating after a pause or a failure; no answered call is made again.",
        "ftf dataset resume",
        "dataset.resume",
        _resume,
        project=True,
    ),
    Command(
        "dataset cancel",
        "Stop generating and keep the examples made.",
        "ftf dataset cancel d1",
        "dataset.cancel",
        _named_dataset,
        project=True,
    ),
    Command(
        "dataset download",
        "Fetch a frozen version: its own JSON Lines, or the form of another program.",
        "ftf dataset download --format sharegpt --as parquet -o train.parquet",
        "dataset.download",
        _download,
        project=True,
    ),
    Command(
        "dataset delete",
        "Delete a dataset and its examples; asks back where runs depend on it.",
        "ftf dataset delete d1",
        "dataset.delete",
        _dataset_delete,
        project=True,
    ),
)
