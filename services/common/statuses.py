"""Errors as google.rpc.Status, on the wire and in resources."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.common.errors import FineTuneFlowError, Unavailable, Unreachable, from_code

DOMAIN = "finetuneflow"


def to_status(error: FineTuneFlowError) -> status_pb2.Status:
    """Return an error as a Status with ErrorInfo and, where they fit, BadRequest and RetryInfo."""
    status = status_pb2.Status(code=error.code, message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    status.details.add().Pack(info)
    if parts := error.parts or ((error,) if error.field else ()):
        kind = error_details_pb2.BadRequest.FieldViolation
        violations = [kind(field=part.field, description=part.message, reason=part.reason) for part in parts]
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=violations))
    if error.retry_after:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(error.retry_after * 1000))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def from_status(status: status_pb2.Status) -> FineTuneFlowError:
    """Return the error that a Status stands for; the reverse of to_status, less field and retry_after."""
    info = error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
    return from_code(status.code, status.message, info.reason, dict(info.metadata))


def from_rpc_error(error: grpc.aio.AioRpcError, peer: str) -> FineTuneFlowError:
    """Return a failed call to a peer as one of our errors.

    A peer that is not reached is Unreachable; one that takes too long, or says that something is away, Unavailable.
    """
    status = rpc_status.from_call(error)
    if status is not None:
        return from_status(status)
    code: Any = error.code()
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        kind = Unreachable if code == grpc.StatusCode.UNAVAILABLE else Unavailable
        return kind(f"The {peer} service does not answer ({code.name}). Wait and repeat the call.")
    return from_code(code.value[0], error.details() or code.name)
