"""As much of JSON schema as the node's OpenRPC document says: what a value does not fit, and what says nothing."""

import re
from typing import Any, Final

_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None),
}  # fmt: skip
_KNOWN: Final = {
    "$ref", "anyOf", "enum", "const", "not", "type", "properties", "required", "additionalProperties", "items",
    "prefixItems", "minItems", "maxItems", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "title", "description", "default", "format",
}  # fmt: skip


def misfits(schema: dict[str, Any], value: Any, components: dict[str, Any], place: str = "$") -> list[str]:
    """Every place where a value is not what a schema says; a key that the schema does not name is one."""
    assert schema.keys() <= _KNOWN, f"{schema.keys() - _KNOWN} is not looked at"
    if "$ref" in schema:
        return misfits(components[schema["$ref"].rpartition("/")[2]], value, components, place)
    if "anyOf" in schema:
        every = [misfits(option, value, components, place) for option in schema["anyOf"]]
        return [] if [] in every else [f"{place} is none of its alternatives: {every}"]
    if "const" in schema or "enum" in schema:
        allowed = schema.get("enum", [schema.get("const")])
        return [] if value in allowed else [f"{place} is none of {allowed}"]
    kind = schema["type"]
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return [f"{place} is {type(value).__name__}, not {kind}"]
    if kind == "object":
        return _object_misfits(schema, value, components, place)
    if kind == "array":
        return _array_misfits(schema, value, components, place)
    if kind == "string":
        pattern = schema.get("pattern")
        return [] if pattern is None or re.search(pattern, value) else [f"{place} does not match {pattern}"]
    if kind == "integer":
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        is_within = low <= value <= high and value < schema.get("exclusiveMaximum", value + 1)
        return [] if is_within and value > schema.get("exclusiveMinimum", value - 1) else [f"{place} is out of bounds"]
    return []


def _object_misfits(schema: dict[str, Any], value: dict[str, Any], components: dict[str, Any], at: str) -> list[str]:
    if schema.get("format") == "json-schema":
        return []
    named, values = schema.get("properties", {}), schema.get("additionalProperties")
    found = [f"{at}.{name} is missing" for name in schema.get("required", []) if name not in value]
    for name, item in value.items():
        inner = named.get(name, values)
        if isinstance(inner, dict):
            found += misfits(inner, item, components, f"{at}.{name}")
        else:
            found.append(f"{at}.{name} is not in the schema")
    return found


def _array_misfits(schema: dict[str, Any], value: list[Any], components: dict[str, Any], at: str) -> list[str]:
    if "prefixItems" in schema:
        if len(value) != len(schema["prefixItems"]):
            return [f"{at} is of another length"]
        pairs = list(zip(schema["prefixItems"], value, strict=True))
    else:
        pairs = [(schema["items"], item) for item in value]
    return [
        found
        for place, (inner, item) in enumerate(pairs)
        for found in misfits(inner, item, components, f"{at}[{place}]")
    ]


def untyped(document: dict[str, Any]) -> list[str]:
    """Where an OpenRPC document says no more of a parameter, result or channel than "object", "array" or anything."""
    named = [
        (f"{described['name']} {part['name']}", part["schema"])
        for described in document["methods"]
        for part in (*described["params"], described["result"])
    ]
    named += [
        (f"{channel['name']} {part}", channel[part])
        for channel in document["x-channels"]
        for part in ("snapshot", "message")
    ]
    named += [(f"component {name}", schema) for name, schema in document["components"]["schemas"].items()]
    return [name for name, schema in named if _is_untyped(schema)]


def _is_untyped(schema: dict[str, Any]) -> bool:
    if schema.get("format") == "json-schema" or schema.keys() & {"$ref", "enum", "const", "not"}:
        return False
    if "anyOf" in schema:
        return any(_is_untyped(option) for option in schema["anyOf"])
    kind = schema.get("type")
    if kind == "object":
        values = schema.get("additionalProperties")
        inner = [*schema.get("properties", {}).values(), *([values] if isinstance(values, dict) else [])]
        # Of a method that takes nothing the properties are there and empty.
        return (not inner and "properties" not in schema) or any(map(_is_untyped, inner))
    if kind == "array":
        inner = schema.get("prefixItems") or ([schema["items"]] if schema.get("items") else [])
        return not inner or any(map(_is_untyped, inner))
    return kind is None
