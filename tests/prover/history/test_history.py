"""ChainReplay against the contracts: what it calls valid, fraud and unknown, and that it always finds its way back."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from l1_bridge.client.following import Applied, Reverted
from l1_bridge.client.values import Log
from l1_bridge.codec.batch import MAX_CHUNK_BYTES, MAX_CHUNKS, Chunk, Commitment
from l1_bridge.codec.calls import encode_call, encode_entry, encode_prove_fraud
from l1_bridge.codec.events import BatchCommitted, Enqueued, decode_log
from l1_bridge.contracts.artifact import bridge_artifact
from l1_bridge.hashing import keccak
from prover.contracts.referee import LocalReferee
from prover.history import history
from prover.history.history import ChainReplay, check_state
from prover.history.records import (
    Alarm,
    Collected,
    Dispute,
    Intent,
    Judgement,
    Notice,
    Payment,
    Reason,
    Reorganised,
    Undone,
    Verdict,
)
from prover.signing.recover import recover_fast
from prover.state import witness
from prover.state.audit import conservation
from prover.state.leveldb import LevelDbStore
from prover.state.state import StateError
from prover.state.store import MemoryStore
from prover.stf import constants
from tests.l1_bridge.evm import Reverted as Refused
from tests.prover.world import (
    CHALLENGER,
    DOLLAR,
    RIVAL,
    SUCCESSOR,
    TRADERS,
    EvmChain,
    Lie,
    World,
    false_tree,
    open_head,
    theft,
)

pytestmark = pytest.mark.trio


class Reader:
    """A replay that has read a chain up to somewhere."""

    def __init__(self, world: World, **options: Any) -> None:
        assert isinstance(world.chain, EvmChain)
        self.world, self.chain = world, world.chain
        self.store = MemoryStore()
        self.replay = ChainReplay(self.store, world.bridge, **options)
        self.read: list[Applied] = []

    def catch_up(self) -> list[Notice]:
        """Everything that has happened since."""
        notices: list[Notice] = []
        for block in self.chain.blocks[len(self.read) :]:
            notices += self.replay.handle(block)
            self.read.append(block)
        return notices

    def forget(self, count: int) -> list[Notice]:
        """A reorganisation drops blocks."""
        notices: list[Notice] = []
        for _ in range(count):
            notices += self.replay.handle(Reverted(self.read.pop().block))
        return notices


@pytest.fixture
async def world() -> World:
    return await World.make(EvmChain())


@pytest.fixture
async def reader(world: World) -> Reader:
    return Reader(world)


@pytest.fixture(scope="module")
def referee() -> LocalReferee:
    return LocalReferee()


def judgements(notices: Sequence[Notice]) -> list[Judgement]:
    return [notice for notice in notices if isinstance(notice, Judgement)]


def judged(notices: Sequence[Notice]) -> Judgement:
    (only,) = judgements(notices)
    return only


def alarms(notices: Sequence[Notice]) -> list[Reason]:
    return [notice.reason for notice in notices if isinstance(notice, Alarm)]


async def prove(world: World, dispute: Dispute | None, role: int = CHALLENGER) -> None:
    """The one transaction, by the bridge's own referee."""
    assert dispute is not None
    await world.send(role, encode_prove_fraud(dispute.batch, dispute.chunk_index, dispute.witness))


def dispute_of(reader: Reader) -> Dispute:
    dispute = reader.replay.dispute()
    assert dispute is not None
    return dispute


# Honest batches.


async def test_honest_batches_replay_to_the_bridges_root_and_conserve_money(world: World, reader: Reader) -> None:
    await world.open_accounts()
    now = await world.now_ms()
    traded = await world.commit([world.venue.trade(now), [], [world.venue.withdraw(0, 17, now, 5 * DOLLAR)]])

    notices = judgements(reader.catch_up())
    assert [notice.verdict for notice in notices] == [Verdict.VALID, Verdict.VALID]
    assert (notices[1].chunks, notices[1].operations) == (3, 4)
    assert (notices[1].total_chunks, notices[1].total_operations) == (4, 7)
    assert reader.replay.state.root == traded.batch.chunks[-1].post_root == (await world.head()).last_root
    audit = conservation(reader.replay.state)
    assert audit.sound
    assert (audit.accounts, audit.positions, audit.withdrawn_micros) == (2, 2, 5 * DOLLAR)
    assert reader.replay.dispute() is None


ODD_BODIES: dict[str, Callable[[bytes], bytes]] = {
    "a timestamp alone": lambda body: body[:6],
    "garbage": lambda body: body[:6] + bytes(range(256)) * 20,
    "an unknown tag after good operations": lambda body: body + b"\xee" * 40,
    "cut off": lambda body: body[:-1],
    "full of the smallest operation": lambda body: body[:6] + b"\x08" * (constants.MAX_CHUNK_BYTES - 6),
    "as long as it may be": lambda body: body[:6] + bytes(constants.MAX_CHUNK_BYTES - 6),
    "ticks of nothing": lambda body: body[:6] + (b"\x06" + bytes(8)) * (constants.MAX_OPERATIONS - 1),
}


