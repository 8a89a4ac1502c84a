"""Types for the page, read out of a document."""

from typing import Any

from sequencer.dashboard.wire import declarations

DOCUMENT: dict[str, Any] = {
    "components": {
        "schemas": {
            "Leg": {
                "properties": {
                    "market": {"type": "string"},
                    "lots": {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
                    "rank-of": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
                    "side": {"enum": ["buy", "sell"]},
                    "level": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "integer"}]},
                },
                "required": ["market", "level"],
            },
            "Any": {"anyOf": [{"$ref": "#/components/schemas/Leg"}, {"const": "none"}]},
            "ByName": {"type": "object", "additionalProperties": {"type": "boolean"}},
        }
    },
    "methods": [
        {
            "name": "venue_leg",
            "params": [
                {"name": "market", "required": True, "schema": {"type": "string"}},
                {"name": "limit", "required": False, "schema": {"type": "integer"}},
            ],
            "result": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/Leg"}}},
        },
        {"name": "venue_all", "params": [], "result": {"schema": {}}},
    ],
    "x-channels": [{"name": "legs:", "snapshot": {"type": "null"}, "message": {"$ref": "#/components/schemas/Leg"}}],
}


def test_every_form_of_a_schema_has_its_type() -> None:
    lines = [line.strip() for line in declarations(DOCUMENT).splitlines()]
    for line in (
        "export interface Leg {",
        "market: string;",
        "lots?: number | string | null;",
        '"rank-of"?: (number | null)[];',
        'side?: "buy" | "sell";',
        "level: [number, number];",
        'export type Any = Leg | "none";',
        "export type ByName = Record<string, boolean>;",
        '"venue_leg": { params: { market: string; limit?: number }; result: Leg[] };',
        '"venue_all": { params: Record<string, never>; result: unknown };',
        '"legs:": { snapshot: null; message: Leg };',
    ):
        assert line in lines, line
