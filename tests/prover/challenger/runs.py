"""Runs of a challenger on an L1 node, and what they said."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.codec.batch import extend_queue_hash
from l1_bridge.hashing import ZERO_HASH, keccak
from prover.challenger.challenger import Challenger, Settings
from prover.challenger.guard_purse import Policy, Purse
from prover.challenger.guard_queue import Waiting
from prover.challenger.report import Summary
from prover.cli.running import StandardOutput
from prover.history.history import ChainReplay
from prover.history.records import Payment
from prover.signing.recover import recover_fast
from prover.state.state import State
from prover.state.store import MemoryStore
from prover.stf.words import Recover
from tests.patience import PATIENCE_SECONDS
from tests.prover.conftest import POLL_SECONDS
from tests.prover.l1_faults import Tamper, Tampering
from tests.prover.world import (
    CHALLENGER,
    World,
)

ROOT = Path(__file__).parents[3]


class Recorder(StandardOutput):
    """Keeps what was said."""

    def __init__(self) -> None:
        super().__init__(as_json=True)
        self.said: list[dict[str, Any]] = []
        self.heard = trio.Event()

    def event(self, name: str, text: str | None = None, /, *, colour: str | None = None, **fields: Any) -> None:
        """Kept."""
        self.said.append({"event": name, **fields})
        self.heard.set()
        self.heard = trio.Event()

    def names(self, *wanted: str) -> list[dict[str, Any]]:
        """Events of these names."""
        return [said for said in self.said if said["event"] in wanted]

    async def until(self, name: str) -> None:
        """Returns once an event of this name was said."""
        while not self.names(name):
            await self.heard.wait()


class Guard:
    """One challenger with a store that survives it."""

    def __init__(self, world: World, url: str) -> None:
        self.world, self.url = world, url
        self.store = MemoryStore()
        self.said = Recorder()

    async def once(self, **options: Any) -> Summary:
        """Up to the head."""
        return await self.run(once=True, **options)

    async def run(
        self,
        *,
        once: bool,
        role: int | None = CHALLENGER,
        tamper: Tamper | None = None,
        second: Tamper | None = None,
        recover: Recover = recover_fast,
        **options: Any,
    ) -> Summary:
        """A run of a new process, so to say."""
        transport = None if tamper is None else Tampering(tamper)
        node = L1Options(poll_seconds=POLL_SECONDS, attempts=2, timeout_seconds=PATIENCE_SECONDS)
        async with L1Client(self.url, node, transport=transport) as client:
            if second is not None:
                options["second_client"] = L1Client(
                    self.url, L1Options(attempts=1, timeout_seconds=PATIENCE_SECONDS), transport=Tampering(second)
                )
            replay_options = {name: options.pop(name) for name in ("second_recover",) if name in options}
            replay = ChainReplay(self.store, self.world.bridge, recover=recover, **replay_options)
            signer = None if role is None else development_key(role)
            settings = Settings(signer=signer, poll_seconds=POLL_SECONDS, **options)
            guard = Challenger(client, replay, self.said, settings)
            try:
                await guard.run(once)
            finally:
                if second is not None:
                    await options["second_client"].close()
                self.summary = guard.finish()
            return self.summary

    @property
    def alarms(self) -> list[str]:
        """Codes of the alarms so far."""
        return [said["code"] for said in self.said.names("alarm")]


def queued_on(state: State, now_ms: int, pending: Sequence[bytes] = ()) -> Waiting:
    """What a guard makes of entries that wait, on top of a state."""
    found, chain_hash = Waiting(state, now_ms), ZERO_HASH
    for operation in pending:
        chain_hash = extend_queue_hash(chain_hash, operation)
        found.take(operation, chain_hash)
    return found


def purse(gas_price_wei: int = 10**9, payments: Sequence[Payment] = (), now_ms: int = 0, **policy: int) -> Purse:
    """What a guard may pay where an entry's fee is 0.0001 ether."""
    return Purse(Policy(**policy), payments, now_ms, 10**14, gas_price_wei)


async def sent_by(client: L1Client, role: int) -> int:
    return await client.nonce(development_key(role).address)


async def mine(client: L1Client, seconds: int = 1) -> None:
    await client.call("evm_increaseTime", [seconds])
    await client.call("evm_mine")


def command(world: World, url: str, datadir: Path, *options: str) -> list[str]:
    """The installed command as a process of its own."""
    bridge = "0x" + world.bridge.address.hex()
    arguments = ["challenger", "--l1-rpc-url", url, "--rollup-address", bridge, "--datadir", str(datadir), "--json"]
    return [sys.executable, "-m", "prover.cli.main", *arguments, "--poll-interval", "0.05", *options]


def lying_blocks(method: str, params: list[Any], result: Any) -> Any:
    """A node on another branch."""
    return (
        result | {"hash": "0x" + keccak(result["hash"].encode()).hex()} if method.startswith("eth_getBlock") else result
    )


def honest(method: str, params: list[Any], result: Any) -> Any:
    """The node's own answer."""
    return result


def dead(method: str, params: list[Any], result: Any) -> Any:
    """A node that nobody reaches."""
    raise L1Unavailable("down") from None


class Hanging(Tampering):
    """Takes requests and answers none, whatever they ask."""

    def __init__(self) -> None:
        super().__init__(honest)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError


async def played(
    guard: Guard,
    first: httpx.AsyncBaseTransport,
    second: httpx.AsyncBaseTransport | None,
    patience: float,
    until: str,
    policy: Policy | None = None,
) -> None:
    """A challenger with these nodes until it has said something; it is ended then."""
    hasty = L1Options(poll_seconds=POLL_SECONDS, attempts=1, timeout_seconds=0.3)
    sound = msgspec.structs.replace(hasty, timeout_seconds=PATIENCE_SECONDS)
    clients = [
        L1Client(guard.url, hasty if isinstance(each, Hanging) else sound, transport=each)
        for each in (first, second)
        if each is not None
    ]
    settings = Settings(
        signer=development_key(CHALLENGER),
        second_client=clients[1] if second is not None else None,
        poll_seconds=POLL_SECONDS,
        patience_seconds=patience,
        guard=policy,
    )
    challenger = Challenger(clients[0], ChainReplay(guard.store, guard.world.bridge), guard.said, settings)
    try:
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(challenger.run)
                await guard.said.until(until)
                nursery.cancel_scope.cancel()
    finally:
        for client in clients:
            await client.close()