@pytest.mark.parametrize("name", ODD_BODIES)
async def test_odd_but_legal_bodies_are_never_challenged(world: World, reader: Reader, name: str) -> None:
    await world.open_accounts()
    now = await world.now_ms()
    odd = ODD_BODIES[name](now.to_bytes(6, "big") + b"".join(world.venue.trade(now)))
    await world.commit([[], odd, []])
    await world.commit([odd])
    notices = reader.catch_up()
    assert not alarms(notices)
    assert [notice.verdict for notice in judgements(notices)] == [Verdict.VALID] * 3
    assert reader.replay.state.root == (await world.head()).last_root


# Lies.

LIES: dict[str, list[Lie]] = {
    "first chunk claims false leaves": [Lie(0, claim=false_tree)],
    "false root in the middle": [Lie(1, claim=false_tree)],
    "last chunk claims false leaves": [Lie(2, claim=false_tree)],
    "theft, and honest from there on": [Lie(1, patch=theft(17, 18, 77))],
    "garbage in place of the bytes": [Lie(1, body=lambda body: b"\x7f" * len(body))],
    "bytes cut off after they were applied": [Lie(1, body=lambda body: body[:-1])],
    "one bit of a signature": [Lie(1, body=lambda body: body[:-20] + bytes([body[-20] ^ 1]) + body[-19:])],
    "no operations at all": [Lie(1, body=lambda body: body[:6])],
    "a withdrawal that nobody asked for": [
        Lie(2, claim=lambda true: msgspec.structs.replace(true, withdrawals_root=keccak(b"mine"))),
    ],
    "more withdrawn than a word of 64 bits holds": [
        Lie(2, claim=lambda true: msgspec.structs.replace(true, withdrawn_total_micros=2**79)),
    ],
    "an earlier time": [Lie(2, claim=lambda true: msgspec.structs.replace(true, timestamp_ms=true.timestamp_ms - 1))],
    "other prices": [Lie(2, claim=lambda true: msgspec.structs.replace(true, globals_hash=keccak(b"up")))],
    "two lies": [Lie(1, patch=theft(17, 18, 1)), Lie(2, claim=false_tree)],
}
FIRST_WRONG = {name: min(lie.at for lie in lies) for name, lies in LIES.items()}


@pytest.mark.parametrize("name", LIES)
async def test_a_lie_is_fraud_at_its_first_wrong_chunk_and_the_bridge_agrees(
    world: World, reader: Reader, name: str
) -> None:
    good = await world.open_accounts()
    now = await world.now_ms()
    lie = await world.commit([[], world.venue.trade(now), []], LIES[name])
    verdict = judgements(reader.catch_up())[-1]

    assert (verdict.verdict, verdict.reason) == (Verdict.FRAUD, Reason.NONE)
    assert verdict.chunk_index == FIRST_WRONG[name]
    assert verdict.claimed_root == lie.batch.chunks[FIRST_WRONG[name]].post_root != verdict.replayed_root
    assert reader.replay.state.root == good.batch.chunks[-1].post_root
    await prove(world, reader.replay.dispute())
    undone = [notice for notice in reader.catch_up() if isinstance(notice, Undone)]
    assert [(notice.event.replayed_root, notice.dropped) for notice in undone] == [(verdict.replayed_root, 1)]
    assert (await world.head()).batch_hash == good.batch_hash == reader.replay.batch_hash(reader.replay.cursor.tip)
    assert reader.replay.dispute() is None


async def test_an_empty_chunk_with_a_bad_root_is_fraud(world: World, reader: Reader) -> None:
    await world.commit([[]], [Lie(0, claim=false_tree, body=lambda body: body[:6])])
    assert judged(reader.catch_up()).verdict == Verdict.FRAUD
    await prove(world, reader.replay.dispute())
    assert (await world.head()).number == 0


async def test_a_malleable_signature_is_a_noop_and_applying_it_is_fraud(world: World, reader: Reader) -> None:
    await world.open_accounts()
    now = await world.now_ms()

    def high_s(body: bytes) -> bytes:
        # The same signature with n - s: EIP-2098 has no bit for it, so it reads as another low or high s.
        order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
        word = int.from_bytes(body[-32:], "big")
        s, parity = word & (2**255 - 1), word >> 255
        return body[:-32] + ((order - s) & (2**255 - 1) | (1 - parity) << 255).to_bytes(32, "big")

    withdraw = [world.venue.withdraw(0, 17, now, DOLLAR)]
    await world.commit([withdraw], [Lie(0, body=high_s)])
    assert judgements(reader.catch_up())[-1].verdict == Verdict.FRAUD
    await prove(world, reader.replay.dispute())


