"""What became of queue entries, and whose accounts there are, by L1's log alone; lies and gaps in it are said."""

from functools import partial
from typing import Any

import msgspec
import pytest

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.client.keys import DigestSigner, development_key
from l1_bridge.client.options import L1Options
from l1_bridge.codec import calls, events
from l1_bridge.codec.batch import WithdrawalTree
from prover.history.history import ChainReplay
from prover.history.outcomes import Outcome, Rebuilt, may_have_opened, opens, posted_ticks, rebuild, ticks_in
from prover.history.verify import verify
from prover.signing import operations, signatures
from prover.state.store import MemoryStore
from prover.stf import codes, constants, containers
from tests.l1_bridge.l1_nodes import L1Node
from tests.prover.l1_faults import Tampering
from tests.prover.world import CHALLENGER, DOLLAR, GENESIS, TRADER_KEYS, TRADERS, Lie, World, false_tree, opened
from tests.sequencer.node_world import key, request, signed_request

pytestmark = pytest.mark.trio


@pytest.fixture
def world(node_world: World) -> World:
    return node_world


async def rebuilt(world: World, client: L1Client) -> Rebuilt:
    """From the first block on."""
    return await rebuild(client, world.bridge, GENESIS, 0, lambda sentence: None)


async def traded(world: World, client: L1Client) -> None:
    """Traders 0 and 1 with a position each, and ether for entries of their own."""
    await opened(world, client)
    await world.commit([world.venue.trade(await world.now_ms())])
    for trader in TRADERS[:2]:
        await client.send(development_key(CHALLENGER), trader, value=10**18, gas=30_000)


async def force(world: World, client: L1Client, trader: int, tag: int, account: int, **fields: int) -> None:
    """An entry of a trader, which waits in the queue until the next batch."""
    values: dict[str, Any] = dict.fromkeys(containers.Entry.__struct_fields__, 0)
    values |= {"sender": containers.NOBODY, "agent": containers.NOBODY, "account": account}
    payload = operations.entry_payload(tag, msgspec.convert(values | fields, containers.Entry))
    signer = DigestSigner(TRADERS[trader], partial(signatures.sign, TRADER_KEYS[trader]))
    data, fee = calls.encode_entry(tag, payload), world.parameters.entry_fee_wei
    receipt = await client.send(signer, world.bridge.address, data, fee, gas=calls.entry_gas(payload))
    (event,) = [events.decode_log(world.bridge, log) for log in receipt.logs]
    assert isinstance(event, events.Enqueued)
    world.waiting.append(event.operation)


async def test_before_the_first_batch_there_is_the_genesis(world: World, client: L1Client) -> None:
    found = await rebuilt(world, client)
    assert (found.batch, found.outcomes, found.contradicted) == (0, {}, False)
    assert found.accounts_of(TRADERS[0]) == []


@pytest.mark.stage(build=traded)
async def test_each_entry_came_to_what_the_law_says(world: World, client: L1Client) -> None:
    await force(world, client, 0, constants.FORCED_WITHDRAW, 18, amount=DOLLAR)
    await force(world, client, 0, constants.LEAVE, 17)
    await force(world, client, 1, constants.FORCED_WITHDRAW, 18, amount=DOLLAR)
    await force(world, client, 1, constants.FORCED_CLOSE, 18, market=2, amount=1)
    await world.deposit(0)
    await world.commit()
    under_way = await rebuilt(world, client)
    assert under_way.batch == 3
    assert under_way.accounts_of(TRADERS[0]) == [17, 19]
    assert under_way.outcomes == {
        0: Outcome(codes.OK, True, None, 1),
        1: Outcome(codes.OK, True, None, 1),
        2: Outcome(codes.NOT_OWNER, True, None, 3),
        3: Outcome(codes.OK, False, None, 3),
        4: Outcome(codes.OK, True, 0, 3),
        5: Outcome(codes.OVERFILLED, True, None, 3),
        6: Outcome(codes.OK, True, None, 3),
    }

    await client.call("evm_increaseTime", [30])
    await client.call("evm_mine", [])
    now = await world.now_ms()
    ticks = [world.venue.tick(now - late * constants.TICK_STEP) for late in (2, 1, 0)]
    step = operations.rescue_bytes(constants.CLOSE_STEP, containers.Rescue(0, 0, 0, 18, operations.ALL_LOTS))
    await world.commit([[*ticks, step]])
    found = await rebuilt(world, client)
    assert found.outcomes == under_way.outcomes | {3: Outcome(codes.OK, True, 1, 4)}
    assert found.state.account(17).settled == 0
    # What a claim needs, after each batch.
    for seen, count in ((under_way, 1), (found, 2)):
        assert [(one.index, one.recipient) for one in seen.withdrawals] == [(0, TRADERS[1]), (1, TRADERS[0])][:count]
        tree = WithdrawalTree([one.leaf() for one in seen.withdrawals])
        assert seen.commitment.withdrawals_root == tree.root
    earlier = await rebuild(client, world.bridge, GENESIS, 0, lambda sentence: None, until=3)
    assert (earlier.batch, earlier.commitment) == (3, under_way.commitment)


