"""What became of an entry of L1's queue: by the bridge and a proof against it, or by replay; a node is a hint."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import trio

from l1_bridge.addresses import checksum_address
from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error, L1Rejected, L1Timeout, L1Unconfirmed
from l1_bridge.client.values import Block, Log
from l1_bridge.codec import batch, calls, events
from l1_bridge.contracts.artifact import ArtifactError, bridge_artifact
from l1_bridge.hashing import keccak
from prover.contracts import deployment
from prover.signing import operations
from prover.signing.recover import recover_fast
from prover.stf import codes, constants, containers, encoding, margin, signatures
from prover.stf.words import word_at
from sequencer.client.client import NodeClient
from sequencer.client.errors import ClientError
from sequencer.schema.answers import AccountProof, EntryView
from sequencer.schema.values import as_hex
from sequencer.wallet.errors import BadInput, BadProof, BrokenReceipt, L1Refused, L1Unreachable, NotGenuine, NotYet
from sequencer.wallet.keys import SigningKey
from sequencer.wallet.pin import Pinned, pin_of
from sequencer.wallet.trust import (
    ProvenAccount,
    ProvenWithdrawal,
    Venue,
    commitment_of,
    keep_cached,
    prove_account,
    prove_withdrawal,
    recorded_batch,
)
from sequencer.wallet.units import time_text

if TYPE_CHECKING:
    from prover.history.outcomes import Rebuilt

_OF_AN_OWNER: Final = (constants.FORCED_WITHDRAW, constants.FORCED_CLOSE, constants.LEAVE, constants.FORCED_AGENT)
# Of the half hour after which an entry of anybody's ends a close or leave without a price (PROTOCOL.md 4.9).
PRICELESS_SECONDS: Final = 1_200
_LOOK_SECONDS: Final = 60
# Of a source's newest grid times, of which the very last one may lack a signer.
_ROUNDS: Final = 10
_Answer = TypeVar("_Answer")
_Event = TypeVar("_Event", events.Enqueued, events.BatchCommitted, events.RolledBack, events.SeatTaken)
_Kept = TypeVar("_Kept", calls.BatchRecord, calls.Parameters)


async def guarded(answer: Awaitable[_Answer]) -> _Answer:
    """What L1 answers; its refusals and silences in the wallet's words."""
    try:
        return await answer
    except L1Rejected as error:
        raise L1Refused(f"L1 refused: {error.reason}") from None
    except (L1Timeout, L1Unconfirmed) as error:
        hashes = ["0x" + item.hex() for item in error.transaction_hashes]
        if not hashes:
            raise L1Unreachable(f"nothing was sent: {error}") from None
        raise NotYet(
            f"a transaction was sent and may still be mined ({', '.join(hashes)}): send nothing again before L1 has "
            "forgotten it; `catenary wallet replace` sends it dearer, and what is in the queue is listed by `catenary "
            "wallet force status`",
            {"transaction_hashes": hashes},
        ) from None
    except (L1Error, ArtifactError) as error:
        raise L1Unreachable(str(error)) from None


async def logged(
    l1: L1Client, venue: Venue, kind: type[_Event], first: int, last: int, *indexed: bytes
) -> list[tuple[Log, _Event]]:
    """The bridge's events of one kind in a range of blocks, each with its log; L1Unreachable for what is none."""
    identity = batch.BridgeId(venue.chain_id, venue.rollup)
    found: list[Log] = await guarded(l1.logs(venue.rollup, [events.topic_of(kind), *indexed], first, last))
    try:
        read = [(log, events.decode_log(identity, log)) for log in found]
    except events.LogError as error:
        raise L1Unreachable(f"the L1 node's logs are not the bridge's: {error}") from None
    return [(log, event) for log, event in read if isinstance(event, kind)]


