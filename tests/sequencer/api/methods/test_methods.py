"""What the node answers and whom it tells, in the words of the API, without sockets or an L1."""

import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
import trio

from l1_bridge.codec import batch
from l1_bridge.hashing import ZERO_HASH, keccak
from prover.signing import signatures
from prover.state.genesis import DEVNET_GRACE_MS
from prover.state.state import leaf_hash
from prover.stf import codes, constants
from sequencer.api.rpc.errors import CallError, law_error
from sequencer.api.rpc.jsonrpc import JSON, Call
from sequencer.engine.records import SealedChunk
from sequencer.history.records import INTERVALS
from sequencer.l1.bridge_view import PostedBatch
from sequencer.l1.postable import Reason, taken
from sequencer.schema.params import BatchItem, SignedBatch
from sequencer.schema.values import Bytes20
from sequencer.schema.writing import to_json, to_wire
from sequencer.sequencing.admission import Taking
from sequencer.sequencing.journal import Disk
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.desk import RELEASED, Desk, submitted
from tests.sequencer.node_world import (
    BUY,
    CHAIN_ID,
    DOLLAR,
    DOMAIN,
    FIRST,
    LOTS,
    PRICES,
    RECIPIENT,
    SELL,
    START,
    deposit,
    key,
    order,
    owner,
    request,
    signed_order,
    signed_request,
    tick,
)
from tests.sequencer.sequencing.test_sequencer import opened

pytestmark = pytest.mark.trio
PRICE = PRICES[0]
CALL = cast(Call, None)


async def test_everybody_whom_an_input_touches_is_told(desk: Desk) -> None:
    await desk.order(0, SELL, PRICE)
    book = {"book:BTC", "book_deltas:BTC"}
    assert desk.channels.names() == book | {f"account:{FIRST}", f"orders:{FIRST}"}
    await desk.order(1, BUY, PRICE, 300)
    both = {f"{family}:{FIRST + trader}" for family in ("account", "orders") for trader in (0, 1)}
    traded = {"trades:BTC", *(f"candles:BTC:{interval}" for interval in INTERVALS)}
    assert desk.channels.names() == book | traded | both
    fires = {"trigger": constants.TRIGGER_AT_OR_ABOVE, "trigger_price": PRICE + 100}
    await desk.order(2, BUY, PRICE, 200, **fires)
    await desk.order(3, SELL, PRICE + 900, slot=2, expires_at=START + 1_000)
    desk.channels.names()
    desk.clock.now += constants.TICK_STEP
    await desk.venue.submit(tick(desk.clock.now, (PRICE + 100, *PRICES[1:])))
    accounts = {f"{family}:{FIRST + trader}" for family in ("account", "orders") for trader in (0, 2, 3)}
    # A book that is as it was told is not told again.
    assert desk.channels.names() == {"prices", "funding"} | book | traded | accounts


async def test_a_refused_input_is_told_to_nobody_else(desk: Desk) -> None:
    given = order(desk.clock.now, FIRST, SELL, PRICE, size=1)
    assert (await desk.venue.submit(signed_order(given, key(0)))).code != 0
    assert desk.channels.names() == set()


async def test_the_feeds_of_accounts_that_exist(desk: Desk) -> None:
    find = desk.channels.families["account:"]
    snapshot = find(str(FIRST))
    assert snapshot is not None
    assert cast(dict[str, Any], snapshot())["owner"] == "0x" + owner(0).hex()
    for wrong in ("", "x", "-1", str(FIRST + 4), "9" * 30, "１７"):
        assert find(wrong) is None


async def test_books_fills_and_accounts_in_the_words_of_the_api(desk: Desk) -> None:
    await desk.order(0, SELL, PRICE)
    await desk.order(1, BUY, PRICE, 300)
    await desk.order(1, BUY, PRICE - 7, 50, slot=2)
    book = await desk.ask("catenary_book", market="BTC")
    assert book == {"market": "BTC", "bids": [[PRICE - 7, 50]], "asks": [[PRICE, LOTS - 300]]}
    assert await desk.ask("catenary_book", market=0) == book
    (fill,) = (await desk.ask("catenary_trades", market="BTC"))["trades"]
    assert (fill["price_ticks"], fill["size_lots"], fill["taker_side"]) == (PRICE, 300, "buy")
    assert (fill["maker"], fill["taker"]) == (FIRST, FIRST + 1)
    seen = await desk.ask("catenary_account", account=FIRST + 1)
    (position,) = seen["positions"]
    assert (position["market"], position["size_lots"], position["cost_micros"]) == ("BTC", 300, str(300 * PRICE))
    assert int(seen["collateral_micros"]) == 10_000 * DOLLAR - int(fill["fee_micros"]) + 300 * PRICE * 100 // 10**6
    (resting,) = seen["open_orders"]
    assert (resting["size_lots"], resting["limit_price_ticks"], resting["status"]) == (50, PRICE - 7, "resting")
    assert seen["slots_hint"]["slot"] not in (2,)
    assert seen["finality"] == "sequenced"


