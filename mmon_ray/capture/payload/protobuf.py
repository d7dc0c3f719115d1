"""Protocol buffers, as a gRPC ingress is asked and answers with them, made into plain Python values.

Not by protobuf's own JSON, in which 64-bit integers are text and zeros are missing: a model's features are numbers.
"""

from __future__ import annotations

from typing import Any

__all__ = ["is_message", "plain", "without_context"]


def is_message(kind: type) -> bool:
    """Whether a class is one of protobuf's messages."""
    return hasattr(kind, "DESCRIPTOR") and hasattr(kind, "SerializeToString")


def plain(value: Any) -> Any:
    """A message as a dict of its fields, unset ones with their defaults; any other value as it is."""
    if not is_message(type(value)):
        return value
    return {field.name: _field(field, value) for field in value.DESCRIPTOR.fields}


def without_context(kwargs: dict[str, Any]) -> dict[str, Any]:
    """A call's arguments without the context that Serve gives to a gRPC method."""
    if "grpc_context" in kwargs and type(kwargs["grpc_context"]).__name__ == "RayServegRPCContext":
        return {name: value for name, value in kwargs.items() if name != "grpc_context"}
    return kwargs


def _field(field: Any, message: Any) -> Any:
    value = getattr(message, field.name)
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        return {str(key): plain(value[key]) for key in value}
    if hasattr(value, "extend"):  # a repeated field
        return [plain(item) for item in value]
    if entry is not None:
        return plain(value) if message.HasField(field.name) else None
    return value