async def test_descendants_of_a_fraud_are_not_replayed_and_fall_with_it(world: World, reader: Reader) -> None:
    await world.open_accounts()
    stolen = await world.steal()
    await world.commit()
    await world.commit([[]], [Lie(0, claim=false_tree)])
    notices = judgements(reader.catch_up())
    assert [notice.verdict for notice in notices] == [Verdict.VALID, Verdict.FRAUD, Verdict.UNKNOWN, Verdict.UNKNOWN]
    assert [notice.reason for notice in notices[2:]] == [Reason.DESCENDANT, Reason.DESCENDANT]
    assert dispute_of(reader).batch_hash == stolen.batch_hash

    await prove(world, reader.replay.dispute())
    (undone,) = [notice for notice in reader.catch_up() if isinstance(notice, Undone)]
    assert (undone.dropped, reader.replay.cursor.tip, reader.replay.cursor.valid) == (3, 1, 1)
    assert reader.replay.records.judgement(2) is None


async def test_a_decoy_proven_first_leaves_the_theft_under_it_disputed(world: World, reader: Reader) -> None:
    await world.open_accounts()
    await world.steal()
    decoy = await world.commit([[]], [Lie(0, claim=false_tree)])
    reader.catch_up()
    # The thief proves the decoy himself, from the state that his theft claims.
    world.venue.go_back(2)
    chunk = world.venue.state.chunk(recover_fast)
    chunk.run(decoy.batch.chunks[0].body)
    await world.send(RIVAL, encode_prove_fraud(decoy.batch, 0, witness.build(world.venue.state.tree, chunk)))
    (undone,) = [notice for notice in reader.catch_up() if isinstance(notice, Undone)]
    assert (undone.event.number, undone.verdict) == (3, Verdict.UNKNOWN)
    assert [reward.prover for reward in reader.replay.records.rewards()] == [world.chain.address(RIVAL)]

    await prove(world, reader.replay.dispute())
    reader.catch_up()
    assert (await world.head()).number == 1
    # The earlier proof takes the reward of the same bond over.
    (reward,) = reader.replay.records.rewards()
    assert (reward.prover, reward.bond_id) == (world.chain.address(CHALLENGER), 1)


async def test_a_batch_posted_again_after_a_roll_back_is_judged_anew(world: World, reader: Reader) -> None:
    await world.open_accounts()
    await world.steal()
    reader.catch_up()
    await prove(world, reader.replay.dispute())
    world.venue.go_back(1)
    # A seat that opens is nobody's in the same second.
    reader.chain.pass_time(1)
    await world.take_seat(SUCCESSOR)
    again = await world.commit([world.venue.trade(await world.now_ms())], role=SUCCESSOR)
    notices = reader.catch_up()
    assert (judged(notices).verdict, judged(notices).number) == (Verdict.VALID, 2)
    assert again.batch.header.rollback_counter == 1
    assert reader.replay.state.root == (await world.head()).last_root
    assert not alarms(notices)


# The head of the queue.


async def chain_after(world: World, count: int) -> bytes:
    """The queue's hash after so many entries, as the bridge keeps it."""
    return await world.chain.call(world.bridge.address, encode_call("queue_hash", count))


async def open_a_head(world: World) -> BatchCommitted:
    """An honest batch that ends while a forced close is under way: two entries done, the third begun."""
    assert isinstance(world.chain, EvmChain)
    await world.open_accounts()
    await world.commit([world.venue.trade(await world.now_ms())])
    payload = (17).to_bytes(3, "big") + b"\x00" + (10_000).to_bytes(7, "big") + bytes(6)
    entry = encode_entry(constants.FORCED_CLOSE, payload)
    (log,) = world.chain.send_from(TRADERS[0], world.bridge.address, entry, world.parameters.entry_fee_wei)
    enqueued = decode_log(world.bridge, log)
    assert isinstance(enqueued, Enqueued)
    world.waiting.append(enqueued.operation)
    opened = await world.commit()
    assert (opened.batch.commitment.queue_count, opened.batch.commitment.queue_taken) == (2, 3)
    return opened


async def test_a_theft_behind_a_head_that_was_never_opened_is_proven(world: World, reader: Reader) -> None:
    good = await world.open_accounts()
    await world.deposit(2, DOLLAR)
    stolen = await world.steal(9_000 * DOLLAR, [Lie(2, claim=open_head)])
    claimed = stolen.batch.commitment
    assert (claimed.queue_count, claimed.queue_taken) == (2, 3)
    notices = reader.catch_up()
    verdict = judgements(notices)[-1]
    assert (verdict.verdict, verdict.chunk_index, alarms(notices)) == (Verdict.FRAUD, 1, [])
    await prove(world, reader.replay.dispute())
    reader.catch_up()
    assert (await world.head()).batch_hash == good.batch_hash == reader.replay.batch_hash(reader.replay.cursor.tip)


async def test_a_theft_in_the_largest_batch_that_the_bridge_takes_is_proven(world: World, reader: Reader) -> None:
    good = await world.open_accounts()
    # As many bytes as the bridge takes, none of which means anything to the law.
    largest = (await world.now_ms()).to_bytes(6, "big").ljust(MAX_CHUNK_BYTES, b"\xff")
    await world.commit([largest] * MAX_CHUNKS, [Lie(1, patch=theft(17, 18, 9_000 * DOLLAR))])
    notices = reader.catch_up()
    assert alarms(notices) == []
    verdict = judgements(notices)[-1]
    assert (verdict.verdict, verdict.chunk_index) == (Verdict.FRAUD, 1)
    await prove(world, reader.replay.dispute())
    reader.catch_up()
    assert (await world.head()).batch_hash == good.batch_hash == reader.replay.batch_hash(reader.replay.cursor.tip)


