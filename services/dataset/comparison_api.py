"""The dataset service's door for comparing answers: the LLM endpoints and their keys are here."""

from __future__ import annotations

from finetuneflow.dataset.v1 import comparison_pb2 as pb
from finetuneflow.dataset.v1 import dataset_service_pb2_grpc
from services.common.errors import InvalidArgument
from services.common.interceptors import Context
from services.dataset.core import preferring
from services.dataset.core.preferring import ONE, TWO, Opinion
from services.dataset.endpoints import Endpoints
from services.dataset.llm import LlmClient
from services.dataset.tries import CallRefused

MAX_CHARACTERS = 100_000
_MOST_TOKENS = 512
_TRIES = 2


class ComparisonApi(dataset_service_pb2_grpc.DatasetServiceServicer):
    """The part of DatasetService that compares."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._judges = endpoints

    async def CompareAnswers(self, request: pb.CompareAnswersRequest, context: Context) -> pb.CompareAnswersResponse:
        """Ask in both orders."""
        for name in ("prompt", "reference", "one", "two"):
            if len(getattr(request, name)) > MAX_CHARACTERS:
                raise InvalidArgument(f"{name} has over {MAX_CHARACTERS:,} characters. Shorten it.", field=name)
        client = await self._judges.client(await self._judges.resolve(request.llm_endpoint))
        answer = pb.CompareAnswersResponse(llm_endpoint=client.endpoint.name, model=client.endpoint.model)
        if request.one == request.two:
            answer.preferred = pb.PREFERENCE_TIE
            return answer
        try:
            opinions = [await _ask(client, request, *order) for order in ((ONE, TWO), (TWO, ONE))]
        except CallRefused as error:  # it may take others
            answer.refusal = str(error)
            return answer
        answer.preferred = _preference(preferring.settle(opinions))
        answer.opinions.extend(pb.Opinion(preferred=_preference(o.preferred), reason=o.reason) for o in opinions)
        return answer


async def _ask(client: LlmClient, request: pb.CompareAnswersRequest, first: str, second: str) -> Opinion:
    texts = {ONE: request.one, TWO: request.two}
    asked = preferring.messages(request.prompt, request.reference, texts[first], texts[second])
    opinion = Opinion(preferring.UNREAD)
    for seed in range(_TRIES):
        reply = await client.complete(asked, preferring.SCHEMA, temperature=0, max_tokens=_MOST_TOKENS, seed=seed)
        opinion = preferring.read(reply.text, first, second)
        if opinion.preferred:
            break
    return opinion


def _preference(said: str) -> pb.Preference.ValueType:
    return pb.Preference.Value(f"PREFERENCE_{said or 'UNSPECIFIED'}")
