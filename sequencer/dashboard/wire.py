"""Types of everything on the wire for the page's type checker, out of the OpenRPC document.

`python -m sequencer.dashboard.wire DOCUMENT` writes static/wire.d.ts anew; DOCUMENT is what a node serves as
/openrpc.json. A test holds the file to the document.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

TARGET: Final = Path(__file__).parent / "static" / "wire.d.ts"
_HEAD: Final = (
    "// What travels between node and page, out of the node's OpenRPC document: python -m sequencer.dashboard.wire\n"
)
_PLAIN: Final = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
Schema = Mapping[str, Any]


def declarations(document: Schema) -> str:
    """The module's text: an interface for each component, Methods by name, Channels by name or family."""
    parts = [_HEAD]
    for name, schema in document["components"]["schemas"].items():
        if "properties" in schema:
            parts.append(f"export interface {name} {_object(schema)}\n")
        else:
            parts.append(f"export type {name} = {_type(schema)};\n")
    methods = "".join(
        f'  "{one["name"]}": {{ params: {_params(one["params"])}; result: {_type(one["result"]["schema"])} }};\n'
        for one in document["methods"]
    )
    channels = "".join(
        f'  "{told["name"]}": {{ snapshot: {_type(told["snapshot"])}; message: {_type(told["message"])} }};\n'
        for told in document["x-channels"]
    )
    parts += [f"export interface Methods {{\n{methods}}}\n", f"export interface Channels {{\n{channels}}}\n"]
    return "\n".join(parts)


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_type(one) for one in schema["anyOf"]))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(one) for one in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        if "prefixItems" in schema:
            return "[" + ", ".join(_type(one) for one in schema["prefixItems"]) + "]"
        inner = _type(schema.get("items", {}))
        return f"({inner})[]" if "|" in inner else f"{inner}[]"
    if kind == "object":
        if "properties" in schema:
            return _object(schema, "  ")
        return f"Record<string, {_type(schema.get('additionalProperties') or {})}>"
    return _PLAIN.get(str(kind), "unknown")


def _object(schema: Schema, indent: str = "") -> str:
    required = schema.get("required", [])
    fields = "".join(
        f"{indent}  {_key(name)}{'' if name in required else '?'}: {_type(field)};\n"
        for name, field in schema["properties"].items()
    )
    return f"{{\n{fields}{indent}}}"


def _key(name: str) -> str:
    return name if name.isidentifier() else json.dumps(name)


def _params(params: list[Any]) -> str:
    fields = (f"{one['name']}{'' if one['required'] else '?'}: {_type(one['schema'])}" for one in params)
    return "{ " + "; ".join(fields) + " }" if params else "Record<string, never>"


if __name__ == "__main__":
    TARGET.write_text(declarations(json.loads(Path(sys.argv[1]).read_text())))
