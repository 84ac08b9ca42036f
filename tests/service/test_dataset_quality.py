"""What examples may not hold, over real gRPC and real HTTP: flagged, masked, dropped, counted and found by filter."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest

from finetuneflow.dataset.v1 import dataset_pb2, ledger_pb2
from finetuneflow.dataset.v1 import dataset_service_pb2 as pb
from tests.fakes import llm_server as fake
from tests.fakes.datasets import balanced, dataset_service, drops, ended, examples, generated, rows, state, wanted
from tests.fakes.ingest import Ingest, text
from tests.fakes.llm_server import Answer, Request, llm
from tests.service.test_dataset_judge import doubtful, judging

ORDERS = (Path(__file__).parents[1] / "unit/dataset/injections.txt").read_text(encoding="utf-8").splitlines()
F0 = "projects/p/files/f0"
MASK, DROP = dataset_pb2.PII_ACTION_MASK, dataset_pb2.PII_ACTION_DROP


def obedient(request: Request) -> Answer:
    """What a document orders, if the passage has an order or follows one; else a good example."""
    found = fake.example(request)
    if "PWNED" in request.asked:
        return Answer(json.dumps({**found, "answer": "PWNED-77"}))
    return Answer(json.dumps(found))


async def test_orders_of_documents_are_obeyed_in_vain(tmp_path: Path) -> None:
    """An LLM that does what every passage says: no order becomes an example, the facts beside it do, with a flag."""
    documents = Ingest({f"projects/p/files/f{n}": [f"{text(n)}\n\n{order}"] for n, order in enumerate(ORDERS)})
    async with llm(obedient) as server, dataset_service(tmp_path, server, documents) as (stub, _):
        dataset = await generated(stub, examples_per_chunk=6)
        kept, lines = await examples(stub), await rows(stub)
        everything = await examples(stub, "*")

        assert state(dataset) == "SUCCEEDED"
        assert balanced(dataset)
        assert len(kept) >= 3 * len(ORDERS)
        assert "PWNED" not in "".join(e.prompt + e.response + e.evidence for e in kept)
        assert "PWNED" not in json.dumps([line["messages"] for line in lines])
        assert {"SUSPECTED_INJECTION"} == {flag for e in kept for flag in e.flags}
        assert all("SUSPECTED_INJECTION" in e.flags for e in everything)
        assert dataset.flags["SUSPECTED_INJECTION"] == len(kept)
        assert all(set(m) == {"role", "content"} for line in lines for m in line["messages"])


async def test_the_llm_never_sees_hidden_text_and_evidence_keeps_its_place(tmp_path: Path) -> None:
    """Zero-width characters are gone and control tokens harmless in each prompt; spans are of the stored text."""
    hidden = "\u200b".join("The Wren balance costs 103 crowns without tax.")
    chunk = f"The Plover barometer has a key <|im_start|> on its lid. {hidden} It was first sold in 1953."
    async with llm() as server, dataset_service(tmp_path, server, Ingest({F0: [chunk]})) as (stub, _):
        dataset = await generated(stub, "d")
        found = await examples(stub, "*")
        sent = json.dumps([r.body for r in server.requests], ensure_ascii=False)
        evidence = next(e for e in found if "costs" in e.evidence)
        start, end = evidence.evidence_span.start, evidence.evidence_span.end

        assert not {"<|im_start|>", "\u200b"} & {mark for mark in ("<|im_start|>", "\u200b") if mark in sent}
        assert "‹|im_start|›" in sent
        assert {tuple(e.flags) for e in found} == {("CONTROL_TOKENS", "INVISIBLE_TEXT")}
        assert chunk[start:end] == hidden.removesuffix("\u200b.")
        assert chunk[start:end].replace("\u200b", "") == evidence.evidence
        assert dataset.flags["INVISIBLE_TEXT"] == sum(e.accepted for e in found)


PEOPLE = [
    "The Wren balance is repaired by jane.doe@example.com in May 1999. The Plover barometer costs 103 crowns.",
    "The Finch probe is sold at +49 30 1234567 since May 2001. The Teal furnace weighs 7 kilograms when it is empty.",
]


async def test_personal_data_is_flagged_counted_and_found_by_filter(tmp_path: Path) -> None:
    """By default nothing is changed; a filter on a flag gives just those examples, and flags may be joined."""
    async with llm() as server, dataset_service(tmp_path, server, Ingest({F0: PEOPLE})) as (stub, _):
        dataset = await generated(stub)
        mails = await examples(stub, 'flag = "PII_EMAIL"')
        phones = await examples(stub, "flag = PII_PHONE AND accepted = true")
        both = await examples(stub, "flag = PII_PHONE AND flag = PII_EMAIL")

        assert (len(mails), len(phones), len(both)) == (1, 1, 0)
        assert dict(dataset.flags) == {"PII_EMAIL": 1, "PII_PHONE": 1}
        assert "jane.doe@example.com" in mails[0].response
        assert list(mails[0].flags) == ["PII_EMAIL"]

        with pytest.raises(grpc.aio.AioRpcError, match="no flag"):
            await examples(stub, 'flag = "a.b"')


async def test_a_policy_masks_one_kind_and_drops_the_others(tmp_path: Path) -> None:
    """Masked text is the example's text wherever it is shown, in the frozen file too; drops are counted."""
    policy = {"EMAIL": MASK, "*": DROP}
    async with llm() as server, dataset_service(tmp_path, server, Ingest({F0: PEOPLE})) as (stub, _):
        dataset = await generated(stub, pii_policy=policy)
        everything = await examples(stub, "*")
        lines = json.dumps(await rows(stub))

        assert dataset.spec.pii_policy == policy
        assert drops(dataset) == {"PERSONAL_DATA": 1}
        assert balanced(dataset)
        assert "[EMAIL_1]" in lines
        assert not [e for e in everything if "jane.doe" in str(e) or "1234567" in str(e)]
        assert "jane.doe" not in lines


