"""A task type of your own: python task_type.py PROJECT --llm-url URL --llm-model NAME

The task: a warning sign for a passage. An LLM is told what to write and how to reply, and a mapping says which part of
its reply is what of an example. A few examples are looked at first, then all are written. The documents are those of
the project, as whole_flow.py uploads them.
"""

from __future__ import annotations

import argparse
import asyncio

from finetuneflow_client import FineTuneFlow, FtfError

TEXT = """\
## system
You write the text of a warning sign for a passage of a manual, in {language}. Reply with JSON.
## user
Title: {topic}
Passage: {passage}
"""
# What a reply has to be; one that is not is dropped and counted.
REPLY = {
    "type": "object",
    "properties": {"question": {"type": "string"}, "evidence": {"type": "string"}, "answer": {"type": "string"}},
    "required": ["question", "evidence", "answer"],
    "additionalProperties": False,
}
MAPPING = {"prompt": "question", "response": "answer", "evidence": "evidence"}


async def flow(args: argparse.Namespace) -> None:
    """Make the template, look at a few examples, write all."""
    async with FineTuneFlow.connect() as ftf:
        llm = await ftf.llms.add(args.llm_url, args.llm_model)
        project = await ftf.projects.get(args.project)
        template = await ftf.templates.create(
            "warning-sign", text=TEXT, reply_schema=REPLY, mapping=MAPPING, grounding="evidence", scope="passage"
        )
        print(f"made {template.name}")
        for example in await project.preview(llm, template=template, calls=2):
            fate = "accepted" if example.accepted else f"dropped, {example.message.drop_reason}"
            print(f"{fate}: {example.response}")
        dataset = await project.generate(llm, template=template, max_examples=args.max_examples)
        print(f"{dataset.name}: version {dataset.version}")


def main() -> None:
    """Read the command line, and turn an error into words."""
    parser = argparse.ArgumentParser(description="A task type of your own.")
    parser.add_argument("project")
    parser.add_argument("--llm-url", required=True)
    parser.add_argument("--llm-model", required=True)
    parser.add_argument("--max-examples", type=int, default=64)
    try:
        asyncio.run(flow(parser.parse_args()))
    except FtfError as error:
        parser.exit(1, f"{error.message}\n{error.remedy}\n")


if __name__ == "__main__":
    main()
