"""The OpenRPC document of a registry: what rpc.discover and /openrpc.json answer."""

from collections.abc import Sequence
from typing import Final

import msgspec

from sequencer.api.rpc.errors import ALL_ERRORS, STANDARD_ERRORS, ApiError
from sequencer.api.rpc.jsonrpc import Method, Registry
from sequencer.api.rpc.subscriptions import Channel
from sequencer.engine.effects import EFFECTS_VERSION
from sequencer.schema.document import (
    ChannelDescription,
    Components,
    Document,
    ErrorDescription,
    Info,
    MethodDescription,
    NamedSchema,
    Parameter,
    Reference,
    Schema,
)
from sequencer.schema.subscriptions import CHANNEL_SNAPSHOT, CHANNEL_UPDATE, NOTIFICATION
from sequencer.schema.values import finished_schema, value_schema

OPENRPC_VERSION: Final = "1.3.2"
_REFERENCE: Final = "#/components/schemas/{name}"
_DESCRIPTION: Final = (
    "JSON-RPC 2.0 over HTTP POST / and WebSocket /ws; binary frames carry the same objects as msgpack. "
    "Integers past 2^53 are answered as decimal strings and taken as numbers or decimal strings. "
    "x-params-bytes is the longest params that a method takes, as they travel. x-channels are the channels of "
    f"catenary_subscribe: what a snapshot holds, and `data` of each {NOTIFICATION} that follows; x-effects-version "
    "rises where what the venue says of an input, from which they are told, takes another shape or meaning."
)


def openrpc_document(registry: Registry, channels: Sequence[Channel], version: str) -> Document:
    """Every method with its parameters by name and position, its result and errors; every channel with its messages.

    version: the venue's.
    """
    methods = list(registry.methods.values())
    kinds = [kind for method in methods for kind in (method.params, method.result)]
    kinds += [kind for channel in channels for kind in (channel.snapshot, channel.message)]
    raw, raw_components = msgspec.json.schema_components(kinds, schema_hook=value_schema, ref_template=_REFERENCE)
    schemas: list[Schema] = finished_schema(list(raw))
    components: dict[str, Schema] = finished_schema(raw_components)
    told = schemas[2 * len(methods) :]
    described = [
        ChannelDescription(channel.name, channel.description, told[2 * index], told[2 * index + 1])
        for index, channel in enumerate(channels)
    ]
    components[CHANNEL_SNAPSHOT] = {"anyOf": [channel.snapshot for channel in described] + [{"type": "null"}]}
    components[CHANNEL_UPDATE] = {"anyOf": [_update(channel) for channel in described]} if described else {"not": {}}
    return Document(
        openrpc=OPENRPC_VERSION,
        info=Info("Catenary", version, _DESCRIPTION),
        methods=[
            _method(method, components[_name(schemas[2 * index])], schemas[2 * index + 1])
            for index, method in enumerate(methods)
        ],
        effects_version=EFFECTS_VERSION,
        channels=described,
        components=Components(components, {error.name: _error(error) for error in ALL_ERRORS}),
    )


def _name(reference: Schema) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _update(channel: ChannelDescription) -> Schema:
    """One message of a channel with its place in it."""
    names = {"pattern": f"^{channel.name}"} if channel.name.endswith(":") else {"const": channel.name}
    return {
        "title": f"{channel.name} update",
        "type": "object",
        "properties": {
            "channel": {"type": "string", **names},
            "epoch": {"type": "string"},
            "sequence": {"type": "integer"},
            "data": channel.message,
        },
        "required": ["channel", "epoch", "sequence", "data"],
    }


def _error(error: ApiError) -> ErrorDescription:
    return ErrorDescription(error.code, error.sentence, {"name": error.name})


def _method(method: Method, params: Schema, result: Schema) -> MethodDescription:
    required = params.get("required", [])
    return MethodDescription(
        name=method.name,
        summary=method.description,
        param_structure="either",
        params_bytes=method.params_bytes,
        params=[Parameter(name, name in required, schema) for name, schema in params["properties"].items()],
        result=NamedSchema(f"{method.name}_result", result),
        errors=[
            Reference(f"#/components/errors/{error.name}")
            for error in dict.fromkeys((*method.errors, *STANDARD_ERRORS))
        ],
    )
