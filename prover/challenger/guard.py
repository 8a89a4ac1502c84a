"""The guard's edge: asks a source for the oracle's reports and pays on L1 for what the guard decided."""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import httpx
import msgspec
import structlog
import trio

from l1_bridge.client.body import body_within
from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error, L1Rejected
from l1_bridge.client.keys import Signer
from l1_bridge.client.sending import OWN_TERMS
from l1_bridge.client.values import Block, Receipt
from l1_bridge.codec.calls import MAX_ENTRIES_AT_ONCE, Parameters, decode_record, encode_call, encode_entries, entry_gas
from l1_bridge.codec.events import BridgeEvent, Enqueued, LogError, decode_log
from l1_bridge.contracts.artifact import ArtifactError
from l1_bridge.recursion import recursion_bounded
from prover.challenger.guard_plan import Guard, Plan, Round, Wanted
from prover.challenger.guard_purse import DAY, ETHER, Policy, Purse
from prover.challenger.guard_queue import Waiting
from prover.challenger.nodes import Nodes
from prover.challenger.pauses import Pauses
from prover.contracts.referee import GAS_LIMIT
from prover.history.history import ChainReplay
from prover.history.records import Payment
from prover.signing.operations import ENTRY_NAMES
from prover.stf import codes, constants
from prover.telling import Output

# A minute of grid times; a report is about 600 bytes in JSON, seven a time.
_ROUNDS: Final = 12
_SOURCE_BYTES: Final = 1 << 20
_SOURCE_SECONDS: Final = 10.0
# Some 40 ms of work: so long a signal may have to wait.
_ENTRIES_AT_ONCE: Final = 4_096

Source = Callable[[], Awaitable[list[Round]]]


class SourceError(Exception):
    """The source of reports did not answer, or not with reports; one sentence."""


class _Answer(msgspec.Struct, frozen=True):
    result: list[Round]


