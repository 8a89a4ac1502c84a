"""Whatever anybody may send to a node's API: each request has an answer that its document explains, and none ends it.

Requests are drawn from the node's own OpenRPC document: lawful ones at the bounds of each type, orders and requests
with true signatures, the same with one value that does not fit, and bytes that are no request at all, in JSON and in
msgpack. An answer is explained where its result is as the document says, or where its error is one of the document's
with a sentence; INTERNAL is a crash of ours.
"""

import json
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgpack  # type: ignore[import-untyped]  # it ships no types
import msgspec
import structlog
import trio
from prometheus_client import CollectorRegistry

from prover.stf import constants
from sequencer.api.methods.reports import Reports
from sequencer.api.rpc.handlers import register
from sequencer.api.rpc.jsonrpc import JSON, MSGPACK, Codec, Push, Session
from sequencer.api.rpc.limits import Limits
from sequencer.api.transport.port import ApiConfig, Surroundings
from sequencer.api.transport.server import Server
from sequencer.schema.writing import to_json
from tests.sequencer.api.json_schema import misfits
from tests.sequencer.desk import Desk, submitted
from tests.sequencer.node_world import (
    BUY,
    DOLLAR,
    DOMAIN,
    FIRST,
    IOC,
    PRICES,
    SELL,
    deposit,
    key,
    order,
    owner,
    request,
    signed_request,
    tick,
)

# It needs an L1, and gives nothing that a caller chose.
_WITHOUT: Final = frozenset({"catenary_faucet"})
# What any call may be answered beside its method's own errors.
_ANY: Final = frozenset(
    {
        "PARSE_ERROR", "INVALID_REQUEST", "METHOD_NOT_FOUND", "INVALID_PARAMS", "TOO_LARGE", "BATCH_TOO_LARGE",
        "RATE_LIMITED", "TIMEOUT",
    }
)  # fmt: skip
_TRADERS: Final = 4
_TICK_EVERY: Final = 200
_SIGNED_PERCENT: Final = 20
_WRONG: Final[tuple[Any, ...]] = (
    None, True, -1, 2**64, 2**300, 1.5, "", "0", "-0", "1e3", "０", "x" * 5_000, "\ud7ff", "0x", "0x" + "zz" * 20,
    [], {}, [[[[]]]], {"a": {"b": []}}, "NaN", " 1", "null", [None] * 300,
)  # fmt: skip


class Listener:
    """A connection that hears everything and forgets it."""

    def push(self, message: Push, codec: Codec, place: object) -> None:
        """Heard."""

    def overflow(self) -> None:
        """Never too slow."""


