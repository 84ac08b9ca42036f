"""The task type that docs/task-types.md makes from an empty file, made from the page's own blocks."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from finetuneflow.dataset.v1 import prompt_template_pb2
from tests.fakes.datasets import balanced, dataset_service, drops, examples, generated, rows, state
from tests.fakes.ingest import Ingest
from tests.fakes.llm_server import Answer, llm

PAGE = (Path(__file__).parents[2] / "docs/task-types.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("## A task type of your own") :]
TEXT, SCHEMA, COMMANDS, ASKED, REPLY, EXAMPLE = re.findall(r"^```\w*\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)[:6]


async def test_the_example_of_the_page_becomes_a_dataset(tmp_path: Path) -> None:
    """The LLM is asked what the page says; its reply becomes the example that the page shows."""
    words = shlex.split(COMMANDS.splitlines()[0])
    mapping = dict(pair.split("=") for pair in words[words.index("--map") + 1].split(","))
    library = Ingest({"projects/p/files/f": [json.loads(REPLY)["quote"]]}, language="en")
    async with llm(lambda _: Answer(REPLY)) as server, dataset_service(tmp_path, server, library) as (stub, _):
        template = prompt_template_pb2.PromptTemplate(
            text=TEXT, reply_schema=SCHEMA, mapping=prompt_template_pb2.ReplyMapping(**mapping)
        )
        request = pb.CreatePromptTemplateRequest(prompt_template=template, prompt_template_id=words[3])
        made = await stub.CreatePromptTemplate(request)
        dataset = await generated(stub, template=made.name)
        (found,) = await examples(stub, "accepted = true")
        (line,) = await rows(stub)

    wanted = json.loads(EXAMPLE)
    assert (state(dataset), balanced(dataset), drops(dataset)) == ("SUCCEEDED", True, {})
    assert server.prompts[0].splitlines()[1:] == ASKED.splitlines()[1:]
    assert "Text: {passage}" in TEXT
    assert "For:" not in server.prompts[0]
    assert {name: getattr(found, name) for name in wanted} == wanted
    assert [message["content"] for message in line["messages"]] == [wanted["prompt"], wanted["response"]]
