"""Words about prompt templates."""

from __future__ import annotations

from argparse import ArgumentParser

from finetuneflow_client.cli.grammar.command import Command


def _create(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="NAME", help="its name: a new one, or one that gets its next version")
    parser.add_argument("--text", required=True, metavar="FILE", help='sections "## system", "## user", …')
    parser.add_argument("--schema", required=True, metavar="FILE", help="JSON schema of the reply")
    parser.add_argument(
        "--map",
        required=True,
        metavar="A=B,…",
        help="fields of the reply: prompt=question,response=answer,evidence=quote; also reasoning, turns",
    )
    parser.add_argument(
        "--prompt-text", default="", metavar="TEXT", help="the prompt of an example, where the LLM does not write it"
    )
    parser.add_argument(
        "--grounding",
        choices=("none", "answer", "evidence"),
        help="what must stand in the document (evidence or answer)",
    )
    parser.add_argument(
        "--scope", choices=("passage", "passages", "chunk"), help="what one call is about: a sentence, a few, a chunk"
    )


def _named(parser: ArgumentParser) -> None:
    parser.add_argument("id", metavar="NAME", help="its name, or NAME/VERSION")


COMMANDS = (
    Command(
        "template create",
        "Make a prompt template, or its next version: a task type of your own.",
        "ftf template create glossary --text glossary.md --schema glossary.json --map prompt=term,response=meaning",
        "template.create",
        _create,
    ),
    Command("template list", "List the prompt templates.", "ftf template list", "template.list_templates"),
    Command("template show", "Show a prompt template.", "ftf template show question-answer", "template.show", _named),
    Command(
        "template delete",
        "Delete a version of a prompt template, or all; datasets keep their copy.",
        "ftf template delete glossary/1",
        "template.delete",
        _named,
    ),
)
