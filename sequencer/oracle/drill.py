"""The outage drill: signers fall silent and come back, and after each change the venue is asked what it still does."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec
import trio

from prover.stf import constants
from sequencer.client.client import NodeClient
from sequencer.client.delivery import placed
from sequencer.client.errors import Rejected
from sequencer.devnet.signing_account import SigningAccount
from sequencer.oracle.signer import OracleSigner

_POLL_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 60.0
_PROBE_MICROS: Final = 20 * 10**6
_WITHDRAWAL_MICROS: Final = 10**6
_QUOTE_SLOT: Final = 1
_WITHDRAWAL_SLOT: Final = 9
OK: Final = "OK"
STALE: Final = "STALE"


class Probes(msgspec.Struct, frozen=True):
    """What the venue answered: OK or the name of the rule that refused."""

    fill: str
    withdrawal: str
    cancel: str
    deposit: str


class Finding(msgspec.Struct, frozen=True):
    """One phase: how many signers spoke, how many ticks came, what the venue still did, whether that is as it must."""

    phase: str
    speaking: int
    ticks: int
    probes: Probes
    is_held: bool


class NoTick(Exception):
    """Ticks did not come although a quorum speaks: the node signs its own prices, or the signers are not its own."""


class Desk(msgspec.Struct, frozen=True):
    """Two funded accounts that trade with each other, and how money comes in. `deposit` returns once it is booked."""

    node: NodeClient
    maker: SigningAccount
    taker: SigningAccount
    deposit: Callable[[], Awaitable[None]]
    now_ms: Callable[[], int]

    async def probes(self) -> Probes:
        """A fill, a withdrawal, a cancel and a deposit, each tried once."""
        return Probes(
            fill=await self._fill(),
            withdrawal=await self._request("withdraw", self.taker),
            cancel=await self._request("cancel", self.maker),
            deposit=await self._deposited(),
        )

    async def _fill(self) -> str:
        market = (await self.node.markets())[0]
        size = max(1, _PROBE_MICROS // market.price_ticks)
        ask = self.maker.order(0, constants.SELL, size, market.price_ticks, _QUOTE_SLOT)
        bid = self.taker.order(
            0, constants.BUY, size, market.price_ticks, _QUOTE_SLOT, time_in_force=constants.IMMEDIATE_OR_CANCEL
        )
        try:
            await placed(self.node, ask)
            result = await placed(self.node, bid)
        except Rejected as error:
            return error.rejection
        return OK if result.filled_lots == size else result.reason or result.status

    async def _request(self, kind: str, trader: SigningAccount) -> str:
        if kind == "withdraw":
            signed = trader.withdrawal(_WITHDRAWAL_MICROS, trader.address, _WITHDRAWAL_SLOT)
        else:
            signed = trader.cancel(_QUOTE_SLOT)
        try:
            await self.node.request(kind, *signed)
        except Rejected as error:
            return error.rejection
        return OK

    async def _deposited(self) -> str:
        with trio.move_on_after(PATIENCE_SECONDS):
            await self.deposit()
            return OK
        return "NOT_BOOKED"


async def drill(
    signers: Sequence[OracleSigner],
    desk: Desk,
    told: Callable[[Finding], None] = lambda finding: None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> list[Finding]:
    """All speak, two fall silent, three fall silent until prices are stale, all come back. For 5 of 7 signers.

    NoTick where no tick comes within `patience_seconds` although a quorum speaks.
    """
    going = Probes(OK, OK, OK, OK)
    stale = Probes(STALE, STALE, OK, OK)
    phases = (("all speak", 7, going), ("two silent", 5, going), ("three silent", 4, stale), ("all back", 7, going))
    findings: list[Finding] = []
    for phase, speaking, wanted in phases:
        async with trio.open_nursery() as nursery:
            for signer in signers[len(signers) - speaking :]:
                nursery.start_soon(signer.run)
            ticks = await (_ticks(desk, 2, patience_seconds) if wanted == going else _silence(desk))
            probes = await desk.probes()
            nursery.cancel_scope.cancel()
        is_held = probes == wanted and ticks == (2 if wanted == going else 0)
        finding = Finding(phase, speaking, ticks, probes, is_held)
        told(finding)
        findings.append(finding)
    return findings


async def _tick_time(desk: Desk) -> int:
    return (await desk.node.markets())[0].tick_time_ms


async def _ticks(desk: Desk, wanted: int, patience_seconds: float) -> int:
    """Waits for ticks; how many came."""
    last = await _tick_time(desk)
    seen = 0
    with trio.move_on_after(patience_seconds):
        while seen < wanted:
            await trio.sleep(_POLL_SECONDS)
            if (time := await _tick_time(desk)) > last:
                seen, last = seen + 1, time
    if not seen:
        raise NoTick(f"no tick in {patience_seconds:g} s although a quorum of signers speaks")
    return seen


async def _silence(desk: Desk) -> int:
    """Waits until the price is stale on any chunk's clock; how many ticks came meanwhile."""
    # Reports of the phase before may still be on their way to a tick.
    await trio.sleep(1.0)
    last = await _tick_time(desk)
    seen = 0
    while desk.now_ms() - last <= constants.MAX_PRICE_AGE + constants.TICK_STEP:
        await trio.sleep(_POLL_SECONDS)
        if (time := await _tick_time(desk)) > last:
            seen, last = seen + 1, time
    return seen
