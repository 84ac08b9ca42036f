"""The hardware service's door. Translates, and decides nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

from finetuneflow.common.v1 import artifact_pb2, upload_pb2
from finetuneflow.hardware.v1 import device_pb2, hardware_service_pb2_grpc, model_pb2, plan_pb2
from finetuneflow.hardware.v1 import hardware_service_pb2 as pb
from services.common import ids
from services.common.auth import current_principal
from services.common.documents.port import Document
from services.common.errors import InvalidArgument
from services.common.interceptors import Context
from services.common.protoform import artifact_to_proto, meta_to_proto, user_fields
from services.hardware import configform, estimateform, inventoryform
from services.hardware.core_choice import Dataset
from services.hardware.core_memory import Estimate
from services.hardware.core_model import File
from services.hardware.core_placement import Placement
from services.hardware.planning import Planning
from services.hardware.service import MODEL, Models, Wanted
from services.hardware.store import model_shape, upload_key


class HardwareApi(hardware_service_pb2_grpc.HardwareServiceServicer):
    """HardwareService."""

    def __init__(self, models: Models, planning: Planning) -> None:
        self._models = models
        self._planning = planning

    async def GetInventory(self, request: pb.GetInventoryRequest, context: Context) -> device_pb2.Inventory:
        """Return what there is to train on."""
        return inventoryform.to_proto(await self._planning.inventory())

    async def CreateModel(self, request: pb.CreateModelRequest, context: Context) -> model_pb2.Model:
        """Record a model."""
        model = request.model
        asked = pb.CreateModelRequest(model=model, model_id=request.model_id)
        doc = await self._models.create(
            Wanted(
                hub_id=model.hub_id,
                local_path=model.local_path,
                uploaded=tuple(File(f.filename, f.size_bytes, f.sha256) for f in model.files) if model.uploaded else (),
                revision=model.revision,
                model_id=request.model_id,
                user_fields=user_fields(model.display_name, model.meta, "model"),
                request_id=request.request_id,
                body=asked.SerializeToString(deterministic=True),
                creator=current_principal().name,
            )
        )
        return to_proto(doc)

    async def UploadModelFile(
        self, request: AsyncIterator[pb.UploadModelFileRequest], context: Context
    ) -> pb.UploadModelFileResponse:
        """Store a file of a model."""
        parts = aiter(request)
        first = await anext(parts, None)
        if first is None or first.WhichOneof("part") != "header":
            raise InvalidArgument("The first message has no header. Send the header, then the bytes.", field="header")
        header = first.header

        async def data() -> AsyncIterator[bytes]:
            async for part in parts:
                yield part.data

        await self._models.uploads.take(_file(header), data(), header.offset)
        return pb.UploadModelFileResponse()

    async def GetUpload(self, request: pb.GetUploadRequest, context: Context) -> upload_pb2.Upload:
        """Return what there is of a model's file."""
        return upload_pb2.Upload(received_bytes=await self._models.uploads.received(_file(request.header)))

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> model_pb2.Model:
        """Return a model."""
        return to_proto(await self._model(request.name, "name"))

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        """Return a page of models."""
        docs, token = await self._models.resources.page({}, request.page_size, request.page_token)
        return pb.ListModelsResponse(models=[to_proto(doc) for doc in docs], next_page_token=token)

    async def DeleteModel(self, request: pb.DeleteModelRequest, context: Context) -> pb.DeleteModelResponse:
        """Forget a model."""
        ids.parse_name(request.name, MODEL)
        await self._models.delete(request.name, request.etag)
        return pb.DeleteModelResponse()

    async def EstimateMemory(self, request: pb.EstimateMemoryRequest, context: Context) -> plan_pb2.MemoryEstimate:
        """Return what a training needs."""
        model = await self._model(request.model, "model")
        longest = model_shape(model).context
        decided = configform.decided(request.config, longest)
        placement = await self._planning.place(inventoryform.asked(request.resources))
        plan = configform.plan(decided, longest, placement.device.bf16)
        return estimate_to_proto(self._planning.estimate(model, plan, placement), placement)

    async def RecommendTraining(
        self, request: pb.RecommendTrainingRequest, context: Context
    ) -> plan_pb2.Recommendation:
        """Return settings that suit."""
        for field in ("train_examples", "longest_example_tokens"):
            if getattr(request, field) < 0:
                raise InvalidArgument(f"{field} is below 0. Use 0 when it is not known.", field=field)
        model = await self._model(request.model, "model")
        decided = configform.decided(request.config, model_shape(model).context)
        dataset = Dataset(request.train_examples, request.longest_example_tokens)
        placement = await self._planning.place(inventoryform.asked(request.resources))
        choice = self._planning.recommend(model, dataset, placement, decided)
        found = plan_pb2.Recommendation(
            config=configform.recommended(request.config, choice),
            estimate=estimate_to_proto(choice.estimate, placement),
            reasons=choice.reasons,
        )
        if other := self._planning.alternative(model, choice, placement, decided):
            found.alternative.config.CopyFrom(configform.other(found.config, other.plan))
            found.alternative.estimate.CopyFrom(estimate_to_proto(other.estimate, placement))
            found.alternative.reason = other.reason
        return found

    async def EstimateRun(self, request: pb.EstimateRunRequest, context: Context) -> pb.EstimateRunResponse:
        """Return what a run takes."""
        model = await self._model(request.model, "model")
        longest = model_shape(model).context
        data = estimateform.data(request)
        decided = configform.decided(request.config, longest)
        placement = await self._planning.place(inventoryform.asked(request.resources))
        plan = configform.plan(decided, longest, placement.device.bf16)
        schedule = estimateform.schedule(request, model, placement)
        found = await self._planning.estimate_run(model, plan, schedule, data, placement)
        loading, fetched = self._planning.loading(model, plan, placement), await self._planning.fetched(model)
        return pb.EstimateRunResponse(
            memory=estimate_to_proto(self._planning.estimate(model, plan, placement), placement),
            estimate=estimateform.to_proto(found, placement.device, placement.words),
            node=estimateform.node_to_proto(loading, fetched, placement),
        )

    async def RecordMeasurement(
        self, request: pb.RecordMeasurementRequest, context: Context
    ) -> pb.RecordMeasurementResponse:
        """Keep what a run took."""
        await self._planning.record(estimateform.measurement(request))
        return pb.RecordMeasurementResponse()

    async def _model(self, name: str, field: str) -> Document:
        ids.parse_name(name, MODEL, field)
        return await self._models.resources.get(name)


