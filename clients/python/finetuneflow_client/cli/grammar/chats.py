"""What training came to, asked and judged."""

from __future__ import annotations

from argparse import ArgumentParser

from finetuneflow_client.cli.grammar.command import Command


def _chat(parser: ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", default="", metavar="RUN", help="its id; otherwise the newest that succeeded")
    parser.add_argument(
        "-m",
        "--message",
        action="append",
        metavar="TEXT",
        help="ask this and end; several are the turns of one conversation; without, it asks you",
    )
    parser.add_argument("--system", default="", metavar="TEXT", help="system message before all others")
    parser.add_argument("--side", choices=("both", "base", "tuned"), default="both", help="who answers (%(default)s)")
    parser.add_argument("--max-new-tokens", type=int, default=0, metavar="N", help="longest answer, 1 to 4096 (256)")
    parser.add_argument(
        "--temperature", type=float, default=0.0, metavar="X", help="spread of the answers, 0 to 2 (0: always the same)"
    )
    parser.add_argument(
        "--keep",
        type=int,
        default=0,
        metavar="SECONDS",
        help="keep the models loaded so long after the last answer, 300 to 3600; fewer count as 300 "
        "(0: let them go at the end)",
    )


def _judge(parser: ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", default="", metavar="RUN", help="its id; otherwise the newest that succeeded")
    parser.add_argument("--llm", default="", metavar="NAME", help="LLM endpoint; otherwise the only one there is")
    parser.add_argument(
        "--pairs", type=int, default=0, metavar="N", help="pairs to judge at most, two calls each (0: all)"
    )


COMMANDS = (
    Command(
        "judge",
        "Let an LLM compare a run's base and tuned answers to held-out questions, blind and in both orders.",
        "ftf judge run-1 --llm local",
        "judge.judge",
        _judge,
        project=True,
    ),
    Command(
        "chat",
        "Ask a run's base model and its tuned model, side by side.",
        'ftf chat run-1 --message "What is the notice period?"',
        "chat.chat",
        _chat,
        project=True,
        streams=True,
    ),
)
