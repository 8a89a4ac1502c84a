"""What became of an order, asked at any time: after a lost answer, a fill, a restart; and told as it happens."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from prover.signing.operations import order_name
from prover.stf import codes, constants
from sequencer.api.methods.fates import Refusals
from sequencer.api.rpc.errors import CallError
from sequencer.engine.effects import Processed
from sequencer.engine.effects import refused as refusal
from sequencer.l1.postable import Reason
from sequencer.schema.params import SignedOrder
from sequencer.schema.values import encode_value
from sequencer.sequencing.admission import Taking
from sequencer.views.orders import refusal_view
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.desk import Desk, submitted
from tests.sequencer.node_world import BUY, FIRST, IOC, LOTS, PRICES, SELL, order
from tests.sequencer.sequencing.test_sequencer import SlowDisk, fund

pytestmark = pytest.mark.trio
PRICE = PRICES[0]


def fields(signed: SignedOrder, client: str = "") -> dict[str, Any]:
    """An order as it is sent."""
    sent: dict[str, Any] = msgspec.to_builtins(signed, enc_hook=encode_value)
    return {**sent, "client_id": client}


def given(desk: Desk, trader: int, side: int, price: int, size: int = LOTS, **changes: Any) -> dict[str, Any]:
    """A signed order of a trader, as it is sent."""
    client = changes.pop("client", "")
    made = order(desk.clock.now, FIRST + trader, side, price, size, **changes)
    return fields(submitted(made, trader), client)


async def refused(desk: Desk, **params: Any) -> str:
    """The name of the error."""
    with pytest.raises(CallError) as found:
        await desk.ask("catenary_order", **params)
    return found.value.error.name


def own(desk: Desk, trader: int) -> list[dict[str, Any]]:
    """What was told on a trader's channel of orders."""
    return [event for name, told in desk.channels.told if name == f"orders:{FIRST + trader}" for event in told]


async def test_an_order_whose_answer_was_lost_is_asked_for_by_any_of_its_names(desk: Desk) -> None:
    await desk.ask("catenary_order", **given(desk, 0, SELL, PRICE, slot=3))
    sent = given(desk, 1, BUY, PRICE, 400, slot=7, time_in_force=IOC, client="cl-1")
    answer = await desk.ask("catenary_order", **sent)
    for named in ({"account": FIRST + 1, "slot": 7}, {"account": FIRST + 1, "client_id": "cl-1"},
                  {"order_id": answer["order_id"]},
                  {"account": FIRST + 1, "slot": 7, "sequence": desk.clock.now}):  # fmt: skip
        found = await desk.ask("catenary_order", **named)
        # Whoever asks is told what was signed as well.
        assert {**found, "events": [], "terms": None, "acknowledgement": answer["acknowledgement"]} == answer
        assert (found["terms"]["size_lots"], found["terms"]["limit_price_ticks"]) == (400, PRICE)
        assert [(event["event"], event["role"]) for event in found["events"]] == [("accepted", ""), ("filled", "taker")]
    # The same order again is the same answer, and nobody is told anything.
    desk.channels.told = []
    assert await desk.ask("catenary_order", **sent) == answer
    assert desk.channels.told == []
    (fill,) = answer["fills"]
    assert int(fill["maker_fee_micros"]) + int(fill["taker_fee_micros"]) == int(fill["fee_micros"])
    assert answer["fees_micros"] == fill["taker_fee_micros"]


async def test_a_resting_order_is_told_what_it_came_to_by_now(desk: Desk) -> None:
    sent = given(desk, 0, SELL, PRICE, slot=3)
    assert (await desk.ask("catenary_order", **sent))["status"] == "resting"
    await desk.order(1, BUY, PRICE, 400)
    await desk.order(1, BUY, PRICE, LOTS, slot=2)
    again = await desk.ask("catenary_order", **sent)
    assert (again["status"], again["filled_lots"], len(again["fills"])) == ("filled", LOTS, 2)


async def test_an_order_is_known_after_a_restart(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, desk: Desk
) -> None:
    sent = given(desk, 1, BUY, PRICE - 9, slot=7, client="kept")
    answer = await desk.ask("catenary_order", **sent)
    events = (await desk.ask("catenary_order", account=FIRST + 1, slot=7))["events"]
    # As killed: what the journal holds, and no store.
    shutil.copytree(tmp_path, copied := tmp_path_factory.mktemp("again") / "journal")
    again = Desk(copied)
    async with trio.open_nursery() as nursery:
        await nursery.start(again.venue.run)
        found = await again.ask("catenary_order", account=FIRST + 1, client_id="kept")
        assert found["events"] == events
        # What was promised stands in the first answer alone.
        assert await again.ask("catenary_order", **sent) == {**answer, "acknowledgement": None}
        nursery.cancel_scope.cancel()