@pytest.mark.stage(build=opened)
async def test_a_false_batch_and_all_behind_it_count_for_nothing(world: World, client: L1Client) -> None:
    await world.deposit(2)
    await world.steal()
    await world.commit()
    found = await rebuilt(world, client)
    assert (found.batch, found.contradicted) == (1, True)
    assert sorted(found.outcomes) == [0, 1]
    assert found.withdrawals == []
    assert found.accounts_of(TRADERS[2]) == []
    assert found.state.root == (await rebuilt(world, client)).state.root


@pytest.mark.stage(build=opened)
async def test_logs_that_are_not_all_are_no_state(world: World, client: L1Client, node: L1Node) -> None:
    for _ in range(2):
        await world.commit()

    async def tampered(tamper: Any) -> Rebuilt:
        def change(method: str, params: Any, result: Any) -> Any:
            return tamper(result) if method == "eth_getLogs" else result

        async with L1Client(node.url, L1Options(attempts=1), transport=Tampering(change)) as l1:
            return await rebuilt(world, l1)

    assert (await tampered(lambda logs: logs)).batch == 3
    for keep, sentence in (
        (slice(0, -1), "the bridge is at batch 3, the L1 node's logs at batch 2"),
        (slice(0, 0), "the bridge is at batch 3, the L1 node's logs at batch 0"),
        (slice(1, None), "logs have batch 2 right behind batch 0"),
    ):
        with pytest.raises(L1Unavailable, match=sentence):
            await tampered(lambda logs, keep=keep: logs[keep])
    with pytest.raises(L1Unavailable, match="logs are not the bridge's"):
        await tampered(lambda logs: [{**log, "data": log["data"][:-2]} for log in logs])
    # Of another kind than was asked for: left out, and missed.
    foreign = "0x" + bytes(32).hex()
    with pytest.raises(L1Unavailable, match="UNKNOWN_EVENT"):
        await tampered(lambda logs: [{**log, "topics": [foreign]} for log in logs])


@pytest.mark.stage(build=opened)
async def test_what_was_rolled_back_counts_for_nothing(world: World, client: L1Client) -> None:
    await world.commit([[]], [Lie(0, claim=false_tree)])
    await world.commit()
    replay = ChainReplay(MemoryStore(), world.bridge)
    await verify(client, replay, world.token, tell=lambda notice: None)
    dispute = replay.dispute()
    assert dispute is not None
    assert (await rebuilt(world, client)).contradicted
    await world.send(CHALLENGER, calls.encode_prove_fraud(dispute.batch, dispute.chunk_index, dispute.witness))
    undone = await rebuilt(world, client)
    assert (undone.batch, undone.contradicted) == (1, False)
    world.venue.go_back(1)
    await world.take_seat()
    await world.deposit(2)
    await world.commit()
    found = await rebuilt(world, client)
    assert (found.batch, found.accounts_of(TRADERS[2])) == (2, [19])


async def standing(world: World, client: L1Client) -> tuple[calls.BatchRecord, int]:
    """The newest batch, and the block behind the newest."""
    return await world.head(), (await client.newest_block()).number + 1


