"""What the server of the client's tests finds about a run before it starts."""

from __future__ import annotations

from finetuneflow.common.v1 import reasons_pb2
from finetuneflow.training.v1 import check_pb2, training_service_pb2

TOKENS = (
    ("<|im_start|>user\n", False),
    ("Why?\x1b[31m", False),
    ("<|im_end|>\n", False),
    ("So", True),
    (".<end>", True),
)


def checked(request: training_service_pb2.CreateRunRequest) -> check_pb2.RunCheck:
    """Return the labels of one example, two problems if r is above 64, and a warning if it is 1."""
    tokens = [check_pb2.LabelledToken(id=n, text=text, trained=trained) for n, (text, trained) in enumerate(TOKENS)]
    labels = check_pb2.LabelPreview(
        train_examples=1200,
        checked_examples=1000,
        tokens=5000,
        supervised_tokens=2000,
        truncated_examples=50,
        truncated_tokens=700,
        longest_tokens=612,
        marked_by="chatml",
        eval_examples=100,
        recall_examples=40,
    )
    if request.preview_examples:
        labels.examples.add(id="e1", tokens=tokens, truncated_tokens=7)
    check = check_pb2.RunCheck(labels=labels, jobs_before=2, disk_free_bytes=9 * 10**9)
    if request.run.config.lora.r > 64:
        check.problems.add(
            severity=check_pb2.Problem.SEVERITY_REFUSE,
            reason=reasons_pb2.REASON_INVALID_FIELD,
            field="config.lora.r",
            message="r is too large.",
            remedy="Choose a smaller one.",
        )
    if request.run.config.lora.r in (1, *range(65, 5000)):
        check.problems.add(
            severity=check_pb2.Problem.SEVERITY_WARN,
            reason=reasons_pb2.REASON_FEW_EVAL_EXAMPLES,
            message="Few are held out.",
        )
    return check