async def test_what_was_never_taken_is_unknown_and_what_was_refused_is_remembered(desk: Desk) -> None:
    assert await refused(desk, account=FIRST, slot=9) == "UNKNOWN_ORDER"
    assert await refused(desk, account=FIRST, client_id="no") == "UNKNOWN_ORDER"
    small = given(desk, 0, SELL, PRICE, 1, slot=9, client="small")
    assert await refused(desk, **small) == "TOO_SMALL"
    for named in ({"slot": 9}, {"client_id": "small"}):
        found = await desk.ask("catenary_order", account=FIRST, **named)
        assert (found["status"], found["reason"], found["filled_lots"]) == ("refused", "TOO_SMALL", 0)
    (event,) = own(desk, 0)
    assert (event["event"], event["reason"], event["sequence"]) == ("refused", "TOO_SMALL", 0)


async def test_a_stranger_puts_nothing_into_an_account_s_record(desk: Desk) -> None:
    made = order(desk.clock.now, FIRST, SELL, PRICE, slot=9)
    assert await refused(desk, **fields(submitted(made, 2), "x")) == "BAD_SIGNATURE"
    assert await refused(desk, account=FIRST, slot=9) == "UNKNOWN_ORDER"
    assert own(desk, 0) == []


async def test_a_refusal_of_another_order_of_that_name_is_no_word_about_the_first(desk: Desk) -> None:
    await desk.ask("catenary_order", **given(desk, 0, SELL, PRICE, slot=3, client="a"))
    desk.channels.told = []
    other = given(desk, 0, SELL, PRICE + 1, slot=3, client="b")
    assert await refused(desk, **other) == "USED"
    assert own(desk, 0) == []
    assert await refused(desk, account=FIRST, client_id="b") == "UNKNOWN_ORDER"


async def test_an_order_that_comes_again_is_called_as_it_was_taken(desk: Desk) -> None:
    sent = given(desk, 0, SELL, PRICE, slot=3, client="a")
    answer = await desk.ask("catenary_order", **sent)
    assert await desk.ask("catenary_order", **{**sent, "client_id": "b"}) == answer


async def test_a_sequence_of_too_many_bits_names_no_order_of_another_slot(desk: Desk) -> None:
    await desk.ask("catenary_order", **given(desk, 0, SELL, PRICE, slot=3))
    beside = 1 << 48 | desk.clock.now
    assert await refused(desk, account=FIRST, slot=2, sequence=beside) == "INVALID_PARAMS"
    assert (await desk.ask("catenary_order", account=FIRST, slot=3, sequence=desk.clock.now))["status"] == "resting"


async def test_nothing_is_told_of_an_order_before_the_disk_has_it(tmp_path: Path, nursery: trio.Nursery) -> None:
    disk = SlowDisk()
    desk = Desk(tmp_path, disk)
    await nursery.start(desk.venue.run)
    await fund(desk.venue)
    disk.is_slow = True
    nursery.start_soon(desk.order, 0, SELL, PRICE)
    await disk.reached.wait()
    found: list[Any] = []

    async def ask() -> None:
        found.append(await desk.ask("catenary_order", account=FIRST, slot=1))

    nursery.start_soon(ask)
    await trio.testing.wait_all_tasks_blocked()
    early = list(found)
    # Before anything is asserted: a test that fails must not leave the disk's thread waiting.
    disk.gate.set()
    assert early == []
    with trio.fail_after(PATIENCE_SECONDS):
        while not found:
            await trio.sleep(0)
    assert found[0]["status"] == "resting"
    nursery.cancel_scope.cancel()


async def test_refusals_are_bounded_by_account(desk: Desk) -> None:
    await refused(desk, **given(desk, 1, SELL, PRICE, 1, slot=1))
    for slot in range(1, 203):
        await refused(desk, **given(desk, 0, SELL, PRICE, 1, slot=slot))
    assert await refused(desk, account=FIRST, slot=2) == "UNKNOWN_ORDER"
    for trader, slot in ((0, 3), (0, 202), (1, 1)):
        assert (await desk.ask("catenary_order", account=FIRST + trader, slot=slot))["status"] == "refused"


async def test_who_is_refused_often_pushes_out_nobody_else(desk: Desk) -> None:
    event = refusal_view(
        desk.venue.engine.globals,
        order(1, FIRST, SELL, PRICE),
        "",
        Processed(code=codes.TOO_SMALL, effects=[refusal(codes.TOO_SMALL)], changed=False),
        1,
    )
    kept = Refusals(of_account=4, most=5)
    places = [(1, 1, 1), (1, 1, 2), (2, 1, 1), (1, 1, 3), (3, 1, 1), (1, 1, 4), (4, 1, 1), (1, 1, 4)]
    for place in places:
        kept.put(place, event)
    assert [place for place in places[:-1] if kept.get(place)] == [
        (2, 1, 1), (1, 1, 3), (3, 1, 1), (1, 1, 4), (4, 1, 1)]  # fmt: skip
    assert kept.newest(1, lambda name, _: name[1] < 4) is event
    assert kept.newest(9, lambda name, _: True) is None


