"""From a folder of documents to weights: python whole_flow.py DOCUMENTS MODEL --llm-url URL --llm-model NAME

DOCUMENTS is a folder, MODEL the id of a base model that the server has, or a folder of its machine. The server is the
one that `ftf up` started, or that of FTF_SERVER and FTF_TOKEN. Run again, it finds project, documents and LLM as they
are, and makes a new dataset, run and export.
"""

from __future__ import annotations

import argparse
import asyncio

from finetuneflow_client import DocumentsRefused, FineTuneFlow, FtfError
from finetuneflow_client.resources import Project


async def upload(project: Project, folder: str) -> None:
    """Send documents and say what became of each; some that are refused are no reason to stop."""
    try:
        async for file in project.upload(folder):
            print(f"{file.display_name}: {file.error or file.state}")
    except DocumentsRefused as error:
        for refused in error.refused:
            print(f"left out: {refused}")


async def flow(args: argparse.Namespace) -> None:
    """All of it."""
    async with FineTuneFlow.connect() as ftf:
        llm = await ftf.llms.add(args.llm_url, args.llm_model)
        project = await ftf.projects.create(args.project, exist_ok=True)
        await upload(project, args.documents)

        dataset = await project.generate(llm=llm, max_examples=args.max_examples)
        async for example in dataset.examples("accepted = true"):
            print(f"{example.prompt} → {example.response}")
            break

        run = await project.train(dataset, model=args.model, max_steps=args.max_steps)
        async for metric in run.watch():
            print(f"step {metric.step}/{metric.total_steps}: loss {metric.loss}")

        export = await run.export(args.format)
        for path in await export.download(args.output):
            print(path)


def main() -> None:
    """Read the command line, and turn an error into words."""
    parser = argparse.ArgumentParser(description="From a folder of documents to weights.")
    parser.add_argument("documents")
    parser.add_argument("model")
    parser.add_argument("--llm-url", required=True)
    parser.add_argument("--llm-model", required=True)
    parser.add_argument("--project", default="handbook")
    parser.add_argument("--max-examples", type=int, default=64)
    parser.add_argument("--max-steps", type=int)
    parser.add_argument("--format", choices=("adapter", "merged", "gguf"), default="gguf")
    parser.add_argument("--output", default="out")
    try:
        asyncio.run(flow(parser.parse_args()))
    except FtfError as error:
        parser.exit(1, f"{error.message}\n{error.remedy}\n")


if __name__ == "__main__":
    main()
