"""A run for each learning rate and rank, and the best of them: python sweep.py PROJECT MODEL

They learn from the project's newest dataset with a frozen version. All are checked before the first starts; they are
followed at the same time.
"""

from __future__ import annotations

import argparse
import asyncio

from finetuneflow_client import FineTuneFlow, FtfError
from finetuneflow_client.resources import Project, Run


async def newest(project: Project) -> str:
    """Return the name of the newest dataset that can be trained on."""
    frozen = [dataset.name async for dataset in project.datasets() if dataset.version]
    if not frozen:
        raise FtfError("no dataset has a frozen version", "make one with whole_flow.py or own_dataset.py")
    return frozen[-1]


async def follow(run: Run) -> Run:
    """Follow a run to its end; one that fails does not stop the others."""
    try:
        async for metric in run.watch():
            print(f"{run.id}: step {metric.step}/{metric.total_steps}, loss {metric.loss}")
    except FtfError as error:
        print(f"{run.id}: {error}")
    return run


async def flow(args: argparse.Namespace) -> None:
    """Start, follow, compare."""
    async with FineTuneFlow.connect() as ftf:
        project = await ftf.projects.get(args.project)
        runs = await project.sweep(
            args.name,
            await newest(project),
            model=args.model,
            vary={"learning_rate": args.rates, "lora.r": args.ranks},
            max_steps=args.max_steps,
            num_eval_answers=0,  # the losses decide
        )
        ended = await asyncio.gather(*map(follow, runs))
        for run in sorted((run for run in ended if run.loss is not None), key=lambda run: run.loss or 0.0):
            config = run.message.config
            print(f"{run.loss:.4f}  {run.id}  learning rate {config.learning_rate:g}, rank {config.lora.r}")


def main() -> None:
    """Read the command line, and turn an error into words."""
    parser = argparse.ArgumentParser(description="A run for each learning rate and rank.")
    parser.add_argument("project")
    parser.add_argument("model")
    parser.add_argument("--name", default="sweep")
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-4, 2e-4])
    parser.add_argument("--ranks", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--max-steps", type=int)
    try:
        asyncio.run(flow(parser.parse_args()))
    except FtfError as error:
        parser.exit(1, f"{error.message}\n{error.remedy}\n")


if __name__ == "__main__":
    main()
