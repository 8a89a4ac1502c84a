"""Orders and soft cancels in one call: each answered for itself, the cancels whatever becomes of the rest."""

from typing import Any, cast

import msgspec
import pytest

from prover.signing.operations import order_name
from prover.signing.typed_data import typed_data
from prover.stf import constants
from sequencer.api.rpc.errors import CallError
from sequencer.api.rpc.jsonrpc import JSON, Call, Session, Subscriber
from sequencer.api.rpc.limits import BAD_SIGNATURE_TOKENS, TokenBucket
from sequencer.schema.values import as_hex
from sequencer.schema.writing import to_json, to_wire
from sequencer.sequencing.admission import Taking
from tests.sequencer.api.methods.test_fates import given
from tests.sequencer.desk import RELEASED, Desk, travelled
from tests.sequencer.node_world import (
    BRIDGE,
    BUY,
    CHAIN_ID,
    FIRST,
    IOC,
    LOTS,
    PRICES,
    SELL,
    key,
    request,
    signed_request,
)

pytestmark = pytest.mark.trio
PRICE = PRICES[0]


def cancel(desk: Desk, trader: int, slot: int, **changes: Any) -> dict[str, Any]:
    """A soft cancel of a slot, or of all, as it stands in a batch."""
    beside = {name: changes.pop(name) for name in ("order_id", "client_id", "order") if name in changes}
    tag = constants.CANCEL if slot else constants.CANCEL_ALL
    account = changes.pop("account", FIRST + trader)
    made = request(desk.clock.now, account, **{"slot": slot, "max_posting_fee": 0, **changes})
    fields = typed_data(tag, made, CHAIN_ID, BRIDGE)["message"]
    return {"cancel": fields, "signature": as_hex(signed_request(tag, made, key(trader))[-64:]), **beside}


