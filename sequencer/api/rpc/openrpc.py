"""The OpenRPC document of a registry: what rpc.discover and /openrpc.json answer."""

from typing import Any, Final

import msgspec

from sequencer.api.rpc.errors import ALL_ERRORS, STANDARD_ERRORS, ApiError
from sequencer.api.rpc.jsonrpc import Method, Registry
from sequencer.schema.values import value_schema

OPENRPC_VERSION: Final = "1.3.2"
REFERENCE: Final = "#/components/schemas/{name}"


def openrpc_document(registry: Registry, version: str) -> dict[str, Any]:
    """Every method with its parameters by name and position, its result and errors; `version` is the venue's."""
    methods = list(registry.methods.values())
    kinds = [kind for method in methods for kind in (method.params, method.result)]
    schemas, components = msgspec.json.schema_components(kinds, schema_hook=value_schema, ref_template=REFERENCE)
    described = [
        _method(method, components[_name(schemas[2 * index])], schemas[2 * index + 1])
        for index, method in enumerate(methods)
    ]
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": "Catenary",
            "version": version,
            "description": (
                "JSON-RPC 2.0 over HTTP POST / and WebSocket /ws; binary frames carry the same objects as msgpack. "
                "Integers past 2^53 are answered as decimal strings and taken as numbers or decimal strings. "
                "x-params-bytes is the longest params that a method takes, as they travel."
            ),
        },
        "methods": described,
        "components": {"schemas": components, "errors": {error.name: _error(error) for error in ALL_ERRORS}},
    }


def _name(reference: dict[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _error(error: ApiError) -> dict[str, Any]:
    return {"code": error.code, "message": error.sentence, "data": {"name": error.name}}


def _method(method: Method, params: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    required = params.get("required", [])
    return {
        "name": method.name,
        "summary": method.description,
        "paramStructure": "either",
        "x-params-bytes": method.params_bytes,
        "params": [
            {"name": name, "required": name in required, "schema": schema}
            for name, schema in params["properties"].items()
        ],
        "result": {"name": f"{method.name}_result", "schema": result},
        "errors": [
            {"$ref": f"#/components/errors/{error.name}"} for error in dict.fromkeys((*method.errors, *STANDARD_ERRORS))
        ],
    }
