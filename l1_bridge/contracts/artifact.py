"""Compiled contracts as files: calls, results and events by the ABI, and whether deployed code is the shipped code."""

import json
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import msgspec

from l1_bridge.contracts.abi import decode, encode
from l1_bridge.hashing import keccak

ARTIFACTS = Path(__file__).parent / "artifacts"


class ArtifactError(ValueError):
    """An artifact that is missing or unreadable, or bytes from outside that do not fit its ABI."""


def canonical_type(parameter: Mapping[str, Any]) -> str:
    """ABI type of one parameter as it stands in a signature; tuples are spelt out."""
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    inner = ",".join(canonical_type(component) for component in parameter["components"])
    return f"({inner}){kind[len('tuple') :]}"


class Function(msgspec.Struct, frozen=True):
    """One function of a contract: 4-byte selector and ABI types."""

    name: str
    signature: str
    selector: bytes
    input_types: tuple[str, ...]
    output_types: tuple[str, ...]

    def encode(self, *arguments: Any) -> bytes:
        """Calldata of a call."""
        return self.selector + encode(self.input_types, arguments)

    def decode(self, data: bytes) -> tuple[Any, ...]:
        """Values in the returned data; ArtifactError where it is not exactly the ABI encoding of these types."""
        return decode_exactly(self.output_types, data)


class Event(msgspec.Struct, frozen=True):
    """One event of a contract: 32-byte topic, and (name, type) of what is indexed and what is data."""

    name: str
    signature: str
    topic: bytes
    indexed: tuple[tuple[str, str], ...]
    data: tuple[tuple[str, str], ...]


class Artifact(msgspec.Struct, frozen=True, dict=True):
    """A compiled contract: ABI, creation code, runtime code without immutables, and the digests of its sources."""

    name: str
    abi: Sequence[Mapping[str, Any]]
    bytecode: bytes
    runtime_bytecode: bytes
    immutable_bytes: int
    sources: Mapping[str, str]
    compiler: Mapping[str, str]

    @cached_property
    def functions(self) -> dict[str, Function]:
        """Functions by name; Vyper overloads only where arguments have defaults, which no contract here uses."""
        found: dict[str, Function] = {}
        for entry in self.abi:
            if entry["type"] != "function":
                continue
            inputs = tuple(canonical_type(item) for item in entry["inputs"])
            signature = f"{entry['name']}({','.join(inputs)})"
            outputs = tuple(canonical_type(item) for item in entry["outputs"])
            found[entry["name"]] = Function(entry["name"], signature, keccak(signature.encode())[:4], inputs, outputs)
        return found

    @cached_property
    def events(self) -> dict[bytes, Event]:
        """Events by their first topic."""
        found: dict[bytes, Event] = {}
        for entry in self.abi:
            if entry["type"] != "event":
                continue
            typed = [(item["name"], canonical_type(item), item["indexed"]) for item in entry["inputs"]]
            signature = f"{entry['name']}({','.join(kind for _, kind, _ in typed)})"
            topic = keccak(signature.encode())
            found[topic] = Event(
                entry["name"],
                signature,
                topic,
                tuple((name, kind) for name, kind, indexed in typed if indexed),
                tuple((name, kind) for name, kind, indexed in typed if not indexed),
            )
        return found

    def encode_call(self, name: str, *arguments: Any) -> bytes:
        """Calldata of a call by name."""
        return self.functions[name].encode(*arguments)

    def decode_result(self, name: str, data: bytes) -> Any:
        """The one value that a function returned, or a tuple of several; ArtifactError on foreign bytes."""
        values = self.functions[name].decode(data)
        return values[0] if len(values) == 1 else values

    def creation_code(self, *arguments: Any) -> bytes:
        """Bytes of the transaction that deploys the contract with these constructor arguments."""
        constructor = next((entry for entry in self.abi if entry["type"] == "constructor"), {"inputs": ()})
        types = [canonical_type(item) for item in constructor["inputs"]]
        return self.bytecode + encode(types, arguments)

    def matches_runtime(self, code: bytes) -> bool:
        """Whether deployed code is this contract, whatever its immutables: Vyper appends them to the code."""
        size = len(self.runtime_bytecode)
        return len(code) == size + self.immutable_bytes and code[:size] == self.runtime_bytecode


def decode_exactly(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """ABI values, if and only if the bytes are their canonical encoding; ArtifactError otherwise."""
    try:
        return decode(types, data)
    except ValueError as error:
        # odd offsets, overlaps and trailing bytes are refused too: whoever reads them differently sees another batch
        sentence = f"{len(data)} bytes are not the canonical encoding of ({','.join(types)}): {error}"
        raise ArtifactError(sentence) from error


def load_artifact(source: str | Path) -> Artifact:
    """The artifact of a contract of this room by its name, or of any room by the path of its file."""
    path = ARTIFACTS / f"{source}.json" if isinstance(source, str) else source
    try:
        content = json.loads(path.read_text())
        return Artifact(
            name=content["name"],
            abi=content["abi"],
            bytecode=bytes.fromhex(content["bytecode"].removeprefix("0x")),
            runtime_bytecode=bytes.fromhex(content["runtime_bytecode"].removeprefix("0x")),
            immutable_bytes=int(content["immutable_bytes"]),
            sources=content["sources"],
            compiler=content["compiler"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is not a readable artifact: {error}") from error


@cache
def bridge_artifact() -> Artifact:
    """The shipped RollupBridge."""
    return load_artifact("RollupBridge")


def plain_value(kind: str, value: Any) -> Any:
    """An ABI value as it is held here: addresses in 20 bytes, text read leniently, all else as it came."""
    if kind == "address":
        return bytes.fromhex(value[2:])
    if kind == "string":
        return value.decode("utf-8", "replace")
    return value
