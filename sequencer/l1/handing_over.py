"""The seat goes to a successor who has bonded ahead: nothing is taken any more, all is posted, and L1 names the other.

Invariant: the seat is handed over only when each chunk that holds something acknowledged is on L1. Whoever takes over
has it from there, and open orders and the rest of the journal from the datadir.
"""

from typing import Final

import msgspec
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error, L1Rejected, L1Reverted
from l1_bridge.client.keys import Signer
from l1_bridge.codec import calls
from l1_bridge.contracts.artifact import ArtifactError
from sequencer.l1.bridge_view import BridgeView
from sequencer.l1.postable import Reason
from sequencer.sequencing.admission import Taking
from sequencer.sequencing.sequencer import Sequencer

# A reason why nothing is taken that no fact about L1 is behind.
HANDING_OVER: Final = "HANDING_OVER"
_LOOK_SECONDS: Final = 0.1
# So often L1 is asked while batches are waited for.
_ASK_SECONDS: Final = 5.0
_HAND_OVER_GAS: Final = 300_000


class CannotHandOver(Exception):
    """The successor's bond is not one that the bridge seats, or the seat is not this node's: it goes on as it was."""


class HandedOver(msgspec.Struct, frozen=True):
    """Whom L1 names now, since which block, and what he takes over."""

    successor: bytes
    bond_id: int
    block: int
    chunks: int
    root: bytes
    open_orders: int


class HandOver:
    """One change of the seat, from the side of who leaves it."""

    def __init__(
        self, client: L1Client, signer: Signer, bridge: bytes, sequencer: Sequencer, view: BridgeView, bond_wei: int
    ) -> None:
        """bond_wei: what a whole bond of this bridge is."""
        self._client = client
        self._signer = signer
        self._bridge = bridge
        self._sequencer = sequencer
        self._view = view
        self._bond_wei = bond_wei
        self._log = structlog.get_logger("seat")
        # Why nothing is taken, while it goes on.
        self.reasons: tuple[Reason, ...] = ()

    async def check(self, bond_id: int) -> bytes:
        """The address behind a bond that the bridge would seat. CannotHandOver, L1Error."""
        try:
            answer = await self._client.eth_call(self._bridge, calls.encode_call("bond", bond_id))
            bond = calls.decode_record(calls.Bond, answer)
            seat = calls.decode_record(calls.Seat, await self._client.eth_call(self._bridge, calls.encode_call("seat")))
        except ArtifactError as error:
            raise CannotHandOver(f"the bridge does not say what bond {bond_id} is: {error}") from None
        if seat.holder != self._signer.address or bond_id == seat.bond_id:
            raise CannotHandOver("the seat is not this node's to give away, or is its own bond's")
        if bond.amount_wei != self._bond_wei:
            raise CannotHandOver(f"bond {bond_id} is not whole: `catenary seat bond-ahead` of the successor pays one")
        if bond.ahead_of != seat.bond_id:
            whose = f"of bond {bond.ahead_of}" if bond.ahead_of else "of nobody"
            raise CannotHandOver(
                f"bond {bond_id} was put up ahead {whose}, and this seat's is {seat.bond_id}:"
                " `catenary seat bond-ahead` of the successor pays one ahead of it"
            )
        await self._check_in_time(bond_id)
        return bond.holder

    async def _check_in_time(self, bond_id: int) -> None:
        data = calls.encode_call("hand_over", bond_id)
        try:
            await self._client.eth_call(self._bridge, data, sender=self._signer.address, gas=_HAND_OVER_GAS)
        except L1Reverted as error:
            # What is owed, once this node has served it, was served late. What else the bridge says now ends with what
            # this node posts before it goes.
            if error.reason in ("WAS_LATE", "WORK_OWED"):
                raise CannotHandOver(
                    "an entry of the queue is owed, or was served late: who serves it keeps the seat for the inclusion"
                    " time behind it. Ask again then"
                ) from None

    async def run(self, bond_id: int) -> HandedOver:
        """Stops taking, posts, hands over. CannotHandOver where it cannot, and then all is taken again."""
        successor = await self.check(bond_id)
        said = f"The committer's seat goes to 0x{successor.hex()}: its node takes orders as soon as L1 names it."
        self.reasons = (Reason(HANDING_OVER, said, Taking.NOTHING),)
        self._log.warning("seat.handing_over", successor="0x" + successor.hex(), bond_id=bond_id)
        try:
            return await self._handed_over(successor, bond_id)
        except CannotHandOver as error:
            self.reasons = ()
            self._log.warning("seat.not_handed_over", bond_id=bond_id, error=str(error))
            raise

    async def _handed_over(self, successor: bytes, bond_id: int) -> HandedOver:
        engine = self._sequencer.engine
        # It has its place behind everything that was taken before, and seals it.
        await self._sequencer.submit(b"")
        taken, ask_at = engine.chunk_count, trio.current_time() + _ASK_SECONDS
        while self._view.posted_chunks < taken:
            await trio.sleep(_LOOK_SECONDS)
            if trio.current_time() >= ask_at:
                ask_at = trio.current_time() + _ASK_SECONDS
                await self._block_of(bond_id)
        block = await self._named(bond_id)
        done = HandedOver(
            successor=successor,
            bond_id=bond_id,
            block=block,
            chunks=engine.chunk_count,
            root=engine.state.root,
            open_orders=sum(len(book.resting()) for book in engine.books)
            + sum(len(book.waiting()) for book in engine.triggers),
        )
        self._log.warning("seat.handed_over", successor="0x" + successor.hex(), block=block, chunks=done.chunks)
        return done

    async def _named(self, bond_id: int) -> int:
        """The block in which L1 names the successor. CannotHandOver where it never will."""
        data = calls.encode_call("hand_over", bond_id)
        while True:
            try:
                await self._client.eth_call(self._bridge, data, sender=self._signer.address, gas=_HAND_OVER_GAS)
                receipt = await self._client.send(self._signer, self._bridge, data, gas=_HAND_OVER_GAS)
                return receipt.block_number
            except L1Rejected as error:
                # What is WORK_OWED by now ends it below.
                self._log.warning("seat.kept", error=str(error))
            except L1Error as error:
                self._log.warning("seat.unheard", error=str(error))
            block = await self._block_of(bond_id)
            if block is not None:
                return block
            await trio.sleep(1)

    async def _block_of(self, bond_id: int) -> int | None:
        """The block in which L1 names the successor, None where it may yet. CannotHandOver where it never will."""
        try:
            try:
                await self.check(bond_id)
                refused = None
            except CannotHandOver as error:
                refused = error
            # Asked last: a seat that has just changed hands is not this node's to give either.
            seat = calls.decode_record(calls.Seat, await self._client.eth_call(self._bridge, calls.encode_call("seat")))
            if seat.bond_id == bond_id:
                return (await self._client.newest_block()).number
            if refused is not None:
                raise refused
        except (L1Error, ArtifactError) as error:
            self._log.warning("seat.unheard", error=str(error))
        return None