async def sent(desk: Desk, *items: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers of a batch."""
    answers: list[dict[str, Any]] = await desk.ask("catenary_orders", orders=list(items))
    return answers


async def test_cancels_places_and_replacements_are_answered_each_for_itself(desk: Desk) -> None:
    old = (await sent(desk, given(desk, 0, SELL, PRICE, slot=3), given(desk, 0, SELL, PRICE + 1, slot=4)))[1]["result"]
    desk.clock.now += 1
    moved = {**given(desk, 0, SELL, PRICE + 2, slot=4), "replaces": old["order_id"]}
    stale = {**given(desk, 0, SELL, PRICE + 3, slot=5), "replaces": old["order_id"]}
    answers = await sent(desk, moved, stale, cancel(desk, 0, 3), given(desk, 0, BUY, PRICE - 5, 1, slot=6))
    assert answers[0]["result"]["status"] == "resting"
    assert answers[1]["error"]["data"]["name"] == "NO_ORDER"
    assert answers[2]["cancelled"]["receipt"]["slot"] == 3
    assert "result" not in answers[2]
    assert answers[3]["error"]["data"]["name"] == "TOO_SMALL"
    assert [one["slot"] for one in await desk.ask("catenary_openOrders", account=FIRST)] == [4]


async def test_cancels_come_before_orders_of_their_batch(desk: Desk) -> None:
    await sent(desk, given(desk, 1, BUY, PRICE, slot=3))
    # The order behind which it stands in the batch would have met it.
    taken, gone = await sent(desk, given(desk, 1, SELL, PRICE, slot=4, time_in_force=IOC), cancel(desk, 1, 3))
    assert (taken["result"]["status"], taken["result"]["blocking_order_id"]) == ("expired", "")
    assert gone["cancelled"]["receipt"]["slot"] == 3


async def test_a_cancel_is_taken_where_no_order_is(desk: Desk) -> None:
    await sent(desk, given(desk, 0, SELL, PRICE, slot=3), given(desk, 0, SELL, PRICE + 1, slot=4))
    desk.venue.backlog_chunks = 0
    refused, one, all_ = await sent(desk, given(desk, 0, SELL, PRICE, slot=5), cancel(desk, 0, 3), cancel(desk, 0, 0))
    assert refused["error"]["data"]["name"] == "BACKLOG"
    assert (one["cancelled"]["receipt"]["slot"], all_["cancelled"]["receipt"]["slot"]) == (3, 0)
    assert await desk.ask("catenary_openOrders", account=FIRST) == []
    desk.venue.taking = lambda: Taking.CANCELS
    assert "cancelled" in (await sent(desk, cancel(desk, 0, 7)))[0]


async def test_a_cancel_names_its_order_and_hears_what_became_of_it(desk: Desk) -> None:
    name = order_name(FIRST, 3, desk.clock.now)
    await sent(desk, given(desk, 0, SELL, PRICE, slot=3, client="mine"))
    await desk.order(1, BUY, PRICE, 400)
    (told,) = await sent(desk, cancel(desk, 0, 3, client_id="mine"))
    assert (told["result"]["status"], told["result"]["filled_lots"]) == ("cancelled", 400)
    (again,) = await sent(desk, cancel(desk, 0, 3, order_id=name))
    assert (again["result"]["order_id"], again["result"]["filled_lots"]) == (name, 400)
    assert again["cancelled"]["receipt"]["slot"] == 3


async def test_what_is_told_of_a_cancelled_order_is_in_the_journal(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fill of another call may come between the batch and its answer."""
    awaited: list[int] = []
    durable = desk.venue.durable

    async def counted() -> None:
        awaited.append(len(awaited))
        await durable()

    monkeypatch.setattr(desk.venue, "durable", counted)
    await sent(desk, given(desk, 0, SELL, PRICE, slot=3, client="mine"))
    assert awaited == []
    (told,) = await sent(desk, cancel(desk, 0, 3, client_id="mine"))
    assert (told["result"]["status"], awaited) == ("cancelled", [0])


async def test_a_cancel_of_another_slot_than_that_of_the_order_it_names_is_refused(desk: Desk) -> None:
    await sent(desk, given(desk, 0, SELL, PRICE, slot=3, client="mine"), given(desk, 0, SELL, PRICE + 1, slot=4))
    answers = await sent(
        desk,
        cancel(desk, 0, 4, client_id="mine"),
        cancel(desk, 0, 4, order_id=order_name(FIRST, 3, 1)),
        cancel(desk, 1, 4, order_id=order_name(FIRST, 4, 1)),
        cancel(desk, 0, 4, client_id="never"),
        # Of an order that nobody has heard of the slot is taken all the same.
        cancel(desk, 0, 9, order_id=order_name(FIRST, 9, 1)),
    )
    assert [one["error"]["data"]["name"] for one in answers[:4]] == ["INVALID_PARAMS"] * 3 + ["UNKNOWN_ORDER"]
    assert answers[4]["cancelled"]["receipt"]["slot"] == 9
    assert "result" not in answers[4]
    assert len(await desk.ask("catenary_openOrders", account=FIRST)) == 2


@pytest.mark.parametrize("signature", [None, as_hex(bytes(64)), "0x01"])
async def test_a_stranger_does_not_hear_which_names_an_account_has_given(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, signature: str | None
) -> None:
    """Of a name in the slot that he signs for, in another one, of one that was refused, and of none: byte for byte."""
    await sent(desk, given(desk, 0, SELL, PRICE, slot=3, client="mine"), given(desk, 0, SELL, 1, slot=5, client="no"))
    monkeypatch.setattr(RELEASED, "session", connection())
    answers: list[bytes] = []
    for slot, client in ((3, "mine"), (4, "mine"), (5, "no"), (4, "never")):
        made = cancel(desk, 0, slot, client_id=client)
        made["signature"] = signature or cancel(desk, 2, slot, account=FIRST)["signature"]
        alike = {**made, "client_id": "never"}
        told = [to_json(await sent(desk, each)) for each in (made, alike)]
        assert told[0] == told[1]
        (refused,) = msgspec.json.decode(told[0])
        assert refused["error"]["data"]["name"] == "BAD_SIGNATURE"
        answers += told
    assert len({len(each) for each in answers}) == 1
    # As dear as any other signature that is not the owner's; one that is none at all costs its call alone.
    assert 1_000 - RELEASED.session.bucket.left == (0 if signature == "0x01" else 8 * BAD_SIGNATURE_TOKENS)
    assert [one["slot"] for one in await desk.ask("catenary_openOrders", account=FIRST)] == [3]


async def test_one_of_a_batch_is_one_thing(desk: Desk) -> None:
    placed = given(desk, 0, SELL, PRICE, LOTS, slot=3)
    wrong = [
        {"signature": placed["signature"]},
        {**placed, "cancel": cancel(desk, 0, 3)["cancel"]},
        {**placed, "order_id": order_name(FIRST, 3, 1)},
        cancel(desk, 0, 3, max_posting_fee=1),
    ]
    answers = await sent(desk, *wrong)
    assert [one["error"]["data"]["name"] for one in answers] == ["INVALID_PARAMS"] * 4
    assert await desk.ask("catenary_openOrders", account=FIRST) == []


def handed_in(desk: Desk, trader: int = 0, **changes: Any) -> dict[str, Any]:
    """A soft cancel of all, as it is handed in for a connection's end."""
    made = cancel(desk, trader, 0, **changes)
    return {"request": made["cancel"], "signature": made["signature"]}


async def at_end(desk: Desk, session: Session, *cancels: dict[str, Any]) -> Any:
    """What is answered on one connection."""
    method = desk.registry.find("catenary_cancelOnDisconnect")
    params = method.bind(JSON, to_json(to_wire({"cancels": list(cancels)})))
    call = Call(session, JSON, lambda: None, lambda: None)
    return travelled(method.result, await method.handler(params, call))


def connection(is_socket: bool = True) -> Session:
    """A connection's session."""
    bucket = TokenBucket(1, 1_000, lambda: 0.0)
    return Session(bucket, cast(Subscriber, object()) if is_socket else None)


async def test_open_orders_leave_with_their_connection(desk: Desk) -> None:
    session = connection()
    told = await at_end(desk, session, handed_in(desk), handed_in(desk, 1))
    assert told == {"accounts": [FIRST, FIRST + 1]}
    await sent(desk, given(desk, 0, SELL, PRICE, slot=3), given(desk, 1, SELL, PRICE + 1, slot=3))
    await sent(desk, given(desk, 2, SELL, PRICE + 1, slot=3))
    session.close()
    await desk.venue.submit(b"")
    for trader, events in ((0, ["cancelled"]), (1, ["cancelled"]), (2, ["resting"])):
        found = await desk.ask("catenary_order", account=FIRST + trader, slot=3)
        assert [found["status"]] == events
    assert (await desk.ask("catenary_order", account=FIRST, slot=3))["reason"] == "disconnected"
    # Once: whoever connects again asks anew.
    await sent(desk, given(desk, 0, SELL, PRICE, slot=4))
    session.close()
    await desk.venue.submit(b"")
    assert len(await desk.ask("catenary_openOrders", account=FIRST)) == 1


async def test_it_is_taken_back_and_never_done_by_a_node_that_stops(desk: Desk) -> None:
    await sent(desk, given(desk, 0, SELL, PRICE, slot=3))
    for is_taken_back in (True, False):
        session = connection()
        await at_end(desk, session, handed_in(desk))
        if is_taken_back:
            assert await at_end(desk, session) == {"accounts": []}
        session.close(is_stopping=not is_taken_back)
        await desk.venue.submit(b"")
        assert len(await desk.ask("catenary_openOrders", account=FIRST)) == 1


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"max_posting_fee": 1}, "INVALID_PARAMS"),
        ({"expires_at": 1, "created_at": 1}, "EXPIRED"),
        ({"account": FIRST + 1}, "BAD_SIGNATURE"),
        ({"account": FIRST + 999}, "NO_ACCOUNT"),
    ],
)
async def test_what_could_not_be_done_at_the_end_is_refused_at_once(
    desk: Desk, changes: dict[str, Any], name: str
) -> None:
    session = connection()
    with pytest.raises(CallError) as found:
        await at_end(desk, session, handed_in(desk, **changes))
    assert found.value.error.name == name
    assert session.at_end is None


async def test_only_a_connection_with_an_end_takes_it_and_so_many(desk: Desk) -> None:
    for session, cancels in ((connection(False), 1), (connection(), 17)):
        with pytest.raises(CallError) as found:
            await at_end(desk, session, *[handed_in(desk)] * cancels)
        assert found.value.error.name == "INVALID_PARAMS"
