"""The OpenRPC document as it is answered by rpc.discover."""

from typing import Annotated, Any, Literal

import msgspec

# Itself a JSON schema (draft 2020-12), which no schema here goes into.
Schema = Annotated[dict[str, Any], msgspec.Meta(extra_json_schema={"format": "json-schema"})]


class Info(msgspec.Struct, frozen=True):
    """Whose document it is; `version` is the package's."""

    title: str
    version: str
    description: str


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of a method, by its place and name."""

    name: str
    required: bool
    schema: Schema


class NamedSchema(msgspec.Struct, frozen=True):
    """A method's result."""

    name: str
    schema: Schema


class Reference(msgspec.Struct, frozen=True):
    """A place in `components`."""

    ref: str = msgspec.field(name="$ref")


class MethodDescription(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One method; x-params-bytes is the longest params that it takes."""

    name: str
    summary: str
    param_structure: Literal["either"]
    params_bytes: int = msgspec.field(name="x-params-bytes")
    params: list[Parameter]
    result: NamedSchema
    errors: list[Reference]


class ChannelDescription(msgspec.Struct, frozen=True):
    """A channel, or a family of them where its name ends in a colon and goes on with a key."""

    name: str
    summary: str
    snapshot: Schema
    message: Schema


class ErrorDescription(msgspec.Struct, frozen=True):
    """One error that a call may be refused with."""

    code: int
    message: str
    data: dict[str, str]


class Components(msgspec.Struct, frozen=True):
    """What the other parts refer to."""

    schemas: dict[str, Schema]
    errors: dict[str, ErrorDescription]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """rpc.discover: every method, its parameters, results and errors; and, beyond OpenRPC, every channel.

    effects_version: of the effects from which the channels are told.
    """

    openrpc: str
    info: Info
    methods: list[MethodDescription]
    effects_version: int = msgspec.field(name="x-effects-version")
    channels: list[ChannelDescription] = msgspec.field(name="x-channels")
    components: Components
