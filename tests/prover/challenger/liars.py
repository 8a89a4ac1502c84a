"""L1 nodes that lie about one thing and are otherwise true: what they answer, as transports and tampers."""

from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.contracts.artifact import bridge_artifact
from l1_bridge.hashing import keccak
from tests.prover.challenger.runs import honest
from tests.prover.l1_faults import Tamper, Tampering


def selector(name: str) -> str:
    """How calls of a function of the bridge begin."""
    return "0x" + bridge_artifact().functions[name].selector.hex()


def topic(event: str) -> str:
    """The first topic of an event's logs."""
    return next("0x" + topic.hex() for topic, found in bridge_artifact().events.items() if found.name == event)


def another_hash(block: dict[str, Any]) -> dict[str, Any]:
    """A header under a hash that no chain has."""
    return block | {"hash": "0x" + keccak(block["hash"].encode()).hex()}


def without_batch(logs: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """Logs, but for that a batch was posted."""
    hidden = [topic("BatchCommitted"), "0x" + number.to_bytes(32, "big").hex()]
    return [log for log in logs if log["topics"][:2] != hidden]


async def newest_number(client: L1Client) -> int:
    """Of the node's newest block."""
    return (await client.newest_block()).number


def later(first: int, seconds: int) -> Tamper:
    """Blocks from `first` on are so much later than they are, under their own hashes."""

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getBlockByNumber" or not result or int(result["number"], 16) < first:
            return result
        return result | {"timestamp": hex(int(result["timestamp"], 16) + seconds)}

    return tamper


def forged_word(event: str, word: int, value: int) -> Tamper:
    """One word of an event's data is another one; parameters of the Genesis log stand from word 2 on."""

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getLogs":
            return result
        at, forged = 2 + 64 * word, value.to_bytes(32, "big").hex()
        return [
            log | {"data": log["data"][:at] + forged + log["data"][at + 64 :]}
            if log["topics"][0] == topic(event)
            else log
            for log in result
        ]

    return tamper


def reward_for_nobody(bond_id: int) -> Tamper:
    """A log that the bridge never wrote: somebody has collected a reward."""

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getLogs" or not result:
            return result
        made = result[-1] | {
            "topics": [topic("RewardCollected"), "0x" + bytes(32).hex(), "0x" + bond_id.to_bytes(32, "big").hex()],
            "data": "0x" + bytes(32).hex(),
            "logIndex": hex(int(result[-1]["logIndex"], 16) + 1),
        }
        return [*result, made]

    return tamper


class Slow(Tampering):
    """Honest, and slower than L1: it gives logs of one block at a time, while L1 makes `mined` more."""

    def __init__(self, client: L1Client, seconds: float, mined: int = 2) -> None:
        super().__init__(honest)
        self._client, self._seconds, self._mined = client, seconds, mined

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One HTTP request."""
        asked = msgspec.json.decode(request.content)
        if isinstance(asked, dict) and asked["method"] == "eth_getLogs":
            query = asked["params"][0]
            if query["fromBlock"] != query["toBlock"]:
                error = {"code": -32602, "message": "query exceeds max block range 1"}
                return httpx.Response(200, json={"jsonrpc": "2.0", "id": asked["id"], "error": error})
            await trio.sleep(self._seconds)
            await self._client.call("anvil_mine", [hex(self._mined)])
        return await super().handle_async_request(request)


class Rewritten(Tampering):
    """Tampers with answers, and with what is asked, for the real node knows nothing of made-up blocks."""

    def __init__(self, ask: Callable[[dict[str, Any]], None], tamper: Tamper) -> None:
        super().__init__(tamper)
        self._ask = ask

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One HTTP request."""
        body = msgspec.json.decode(request.content)
        for each in body if isinstance(body, list) else [body]:
            self._ask(each)
        content, kind = msgspec.json.encode(body), {"Content-Type": "application/json"}
        return await super().handle_async_request(httpx.Request("POST", request.url, headers=kind, content=content))


class Forked(Rewritten):
    """Real blocks up to `last`, then `count` of its own, without a log, all of which it stands by."""

    def __init__(self, last: int, count: int, template: dict[str, Any]) -> None:
        """template: any header as the node tells it."""
        super().__init__(self._as_of_last, self._forked)
        self._last, self._count, self._template = last, count, template

    @classmethod
    async def at(cls, client: L1Client, count: int) -> "Forked":
        """From the newest block on."""
        template = await client.call("eth_getBlockByNumber", ["latest", False])
        return cls(int(template["number"], 16), count, template)

    def _as_of_last(self, asked: dict[str, Any]) -> None:
        params = asked["params"]
        if asked["method"] == "eth_call" and params[1].startswith("0x"):
            # What stands in a block of its own is what stood in the last real one.
            params[1] = hex(min(int(params[1], 16), self._last))
        elif asked["method"] == "eth_call":
            params[1] = hex(self._last)

    def _forked(self, method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs":
            return [log for log in result if int(log["blockNumber"], 16) <= self._last]
        if method != "eth_getBlockByNumber":
            return result
        number = self._last + self._count if params[0] == "latest" else int(params[0], 16)
        if number <= self._last:
            return result
        if number > self._last + self._count:
            return None
        parent = self._template["hash"] if number == self._last + 1 else self._own(number - 1)
        return self._template | {"hash": self._own(number), "number": hex(number), "parentHash": parent}

    @staticmethod
    def _own(number: int) -> str:
        return "0x" + keccak(b"own%d" % number).hex()
