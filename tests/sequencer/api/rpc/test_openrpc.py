"""The document says what the registry does."""

from collections.abc import Callable
from typing import Any

import pytest

from sequencer.api.rpc.errors import ALL_ERRORS
from sequencer.engine.effects import EFFECTS_VERSION
from tests.sequencer.api.conftest import Running


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        # Of a schema of references "$ref" is a property as well.
        here = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return here + [found for item in value.values() for found in references(item)]
    return [found for item in value for found in references(item)] if isinstance(value, list) else []


@pytest.mark.trio
async def test_the_document_is_whole(start: Callable[..., Any]) -> None:
    node: Running = await start()
    document = (await node.get("/openrpc.json")).json()
    assert (await node.call("rpc.discover"))["result"] == document
    assert document["openrpc"].startswith("1.")
    assert set(document["info"]) >= {"title", "version"}
    assert document["x-effects-version"] == EFFECTS_VERSION
    assert [method["name"] for method in document["methods"]] == list(node.venue.registry.methods)
    for method in document["methods"]:
        assert method["summary"].endswith(".")
        assert method["paramStructure"] == "either"
        assert set(method["result"]) == {"name", "schema"}
        required = [param["required"] for param in method["params"]]
        assert required == sorted(required, reverse=True)
    for reference in references(document):
        node_at: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node_at = node_at[part]
    errors = {
        error.name: {"code": error.code, "message": error.sentence, "data": {"name": error.name}}
        for error in ALL_ERRORS
    }
    assert document["components"]["errors"] == errors
    echo = next(method for method in document["methods"] if method["name"] == "echo")
    assert [(param["name"], param["required"]) for param in echo["params"]] == [
        ("amount", True),
        ("text", False),
        ("owner", False),
    ]
    amount = echo["params"][0]["schema"]
    assert amount["anyOf"][0] == {"type": "string", "pattern": "^(0|[1-9][0-9]*)$"}