async def test_a_head_that_was_never_opened_is_itself_a_fraud(world: World, reader: Reader) -> None:
    await world.deposit(0)
    await world.commit([[], []], [Lie(1, claim=open_head)])
    assert judged(reader.catch_up()).chunk_index == 1
    await prove(world, reader.replay.dispute())
    assert (await world.head()).number == 0


async def test_a_batch_that_ends_with_an_open_head_is_valid_and_the_next_theft_is_proven(
    world: World, reader: Reader
) -> None:
    opened = await open_a_head(world)
    notices = reader.catch_up()
    assert [notice.verdict for notice in judgements(notices)] == [Verdict.VALID] * 3
    assert not alarms(notices)
    assert reader.replay.state.root == (await world.head()).last_root
    stolen = await world.steal()
    assert stolen.batch.commitment.queue_taken == stolen.batch.commitment.queue_count + 1
    verdict = judged(reader.catch_up())
    assert (verdict.verdict, verdict.chunk_index) == (Verdict.FRAUD, 1)
    await prove(world, reader.replay.dispute())
    reader.catch_up()
    assert (await world.head()).batch_hash == opened.batch_hash
    assert reader.replay.cursor.valid == reader.replay.cursor.tip == 3


@pytest.mark.parametrize("taken", [2, 3])
async def test_a_head_of_a_final_batch_that_is_denied_or_called_done_is_a_fraud(
    world: World, reader: Reader, taken: int
) -> None:
    assert isinstance(world.chain, EvmChain)
    before = await open_a_head(world)
    world.chain.pass_time(world.parameters.window_seconds)
    reader.catch_up()
    assert reader.replay.cursor.pruned == 3
    lie = {"queue_count": taken, "queue_taken": taken, "queue_hash": await chain_after(world, taken)}
    await world.commit([[]], [Lie(0, claim=lambda true: msgspec.structs.replace(true, **lie))])
    assert judged(reader.catch_up()).verdict == Verdict.FRAUD
    await prove(world, reader.replay.dispute())
    assert (await world.head()).batch_hash == before.batch_hash


def queue_claim(count: int, taken: int, after: int | None) -> Callable[[Commitment, Sequence[bytes]], Commitment]:
    """Another claim about the queue; its hash is the chain's after so many entries, or nobody's."""
    return lambda true, chain: msgspec.structs.replace(
        true, queue_count=count, queue_taken=taken, queue_hash=keccak(b"none") if after is None else chain[after]
    )


# Of a queue of four whose first two entries the parent has done.
REFUSED = {
    "a hash of nothing": (queue_claim(4, 4, None), "QUEUE_HASH"),
    "a hash of nothing behind a head": (queue_claim(2, 3, None), "QUEUE_HASH"),
    "the chain before its head": (queue_claim(2, 3, 2), "QUEUE_HASH"),
    "the chain behind a head that is none": (queue_claim(2, 2, 3), "QUEUE_HASH"),
    "fewer than its parent's": (queue_claim(1, 1, 1), "QUEUE_COUNT"),
    "a head that never came": (queue_claim(4, 5, 4), "QUEUE_COUNT"),
    "fewer taken than done": (queue_claim(4, 3, 3), "QUEUE_COUNT"),
}


# Of the same queue, of which the chunk consumes all four: every count, head and hash that the bridge takes.
A1_CLAIMS = [(count, taken) for count in (2, 3, 4) for taken in range(count, 5) if (count, taken) != (4, 4)]


@pytest.mark.parametrize(("count", "taken"), A1_CLAIMS)
async def test_a1_every_other_claim_about_the_queue_that_the_bridge_takes_is_a_fraud(
    world: World, reader: Reader, count: int, taken: int
) -> None:
    good = await world.open_accounts()
    await world.deposit(2)
    await world.deposit(3)
    chain = [await chain_after(world, number) for number in range(5)]
    claim = queue_claim(count, taken, taken)
    await world.commit([[]], [Lie(0, claim=lambda true: claim(true, chain))])
    notices = reader.catch_up()
    assert (judgements(notices)[-1].verdict, alarms(notices)) == (Verdict.FRAUD, [])
    await prove(world, reader.replay.dispute())
    assert (await world.head()).batch_hash == good.batch_hash