class Seat(msgspec.Struct, frozen=True):
    """Whose key signs receipts and promises, as of a block: NOBODY where it is open, and by L1's log whoever took it.

    taken: None where the log was not asked for, since all that is held to it is the holder's.
    """

    block: int
    holder: bytes
    taken: frozenset[bytes] | None

    def require(self, signer: bytes, what: str, advice: str = "") -> str:
        """A signer's address, who holds the seat or has held it; BrokenReceipt where he never did.

        L1Unreachable where nobody can say: a log that does not even show today's holder is not whole, and of one on
        which the seat is open nothing shows that it is.
        """
        seat = checksum_address(self.holder)
        if signer == containers.NOBODY:
            raise BrokenReceipt(f"{what} is not signed by the seat, {seat}: it leads to nobody's key{advice}")
        # Whoever held it when he signed may have left it since.
        if signer == self.holder or signer in (self.taken or ()):
            return checksum_address(signer)
        if self.taken is None or self.holder not in self.taken:
            raise L1Unreachable("the L1 node does not show everybody who has held the seat: nothing is said of others")
        raise BrokenReceipt(f"{what} is not signed by the seat, {seat}, nor by anybody who has held it{advice}")


async def seat_of(l1: L1Client, venue: Venue, signers: Collection[bytes]) -> Seat:
    """The seat by one look, as those have to be held to it who have signed."""
    head = (await guarded(l1.newest_block())).number
    answer = await guarded(l1.eth_call(venue.rollup, calls.encode_call("seat"), head))
    holder = calls.decode_record(calls.Seat, answer).holder
    if all(signer in (holder, containers.NOBODY) for signer in signers):
        return Seat(head, holder, None)
    taken = await logged(l1, venue, events.SeatTaken, venue.block, head)
    return Seat(head, holder, frozenset(event.holder for _, event in taken))


class Entered(msgspec.Struct, frozen=True):
    """An entry as L1's log has it; times in seconds of L1's clock."""

    index: int
    operation: bytes
    enqueued_at: int
    due_at: int
    transaction_hash: bytes

    @classmethod
    def of(cls, event: events.Enqueued, transaction_hash: bytes) -> "Entered":
        """What an event says."""
        return cls(event.index, event.operation, event.enqueued_at, event.due_at, transaction_hash)

    @property
    def tag(self) -> int:
        """Which operation it is."""
        return self.operation[0]

    @property
    def name(self) -> str:
        """What people call it."""
        return operations.ENTRY_NAMES[self.tag]

    @property
    def sender(self) -> bytes:
        """Who entered it."""
        return self.operation[1:21]

    @property
    def request(self) -> containers.Entry | None:
        """What an owner asks for; None where it is no owner's."""
        if self.tag not in _OF_AN_OWNER:
            return None
        payload = word_at(self.operation, constants.ENTRY_HEAD_LENGTH)
        return encoding.entry(self.tag, word_at(self.operation, 1), payload)


