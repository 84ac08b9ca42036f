"""What training came to: base model against tuned model."""

from __future__ import annotations

from typing import TYPE_CHECKING

_MEASURES = (
    ("exact match", "exact_match"),
    ("token F1", "token_f1"),
    ("ROUGE-L", "rouge_l"),
    ("chrF", "chrf"),
    ("accuracy of classifications", "accuracy"),
    ("field F1 of extractions", "field_f1"),
)

_OF_A_TASK = ("accuracy", "field_f1")

if TYPE_CHECKING:
    from rich.table import Table

    from finetuneflow.training.v1 import evaluation_pb2


def evaluation_tables(found: evaluation_pb2.Evaluation) -> list[Table]:
    """Return all that is to be shown of an evaluation."""
    more = (rewards_table(found), answers_table(found), samples_table(found))
    return [evaluation_table(found), *filter(None, more)]


def evaluation_table(found: evaluation_pb2.Evaluation) -> Table:
    """Return base against tuned: what the model learned of documents it saw, and of others, apart."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Base model against tuned model", title_justify="left", title_style="bold")
    table.add_column("question")
    for column in ("examples", "base loss", "tuned loss", "change", "base perplexity", "tuned perplexity"):
        table.add_column(column, justify="right")
    for title, score in (
        ("generalise: documents it never saw", found.generalise),
        ("recall: new questions on documents it saw", found.recall),
        ("general questions: what it forgot", found.forgetting.score),
    ):
        if not score.examples:
            table.add_row(title, "0", *["–"] * 5)
            continue
        change = (score.tuned_loss - score.base_loss) / score.base_loss if score.base_loss else 0.0
        table.add_row(
            title,
            str(score.examples),
            f"{score.base_loss:.4f}",
            f"{score.tuned_loss:.4f}",
            Text(f"{change:+.1%}", "green" if change < 0 else "red"),
            f"{score.base_perplexity:,.2f}",
            f"{score.tuned_perplexity:,.2f}",
        )
    return table


def answers_table(found: evaluation_pb2.Evaluation) -> Table | None:
    """Return how near the answers of both models come to the references; None if there are none."""
    from rich.table import Table

    scores = [(name, s) for name, s in (("generalise", found.generalise), ("recall", found.recall)) if s.answers]
    if not scores:
        return None
    table = Table(title="Answers against references, 0 to 1", title_justify="left", title_style="bold")
    table.add_column("measure")
    for name, score in scores:
        table.add_column(f"{name}, {score.answers} answers: base", justify="right")
        table.add_column("tuned", justify="right")
    for label, field in _MEASURES:
        cells = [_cell(answers, field) for _, s in scores for answers in (s.base_answers, s.tuned_answers)]
        if any(cells):
            table.add_row(label, *[cell or "–" for cell in cells])
    return table


def rewards_table(found: evaluation_pb2.Evaluation) -> Table | None:
    """Return which answers both models would rather give; None unless preferences or verdicts were held out."""
    from rich.table import Table

    sets = (("generalise", found.generalise), ("recall", found.recall))
    scores = [(name, score.rewards) for name, score in sets if score.HasField("rewards")]
    if not scores:
        return None
    table = Table(title="Rewards on what was held out", title_justify="left", title_style="bold")
    table.add_column("set")
    for column in ("examples", "likelier: base", "tuned", "reward is right", "margin", "base loss", "tuned loss"):
        table.add_column(column, justify="right")
    for name, score in scores:
        paired = score.HasField("tuned_accuracy")
        likelier = (f"{score.base_accuracy:.1%}", f"{score.tuned_accuracy:.1%}") if paired else ("–", "–")
        margin = f"{score.reward_margin:+.4f}"
        losses = (f"{score.base_loss:.4f}", f"{score.loss:.4f}")
        table.add_row(name, str(score.examples), *likelier, f"{score.reward_accuracy:.1%}", margin, *losses)
    return table


def _cell(answers: evaluation_pb2.AnswerScores, field: str) -> str:
    """Return a measure; "" of a task that no answer was of."""
    if field in _OF_A_TASK and not answers.HasField(field):  # type: ignore[arg-type]  # one of these is
        return ""
    return f"{getattr(answers, field):.3f}"


def forgetting_line(found: evaluation_pb2.Evaluation) -> str:
    """Return the verdict of the forgetting check in words; "" where there is none."""
    score = found.forgetting.score
    if not score.examples:
        return ""
    rise = f"{score.tuned_loss - score.base_loss:+.3f} nats per token on {score.examples} general questions"
    allowed = f"at most {found.forgetting.max_loss_increase:+g} is allowed"
    return f"{'passed' if found.forgetting.passed else 'NOT passed'}: {rise}; {allowed}"


def left_out_line(found: evaluation_pb2.Evaluation) -> str:
    """Return how many examples could not be asked, in words; "" where none was left out."""
    sets = (("generalise", found.generalise.left_out), ("recall", found.recall.left_out))
    parts = [f"{count} of {name}" for name, count in sets if count]
    return f"{', '.join(parts)}: prompts of more than {found.longest_prompt:,} tokens" if parts else ""


def samples_table(found: evaluation_pb2.Evaluation, limit: int = 4) -> Table | None:
    """Return answers of both models side by side; None if there are none."""
    from rich.table import Table
    from rich.text import Text

    if not found.samples:
        return None
    table = Table(title="Sample answers", title_justify="left", title_style="bold", show_lines=True)
    for column in ("question", "document's answer", "base model", "tuned model"):
        table.add_column(column, ratio=1, overflow="fold")
    for sample in found.samples[:limit]:
        question = Text.assemble(sample.prompt, (f"\n({sample.set})", "dim"))
        table.add_row(question, Text(sample.reference), Text(sample.base), Text(sample.tuned, "bold"))
    return table
