"""The bots in small: books stay right over a kill and cuts, and what would be wrong in them is noticed."""

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest
import trio

from sequencer.schema.answers import OrderEvent
from sequencer.schema.history import FundingLeg, FundingPaymentView
from tests.patience import PATIENCE_SECONDS
from tests.soak import bots
from tests.soak.bots import Truth, differences, unknown
from tests.soak.bots_trader import Ledger, Sent, rising
from tests.soak.cutting import CuttingProxy

DEPOSIT = 1_000_000
BOUGHT, SOLD, NEVER = "0x0000110101a22ecf0e9d", "0x0000110201a22ecf0e9e", "0x0000110201a22ecf0e9f"
INPUT = 1 << 24


def test_books_stay_right_over_a_kill_and_cuts() -> None:
    # A node that starts twice, on an L1 of its own: ten seconds of processor time.
    made = bots.play(Random(5), 1, 1)
    assert made.said == []
    figures = {name: made.counts[name] for name in ("kills", "ledger_differences", "unknown_fates")}
    assert figures == {"kills": 1, "ledger_differences": 0, "unknown_fates": 0}
    assert min(made.counts[name] for name in ("orders", "fills", "cuts", "reconnects")) > 0


def fill(order_id: str, side: str, lots: int, price: int, sequence: int) -> OrderEvent:
    """The step that fills an order whole, for a fee of 7."""
    return OrderEvent(
        order_id=order_id, client_id="", account=17, market="BTC", side=side, event="filled", status="filled",
        reason="", detail="", lots=lots, filled_lots=lots, remaining_lots=0, price_ticks=price, role="taker",
        fee_micros=7, time_ms=1, sequence=sequence,
    )  # fmt: skip


def payment(lots: int, sequence: int, paid: int) -> FundingPaymentView:
    """Funding of a position while the index rose by a tick."""
    index = 10**9
    leg = FundingLeg(market="BTC", size_lots=lots, index_before=0, index=index, owed_nanos=lots * index)
    return FundingPaymentView(paid_micros=paid, collateral_micros=0, positions=[leg], time_ms=1, sequence=sequence)


STEPS = [fill(BOUGHT, "buy", 10, 100, INPUT), fill(SOLD, "sell", 10, 105, 2 * INPUT + 1)]
# Of the same input as the sale, and behind it: due of what was held before.
FUNDING = [payment(10, 2 * INPUT + 2, 10)]
# Bought for 1,000 and sold for 1,050, two fees, funding.
LEFT = DEPOSIT + 50 - 14 - 10
TRUTH = Truth(node=(LEFT, {}), bridge=(LEFT, {}), orders={BOUGHT: ("filled", 10, 7), SOLD: ("filled", 10, 7)}, fills=2)


def ledger_of(steps: list[OrderEvent]) -> Ledger:
    """Of a bot that sent three orders, the last of which was refused, and heard these steps."""
    ledger = Ledger(DEPOSIT)
    ledger.sent = {BOUGHT: Sent(), SOLD: Sent(), NEVER: Sent()}
    ledger.know(NEVER, "refused", 0)
    for name in (BOUGHT, SOLD):
        ledger.know(name, "filled", 10)
    for step in steps:
        ledger.note(step)
    return ledger


def test_what_was_told_twice_or_late_is_booked_once() -> None:
    ledger = ledger_of([STEPS[1], *STEPS, STEPS[0]])
    assert (ledger.open_ends(), ledger.lots("BTC"), ledger.fills) == ([], 0, 2)
    reckoned = ledger.reckon(FUNDING)
    assert (reckoned.collateral, reckoned.lots, reckoned.costs, reckoned.differences) == (
        LEFT,
        {"BTC": 0},
        {"BTC": 0},
        [],
    )
    assert differences(ledger, reckoned, TRUTH) == unknown(ledger, TRUTH) == []


def test_an_order_whose_fills_are_not_all_known_is_asked_for() -> None:
    ledger = ledger_of(STEPS[:1])
    assert ledger.open_ends() == [SOLD]
    ledger.sent[NEVER] = Sent()
    assert ledger.open_ends() == [SOLD, NEVER]