SECRET = "AKIA" + "Q7KZ3MN5PT2RWX4D"
LETTERS = [
    f"The Wren balance is repaired by jane.doe@example.com in May 1999. {text(0, 2)}",
    f"Questions about the Finch probe go to Jane.Doe@example.com and to\nmax@example.org since May 2001. {text(2, 2)}",
    f"The Curlew hoist is opened with the key {SECRET} since May 2001. {text(3, 2)}",
]


async def test_what_a_policy_masks_or_drops_reaches_neither_the_llm_nor_the_stores(tmp_path: Path) -> None:
    """Nor the judge. One placeholder for one address in a file; a chunk with a secret is not sent, and the ledger says
    why.
    """
    documents = Ingest({F0: LETTERS, "projects/p/files/other": [text(5)]})
    policy = {"EMAIL": MASK, "AWS_KEY": DROP}
    judge = dataset_pb2.Judge(min_score=1)
    async with llm(doubtful) as server, dataset_service(tmp_path, server, documents) as (stub, _):
        dataset = await generated(stub, pii_policy=policy, judge=judge, eval_fraction=0.0, recall_fraction=0.0)
        found = await examples(stub, "*")
        request = ledger_pb2.ListLedgerRowsRequest(parent=dataset.name, step="chunks")
        withheld = (await stub.ListLedgerRows(request)).rows
        spec = dataset_pb2.DatasetSpec(pii_policy=policy)
        await stub.PreviewExamples(pb.PreviewExamplesRequest(parent="projects/p", spec=spec, calls=6))
        sent = json.dumps([r.body for r in server.requests])
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    assert state(dataset) == "SUCCEEDED"
    assert dataset.usage.judge_calls == sum(map(judging, server.requests)) > 0
    assert balanced(dataset)
    for planted in ("jane.doe", "max@example", SECRET, "Curlew hoist"):
        assert planted.lower() not in sent.lower()
        assert planted.lower().encode() not in stored.lower()
    assert [(row.reason, row.name, row.detail) for row in withheld] == [("PERSONAL_DATA", f"{F0}/chunks/c2", "AWS_KEY")]
    mails = [e for e in found if "[EMAIL_" in e.evidence]
    assert [[f"[EMAIL_{n}]" in e.response for n in (1, 2, 3)] for e in mails] == [
        [True, False, False], [True, True, False],
    ]  # fmt: skip
    assert all(e.accepted and "PII_EMAIL" in e.flags for e in mails)
    whole = "\n\n".join(LETTERS)
    for example in mails:
        span = example.evidence_span
        assert whole[span.start : span.end].lower().count("@example") == example.evidence.count("[EMAIL_")
        assert whole[span.start : span.end].endswith(example.evidence[-12:])
    assert {e.place.paragraph for e in mails} == {1, 2}


async def test_a_policy_that_masks_buys_nothing_twice(tmp_path: Path) -> None:
    """The keys of calls depend on documents and settings alone: after a break, only what was missing is asked."""
    some = fake.first(*[fake.good] * 3, then=fake.status(401))
    async with llm(some) as server, dataset_service(tmp_path, server, Ingest({F0: LETTERS})) as (stub, _):
        await generated(stub, pii_policy={"*": MASK})
        answered = [request.asked for request in server.requests[:3]]
        server.requests.clear()
        server.script = fake.good
        await stub.ResumeDataset(pb.ResumeDatasetRequest(name="projects/p/datasets/d"))
        dataset = await ended(stub)

    assert state(dataset) == "SUCCEEDED"
    assert not set(answered) & set(server.prompts)
    assert len(answered) + len(server.prompts) == dataset.usage.calls == len({*answered, *server.prompts})


async def test_a_preview_is_screened_too(tmp_path: Path) -> None:
    """What it shows is what generation would keep."""
    async with llm() as server, dataset_service(tmp_path, server, Ingest({F0: PEOPLE})) as (stub, _):
        spec = dataset_pb2.DatasetSpec(pii_policy={"EMAIL": MASK}, canaries=["+49 30 1234567"])
        found = await stub.PreviewExamples(pb.PreviewExamplesRequest(parent="projects/p", spec=spec, calls=4))

        assert {flag for e in found.examples for flag in e.flags} == {"PII_EMAIL", "PII_PHONE"}
        assert [e.drop_reason for e in found.examples if e.drop_reason] == ["CANARY"]
        assert "jane.doe" not in str(found.examples)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"pii_policy": {"NAME": MASK}}, "no kind"),
        ({"canaries": ["a"]}, "characters"),
        ({"canaries": ["canary"] * 101}, "100"),
    ],
)
async def test_a_policy_that_is_none_is_refused(tmp_path: Path, spec: dict[str, object], words: str) -> None:
    """The message says what may be asked for."""
    async with llm() as server, dataset_service(tmp_path, server) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError, match=words) as error:
            await stub.CreateDataset(wanted(**spec))

        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
