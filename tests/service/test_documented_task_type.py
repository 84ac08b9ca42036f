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


WORDS = shlex.split(COMMANDS.splitlines()[0])
MAPPING = dict(pair.split("=") for pair in WORDS[WORDS.index("--map") + 1].split(","))


def request() -> pb.CreatePromptTemplateRequest:
    """What the page's command asks for."""
    mapping = prompt_template_pb2.ReplyMapping(**MAPPING)
    template = prompt_template_pb2.PromptTemplate(text=TEXT, reply_schema=SCHEMA, mapping=mapping)
    return pb.CreatePromptTemplateRequest(prompt_template=template, prompt_template_id=WORDS[3])


async def test_the_example_of_the_page_becomes_a_dataset(tmp_path: Path) -> None:
    """The LLM is asked what the page says; its reply becomes the example that the page shows."""
    library = Ingest({"projects/p/files/f": [json.loads(REPLY)["quote"]]}, language="en")
    async with llm(lambda _: Answer(REPLY)) as server, dataset_service(tmp_path, server, library) as (stub, _):
        made = await stub.CreatePromptTemplate(request())
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


async def test_a_reply_whose_meaning_is_the_term_again_is_dropped(tmp_path: Path) -> None:
    """It teaches nothing, although every word of it stands in the text."""
    said = json.loads(REPLY)
    library = Ingest({"projects/p/files/f": [said["quote"]]}, language="en")
    echo = Answer(json.dumps({**said, "meaning": said["term"].upper() + "."}))
    async with llm(lambda _: echo) as server, dataset_service(tmp_path, server, library) as (stub, _):
        made = await stub.CreatePromptTemplate(request())
        dataset = await generated(stub, template=made.name)

    assert (state(dataset), drops(dataset)) == ("FAILED", {"ANSWER_IN_QUESTION": 1})