@pytest.mark.stage(build=traded)
async def test_without_a_replay_it_is_known_whether_an_account_may_have_been_opened(
    world: World, client: L1Client
) -> None:
    known, block = await standing(world, client)
    asked = (world.bridge, known, block)
    assert not await may_have_opened(client, *asked, TRADERS[0], [17])
    # An own entry names its sender, and opens nothing.
    await force(world, client, 0, constants.FORCED_WITHDRAW, 17, amount=DOLLAR)
    await world.commit()
    assert not await may_have_opened(client, *asked, TRADERS[0], [17])
    await world.deposit(0)
    assert not await may_have_opened(client, *asked, TRADERS[0], [17])
    await world.commit()
    assert await may_have_opened(client, *asked, TRADERS[0], [17])
    assert not await may_have_opened(client, *asked, TRADERS[1], [18])
    later = await standing(world, client)
    assert not await may_have_opened(client, world.bridge, *later, TRADERS[0], [17, 19])
    # A log without the batch that did it is no log.
    with pytest.raises(L1Unavailable, match="the L1 node's logs at batch"):
        await may_have_opened(client, world.bridge, known, later[1], TRADERS[0], [17])


@pytest.mark.stage(build=traded)
async def test_which_ticks_were_posted_is_known_without_a_replay(world: World, client: L1Client) -> None:
    known, block = await standing(world, client)
    asked = (world.bridge, known, block)
    assert await posted_ticks(client, *asked) == []
    now = await world.now_ms() // constants.TICK_STEP * constants.TICK_STEP
    by_itself, by_queue = world.venue.tick(now), world.venue.tick(now + constants.TICK_STEP)
    await world.commit([[by_itself]])
    assert await posted_ticks(client, *asked) == [by_itself]
    payload = by_queue[1:]
    data, fee = calls.encode_entry(constants.FORCED_TICK, payload), world.parameters.entry_fee_wei
    receipt = await client.send(
        development_key(CHALLENGER), world.bridge.address, data, fee, gas=calls.entry_gas(payload)
    )
    (event,) = [events.decode_log(world.bridge, log) for log in receipt.logs]
    assert isinstance(event, events.Enqueued)
    world.waiting.append(event.operation)
    # What only waits in the queue is no price yet.
    assert await posted_ticks(client, *asked) == [by_itself]
    await world.commit()
    assert await posted_ticks(client, *asked) == [by_itself, by_queue]
    later = await standing(world, client)
    assert await posted_ticks(client, world.bridge, *later) == []
    with pytest.raises(L1Unavailable, match="the L1 node's logs at batch"):
        await posted_ticks(client, world.bridge, known, later[1])
    time = bytes(constants.TIMESTAMP_LENGTH)
    assert ticks_in(time + by_itself + event.operation + by_itself[:-1]) == [by_itself, by_queue]
    assert ticks_in(time) == ticks_in(time + b"\xff" + by_itself) == []


async def test_what_asks_for_an_account() -> None:
    owner, time = TRADERS[0], bytes(constants.TIMESTAMP_LENGTH)
    opening = operations.deposit_bytes(containers.Deposit(TRADERS[1], owner, constants.NEW_ACCOUNT, DOLLAR))
    filling = operations.deposit_bytes(containers.Deposit(TRADERS[1], owner, 17, DOLLAR))
    assert opens(time + opening, owner, [])
    assert not opens(time + opening, TRADERS[1], [])
    assert not opens(time + filling, owner, [17])
    assert opens(time + filling + opening, owner, [])
    given = request(9, 17, other=constants.NEW_ACCOUNT, amount=DOLLAR)
    moving = signed_request(constants.TRANSFER, given, key(0))
    assert [opens(time + moving, owner, accounts) for accounts in ([17], [18], [])] == [True, False, False]
    given = request(9, 17, other=19, amount=DOLLAR)
    assert not opens(time + signed_request(constants.TRANSFER, given, key(0)), owner, [17])
    # What the law does not reach counts for nothing, and what is cut off is nothing.
    assert not opens(time + bytes([255]) + opening, owner, [])
    assert not opens(time + opening[:-1], owner, [])
    assert not opens(b"", owner, [])