class Drawer:
    """Requests by the document's types, with what a caller knows of the venue."""

    def __init__(self, rng: random.Random, document: dict[str, Any], desk: Desk) -> None:
        self.rng = rng
        self.methods = {method["name"]: method for method in document["methods"] if method["name"] not in _WITHOUT}
        self.components = document["components"]["schemas"]
        self.channels = [channel["name"] for channel in document["x-channels"]]
        self.desk = desk

    def message(self) -> tuple[str, bytes, Codec]:
        """Kind, bytes and their codec."""
        rng = self.rng
        codec = rng.choice([JSON, JSON, MSGPACK])
        kind = rng.choices(["lawful", "signed", "unfit", "batch", "broken"], [45, _SIGNED_PERCENT, 20, 5, 10])[0]
        if kind == "broken":
            return kind, self._broken(codec), codec
        if kind == "batch":
            calls = [self._call(rng.choice(["lawful", "signed", "unfit"])) for _ in range(rng.choice([0, 1, 2, 9]))]
            return kind, _encode(codec, calls), codec
        return kind, _encode(codec, self._call(kind)), codec

    def _call(self, kind: str) -> dict[str, Any]:
        name, params = self._signed() if kind == "signed" else self._lawful()
        if kind == "unfit":
            params = self._unfit(params)
        called: dict[str, Any] = {"jsonrpc": "2.0", "id": self.rng.choice([1, 2**60, "a", "b" * 128]), "method": name}
        return called | ({"params": params} if params or self.rng.random() < 0.5 else {})

    def _lawful(self) -> tuple[str, Any]:
        rng = self.rng
        method = self.methods[rng.choice(list(self.methods))]
        given = {
            param["name"]: self._value(param["schema"], param["name"])
            for param in method["params"]
            if param["required"] or rng.random() < 0.6
        }
        if rng.random() < 0.1 and len(given) == len(method["params"]):
            return method["name"], list(given.values())
        return method["name"], given

    def _value(self, schema: dict[str, Any], name: str) -> Any:
        rng = self.rng
        if "$ref" in schema:
            return self._value(self.components[schema["$ref"].rpartition("/")[2]], name)
        if "anyOf" in schema:
            return self._value(rng.choice(schema["anyOf"]), name)
        if "enum" in schema:
            return rng.choice(schema["enum"])
        kind = schema["type"]
        if kind == "integer":
            return self._integer(schema, name)
        if kind == "string":
            return self._string(schema, name)
        if kind == "boolean":
            return rng.random() < 0.5
        if kind == "null":
            return None
        if kind == "array":
            most = min(schema.get("maxItems", 3), rng.choice([0, 1, 2, 3, 16, 100]))
            least = min(schema.get("minItems", 0), most)
            items = schema.get("items", {"type": "null"})
            return [self._value(items, name) for _ in range(rng.randint(least, most))]
        named = schema.get("properties", {})
        needed = schema.get("required", [])
        return {key: self._value(each, key) for key, each in named.items() if key in needed or rng.random() < 0.4}

    def _integer(self, schema: dict[str, Any], name: str) -> int:
        rng = self.rng
        low = schema.get("minimum", -(2**63))
        high = schema["exclusiveMaximum"] - 1 if "exclusiveMaximum" in schema else schema.get("maximum", 2**63 - 1)
        known = {
            "account": [FIRST + rng.randrange(_TRADERS + 2), 1, 0],
            "to_account": [FIRST + rng.randrange(_TRADERS), constants.NEW_ACCOUNT],
            "market": [0, 1, 2, 3],
            "slot": [1, 2, 3],
        }
        if "_ms" in name or name == "sequence":
            known[name] = [self.desk.clock.now + rng.choice([-60_000, -1, 0, 1, 10_000, 3_600_000])]
        if "ticks" in name:
            known[name] = [PRICES[0], PRICES[0] * 99 // 100, PRICES[1]]
        picked = rng.choice(known[name]) if name in known and rng.random() < 0.7 else None
        value = rng.choice([low, high, low + 1, high - 1, rng.randint(low, high)]) if picked is None else picked
        return int(min(high, max(low, value)))

    def _string(self, schema: dict[str, Any], name: str) -> str:
        rng, pattern = self.rng, schema.get("pattern", "")
        if "[1-9]" in pattern:
            return str(self._integer({"minimum": 0, "maximum": 2**64 - 1}, name))
        if "{2}){" in pattern:
            size = int(pattern.rpartition("{")[2].split("}")[0].split(",")[0])
            return (
                "0x"
                + (owner(rng.randrange(_TRADERS)) if size == 20 and rng.random() < 0.7 else rng.randbytes(size)).hex()
            )
        if name == "channel":
            return rng.choice(self.channels) + rng.choice(["", "BTC", "0", str(FIRST), "999", "x"])
        text = rng.choice(["", "BTC", "0x", "0x" + "ab" * 65, "a", "é" * 8])
        return text[: schema.get("maxLength", len(text))]

    def _signed(self) -> tuple[str, Any]:
        """An order or a request of a trader's own, with his signature: what the law says of it is its answer."""
        rng, now = self.rng, self.desk.clock.now
        trader = rng.randrange(_TRADERS)
        if rng.random() < 0.8:
            market = rng.choice([0, 0, 1, 2])
            price = PRICES[market] * rng.choice([950, 990, 1_000, 1_010, 1_050, 1_100]) // 1_000
            size = rng.choice([1, 100, 1_000, 10**6, 2**40])
            changes: dict[str, Any] = {"market": market, "slot": rng.choice([1, 2, 3, 200, 255])}
            if rng.random() < 0.3:
                changes["time_in_force"] = IOC
            if rng.random() < 0.2:
                changes |= {"reduce_only": 1, "trigger": rng.choice([0, 1, 2]), "trigger_price": price}
            given = order(
                now + rng.choice([-5_000, 0, 0, 9_000]), FIRST + trader, rng.choice([BUY, SELL]), price, size, **changes
            )
            told = msgspec.json.decode(to_json(submitted(given, trader)))
            if rng.random() < 0.3:
                return "catenary_orders", {"orders": [told] * rng.choice([1, 2])}
            return "catenary_order", told
        kind, tag = rng.choice(
            [
                ("catenary_withdraw", constants.WITHDRAW),
                ("catenary_transfer", constants.TRANSFER),
                ("catenary_cancel", constants.CANCEL),
            ]
        )
        asked = request(now, FIRST + trader, slot=rng.choice([1, 2, 3]), amount=rng.choice([0, 1, DOLLAR, 2**63]))
        signature = signed_request(tag, asked, key(trader))[-64:]
        fields = {
            "account": asked.account, "slot": asked.slot, "sequence": asked.sequence,
            "created_at_ms": asked.created_at, "expires_at_ms": asked.expires_at, "amount_micros": str(asked.amount),
            "to_account": asked.other, "recipient": "0x" + bytes(asked.recipient).hex(),
            "max_posting_fee_micros": asked.max_posting_fee,
        }  # fmt: skip
        return kind, {"request": fields, "signature": "0x" + signature.hex()}

    def _unfit(self, params: Any) -> Any:
        """The same with one value that does not fit, somewhere."""
        rng = self.rng
        if not params or rng.random() < 0.1:
            return rng.choice(_WRONG)
        at = rng.choice(list(params) if isinstance(params, dict) else range(len(params)))
        changed = dict(params) if isinstance(params, dict) else list(params)
        is_deeper = isinstance(changed[at], dict | list) and changed[at] and rng.random() < 0.7
        changed[at] = self._unfit(changed[at]) if is_deeper else rng.choice(_WRONG)
        if isinstance(changed, dict) and rng.random() < 0.1:
            changed["more"] = 1
        return changed

    def _broken(self, codec: Codec) -> bytes:
        rng = self.rng
        whole = bytearray(_encode(codec, self._call("lawful")))
        what = rng.randrange(7)
        if what == 0:
            return bytes(whole[: rng.randrange(len(whole))])
        if what == 1:
            return rng.randbytes(rng.randrange(400))
        if what == 2:
            whole[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
            return bytes(whole)
        if what == 3:
            return rng.choice([b"[", b"{", b'{"a":', b"\x91", b"\x81\xa1a"]) * rng.choice([1, 50, 5_000])
        if what == 4:
            return _encode(codec, rng.choice(_WRONG))
        if what == 5:
            odd = {"jsonrpc": rng.choice(["1.0", 2, None]), "id": rng.choice([[], {}, 1.5, "x" * 999]), "method": 7}
            return _encode(codec, odd)
        return b" " * rng.choice([0, 1, 9_999]) + bytes(whole) + rng.choice([b"", b" ", b"}", b"\x00"])


def _encode(codec: Codec, value: Any) -> bytes:
    """As a caller's own library would; what it cannot say is said in JSON."""
    if codec is MSGPACK:
        try:
            packed: bytes = msgpack.packb(value)
        except (OverflowError, ValueError, UnicodeEncodeError):
            return json.dumps(value).encode(errors="replace")
        return packed
    return json.dumps(value).encode(errors="replace")


class Judge:
    """Counts answers, and keeps those that nothing explains."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.results = {method["name"]: method["result"]["schema"] for method in document["methods"]}
        self.errors = {
            method["name"]: {error["$ref"].rpartition("/")[2] for error in method["errors"]}
            for method in document["methods"]
        }
        self.components = document["components"]["schemas"]
        self.known = document["components"]["errors"]
        self.answered: Counter[str] = Counter()
        self.crashes: list[str] = []
        self.unexplained: list[str] = []

    def judge(self, sent: bytes, codec: Codec, body: bytes | None) -> None:
        """One answer to one message."""
        if body is None:
            self.answered["nothing"] += 1
            return
        told = msgspec.json.decode(body) if codec is JSON else msgpack.unpackb(body, strict_map_key=False)
        names = _names_in(sent, codec)
        answers = told if isinstance(told, list) else [told]
        for place, answer in enumerate(answers):
            self._one(names[place] if len(names) == len(answers) else "", answer, sent)

    def _allowed(self, name: str) -> set[str]:
        """The errors that a method may be answered with; any of the document's where it is not known which it was."""
        return self.errors.get(name, set()) | _ANY if name else set(self.known)

    def _one(self, name: str, answer: dict[str, Any], sent: bytes) -> None:
        if "result" in answer:
            self.answered["result"] += 1
            wrong = misfits(self.results[name], answer["result"], self.components) if name in self.results else []
            if wrong:
                self.unexplained.append(f"{name}: {wrong[:2]} after {sent[:300]!r}")
            return
        error = answer["error"]
        told = error.get("data", {}).get("name", "")
        self.answered[told] += 1
        if told == "INTERNAL":
            self.crashes.append(f"{name}: {sent[:600]!r}")
        elif not error["message"] or told not in self._allowed(name):
            self.unexplained.append(f"{name}: {error} after {sent[:300]!r}")


def _names_in(sent: bytes, codec: Codec) -> list[str]:
    try:
        read = json.loads(sent) if codec is JSON else msgpack.unpackb(sent)
    except Exception:
        return []
    calls = read if isinstance(read, list) else [read]
    return [call["method"] if isinstance(call, dict) and isinstance(call.get("method"), str) else "" for call in calls]


async def _play(size: int, rng: random.Random, directory: Path) -> Judge:
    async with trio.open_nursery() as nursery:
        desk = Desk(directory)
        await nursery.start(desk.venue.run)
        for trader in range(_TRADERS):
            await desk.venue.submit(deposit(owner(trader), 10_000 * DOLLAR))
        await desk.venue.submit(tick(desk.clock.now))
        register(desk.registry, Reports(desk.venue, DOMAIN, desk.clock, is_taking=True))
        log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[])
        limits = Limits(
            connection_rate=1e9, connection_burst=10**9, address_rate=1e9, address_burst=10**9, start_tokens=10**9
        )
        server = Server(
            ApiConfig(limits=limits),
            desk.registry,
            metrics=CollectorRegistry(),
            epoch="soak",
            surroundings=Surroundings(log=log),
        )
        desk.methods.open_feeds(server.feeds)
        document = await desk.ask("rpc.discover")
        drawer, judge = Drawer(rng, document, desk), Judge(document)
        session: Session = server.dispatcher.session("soak", Listener())
        for place in range(size):
            if place % _TICK_EVERY == 0:
                desk.clock.now += constants.TICK_STEP
                await desk.venue.submit(tick(desk.clock.now))
            _, sent, codec = drawer.message()
            try:
                reply = await server.dispatcher.handle(sent, codec, session)
                for after in reply.after_answer:
                    after()
            except Exception as error:
                judge.crashes.append(f"{type(error).__name__} {error}: {sent[:600]!r}")
                continue
            judge.judge(sent, codec, reply.body)
        nursery.cancel_scope.cancel()
    return judge


def run(size: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """So many requests; broken are those that a crash of ours answered, or what the document does not explain."""
    with tempfile.TemporaryDirectory() as directory:
        judge = trio.run(_play, size, random.Random(seed), Path(directory))
    summary = {
        "requests": size,
        "crashes": len(judge.crashes),
        "unexplained_errors": len(judge.unexplained),
        "answers": dict(sorted(judge.answered.items())),
    }
    return summary, [*judge.crashes[:20], *judge.unexplained[:20]]