async def test_what_came_before_is_answered_while_nothing_is_taken(desk: Desk) -> None:
    sent = given(desk, 0, SELL, PRICE, slot=3)
    answer = await desk.ask("catenary_order", **sent)
    new = given(desk, 0, SELL, PRICE, slot=4)
    forged = {**sent, "signature": given(desk, 0, SELL, PRICE + 1, slot=3)["signature"]}
    desk.venue.taking = lambda: Taking.NOTHING
    desk.reasons.append(Reason("L1_DOWN", "L1 is away.", Taking.NOTHING))
    assert await desk.ask("catenary_order", **sent) == answer
    (told, *others) = await desk.ask("catenary_orders", orders=[sent, new, forged])
    assert told["result"] == answer
    assert [one["error"]["data"]["name"] for one in others] == ["NOT_POSTABLE"] * 2
    desk.venue.taking = lambda: Taking.ALL
    desk.venue.is_late = lambda now: True
    assert await desk.ask("catenary_order", **sent) == answer
    assert await refused(desk, **new) == "QUEUE_ONLY"
    desk.venue.is_late = lambda now: False
    desk.venue.backlog_chunks = 0
    assert await desk.ask("catenary_order", **sent) == answer
    assert await refused(desk, **new) == "BACKLOG"


async def test_an_order_is_named_in_one_way(desk: Desk) -> None:
    for wrong in ({}, {"account": FIRST}, {"slot": 1}, {"account": FIRST, "slot": 1, "client_id": "x"}):
        assert await refused(desk, **wrong) == "INVALID_PARAMS"


async def test_the_channel_tells_each_step_once(desk: Desk) -> None:
    stop = {"trigger": constants.TRIGGER_AT_OR_ABOVE, "trigger_price": PRICE + 100}
    await desk.ask("catenary_order", **given(desk, 0, SELL, PRICE, slot=3, client="a"))
    await desk.order(1, BUY, PRICE, 400)
    await desk.order(0, BUY, PRICE - 50, slot=4, **stop)
    told = own(desk, 0)
    assert [(event["event"], event["lots"], event["status"]) for event in told] == [
        ("accepted", LOTS, "resting"),
        ("resting", LOTS, "resting"),
        ("filled", 400, "partially_filled"),
        ("accepted", LOTS, "resting"),
        ("armed", LOTS, "armed"),
    ]
    assert [event["client_id"] for event in told] == ["a", "a", "a", "", ""]
    assert (told[2]["role"], told[2]["price_ticks"], told[2]["remaining_lots"]) == ("maker", PRICE, LOTS - 400)
    assert [event["sequence"] for event in told] == sorted({event["sequence"] for event in told})
    find = desk.channels.families["orders:"]
    snapshot = find(str(FIRST))
    assert snapshot is not None
    listed: Any = snapshot()
    assert [one["slot"] for one in listed] == [3, 4]
    assert find("x") is None


async def test_a_bracket_is_sent_with_its_entry_and_told(desk: Desk) -> None:
    name = order_name(FIRST, 1, desk.clock.now)
    entry = given(desk, 0, BUY, PRICE - 100, slot=1)
    stop = given(
        desk, 0, SELL, PRICE - 2_000, slot=2, reduce_only=1, trigger=constants.TRIGGER_AT_OR_BELOW,
        trigger_price=PRICE - 1_000, expires_at=desk.clock.now + constants.HOUR,
    )  # fmt: skip
    sent = [entry, {**stop, "after": name}]
    placed = [one["result"] for one in await desk.ask("catenary_orders", orders=sent)]
    assert [one["status"] for one in placed] == ["resting", "dormant"]
    assert placed[0]["order_id"] == name
    listed = await desk.ask("catenary_openOrders", account=FIRST)
    assert sorted(one["status"] for one in listed) == ["dormant", "resting"]
    await desk.order(1, SELL, PRICE - 100, 400, time_in_force=IOC)
    found = await desk.ask("catenary_order", account=FIRST, slot=2)
    assert [event["event"] for event in found["events"]] == ["accepted", "dormant", "armed"]
    lone = given(
        desk, 0, SELL, PRICE - 2_000, slot=3, reduce_only=1, trigger=constants.TRIGGER_AT_OR_BELOW,
        trigger_price=PRICE - 1_000, expires_at=desk.clock.now + constants.HOUR,
    )  # fmt: skip
    assert await refused(desk, **{**lone, "after": "0x" + "0" * 20}) == "NO_ORDER"