@pytest.mark.parametrize("name", REFUSED)
async def test_a_queue_that_the_bridge_refuses_is_a_history_that_nobody_acts_on(
    world: World, reader: Reader, name: str
) -> None:
    claim, reason = REFUSED[name]
    await world.open_accounts()
    entries = [await world.deposit(2), await world.deposit(3)]
    chain = [await chain_after(world, count) for count in range(5)]
    reader.catch_up()
    with pytest.raises(Refused, match=reason):
        await world.commit([[]], [Lie(0, claim=lambda true: claim(true, chain))])
    world.venue.go_back(1)
    world.waiting = entries
    honest = await world.commit([[]])

    # The same claim in a log that no bridge wrote, with root and batch hash to match.
    true, block = honest.batch, reader.chain.blocks[-1]
    false = claim(true.commitment, chain)
    chunks = (Chunk(true.chunks[0].body, false.root()),)
    forged = msgspec.structs.replace(true, chunks=chunks, commitment=false)
    (log,) = block.logs
    topics, data = list(log.topics), log.data
    for old, new in (
        (true.commitment.encode(), false.encode()),
        (true.commitment.root(), false.root()),
        (honest.batch_hash, forged.batch_hash(world.bridge)),
    ):
        data = data.replace(old, new)
        topics = [new if topic == old else topic for topic in topics]
    told = msgspec.structs.replace(log, topics=tuple(topics), data=data)
    notices = reader.replay.handle(Applied(block.block, (told,)))
    assert (judged(notices).verdict, judged(notices).reason) == (Verdict.UNKNOWN, Reason.HISTORY)
    assert judged(notices).batch_hash == forged.batch_hash(world.bridge)
    assert alarms(notices) == [Reason.HISTORY]
    assert reader.replay.dispute() is None

    reader.replay.handle(Reverted(block.block))
    assert judged(reader.catch_up()).verdict == Verdict.VALID


async def test_every_witness_is_what_the_shipped_referee_wants(
    world: World, reader: Reader, referee: LocalReferee
) -> None:
    await world.open_accounts()
    await world.steal()
    reader.catch_up()
    dispute = dispute_of(reader)
    body = dispute.batch.chunks[dispute.chunk_index].body
    domain = world.bridge.domain_separator()
    assert referee.replay(domain, dispute.pre_root, body, dispute.witness) == dispute.replayed_root


# Unknown.


def no_recover(digest: bytes, v: int, r: int, s: int) -> bytes:
    return bytes(20)


@pytest.mark.parametrize("which", ["recover", "second_recover"])
async def test_libraries_that_disagree_make_the_verdict_unknown(world: World, which: str) -> None:
    broken = Reader(world, **{which: no_recover})
    await world.deposit(0)
    await world.commit()
    now = await world.now_ms()
    lies = [] if which == "recover" else [Lie(0, claim=false_tree)]
    await world.commit([[world.venue.tick(now)]], lies)
    child = await world.commit()
    notices = broken.catch_up()
    verdicts = judgements(notices)
    assert [verdict.reason for verdict in verdicts] == [Reason.NONE, Reason.LIBRARIES, Reason.DESCENDANT]
    assert {verdict.verdict for verdict in verdicts[1:]} == {Verdict.UNKNOWN}
    assert alarms(notices) == [Reason.LIBRARIES]
    assert broken.replay.dispute() is None
    assert broken.replay.cursor.tip == child.batch.header.number == 3
    assert broken.replay.cursor.valid == 1


async def test_both_libraries_wrong_alike_is_caught_by_the_referee(world: World, referee: LocalReferee) -> None:
    broken = Reader(world, recover=no_recover, second_recover=no_recover)
    await world.commit([[world.venue.tick(await world.now_ms())]])
    assert judged(broken.catch_up()).verdict == Verdict.FRAUD
    dispute = dispute_of(broken)
    body = dispute.batch.chunks[0].body
    root = referee.replay(world.bridge.domain_separator(), dispute.pre_root, body, dispute.witness)
    assert root == dispute.batch.chunks[0].post_root != dispute.replayed_root


async def test_bytes_that_break_the_law_itself_are_unknown_and_do_not_blind(world: World) -> None:
    def explosive(digest: bytes, v: int, r: int, s: int) -> bytes:
        raise OverflowError("a defect")

    broken = Reader(world, recover=explosive)
    await world.commit()
    await world.commit([[world.venue.tick(await world.now_ms())]])
    notices = broken.catch_up()
    assert [verdict.verdict for verdict in judgements(notices)] == [Verdict.VALID, Verdict.UNKNOWN]
    assert alarms(notices) == [Reason.LAW_FAILED]
    assert broken.replay.cursor.valid == 1
    assert broken.replay.dispute() is None


# A store of which something is lost: LevelDB drops what a damaged log held without a word.

BEFORE = dict[bytes, bytes]
DAMAGES: dict[str, Callable[[MemoryStore, BEFORE], None]] = {
    "a leaf is gone": lambda store, before: store.write({rows(store, b"l")[-1]: None}, sync=False),
    "a leaf is an older one": lambda store, before: store.write(
        {key: value for key, value in before.items() if key.startswith(b"l")}, sync=False
    ),
    "a leaf is none": lambda store, before: store.write({rows(store, b"l")[-1]: b"?"}, sync=False),
    "globals are older ones": lambda store, before: store.write({b"globals": before[b"globals"]}, sync=False),
    "the whole state is an older one": lambda store, before: store.write(
        {key: before.get(key) for key, _ in store.iterate(b"") if not key.startswith(b"m")}, sync=False
    ),
}


