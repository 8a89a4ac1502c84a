"""What a wallet holds to be true of its venue: found genuine on L1 once, pinned, then proven batch by batch."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from l1_bridge.addresses import parse_address
from l1_bridge.client.client import L1Client
from prover.stf import containers
from sequencer.client.client import NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.client.errors import ClientError, NodeUnreachable, Rejected
from sequencer.schema.answers import Status
from sequencer.wallet.errors import L1Unreachable, NotYet, WalletError
from sequencer.wallet.pin import PIN_FILE, RollupPin, introduction
from sequencer.wallet.trust import (
    ListedMarket,
    ProvenAccount,
    ProvenGlobals,
    ProvenWithdrawal,
    Venue,
    VerdictCache,
    check_markets,
    examine,
    examine_alone,
    governed,
    prove_account,
    prove_globals,
    prove_withdrawal,
)

# How far a node's clock may be from this one, and a signed time from now.
MAX_CLOCK_SKEW_MS: Final = 5_000


class WalletOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a wallet behaves: which rollup alone it takes, whom it tells, what its clock says, how often it asks."""

    expected_rollup: bytes | None = None
    warn: Callable[[str], None] = lambda sentence: None
    tell: Callable[[str], None] = lambda sentence: None
    clock_ms: Callable[[], int] = wall_clock_ms
    poll_seconds: float = 1.0


class Verified:
    """The venue behind a node. Whatever the node says of it is compared with L1 before it is believed."""

    def __init__(self, node: NodeClient, l1: L1Client, directory: Path, options: WalletOptions) -> None:
        self._node = node
        self._l1 = l1
        self._options = options
        self._cache = VerdictCache(directory / "verified.json")
        self._pin = RollupPin(directory / PIN_FILE)
        self._venue: Venue | None = None
        self._forced: Venue | None = None

    async def venue(self) -> Venue:
        """The venue behind the node, once it was found genuine on L1; asked once a wallet."""
        if self._venue is None:
            options = self._options
            status = await self._node.status()
            self._compare_clocks(status)
            venue = await examine(self._l1, status, self._cache, options.expected_rollup)
            venue = await self._as_governed(venue)
            check_markets(venue, await self._node.markets())
            self._admit(venue)
            self._venue = venue
        return self._venue

    def _compare_clocks(self, status: Status) -> None:
        skew = status.now_ms - self._options.clock_ms()
        if abs(skew) > MAX_CLOCK_SKEW_MS:
            where = "ahead of" if skew > 0 else "behind"
            self._options.warn(f"the node's clock is {abs(skew) / 1000:.1f} s {where} this one: orders may be refused")

    async def forced_venue(self) -> Venue:
        """The venue for a forced operation, by L1 alone: the rollup that was named, else the one this wallet is for.

        A node is asked which rollup it serves only where neither is known. Of markets that were listed since genesis it
        gives a proof or nothing: L1 alone knows those of genesis, and whatever came later is called by its index.
        """
        if self._forced is None:
            named, pinned = self._options.expected_rollup, self._pin.known()
            if named is not None:
                self._forced = await self._alone(named, None)
            elif pinned is not None:
                self._forced = await self._alone(parse_address(pinned.rollup), pinned.chain_id)
            else:
                self._forced = await self._named_by_node()
        return self._forced

    async def _named_by_node(self) -> Venue:
        try:
            return await self.venue()
        except L1Unreachable:
            raise
        except ClientError as error:
            kind = type(error) if isinstance(error, WalletError) else NodeUnreachable
            raise kind(f"{error}: name the rollup with --rollup-address, and L1 is enough", error.data) from None

    async def _alone(self, rollup: bytes, pinned_chain: int | None) -> Venue:
        venue = await examine_alone(self._l1, rollup, self._cache, pinned_chain)
        self._admit(venue)
        try:
            return await self._as_governed(venue)
        except L1Unreachable:
            raise
        except ClientError as error:
            self._options.warn(f"the node is no help ({error}): markets listed since genesis have an index and no name")
            return venue

    def _admit(self, venue: Venue) -> None:
        if self._pin.admit(venue, is_named=self._options.expected_rollup is not None):
            for sentence in introduction(venue, self._pin):
                self._options.tell(sentence)

    async def _as_governed(self, venue: Venue) -> Venue:
        # What the code is stands for ever; what it charges and lists does not, where there is a governor.
        posted = None if venue.governor == containers.NOBODY else await self._proven_globals(venue, final=False)
        if posted is None:
            return venue
        final: Sequence[ListedMarket] = venue.markets
        if posted.globals.market_count > len(final):
            settled = posted if posted.final_in == 0 else await self._proven_globals(venue, final=True)
            if settled is not None and settled.final_in == 0:
                final = governed(venue, final, settled.globals, settled.batch_number, 0).markets
        return governed(venue, final, posted.globals, posted.batch_number, posted.final_in)

    async def globals(self) -> containers.Globals:
        """The globals as the newest posted batch holds them, by a proof against L1; NotYet before the first."""
        proven = await self._proven_globals(await self.venue(), final=False)
        if proven is None:
            raise NotYet("no batch is on L1 yet: what stays as it is cannot be proven")
        return proven.globals

    async def _proven_globals(self, venue: Venue, final: bool) -> ProvenGlobals | None:
        try:
            proof = await self._node.globals(final)
        except Rejected as error:
            if error.rejection == "NOT_READY":
                return None
            raise
        return await prove_globals(self._l1, venue, proof)

    async def account(self, account: int) -> ProvenAccount:
        """The account as the last posted batch holds it, by a proof against L1; NotYet, or BadProof for a lie."""
        venue = await self.venue()
        try:
            proof = await self._node.proof(account)
        except Rejected as error:
            if error.rejection != "NOT_READY":
                raise
            raise NotYet(f"the node has no proof of account {account} in a posted batch ({error})") from None
        return await prove_account(self._l1, venue, account, proof)

    async def withdrawal(self, index: int) -> ProvenWithdrawal:
        """A withdrawal as a posted batch holds it, by a proof against L1; NotYet, or BadProof for a lie."""
        venue = await self.forced_venue()
        try:
            proof = await self._node.withdrawal_proof(index)
        except Rejected as error:
            if error.rejection != "NOT_READY":
                raise
            raise NotYet(f"withdrawal {index} is in no posted batch by the node's word") from None
        return await prove_withdrawal(self._l1, venue, index, proof)
