"""Train on examples of your own: python own_dataset.py FILE MODEL --map prompt=question --map response=answer

FILE is JSON Lines, CSV or Parquet in any form that docs/dataset-formats.md names; --map names columns that are called
otherwise. It is the blocking front: no async, no await.
"""

from __future__ import annotations

import argparse

from finetuneflow_client import FtfError
from finetuneflow_client.sync import FineTuneFlow


def flow(args: argparse.Namespace) -> None:
    """Import, look at what was left out, train."""
    mapping = dict(args.map)
    with FineTuneFlow.connect() as ftf:
        project = ftf.projects.create(args.project, exist_ok=True)
        dataset = project.import_dataset(args.file, mapping=mapping, eval_fraction=0.2)
        version = dataset.message.versions[-1]
        print(f"{dataset.name}: {version.train_examples} to train on, {version.eval_examples} held out")
        for problem in dataset.problems():
            print(f"row {problem['row']} left out: {problem['message']}")

        if args.check:
            check = project.train(dataset, model=args.model, max_steps=args.max_steps, validate_only=True).message.check
            print(f"{check.labels.supervised_tokens} of {check.labels.tokens} tokens have a loss")
            for found in check.problems:
                print(f"{found.message} {found.remedy}")
            return
        run = project.train(dataset, model=args.model, max_steps=args.max_steps)
        for metric in run.watch():
            print(f"step {metric.step}/{metric.total_steps}: loss {metric.loss}")
        print(f"{run.name}: {run.state}, loss {run.loss:.3f}")


def pair(text: str) -> tuple[str, str]:
    """Return what stands on both sides of an equals sign. Raises ArgumentTypeError if there is none."""
    column, equals, name = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN=NAME")
    return column, name


def main() -> None:
    """Read the command line, and turn an error into words."""
    parser = argparse.ArgumentParser(description="Train on examples of your own.")
    parser.add_argument("file")
    parser.add_argument("model")
    parser.add_argument("--map", type=pair, action="append", default=[], metavar="COLUMN=NAME")
    parser.add_argument("--project", default="own")
    parser.add_argument("--max-steps", type=int)
    parser.add_argument("--check", action="store_true", help="say what it would learn from; start nothing")
    try:
        flow(parser.parse_args())
    except FtfError as error:
        parser.exit(1, f"{error.message}\n{error.remedy}\n")


if __name__ == "__main__":
    main()