async def test_a_withdrawal_is_sequenced_until_l1_has_it(desk: Desk) -> None:
    given = request(desk.clock.now, FIRST, amount=7 * DOLLAR, recipient=RECIPIENT)
    await desk.venue.submit(signed_request(constants.WITHDRAW, given, key(0)))
    (entry,) = await desk.ask("catenary_withdrawals", recipient=Bytes20(RECIPIENT))
    assert entry == {
        "index": 0,
        "recipient": "0x" + RECIPIENT.hex(),
        "amount_micros": str(7 * DOLLAR),
        "batch": None,
        "finality": "sequenced",
    }
    assert await desk.ask("catenary_withdrawals", account=FIRST) == []


async def test_without_a_posted_batch_nothing_is_called_posted(desk: Desk) -> None:
    with pytest.raises(CallError) as refused:
        await desk.ask("catenary_proof", account=FIRST)
    assert refused.value.error.name == "NOT_READY"
    status = await desk.ask("catenary_status")
    assert status["posted"] == {"batch": 0, "chunks": 0, "root": ""}


def posted_up_to(chunk: SealedChunk) -> PostedBatch:
    """The newest batch on L1, which ends with a chunk of this store."""
    return PostedBatch(1, b"", b"", chunk.post_root, 1, 0, 0, 0, chunk.number)


async def three_chunks(desk: Desk) -> list[SealedChunk]:
    for slot in range(1, 4):
        await desk.order(0, SELL, PRICE, slot=slot)
        await desk.order(1, BUY, PRICE, slot=slot)
        await desk.venue.submit(b"")
    sealed = [desk.venue.engine.chunk_record(number) for number in range(1, desk.venue.engine.chunk_count + 1)]
    return [chunk for chunk in sealed if chunk is not None]


async def test_an_account_is_proven_at_the_root_that_l1_holds(desk: Desk) -> None:
    sealed = await three_chunks(desk)
    leaf = FIRST << constants.SLOT_BITS
    told: list[str] = []
    for chunk in (sealed[-1], sealed[0], sealed[1]):
        desk.view.batches = [posted_up_to(chunk)]
        proof = await desk.ask("catenary_proof", account=FIRST)
        told.append(proof["leaf"])
        node = leaf_hash(leaf, bytes.fromhex(proof["leaf"][2:]))
        for level, sibling in enumerate(bytes.fromhex(one[2:]) for one in proof["path"]):
            pair = sibling + node if leaf >> level & 1 else node + sibling
            node = keccak(pair) if any(pair) else ZERO_HASH
        assert node == batch.Commitment.decode(chunk.commitment).tree_root
    assert len(set(told)) == 3
    assert (await desk.ask("catenary_proof", account=9_999))["leaf"] == "0x"


async def test_an_account_is_not_proven_where_nobody_can_go_back_to(desk: Desk) -> None:
    sealed = await three_chunks(desk)
    assert desk.venue.engine.open_chunk.sealed.prune(2) == 2
    desk.view.batches = [posted_up_to(sealed[0])]
    with pytest.raises(CallError, match="go back to") as refused:
        await desk.ask("catenary_proof", account=FIRST)
    assert refused.value.error.name == "NOT_READY"
    desk.view.batches = [posted_up_to(sealed[1])]
    assert (await desk.ask("catenary_proof", account=FIRST))["batch"] == 1


async def test_the_faucet_says_when_l1_does_not_pay(desk: Desk) -> None:
    with pytest.raises(CallError, match="no answer") as refused:
        await desk.ask("catenary_faucet", address=Bytes20(RECIPIENT))
    assert refused.value.error.name == "NOT_READY"


async def test_typed_data_fills_in_what_is_missing(desk: Desk) -> None:
    await desk.order(0, SELL, PRICE, slot=1)
    fields = {"kind": "order", "account": FIRST, "market": 0, "side": 0, "size_lots": 400, "limit_price_ticks": PRICE}
    found = await desk.ask("catenary_typedData", operation=fields)
    made = order(desk.clock.now, FIRST, BUY, PRICE, 400, slot=2)
    expected = msgspec.structs.replace(made, max_posting_fee=1_000_000, expires_at=desk.clock.now + constants.HOUR)
    assert found["digest"] == "0x" + signatures.order_digest(DOMAIN, expected).hex()
    assert found["operation"]["slot"] == 2
    assert found["typed_data"]["domain"]["chainId"] == CHAIN_ID