@pytest.mark.parametrize(
    ("steps", "funding", "change", "count"),
    [
        # A fill that was never heard: two accounts, how many there are, and its order.
        (STEPS[:1], FUNDING, {}, 4),
        (STEPS, [], {}, 2),
        (STEPS, [payment(9, 2 * INPUT + 2, 9)], {}, 3),
        (STEPS, [payment(10, 2 * INPUT + 2, 9)], {}, 3),
        (STEPS, FUNDING, {"node": (LEFT + 1, {})}, 1),
        (STEPS, FUNDING, {"bridge": (LEFT, {"BTC": 1})}, 1),
        (STEPS, FUNDING, {"fills": 3}, 1),
        (STEPS, FUNDING, {"orders": {**TRUTH.orders, SOLD: ("filled", 10, 8)}}, 1),
        (STEPS, FUNDING, {"orders": {**TRUTH.orders, SOLD: ("cancelled", 10, 7)}}, 1),
    ],
)
def test_what_differs_is_counted(
    steps: list[OrderEvent], funding: list[FundingPaymentView], change: dict[str, Any], count: int
) -> None:
    ledger = ledger_of(steps)
    assert len(differences(ledger, ledger.reckon(funding), msgspec.structs.replace(TRUTH, **change))) == count


@pytest.mark.parametrize(
    ("orders", "forget", "count"),
    [
        (TRUTH.orders, [], 0),
        # The bot was never answered.
        (TRUTH.orders, [NEVER], 1),
        # The node has taken what was refused to the bot, has none of what it took, or one that nobody sent.
        ({**TRUTH.orders, NEVER: ("filled", 1, 1)}, [], 1),
        ({BOUGHT: TRUTH.orders[BOUGHT]}, [], 1),
        ({**TRUTH.orders, "0x1": ("filled", 1, 1)}, [], 1),
    ],
)
def test_unknown_fates_are_counted(orders: dict[str, tuple[str, int, int]], forget: list[str], count: int) -> None:
    ledger = ledger_of(STEPS)
    for name in forget:
        ledger.sent[name] = Sent()
    assert len(unknown(ledger, msgspec.structs.replace(TRUTH, orders=orders))) == count


def test_a_clock_rises_whatever_the_machines_does() -> None:
    now = rising(iter([5, 5, 3, 9]).__next__)
    assert [now() for _ in range(4)] == [5, 6, 7, 9]


class Drawn(Random):
    """Draws what is given. reset: whether a connection ends by a reset."""

    def __init__(self, size: int, reset: bool) -> None:
        super().__init__(1)
        self._size = size
        self._reset = reset

    def expovariate(self, lambd: float) -> float:
        return self._size

    def random(self) -> float:
        return 0.0 if self._reset else 1.0


@pytest.mark.parametrize(("reset", "is_cutting", "arrived"), [(False, True, 10), (True, True, 10), (False, False, 30)])
def test_a_connection_ends_after_so_many_bytes(reset: bool, is_cutting: bool, arrived: int) -> None:
    came = bytearray()
    is_over = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        try:
            async for data in stream:
                came.extend(data)
        except trio.BrokenResourceError:
            assert reset
        is_over.set()

    async def talk(target: Callable[[], int]) -> int:
        proxy = CuttingProxy(Drawn(10, reset), 1, target)
        proxy.is_cutting = is_cutting
        async with proxy.serving() as url:
            stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
            async with stream:
                await stream.send_all(b"x" * 30)
                if is_cutting:
                    with pytest.raises(trio.BrokenResourceError) if reset else trio.CancelScope():
                        assert await stream.receive_some() == b""
            await is_over.wait()
        return proxy.cuts

    async def main() -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                listeners = await nursery.start(lambda **given: trio.serve_tcp(serve, 0, host="127.0.0.1", **given))
                port = listeners[0].socket.getsockname()[1]
                assert await talk(lambda: port) == int(is_cutting)
                nursery.cancel_scope.cancel()

    trio.run(main)
    # What a reset overtakes never arrives.
    assert len(came) in ({0, arrived} if reset else {arrived})