def rows(store: MemoryStore, prefix: bytes) -> list[bytes]:
    return [key for key, _ in store.iterate(prefix)]


async def damaged(world: World, reader: Reader, name: str) -> Reader:
    """A replay that was started again on a store that has lost something of two batches."""
    await world.open_accounts()
    reader.catch_up()
    before = dict(reader.store.iterate(b""))
    await world.commit([world.venue.trade(await world.now_ms())])
    reader.catch_up()
    DAMAGES[name](reader.store, before)
    reader.replay = ChainReplay(reader.store, world.bridge)
    return reader


@pytest.mark.parametrize("name", DAMAGES)
async def test_a_damaged_store_judges_nothing_and_is_rebuilt(world: World, reader: Reader, name: str) -> None:
    again = await damaged(world, reader, name)
    with pytest.raises(StateError):
        check_state(again.replay)
    await world.commit()
    await world.steal()
    with pytest.raises(StateError):
        again.catch_up()
    assert (again.replay.cursor.tip, again.replay.cursor.valid) == (2, 2)
    again.replay.wipe()
    again.read.clear()
    verdicts = [verdict.verdict for verdict in judgements(again.catch_up())]
    assert verdicts == [Verdict.VALID] * 3 + [Verdict.FRAUD]
    check_state(again.replay)
    await prove(world, again.replay.dispute())
    assert (await world.head()).number == 3