async def test_a_grace_is_told_and_refuses_by_its_own_number(desk: Desk) -> None:
    assert (await desk.ask("catenary_status"))["grace_until_ms"] == 0
    desk.clock.now += constants.TICK_GAP + constants.TICK_STEP
    await desk.venue.submit(b"")
    await desk.venue.submit(tick(desk.clock.now))
    assert (await desk.ask("catenary_status"))["grace_until_ms"] == desk.clock.now + DEVNET_GRACE_MS
    given = submitted(order(desk.clock.now, FIRST, SELL, PRICE), 0)
    with pytest.raises(CallError) as refused:
        await desk.methods.operations.order(given, RELEASED)
    assert (refused.value.error.name, refused.value.error.code) == ("GRACE", -33_042)
    await desk.venue.submit(b"")
    desk.clock.now += DEVNET_GRACE_MS
    given = submitted(order(desk.clock.now, FIRST, SELL, PRICE), 0)
    assert (await desk.methods.operations.order(given, RELEASED)).status == "resting"


async def test_the_new_rules_have_their_numbers(desk: Desk) -> None:
    rows = {
        law_error(code).name: law_error(code).code for code in (codes.GRACE, codes.AGENT_LIMITS, codes.ACCOUNTS_FULL)
    }
    assert rows == {"GRACE": -33_042, "AGENT_LIMITS": -33_043, "ACCOUNTS_FULL": -33_044}