class Forced(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the L1 queue, and what it came to. code: None while nobody has said so.

    `batch` on L1 has taken it, None while none has, and where it is an owner's, that the account is the sender's and
    that a withdrawal pays him. `proven`: L1 shows, too, that it came to this; else that is the node's word.
    """

    queue_index: int
    transaction_hash: str
    due_at: int
    account: int | None
    code: int | None = None
    rejection: str = ""
    done: bool = False
    withdrawal: int | None = None
    batch: int | None = None
    proven: bool = False


def _waiting(entered: Entered) -> Forced:
    request = entered.request
    return Forced(
        queue_index=entered.index,
        transaction_hash="0x" + entered.transaction_hash.hex(),
        due_at=entered.due_at,
        account=None if request is None else request.account,
    )


def _come_to(entered: Entered, code: int, **known: int | bool | None) -> Forced:
    rejection = "" if code == codes.OK else codes.SENTENCE.get(code, ("UNKNOWN", ""))[0]
    return msgspec.structs.replace(_waiting(entered), code=code, rejection=rejection, **known)


class KnownAccounts(msgspec.Struct, frozen=True):
    """All accounts of an address after `batch`, each with its proof there, by a log that was read up to `block`.

    signature: of the address's own key. That none is left out no proof shows.
    """

    rollup: Pinned
    batch: int
    block: int
    proofs: dict[int, AccountProof]
    signature: str = ""

    def digest(self) -> bytes:
        """What is signed; nothing that a contract takes has this form."""
        said = msgspec.json.encode(msgspec.structs.replace(self, signature=""))
        return keccak(b"catenary wallet, accounts of this key\x00" + said)


class AccountRecord:
    """What a replay of L1's log has found, in a file: a later command proves it again and replays nothing."""

    def __init__(self, path: Path, address: bytes, key: SigningKey | None) -> None:
        self._path = path
        self._address = address
        self._key = key

    def read(self) -> KnownAccounts | None:
        """What this address's key signed, which L1 has yet to confirm; anything else in the file is deleted."""
        try:
            known = msgspec.json.decode(self._path.read_bytes(), type=KnownAccounts)
            given = bytes.fromhex(known.signature.removeprefix("0x"))
        except OSError:
            return None
        except (msgspec.DecodeError, ValueError):
            self.drop()
            return None
        r, parity_and_s = int.from_bytes(given[:32], "big"), int.from_bytes(given[32:64], "big")
        if signatures.recover(known.digest(), r, parity_and_s, recover_fast) != self._address:
            self.drop()
            return None
        return known

    def keep(self, known: KnownAccounts) -> None:
        """Signs and writes it; one that cannot be written costs the next command a replay and nothing else."""
        if self._key is None:
            return
        signed = msgspec.structs.replace(known, signature=as_hex(self._key.sign(known.digest())))
        keep_cached(self._path, msgspec.json.encode(signed))

    def drop(self) -> None:
        """Deletes it."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def tick_time(venue: Venue, tick: bytes, now_ms: int) -> int:
    """The time of a tick that a quorum of the venue's signers has signed by then; 0 of anything else."""
    from prover.stf import markets, replay

    head = constants.TICK_HEAD_LENGTH
    if len(tick) < head or tick[0] != constants.TICK:
        return 0
    time, signer_count, market_count = int.from_bytes(tick[1:7], "big"), tick[7], tick[8]
    if (signer_count, market_count) != (venue.oracle_quorum, len(venue.markets)):
        return 0
    is_whole = len(tick) == head + replay.tick_reports_length(signer_count, market_count)
    if not is_whole or time % constants.TICK_STEP != 0 or time > now_ms + constants.CLOCK_TOLERANCE:
        return 0
    signers = [*venue.oracle_signers, *[containers.NOBODY] * (constants.SIGNERS - len(venue.oracle_signers))]
    code, _, _ = markets.reported(venue.domain, signers, market_count, time, signer_count, tick, recover_fast)
    return time if code == codes.OK else 0


class Prices:
    """Keeps one close or leave from ending without a price: a tick that nobody posts for so long its owner enters.

    By L1's clock and log, and the signers' signatures. Looks once a minute, and pays at most once in twenty of them.
    """

    def __init__(
        self,
        l1: L1Client,
        venue: Venue,
        known: tuple[calls.BatchRecord, int],
        sources: Sequence[NodeClient],
        enter: Callable[[bytes], Awaitable[bytes]],
        tell: Callable[[str], None],
    ) -> None:
        """known: the bridge's head before the entry, and at which block. enter: pays; which transaction it was."""
        self._l1 = l1
        self._venue = venue
        self._known = known
        self._sources = sources
        self._enter = enter
        self._tell = tell
        # Seconds of L1's clock; the newest tick that is on L1 in milliseconds.
        self._newest_ms = self._looked_at = self._paid_at = 0
        self._is_told = False

    async def look(self, entered: Entered, now: int) -> None:
        """Enters the newest tick where the entry, and what L1 has of prices since, is older than twenty minutes."""
        self._newest_ms = max(self._newest_ms, 1_000 * entered.enqueued_at)
        if self._is_young(now) or now < max(self._looked_at + _LOOK_SECONDS, self._paid_at + PRICELESS_SECONDS):
            return
        self._looked_at = now
        try:
            self._newest_ms = max(self._newest_ms, await self._posted(now))
        except L1Unreachable as error:
            # Not knowing is no price: one entry too many costs its fee, one too few the whole exit.
            self._say(f"L1 does not say which prices were posted: {error}")
        if self._is_young(now):
            return
        tick, time = await self._signed(now)
        # Behind an old one this entry itself could be the one that ends what it is to keep.
        if time <= max(self._newest_ms, 1_000 * (now - PRICELESS_SECONDS)):
            self._say(
                f"no price is on L1 since {time_text(self._newest_ms)}, and none that is young and signed is to be "
                f"had: from half an hour behind that on any entry may end {entered.name} without one (another source: "
                "--tick-url)"
            )
            return
        self._tell(
            f"no price is on L1 since {time_text(self._newest_ms)}: so that {entered.name} does not end without one, "
            f"the tick of {time_text(time)} is entered for the bridge's fee and gas (--no-ticks switches it off)"
        )
        before, self._paid_at = self._paid_at, now
        try:
            await self._enter(tick)
            self._newest_ms, self._is_told = time, False
        except NotYet as error:
            # It may be mined yet: no other one before its time.
            self._tell(f"the tick is sent, and {error}")
        except ClientError as error:
            self._paid_at = before
            self._say(f"the tick is not entered: {error}")

    def _is_young(self, now: int) -> bool:
        return 1_000 * now <= self._newest_ms + 1_000 * PRICELESS_SECONDS

    def _say(self, sentence: str) -> None:
        if not self._is_told:
            self._is_told = True
            self._tell(sentence)

    async def _posted(self, now: int) -> int:
        """The time of the newest tick in what stands on L1 since the entry, in milliseconds; 0 without one."""
        from prover.history.outcomes import posted_ticks

        record, block = self._known
        identity = batch.BridgeId(self._venue.chain_id, self._venue.rollup)
        found = await guarded(posted_ticks(self._l1, identity, record, block + 1))
        # A batch of whoever withholds them may hold what nobody signed.
        return max((tick_time(self._venue, tick, 1_000 * now) for tick in reversed(found)), default=0)

    async def _signed(self, now: int) -> tuple[bytes, int]:
        """The newest tick that a source gives, and its time; 0 without one."""
        best, newest = b"", 0
        for source in self._sources:
            with suppress(ClientError, ValueError):
                for told in (await source.reports(_ROUNDS))[:_ROUNDS]:
                    tick = bytes.fromhex(told.tick.removeprefix("0x"))
                    time = tick_time(self._venue, tick, 1_000 * now)
                    best, newest = (tick, time) if time > newest else (best, newest)
        return best, newest


class Entries:
    """The queue as one address sees it. Nothing here is paid."""

    def __init__(
        self,
        node: NodeClient,
        l1: L1Client,
        address: bytes,
        tell: Callable[[str], None],
        poll_seconds: float,
        record: AccountRecord,
    ) -> None:
        self._node = node
        self._l1 = l1
        self._address = address
        self._tell = tell
        self._poll_seconds = poll_seconds
        self._record = record
        self._bridge = bridge_artifact()
        self._replayed_to = -1

    # What L1's log says.

    async def all(self, venue: Venue) -> list[Entered]:
        """Every entry that ever was, the oldest first."""
        head, found = await self._logged(venue)
        length = await self._length(venue, head)
        if len(found) != length:
            raise L1Unreachable(
                f"the L1 node's logs hold {len(found)} of the queue's {length} entries: ask another one"
            )
        return found

    async def one(self, venue: Venue, index: int) -> Entered:
        """The entry of this number; BadInput where there is none."""
        head, found = await self._logged(venue, index.to_bytes(32, "big"))
        if found:
            return found[0]
        if index < await self._length(venue, head):
            raise L1Unreachable(f"the L1 node's logs leave out entry {index} of the queue: ask another one")
        raise BadInput(f"L1's queue has no entry {index}")

    async def _logged(self, venue: Venue, *number: bytes) -> tuple[Block, list[Entered]]:
        """Up to which block, and what its log holds, which may be less than was entered."""
        head = await guarded(self._l1.newest_block())
        found = await logged(self._l1, venue, events.Enqueued, venue.block, head.number, *number)
        return head, [Entered.of(event, log.transaction_hash) for log, event in found]

    async def _length(self, venue: Venue, head: Block) -> int:
        """Entries that there ever were, by the bridge's storage."""
        data = self._bridge.encode_call("queue_length")
        return await guarded(self._l1.word(venue.rollup, data, head.number))

    async def own_accounts(self, venue: Venue) -> list[int]:
        """The accounts of the address by its record, else its deposits and a replay of L1's log; BadInput for none."""
        known = await self._recorded(venue)
        if known:
            return known
        mine = checksum_address(self._address)
        otherwise = "name the account with --account if you know of one"
        deposits = [entry for entry in await self.all(venue) if entry.tag == constants.DEPOSIT]
        if self._address not in [_deposit(entry).owner for entry in deposits]:
            raise BadInput(
                f"nothing on L1 proves that an account belongs to {mine}, no deposit was made for it: {otherwise}"
            )
        rebuilt = await self._rebuilt(venue)
        found = rebuilt.accounts_of(self._address)
        if not found:
            raise BadInput(
                f"nothing on L1 proves that an account belongs to {mine} after batch {rebuilt.batch}: its deposit "
                f"still waits, or was refunded; {otherwise}"
            )
        if not rebuilt.contradicted:
            self._record.keep(_known_by(venue, rebuilt, found))
        return found

    async def _recorded(self, venue: Venue) -> list[int]:
        """The accounts that were found before, each proven against L1 as it stands now; none where a replay is due."""
        from prover.history.outcomes import may_have_opened

        known = self._record.read()
        if known is None or known.rollup != pin_of(venue) or not known.proofs:
            return []
        accounts, identity = sorted(known.proofs), batch.BridgeId(venue.chain_id, venue.rollup)
        try:
            for account in accounts:
                stands = await self._prove_own(venue, known, account)
            # That none was opened since: by the operations of the batches behind it, without the law.
            asked = (stands, known.block + 1, self._address, accounts)
            if await guarded(may_have_opened(self._l1, identity, *asked)):
                return []
        except (BadProof, NotYet) as error:
            self._tell(f"what this wallet knew of its accounts does not hold on L1, and is deleted: {error}")
            self._record.drop()
            return []
        except L1Unreachable:
            # A log with gaps, which a replay may yet fill, or name.
            return []
        return accounts

    async def _prove_own(self, venue: Venue, known: KnownAccounts, account: int) -> calls.BatchRecord:
        """The batch as it stands on L1; BadProof or NotYet where the account is not the address's in it."""
        proof = known.proofs[account]
        proven = await prove_account(self._l1, venue, account, proof)
        if proof.batch != known.batch or proven.account.owner != self._address:
            raise BadProof(f"account {account} is not this address's in batch {known.batch}")
        return await recorded_batch(self._l1, venue, known.batch, commitment_of(proof))

    async def final_withdrawal(self, venue: Venue, index: int) -> ProvenWithdrawal:
        """A withdrawal in the newest final batch, by a replay up to it; NotYet where it holds none of this number."""
        final: int = await guarded(deployment.view(self._l1, self._bridge, venue.rollup, "final_number"))
        if final != self._replayed_to:
            rebuilt = await self._rebuilt(venue, final)
            self._replayed_to = final
            if index < len(rebuilt.withdrawals):
                proof = batch.WithdrawalTree([listed.leaf() for listed in rebuilt.withdrawals]).proof(index)
                return ProvenWithdrawal(rebuilt.batch, rebuilt.commitment, rebuilt.withdrawals[index], proof)
        raise NotYet(
            f"withdrawal {index} is in no final batch, the newest of which is batch {final}, by L1's log alone"
        )

    async def _rebuilt(self, venue: Venue, until: int | None = None) -> "Rebuilt":
        # The whole law: imported where nothing else helps.
        from prover.history.outcomes import rebuild

        identity = batch.BridgeId(venue.chain_id, venue.rollup)
        try:
            logged = await guarded(deployment.logged_genesis(self._l1, identity))
        except deployment.WrongContracts as error:
            raise NotGenuine(f"{error}; nothing is believed of it") from None
        if logged is None:
            raise L1Unreachable("the L1 node does not give the bridge's genesis log")
        rebuilt = await guarded(rebuild(self._l1, identity, *logged, self._tell, until))
        if rebuilt.contradicted:
            self._tell(f"batch {rebuilt.batch + 1} is not what the law gives: it and what follows count for nothing")
        return rebuilt

    # What became of an entry.

    async def outcome(
        self, venue: Venue, entered: Entered, timeout_seconds: float | None, prices: Prices | None = None
    ) -> Forced:
        """Waits, by L1's clock, until a batch on L1 is done with an owner's entry, and says what it came to.

        Without a time it waits until a batch without the entry would be late; for none at all it only says where the
        entry stands. NotYet, and never anything that sounds like an end, while no batch has it. A close or leave that
        a batch has begun goes on, and is waited for as long: what it pays is known at its end.
        prices: what keeps such a one meanwhile.
        """
        if timeout_seconds == 0:
            return _waiting(entered)
        late_at = entered.enqueued_at + await self._inclusion_seconds(venue)
        until = late_at if timeout_seconds is None else entered.enqueued_at + timeout_seconds
        again = f"`catenary wallet force status {entered.index}`"
        self._tell(
            f"{entered.name} is entry {entered.index} of the L1 queue and waits for a batch on L1, late from "
            f"{time_text(1_000 * late_at)} of L1's clock on; if stopped now, {again} goes on and costs nothing"
        )
        hint: EntryView | None = None
        is_begun = False
        try:
            while True:
                head = await guarded(self._l1.newest_block())
                hint = await self._hint(entered) or hint
                found = await self._taken(venue, entered, hint)
                if found is not None and (found.done or head.timestamp >= until):
                    return found
                if head.timestamp >= until:
                    break
                if found is not None and not is_begun:
                    self._tell(f"batch {found.batch} has begun it: positions are closed at prices that are yet to come")
                    is_begun = True
                if prices is not None:
                    await prices.look(entered, head.timestamp)
                await trio.sleep(self._poll_seconds)
        except L1Unreachable as error:
            sentence = f"{error}; {entered.name} is entry {entered.index} of the L1 queue all the same: {again} goes on"
            raise L1Unreachable(sentence, msgspec.to_builtins(_waiting(entered))) from None
        is_late = head.timestamp >= late_at
        late = " and is late: its sequencer serves the queue alone by now, or loses the seat" if is_late else ""
        said = "" if hint is None else f", though the node says {hint.name}"
        raise NotYet(
            f"{entered.name} is entry {entered.index} of the L1 queue{late}, and no batch on L1 has it{said}: do not "
            f"enter it again, {again} waits on",
            msgspec.to_builtins(_waiting(entered)),
        )

    async def _inclusion_seconds(self, venue: Venue) -> int:
        return (await guarded(self._asked(venue, "parameters", calls.Parameters))).inclusion_seconds

    async def _hint(self, entered: Entered) -> EntryView | None:
        with suppress(ClientError):
            told = await self._node.queue_entry(entered.index)
            return told if told is not None and told.index == entered.index else None
        return None

    async def _taken(self, venue: Venue, entered: Entered, hint: EntryView | None) -> Forced | None:
        """What an entry came to; None while no batch on L1 is known to have it."""
        request = entered.request
        if request is None and hint is not None:
            # Nobody's account, and nobody waits for a batch to know of a tick: its word will do.
            return _come_to(entered, hint.code, done=hint.done)
        proven = None if hint is None or request is None else await self._account(venue, request.account)
        if hint is not None and request is not None and proven is not None and proven.queue_taken > entered.index:
            if proven.queue_count == entered.index:
                return _begun(entered, request, proven)
            if not hint.done:
                # It was asked while the close went on, which a batch has finished meanwhile.
                hint = await self._hint(entered) or hint
            shown = await self._shown(venue, entered, request, hint, proven)
            return shown or await self.replayed(venue, entered)
        record = await self._head(venue)
        return await self.replayed(venue, entered) if record.queue_count > entered.index else None

    async def _account(self, venue: Venue, account: int) -> ProvenAccount | None:
        with suppress(ClientError):
            return await prove_account(self._l1, venue, account, await self._node.proof(account))
        return None

    async def standing(self, venue: Venue) -> tuple[calls.BatchRecord, int]:
        """The newest batch on L1, and at which block."""
        head = await guarded(self._l1.newest_block())
        return await guarded(self._asked(venue, "head", calls.BatchRecord, head.number)), head.number

    async def _head(self, venue: Venue) -> calls.BatchRecord:
        return await guarded(self._asked(venue, "head", calls.BatchRecord))

    async def _asked(self, venue: Venue, view: str, kind: type[_Kept], block: str | int = "latest") -> _Kept:
        return calls.decode_record(kind, await self._l1.eth_call(venue.rollup, self._bridge.encode_call(view), block))

    async def _shown(
        self, venue: Venue, entered: Entered, request: containers.Entry, hint: EntryView, proven: ProvenAccount
    ) -> Forced | None:
        """The hint, where the posted account shows the same; None where it shows something else, or nothing."""
        number = proven.batch_number
        if proven.account.owner != entered.sender:
            return _come_to(entered, codes.NOT_OWNER, done=True, batch=number, proven=True)
        if not hint.done:
            return None
        if hint.code != codes.OK:
            return _come_to(entered, hint.code, done=True, batch=number)
        is_paid = hint.withdrawal is not None and await self._pays(venue, hint.withdrawal, entered.sender)
        is_payment = hint.withdrawal is not None or entered.tag == constants.FORCED_WITHDRAW
        if (is_payment and not is_paid) or not _shows(entered, request, proven.account):
            return None
        # How much a position was before, which withdrawal is this entry's, and that a leave paid none, no later state
        # shows.
        is_unpaid = entered.tag == constants.LEAVE and not is_paid
        is_shown = not _is_part(entered, request) and not is_unpaid and entered.tag != constants.FORCED_WITHDRAW
        known = {"done": True, "withdrawal": hint.withdrawal, "batch": number}
        return _come_to(entered, codes.OK, **known, proven=is_shown)

    async def _pays(self, venue: Venue, withdrawal: int, recipient: bytes) -> bool:
        with suppress(ClientError):
            proof = await self._node.withdrawal_proof(withdrawal)
            proven = await prove_withdrawal(self._l1, venue, withdrawal, proof)
            return proven.withdrawal.recipient == recipient
        return False

    async def replayed(self, venue: Venue, entered: Entered) -> Forced:
        """What an entry came to by L1's log alone; NotYet while no batch that follows the law has it."""
        rebuilt = await self._rebuilt(venue)
        found = rebuilt.outcomes.get(entered.index)
        if found is None:
            raise NotYet(
                f"{entered.name} is entry {entered.index} of the L1 queue, and no batch up to {rebuilt.batch}, the "
                "newest that follows the law, has it",
                msgspec.to_builtins(_waiting(entered)),
            )
        known = {"done": found.done, "withdrawal": found.withdrawal, "batch": found.batch}
        return _come_to(entered, found.code, **known, proven=True)


def _known_by(venue: Venue, rebuilt: "Rebuilt", accounts: list[int]) -> KnownAccounts:
    """What a replay has found, with its proofs."""
    state = rebuilt.state
    data = encoding.commitment_bytes(state.commitment)
    words = [as_hex(data[at : at + 32]) for at in range(0, len(data), 32)]
    proofs = {
        account: AccountProof(
            batch=rebuilt.batch,
            leaf=as_hex(encoding.account_payload(state.account(account))),
            path=[as_hex(sibling) for sibling in state.tree.path(account << constants.SLOT_BITS)],
            commitment=words,
        )
        for account in accounts
    }
    return KnownAccounts(pin_of(venue), rebuilt.batch, rebuilt.block, proofs)


def _deposit(entered: Entered) -> containers.Deposit:
    return encoding.deposit(word_at(entered.operation, 1), word_at(entered.operation, 21))


def _is_part(entered: Entered, request: containers.Entry) -> bool:
    """Whether a close is of less than all."""
    return entered.tag == constants.FORCED_CLOSE and request.amount != operations.ALL_LOTS


def _begun(entered: Entered, request: containers.Entry, proven: ProvenAccount) -> Forced | None:
    """A head: its end is in no batch, whatever the node says of it. None where the batch breaks the law."""
    if proven.account.owner != entered.sender or (
        entered.tag == constants.LEAVE and proven.account.floor < request.time
    ):
        return None
    is_shown = not _is_part(entered, request)
    return _come_to(entered, codes.OK, done=False, batch=proven.batch_number, proven=is_shown)


def _shows(entered: Entered, request: containers.Entry, account: containers.Account) -> bool:
    """Whether an account looks as if the entry had come to what was asked for."""
    if entered.tag == constants.LEAVE:
        return account.floor >= request.time and margin.closed(account, constants.MARKETS, 0)
    if entered.tag == constants.FORCED_CLOSE:
        return _is_part(entered, request) or margin.closed(account, request.market, request.amount)
    if entered.tag == constants.FORCED_AGENT and request.agent_index == constants.FLOOR_INDEX:
        return account.floor >= request.time
    if entered.tag == constants.FORCED_AGENT:
        granted = encoding.agent_word(request.agent, request.expires_at, request.first_slot, request.last_slot)
        return account.agents[request.agent_index] == granted
    return True