async def test_off_a_damaged_store_calls_an_honest_batch_a_fraud(
    world: World, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = await damaged(world, reader, "the whole state is an older one")
    monkeypatch.setattr(history, "check_state", lambda _: None)
    await world.commit([[world.venue.tick(await world.now_ms())]])
    assert judged(again.catch_up()).verdict == Verdict.FRAUD
    # And what is stolen on top of it is never looked at.
    await world.steal()
    assert (judged(again.catch_up()).verdict, dispute_of(again).header.number) == (Verdict.UNKNOWN, 3)
    with pytest.raises(Refused):
        await prove(world, again.replay.dispute())


def without(block: Applied, topic_of: str) -> Applied:
    topics = {event.topic for event in bridge_artifact().events.values() if event.name == topic_of}
    return Applied(block.block, tuple(log for log in block.logs if log.topics[0] not in topics))


@pytest.mark.parametrize("name", ["BatchCommitted", "Enqueued", "RolledBack", "Genesis"])
async def test_a_node_that_hides_a_log_makes_every_later_verdict_unknown(world: World, name: str) -> None:
    await world.open_accounts()
    await world.steal()
    honest = Reader(world)
    honest.catch_up()
    await prove(world, honest.replay.dispute())
    world.venue.go_back(1)
    honest.chain.pass_time(1)
    await world.take_seat(SUCCESSOR)
    await world.commit(role=SUCCESSOR)

    blinded = Reader(world)
    notices: list[Notice] = []
    for block in blinded.chain.blocks:
        notices += blinded.replay.handle(without(block, name))
    if name == "BatchCommitted":
        # Nothing contradicts but a roll-back of what was never seen.
        assert not judgements(notices)
    else:
        assert judgements(notices)[-1].verdict == Verdict.UNKNOWN
        assert judgements(notices)[-1].reason == Reason.HISTORY
    assert alarms(notices)[0] == Reason.HISTORY
    assert blinded.replay.cursor.incomplete


@pytest.mark.parametrize("damage", ["cut", "bit", "padded", "empty"])
async def test_a_log_with_missing_bytes_is_unknown_and_goes_away_with_its_block(
    world: World, reader: Reader, damage: str
) -> None:
    await world.open_accounts()
    reader.catch_up()
    await world.steal()
    block = reader.chain.blocks[-1]
    (log,) = block.logs
    data = {
        "cut": log.data[:-32],
        "bit": log.data[:-40] + bytes([log.data[-40] ^ 1]) + log.data[-39:],
        "padded": log.data + bytes(32),
        "empty": b"",
    }[damage]
    damaged = Log(log.address, log.topics, data, log.block_number, log.block_hash, log.transaction_hash, 0, 0)
    notices = reader.replay.handle(Applied(block.block, (damaged,)))
    assert alarms(notices) == [Reason.HISTORY]
    assert not judgements(notices)
    assert reader.replay.dispute() is None
    assert reader.replay.cursor.incomplete

    reader.replay.handle(Reverted(block.block))
    assert not reader.replay.cursor.incomplete
    assert judged(reader.catch_up()).verdict == Verdict.FRAUD


async def test_a_roll_back_of_a_valid_batch_is_an_alarm_and_the_state_goes_back(world: World, reader: Reader) -> None:
    def credulous(digest: bytes, v: int, r: int, s: int) -> bytes:
        return TRADERS[0]

    await world.open_accounts()
    reader.catch_up()
    before = world.venue.state.root
    now = await world.now_ms()
    # Signed by trader 1, out of the account of trader 0: this sequencer and this reader believe it.
    body = now.to_bytes(6, "big") + world.venue.withdraw(1, 17, now, DOLLAR)
    honest = world.venue.state.chunk(recover_fast)
    honest.run(body)
    proof = witness.build(world.venue.state.tree, honest)
    forged = await world.commit([body], recover=credulous)
    reader.replay._recover = credulous
    assert judged(reader.catch_up()).verdict == Verdict.VALID
    assert reader.replay.state.root != before

    await world.send(RIVAL, encode_prove_fraud(forged.batch, 0, proof))
    assert alarms(reader.catch_up()) == [Reason.LAW_DRIFT]
    assert reader.replay.state.root == before
    assert reader.replay.cursor.valid == reader.replay.cursor.tip == 1


# Going back and going on.


async def test_a_reorganisation_takes_everything_back_to_the_byte(world: World) -> None:
    # Longer than the history, so that no record leaves the memory on the way.
    reader = Reader(world, memory_blocks=1_000)
    await world.open_accounts()
    reader.catch_up()
    snapshots: list[dict[bytes, bytes]] = [dict(reader.store.iterate(b""))]
    await world.commit([world.venue.trade(await world.now_ms()), []])
    await world.deposit(2)
    await world.commit()
    await world.steal()
    await world.commit()
    reader_blocks = reader.chain.blocks[len(reader.read) :]
    for block in reader_blocks:
        reader.replay.handle(block)
        reader.read.append(block)
        snapshots.append(dict(reader.store.iterate(b"")))
    await prove(world, reader.replay.dispute())
    reader.catch_up()

    notices = reader.forget(1)
    assert [notice.tip for notice in notices if isinstance(notice, Reorganised)] == [5]
    assert dispute_of(reader).batch.header.number == 4
    for expected in reversed(snapshots):
        assert dict(reader.store.iterate(b"")) == expected
        if expected is not snapshots[0]:
            reader.forget(1)
    assert reader.replay.cursor.tip == 1
    # And forward again to the same end.
    assert not alarms(reader.catch_up())
    assert (reader.replay.cursor.tip, reader.replay.cursor.valid) == (3, 3)


async def test_another_branch_is_judged_by_its_own_batches(world: World, reader: Reader) -> None:
    await world.open_accounts()
    reader.catch_up()
    chain, fork = reader.chain, len(reader.chain.blocks)
    with chain.evm.rolled_back():
        await world.steal()
        reader.catch_up()
        assert reader.replay.dispute() is not None
    del chain.blocks[fork:]
    chain.branch = b"other"
    world.venue.go_back(1)
    honest = await world.commit([world.venue.trade(await world.now_ms())])
    reader.forget(1)
    assert reader.replay.dispute() is None
    assert judged(reader.catch_up()).batch_hash == honest.batch_hash
    assert reader.replay.state.root == (await world.head()).last_root


async def test_a_restart_continues_at_the_cursor_with_state_and_dispute(world: World, tmp_path: Any) -> None:
    store = LevelDbStore(tmp_path)
    replay = ChainReplay(store, world.bridge)
    await world.open_accounts()
    await world.steal()
    assert isinstance(world.chain, EvmChain)
    half = len(world.chain.blocks) - 1
    for block in world.chain.blocks[:half]:
        replay.handle(block)
    root = replay.state.root
    replay.records.remember_intent(Intent(keccak(b"batch"), b"\x01" * 20, 7))
    store.close()

    store = LevelDbStore(tmp_path)
    replay = ChainReplay(store, world.bridge)
    assert (replay.cursor.valid, replay.state.root) == (1, root)
    assert replay.records.blocks() == tuple(block.block for block in world.chain.blocks[:half])
    assert replay.records.intent(keccak(b"batch")) == Intent(keccak(b"batch"), b"\x01" * 20, 7)
    replay.handle(world.chain.blocks[half])
    dispute = replay.dispute()
    store.close()
    store = LevelDbStore(tmp_path)
    assert ChainReplay(store, world.bridge).dispute() == dispute is not None
    store.close()


async def test_a_write_that_fails_leaves_the_replay_where_it_was(world: World) -> None:
    class Failing(MemoryStore):
        failing = False

        def write(self, puts: Any, sync: bool) -> None:
            if self.failing:
                raise OSError("disk full")
            super().write(puts, sync)

    store = Failing()
    replay = ChainReplay(store, world.bridge)
    await world.open_accounts()
    assert isinstance(world.chain, EvmChain)
    for block in world.chain.blocks[:-1]:
        replay.handle(block)
    before = (replay.cursor, dict(store.iterate(b"")))
    store.failing = True
    with pytest.raises(OSError, match="disk full"):
        replay.handle(world.chain.blocks[-1])
    assert (replay.cursor, dict(store.iterate(b""))) == before
    store.failing = False
    assert judged(replay.handle(world.chain.blocks[-1])).verdict == Verdict.VALID


async def test_what_is_final_or_far_behind_is_forgotten(world: World) -> None:
    assert isinstance(world.chain, EvmChain)
    reader = Reader(world, memory_blocks=4)
    await world.open_accounts(3)
    await world.commit()
    reader.catch_up()
    kept = {key[:2] for key, _ in reader.store.iterate(b"m")}
    assert b"mu" in kept
    world.chain.pass_time(world.parameters.window_seconds)
    for _ in range(5):
        world.chain.pass_time(1)
    reader.catch_up()
    assert len(reader.replay.records.blocks()) == 4
    assert not list(reader.store.iterate(b"mu"))
    # The newest consumed queue entry stays: the next one's hash follows from it.
    assert len(list(reader.store.iterate(b"mq"))) == 1
    await world.deposit(3)
    await world.commit()
    assert judged(reader.catch_up()).verdict == Verdict.VALID


async def test_a_collected_reward_is_told_and_the_bridge_says_what_is_owed(world: World, reader: Reader) -> None:
    assert isinstance(world.chain, EvmChain)
    await world.commit([[]], [Lie(0, claim=false_tree)])
    reader.catch_up()
    await prove(world, reader.replay.dispute())
    reader.catch_up()
    (reward,) = reader.replay.records.rewards()
    assert (reward.bond_id, reward.amount_wei, reward.release_at) == (1, world.parameters.bond_wei // 2, 0)
    await world.send(CHALLENGER, encode_call("collect_reward", 1))
    assert [notice for notice in reader.catch_up() if isinstance(notice, Collected)] == [
        Collected(1, world.chain.address(CHALLENGER), reward.amount_wei)
    ]
    # A node may make such a log up.
    assert reader.replay.records.rewards() == [reward]


def without_logs(applied: Applied) -> Applied:
    """A block as a node tells it that leaves its logs out."""
    return Applied(applied.block, ())


async def test_what_was_left_out_is_read_again_and_nothing_else_is_forgotten(world: World, reader: Reader) -> None:
    await world.open_accounts()
    reader.catch_up()
    whole, number = dict(reader.store.iterate(b"")), reader.read[-1].block.number
    await world.deposit(2)
    await world.commit()
    *left_out, last = reader.chain.blocks[len(reader.read) :]
    for block in left_out:
        reader.replay.handle(without_logs(block))
    assert alarms(reader.replay.handle(last)) == [Reason.HISTORY]
    assert reader.replay.rewind(number)
    assert dict(reader.store.iterate(b"")) == whole
    assert (reader.replay.cursor.incomplete, reader.replay.records.blocks()[-1].number) == ("", number)
    assert judged(reader.catch_up()).verdict == Verdict.VALID


async def test_what_the_bridge_contradicts_is_read_again_though_no_block_changed_anything(
    world: World, reader: Reader
) -> None:
    assert isinstance(world.chain, EvmChain)
    await world.open_accounts()
    world.chain.pass_time(1)
    reader.catch_up()
    tip = reader.replay.cursor.tip
    reader.replay.lose("the bridge says otherwise")
    assert reader.replay.rewind(reader.read[-1].block.number), "to where it is: only to ask again"
    assert (reader.replay.cursor.incomplete, reader.replay.cursor.tip) == ("", tip)
    reader.replay.lose("the bridge says otherwise")
    assert reader.replay.rewind(reader.read[-2].block.number)
    assert reader.replay.cursor.incomplete == ""


async def test_a_rewind_leaves_the_oldest_block_and_says_where_that_is_not_deep_enough(world: World) -> None:
    assert isinstance(world.chain, EvmChain)
    reader = Reader(world, memory_blocks=3)
    await world.open_accounts()
    reader.catch_up()
    assert reader.replay.rewind(0)
    assert len(reader.replay.records.blocks()) == 1
    reader.read = reader.read[:-2]
    reader.catch_up()
    await world.deposit(2)
    for block in reader.chain.blocks[len(reader.read) :]:
        reader.replay.handle(without_logs(block))
    before = len(reader.chain.blocks)
    await world.deposit(3)
    for block in reader.chain.blocks[before:]:
        reader.replay.handle(block)
    for _ in range(2):
        world.chain.pass_time(1)
        reader.replay.handle(reader.chain.blocks[-1])
    assert reader.replay.cursor.incomplete
    assert not reader.replay.rewind(0)
    assert not Reader(world).replay.rewind(0), "nothing was read"


async def test_wiping_forgets_the_history_but_not_what_was_sent(world: World, reader: Reader) -> None:
    await world.open_accounts()
    reader.catch_up()
    intent = Intent(keccak(b"batch"), b"\x01" * 20, 7)
    reader.replay.records.remember_intent(intent)
    paid = Payment(1, bytes(32))
    reader.replay.records.remember_payments([paid])
    reader.replay.lose("the bridge says otherwise")
    reader.replay.wipe()
    assert not reader.replay.started
    assert reader.replay.records.payments() == (paid,)
    assert reader.replay.records.intent(intent.batch_hash) == intent
    reader.read = []
    assert judged(reader.catch_up()).verdict == Verdict.VALID


assert constants.RESERVED_ACCOUNTS == 17, "the accounts of these tests begin at 17"