def report_source(url: str, transport: httpx.AsyncBaseTransport | None = None) -> Source:
    """Asks a node's API, or a mirror's, for the newest rounds by `catenary_reports`; SourceError for anything else."""

    async def rounds() -> list[Round]:
        asked = {"jsonrpc": "2.0", "id": 1, "method": "catenary_reports", "params": {"limit": _ROUNDS}}
        try:
            with trio.fail_after(_SOURCE_SECONDS):
                # A client a question: a tick is wanted seldom, and no connection has to be kept for it.
                async with (
                    httpx.AsyncClient(trust_env=False, timeout=None, transport=transport) as client,
                    client.stream("POST", url, json=asked) as response,
                ):
                    body = await body_within(response, _SOURCE_BYTES)
        except trio.TooSlowError:
            raise SourceError(f"no answer in {_SOURCE_SECONDS:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise SourceError(str(error) or type(error).__name__) from None
        if body is None:
            raise SourceError(f"an answer of more than {_SOURCE_BYTES} bytes")
        try:
            with recursion_bounded():
                return msgspec.json.decode(body, type=_Answer).result
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise SourceError(f"no reports: {error}") from None

    return rounds


class Guarding:
    """One guard over one replay, one key that pays. Only asked where every batch up to the tip is valid.

    What one node alone has told it, after all patience with another, costs what the budget gives and no more: an entry
    about somebody healthy is consumed as HEALTHY.
    """

    def __init__(
        self,
        nodes: Nodes,
        replay: ChainReplay,
        output: Output,
        signer: Signer,
        policy: Policy,
        source: Source | None = None,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 10**6,
    ) -> None:
        self._nodes = nodes
        self._replay = replay
        self._output = output
        self._signer = signer
        self._policy = policy
        self._source = source
        self._wall_ms = wall_ms
        self._guard = Guard(policy, signer.address)
        self._logger = structlog.get_logger()
        # By the node that told them: one that lies is left, and its word with it.
        self._parameters: tuple[L1Client, Parameters] | None = None
        self._waiting: Waiting | None = None
        self._pauses = Pauses()
        # The block at which there was nothing to enter, and no tick to ask for: only another one brings something.
        self._nothing_at = b""
        self._said: set[tuple[int, int]] = set()
        # So often was nothing to be had from a node: fees, nonce and payment are asked of the next one.
        self._failures = 0

    async def act(self, last: Block) -> int:
        """Enqueues rescues, or ticks and a rescue behind them, on what is known at block `last`; how many entries."""
        if last.hash == self._nothing_at or not self._pauses.is_due("send"):
            return 0
        parameters = await self._bridge_parameters(last)
        if parameters is None:
            return 0
        now_ms, max_lag_ms = last.timestamp * 1_000, parameters.max_lag_seconds * 1_000
        # In threads: one walks over all accounts, others over what came into the queue.
        if not await trio.to_thread.run_sync(self._guard.is_due, self._replay.state, now_ms, max_lag_ms):
            return 0
        purse = await self._purse(self._paid_at(now_ms), parameters)
        if purse is None:
            return 0
        waiting = await self._waiting_entries(now_ms)
        decide = partial(self._guard.plan, self._replay.state, waiting, now_ms, max_lag_ms, purse)
        plan = await trio.to_thread.run_sync(decide, ())
        rounds = await self._rounds() if plan.wants_tick else None
        if rounds is not None:
            plan = await trio.to_thread.run_sync(decide, rounds)
            if any(entry.tag == constants.FORCED_TICK for entry in plan.entries):
                self._pauses.end("source")
            else:
                why = "no whole tick that the law would take"
                self._later("source", why if plan.wants_tick else "nobody is worth the ticks, or they are too old")
        self._tell(plan)
        if not plan.entries:
            self._nothing_at = b"" if plan.wants_tick else last.hash
            return 0
        if not await self._is_read_back(last):
            self._failures += 1
            return 0
        # Evidence and what it is for cannot be torn apart.
        return await self._pay(plan.entries[:MAX_ENTRIES_AT_ONCE], last, parameters, purse)

    def _paid_at(self, now_ms: int) -> int:
        """When a payment of now counts: L1's time alone would let whoever tells of it refill the budget by a jump."""
        return min(now_ms, self._wall_ms())

    async def _is_read_back(self, last: Block) -> bool:
        """Whether what was sent before is in the blocks that were read, or it would be paid for twice."""
        asked, address = self._nodes.route(self._failures)[0], self._signer.address
        try:
            return await asked.nonce(address, last.number) == await asked.nonce(address, "pending")
        except L1Error:
            return False

    async def _purse(self, now_ms: int, parameters: Parameters) -> Purse | None:
        """What may be paid now; None while L1 asks for more than a guard gives."""
        if not self._pauses.is_due("fee"):
            return None
        try:
            gas_price, _ = await self._nodes.route(self._failures)[0].fees()
            if gas_price > self._policy.max_fee_wei:
                most = f"{self._policy.max_fee_wei / 10**9:g}"
                raise L1Rejected(-32000, f"L1 asks for {gas_price / 10**9:g} gwei per gas, and a guard gives {most}")
        except L1Error as error:
            self._failures += 1
            self._later("fee", str(error))
            return None
        self._pauses.end("fee")
        return Purse(self._policy, self._replay.records.payments(), now_ms, parameters.entry_fee_wei, gas_price)

    async def _waiting_entries(self, now_ms: int) -> Waiting:
        waiting = self._waiting
        if waiting is None or not waiting.is_of(self._replay.state, self._replay.records.queue_hash):
            waiting = self._waiting = Waiting(self._replay.state, now_ms)
        while waiting.next < self._replay.cursor.queue_length:
            await trio.to_thread.run_sync(self._take_entries, waiting)
        return waiting

    def _take_entries(self, waiting: Waiting) -> None:
        records, length = self._replay.records, self._replay.cursor.queue_length
        for index in range(waiting.next, min(waiting.next + _ENTRIES_AT_ONCE, length)):
            operation, chain_hash = records.queue_operation(index), records.queue_hash(index)
            assert operation is not None, "entries that wait are kept"
            assert chain_hash is not None, "with their hashes"
            waiting.take(operation, chain_hash)

    async def _bridge_parameters(self, last: Block) -> Parameters | None:
        followed = self._nodes.followed
        if self._parameters is None or self._parameters[0] is not followed:
            call = encode_call("parameters")
            try:
                answer = await followed.eth_call(self._replay.bridge.address, call, last.number)
                self._parameters = followed, decode_record(Parameters, answer)
            except (L1Rejected, ArtifactError):
                # The block left the chain meanwhile: the next poll tells.
                return None
        return self._parameters[1]

    async def _rounds(self) -> list[Round] | None:
        if not self._pauses.is_due("source"):
            return None
        if self._source is None:
            self._later("source", "prices are too old, and no --guard-tick-url is given")
            return None
        try:
            rounds = await self._source()
        except SourceError as error:
            self._later("source", str(error))
            return None
        return rounds

    async def _pay(self, wanted: tuple[Wanted, ...], last: Block, parameters: Parameters, purse: Purse) -> int:
        bridge, fee = self._replay.bridge.address, parameters.entry_fee_wei * len(wanted)
        calldata = encode_entries([(entry.tag, entry.payload) for entry in wanted])
        gas = sum(entry_gas(entry.payload) for entry in wanted)
        now_ms, most = self._paid_at(last.timestamp * 1_000), purse.price(wanted)
        route = self._nodes.route(self._failures)
        self._failures += 1
        try:
            # The same key proves: who provokes rescues must not leave it without the gas for a lie.
            kept = GAS_LIMIT * self._policy.max_fee_wei
            if await route[0].balance(self._signer.address) < most + kept:
                why = f"the key holds less than the {most / ETHER:g} ether that this may cost"
                raise L1Rejected(-32000, f"{why} and the {kept / ETHER:g} that it keeps for a proof")
            await route[0].eth_call(bridge, calldata, sender=self._signer.address, gas=gas, value=fee)
            # Before it leaves: an entry whose receipt nobody sees may be paid for all the same, at the highest offer.
            self._remember(now_ms, purse.bound(wanted))
            terms = msgspec.structs.replace(OWN_TERMS, max_fee_wei=self._policy.max_fee_wei, others=route[1:])
            # Proofs wait meanwhile: minutes at most, of a window that outside devnets is seven days.
            receipt = await route[0].send(self._signer, bridge, calldata, fee, gas=gas, terms=terms)
        except L1Error as error:
            self._later("send", str(error))
            return 0
        self._failures -= 1
        self._pauses.end("send")
        paid = fee + receipt.gas_used * receipt.effective_gas_price_wei
        self._remember(now_ms, paid, instead=True)
        queued = [event.index for event in self._events(receipt) if isinstance(event, Enqueued)]
        for place, entry in enumerate(wanted):
            index = queued[place] if place < len(queued) else None
            self._report(entry, index, receipt, paid)
        return len(wanted)

    def _remember(self, now_ms: int, wei: int, instead: bool = False) -> None:
        """One more payment, or another amount for the last one."""
        payments = [paid for paid in self._replay.records.payments() if paid.at_ms > now_ms - DAY]
        if instead:
            payments.pop()
        payments.append(Payment(now_ms, wei.to_bytes(32, "big")))
        self._replay.records.remember_payments(payments)

    def _report(self, wanted: Wanted, index: int | None, receipt: Receipt, cost_wei: int) -> None:
        fields: dict[str, Any] = {
            "account": wanted.account,
            "market": wanted.market,
            "below_since_ms": wanted.since_ms,
            "at_risk_micros": wanted.at_risk,
        }
        text = f"account {wanted.account} is still below maintenance: its rescue is entry {index} of the queue"
        if wanted.tag == constants.FORCED_TICK:
            fields = {"tick_time_ms": wanted.since_ms}
            text = f"prices are old: the tick of {wanted.since_ms} is entry {index} of the queue"
        self._output.event(
            "entry_enqueued",
            text,
            colour="green",
            kind=ENTRY_NAMES[wanted.tag],
            queue_index=index,
            transaction_hash=receipt.transaction_hash,
            block_number=receipt.block_number,
            gas_used=receipt.gas_used,
            cost_wei=cost_wei,
            alone=bool(self._nodes.undecided),
            **fields,
        )

    def _events(self, receipt: Receipt) -> list[BridgeEvent]:
        bridge = self._replay.bridge
        try:
            return [decode_log(bridge, log) for log in receipt.logs if log.address == bridge.address]
        except LogError:
            # Only words are lost: what the queue holds is read from the logs again.
            return []

    def _tell(self, plan: Plan) -> None:
        """Once for each account and code: who ought to be rescued and cannot be."""
        refused = set(plan.refused.items())
        self._said &= refused
        for index, code in sorted(refused - self._said):
            name = codes.SENTENCE[code][0]
            self._output.event(
                "rescue_refused",
                f"account {index} is below maintenance, a rescue would be {name}",
                account=index,
                code=name,
            )
        self._said |= refused
        if plan.unpaid and self._pauses.is_due("budget"):
            dollars = sum(plan.unpaid.values()) // 1_000_000
            why = f"{len(plan.unpaid)} accounts with {dollars} dollars at risk are not worth what an entry costs now"
            self._later("budget", why)

    # Pauses between attempts, doubling.

    def _later(self, what: str, why: str) -> None:
        self._logger.warning("guard_" + what, why=why, again_in_seconds=self._pauses.postpone(what))