def _file(header: pb.ModelFileHeader) -> File:
    return File(header.filename, header.size_bytes, header.sha256)


def to_proto(doc: Document) -> model_pb2.Model:
    """Return a model's document as a message."""
    uploaded = doc.get("uploaded", False)  # there were no such models before
    files = [
        artifact_pb2.Artifact(filename=name, size_bytes=size, sha256=sha, key=upload_key(sha) if uploaded else "")
        for name, size, sha in doc["files"]
    ]
    model = model_pb2.Model(
        name=doc["_id"],
        display_name=doc["display_name"],
        meta=meta_to_proto(doc),
        revision=doc["model_revision"],
        files=files,
        parameters=doc["parameters"],
        dtype=doc["dtype"],
        license=doc["license"],
        gated=doc["gated"],
        has_chat_template=doc["has_chat_template"],
        tokenizer=artifact_to_proto(doc["tokenizer"]),
        chat=artifact_to_proto(doc["chat"]) if doc.get("chat") else None,
        **doc["sizes"],
    )
    if doc["hub_id"]:
        model.hub_id = doc["hub_id"]
    elif uploaded:
        model.uploaded = True
    else:
        model.local_path = doc["local_path"]
    return model


def estimate_to_proto(estimate: Estimate, placement: Placement) -> plan_pb2.MemoryEstimate:
    """Return an estimate as a message; where the memory is a guess, nothing is said about what fits."""
    return plan_pb2.MemoryEstimate(
        weights=estimate.weights,
        adapter=estimate.adapter,
        gradients=estimate.gradients,
        optimizer=estimate.optimizer,
        activations=estimate.activations,
        logits=estimate.logits,
        overhead=estimate.overhead,
        peak=estimate.peak,
        device=estimate.device,
        available=0 if placement.assumed else estimate.available,
        fits=placement.assumed or estimate.fits,
        note=estimate.note,
    )