async def test_markets_say_what_a_growing_leg_stands_under(desk: Desk) -> None:
    seen = (await desk.ask("catenary_markets"))[0]
    bounds = [str(million * 10**6 * DOLLAR) for million in (400, 1_000)]
    assert [seen["interest_lower_micros"], seen["interest_upper_micros"]] == bounds
    assert seen["growing_initial_ppm"] == seen["initial_ppm"] == 20_000
    await desk.order(0, SELL, PRICE)
    await desk.order(1, BUY, PRICE)
    # As if the market scaled between 300 and 1,500 dollars; there are 600 of open interest.
    listed = desk.venue.engine.globals.markets[0]
    listed.interest_lower, listed.interest_upper, listed.fund = 300 * DOLLAR, 1_500 * DOLLAR, 1_000 * DOLLAR
    seen = (await desk.ask("catenary_markets"))[0]
    assert (seen["interest_lower_micros"], seen["interest_upper_micros"]) == (str(300 * DOLLAR), str(1_500 * DOLLAR))
    assert (seen["fund_micros"], seen["growing_initial_ppm"]) == (str(1_000 * DOLLAR), 20_000 + 980_000 // 4)


async def test_an_account_says_what_has_settled_and_whom_it_trusts(desk: Desk) -> None:
    agent = {"recipient": owner(50), "amount": START + 1, "first_slot": 2, "last_slot": 9, "other": 1}
    given = request(desk.clock.now, FIRST, **agent)
    await desk.venue.submit(signed_request(constants.SET_AGENT, given, key(0)))
    given = request(desk.clock.now, FIRST, slot=201, amount=50_000)
    await desk.venue.submit(signed_request(constants.SET_LEVERAGE, given, key(0)))
    seen = await desk.ask("catenary_account", account=FIRST)
    trusted = {"address": "0x" + owner(50).hex(), "expires_at_ms": START + 1, "first_slot": 2, "last_slot": 9}
    assert seen["agents"] == [None, trusted]
    assert (seen["initial_ppm"], seen["settled_micros"], seen["maturing"]) == (
        50_000,
        str(10_000 * DOLLAR - 2 * 500),
        [],
    )
    # Sold above what it is bought back for: the difference matures.
    await desk.order(0, SELL, PRICE + 1_000)
    await desk.order(1, BUY, PRICE + 1_000)
    await desk.order(1, SELL, PRICE, slot=2)
    await desk.order(0, BUY, PRICE, slot=2)
    seen = await desk.ask("catenary_account", account=FIRST)
    epoch = START // constants.EPOCH
    (maturing,) = seen["maturing"]
    assert maturing["settles_at_ms"] == (epoch + 2) * constants.EPOCH
    assert int(maturing["amount_micros"]) > 0
    assert int(seen["settled_micros"]) + int(maturing["amount_micros"]) == int(seen["collateral_micros"])
    # What matures pays the posting fee.
    assert int(seen["withdrawable_micros"]) == int(seen["settled_micros"]) <= 10_000 * DOLLAR


async def test_a_node_that_is_not_ready_takes_nothing(desk: Desk) -> None:
    desk.standing.is_up = False
    given = order(desk.clock.now, FIRST, SELL, PRICE)
    signed = submitted(given, 0)
    with pytest.raises(CallError) as refused:
        await desk.methods.operations.order(signed, CALL)
    assert refused.value.error.name == "NOT_READY"
    assert desk.channels.names() == set()


async def test_what_could_not_be_posted_is_refused_by_name_and_the_rest_goes_on(desk: Desk) -> None:
    desk.reasons = [
        Reason("LATE", "Too late.", Taking.REDUCING),
        Reason("CLOCK", "Elsewhen."),
        Reason("L1_AWAY", "Silent.", is_blocking=False),
    ]
    desk.venue.taking = lambda: taken(desk.reasons)
    with pytest.raises(CallError) as refused:
        await desk.methods.operations.order(submitted(order(desk.clock.now, FIRST, SELL, PRICE), 0), RELEASED)
    assert refused.value.body() == {
        "code": -32022,
        "message": "What is taken now might never be on L1: `reasons` say why, and /ready does; reading goes on. "
        "Too late.",
        "data": {"name": "NOT_POSTABLE", "reasons": ["LATE", "CLOCK"]},
    }
    status = await desk.ask("catenary_status")
    assert (status["ready"], [reason["code"] for reason in status["reasons"]]) == (False, ["LATE", "CLOCK"])
    await desk.ask("catenary_account", account=FIRST)
    # What came of it is not a silent loss of the call: each order of many is answered for itself.
    given = [submitted(order(desk.clock.now, FIRST, SELL, PRICE, slot=slot), 0) for slot in (3, 4)]
    many = SignedBatch([BatchItem(one.signature, order=one.order) for one in given])
    answers = await desk.methods.operations.orders(many, RELEASED)
    assert [answer.error and answer.error.data["name"] for answer in answers] == ["NOT_POSTABLE"] * 2
    desk.reasons = []
    assert (await desk.ask("catenary_status"))["ready"] is True
    await desk.order(0, SELL, PRICE)


@pytest.mark.parametrize(("name", "created", "lives"), [("EXPIRED", -60_000, 59_999), ("NOT_YET", 10_001, 60_000)])
async def test_who_is_refused_for_his_time_is_told_the_venues(desk: Desk, name: str, created: int, lives: int) -> None:
    # A chunk has one clock, and what is refused by it is told it: it may be ahead of the next one's.
    await desk.order(1, BUY, PRICE - 1_000)
    signed_at = desk.clock.now + created
    given = order(signed_at, FIRST, SELL, PRICE, expires_at=signed_at + lives)
    for behind in (0, 500):
        desk.clock.now -= behind
        with pytest.raises(CallError) as refused:
            await desk.methods.operations.order(submitted(given, 0), RELEASED)
        body = refused.value.body()
        assert body["data"] == {"venue_time_ms": START, "name": name}
        assert body["message"].endswith(f" The venue's time is {START}.")
    # Other refusals have nothing to do with it.
    with pytest.raises(CallError) as refused:
        await desk.methods.operations.order(submitted(order(desk.clock.now, FIRST, SELL, 1), 0), RELEASED)
    assert "venue_time_ms" not in refused.value.data


async def test_a_signature_that_is_not_the_owners_costs_whoever_sent_it(desk: Desk) -> None:
    before = RELEASED.session.share.tag
    good = submitted(order(desk.clock.now, FIRST, SELL, PRICE), 0)
    assert (await desk.methods.operations.order(good, RELEASED)).status == "resting"
    assert RELEASED.session.share.tag == before
    bad = submitted(order(desk.clock.now, FIRST, SELL, PRICE, slot=2), 1)
    given = SignedBatch([BatchItem(bad.signature, order=bad.order)] * 2)
    answers = await desk.methods.operations.orders(given, RELEASED)
    assert [answer.error is not None for answer in answers] == [True, True]
    assert RELEASED.session.share.tag == before + 200
    assert desk.registry.find("catenary_orders").weigh(given) == 2


# How everything is asked for that shows what the venue holds, and the others, which show nothing of it or wait
# themselves.
READING: dict[str, dict[str, Any]] = {
    "catenary_accounts": {"owner": Bytes20(owner(0))},
    "catenary_account": {"account": FIRST},
    "catenary_voided": {"account": FIRST},
    "catenary_openOrders": {"account": FIRST},
    "catenary_preview": {
        "operation": {
            "kind": "order", "account": FIRST, "market": 0, "side": 0, "size_lots": 1, "limit_price_ticks": PRICE,
        }
    },
    "catenary_previewDeposit": {"account": FIRST, "amount_micros": str(DOLLAR)},
    "catenary_explain": {"account": FIRST},
    "catenary_contribution": {"account": FIRST},
    "catenary_status": {},
    "catenary_queue": {},
    "catenary_batches": {},
    "catenary_deposits": {"account": FIRST},
    "catenary_withdrawals": {"account": FIRST},
    "catenary_withdrawalProof": {"index": 0},
    "catenary_proof": {"account": FIRST},
    "catenary_globals": {},
    "catenary_markets": {},
    "catenary_book": {"market": 0},
    "catenary_postMortems": {},
    "catenary_deleveragingRanking": {"market": 0, "side": "long"},
    "catenary_fills": {"account": FIRST},
    "catenary_trades": {"market": 0},
    "catenary_candles": {"market": 0, "interval": "1m"},
    "catenary_fundingPayments": {"account": FIRST},
    "catenary_fundingRates": {"market": 0},
    "catenary_transfers": {"account": FIRST},
    "catenary_equity": {"account": FIRST},
    "catenary_orderHistory": {"account": FIRST},
    "catenary_statistics": {},
}  # fmt: skip
OTHERS = {
    "catenary_order", "catenary_orders", "catenary_withdraw", "catenary_transfer", "catenary_cancel",
    "catenary_cancelAll", "catenary_scheduleCancel", "catenary_cancelOnDisconnect", "catenary_setAgent",
    "catenary_setLeverage", "catenary_typedData", "catenary_faucet", "catenary_limits",
    "catenary_challenge", "catenary_access",
}  # fmt: skip


class HeldDisk(Disk):
    """Takes nothing of what is written until it is let go."""

    def __init__(self) -> None:
        self.is_free = threading.Event()
        self.is_free.set()

    def write(self, file: int, data: memoryview) -> int:
        assert self.is_free.wait(PATIENCE_SECONDS)
        return super().write(file, data)


async def test_what_is_shown_is_what_a_kill_leaves(tmp_path: Path, nursery: trio.Nursery) -> None:
    """An order rests in the books, and its journal is not written: whoever asks meanwhile waits for it."""
    disk = HeldDisk()
    desk = Desk(tmp_path / "live", disk)
    await nursery.start(desk.venue.run)
    await desk.venue.submit(deposit(owner(0), 10_000 * DOLLAR))
    await desk.venue.submit(tick(START))
    assert set(desk.registry.methods) == READING.keys() | OTHERS
    disk.is_free.clear()
    nursery.start_soon(desk.order, 0, SELL, PRICE)
    while not desk.venue.engine.open_orders(FIRST):
        await trio.sleep(0)
    released: list[None] = []
    call = cast(Call, SimpleNamespace(release=lambda: released.append(None)))
    answers: dict[str, Any] = {}

    async def read(name: str) -> None:
        method = desk.registry.find(name)
        try:
            params = method.bind(JSON, to_json(to_wire(READING[name])))
            answers[name] = await method.handler(params, call)
        except CallError as error:
            answers[name] = error

    try:
        for name in READING:
            nursery.start_soon(read, name)
        await trio.testing.wait_all_tasks_blocked()
        early, let_on = dict(answers), len(released)
        shutil.copytree(tmp_path / "live", tmp_path / "killed")
    finally:
        disk.is_free.set()
    # A connection's next call does not wait with them.
    assert (early, let_on) == ({}, len(READING))
    with trio.fail_after(PATIENCE_SECONDS):
        while len(answers) < len(READING):
            await trio.sleep(0)
    assert [one.order_id for one in answers["catenary_openOrders"]]
    assert [one.order_id for one in answers["catenary_account"].open_orders]
    killed, _, _ = opened(tmp_path / "killed")
    assert not killed.engine.open_orders(FIRST)
    nursery.cancel_scope.cancel()


async def test_who_asks_while_nothing_is_made_durable_waits_for_nothing(desk: Desk) -> None:
    assert desk.venue.is_told
    with trio.fail_after(PATIENCE_SECONDS):
        assert await desk.ask("catenary_openOrders", account=FIRST) == []
