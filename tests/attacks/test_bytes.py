"""Who would have an honest operator post more bytes to L1 than anybody pays for.

`test_off` shows the loss without the rule, the one beside it the rule. A byte is 64 gas: at 30 gwei and 3,000 dollars
an ether 5,760 micro-dollars. Fees are 100 and 450 millionths, so that an order that rests pays for its 124 bytes from
1,299 dollars on.
"""

from typing import Any, Final

import pytest

from prover.signing.signed import read
from prover.stf import constants, margin
from sequencer.engine import placing
from sequencer.engine.effects import Left, Processed, Reason
from sequencer.engine.liquidator import RESCUES_OF_A_TICK
from sequencer.engine.money import posting
from sequencer.engine.money.posting import OF_ALL, OF_OWNER, is_dear
from sequencer.sequencing import paying
from sequencer.sequencing.paying import takes
from sequencer.views.preview import preview_order
from tests.sequencer.engine.test_liquidator import BREAK, HEAVY, ticks
from tests.sequencer.node_world import (
    BTC,
    BUY,
    DOLLAR,
    FIRST,
    IOC,
    PRICES,
    SELL,
    World,
    key,
    order,
    owner,
    request,
    signed_request,
)

PRICE: Final = PRICES[BTC]
BYTE: Final = 5_760
# At 35 gwei: dearer than any posting fee.
DEAR: Final = 8_960
MAKER, TAKER, STRANGER, OTHER = range(4)
# Ten dollars: the least order.
LEAST: Final = 17


@pytest.fixture
def off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is borne."""
    monkeypatch.setattr(posting.Unpaid, "bears", lambda *given: True)


class Venue(World):
    """A world whose edge asks as the sequencer does, and what its bytes have cost beyond the fees so far."""

    def __init__(self, traders: int = 4, byte_micros: int = BYTE, dollars: int = 100_000) -> None:
        super().__init__(traders, dollars=dollars)
        self.byte_micros = byte_micros
        self.seal()
        self.before = self.counted()

    def counted(self) -> tuple[int, int]:
        self.seal()
        return sum(len(chunk.body) for chunk in self.sealed), margin.collateral(self.engine.account(0))

    def asked(self, operation: bytes) -> Processed | None:
        """What the sequencer lets through."""
        signed = read(self.engine.domain, operation)
        return self.process(operation) if takes(self.engine, signed, self.byte_micros, self.now) else None

    def put(self, trader: int, side: int, price: int, size: int, **changes: Any) -> Processed | None:
        self.now += 1
        return self.asked(self.signed(order(self.now, FIRST + trader, side, price, size, **changes), trader))

    def lost(self) -> int:
        """Micro-dollars."""
        (size, paid), (size_before, paid_before) = self.counted(), self.before
        return (size - size_before) * self.byte_micros - (paid - paid_before)


def status(outcome: Processed | None) -> str:
    return "" if outcome is None else outcome.status


def unpaid_of(world: World, trader: int) -> int:
    """What bytes of a trader's account cost beyond their fees today, micro-dollars."""
    return world.engine.ledger.unpaid.of((FIRST + trader).to_bytes(4, "big"), world.now)


def reasons(outcome: Processed | None) -> set[Reason]:
    return set() if outcome is None else {one.reason for one in outcome.effects if isinstance(one, Left)}


class TestSmallMakers:
    """Sixty-four orders of ten dollars rest for nothing; one order of 653 meets them all and pays one posting fee."""

    def swept(self, rounds: int) -> Venue:
        world = Venue()
        for turn in range(rounds):
            maker, side = (MAKER, SELL) if turn % 2 == 0 else (MAKER, BUY)
            for slot in range(64):
                assert status(world.put(maker, side, PRICE, LEAST, slot=slot + 1)) == "resting"
            world.put(TAKER, 1 - side, PRICE, 64 * LEAST, slot=turn + 1, time_in_force=IOC)
        return world

    @pytest.mark.usefixtures("off")
    def test_off_a_sweep_costs_46_dollars_of_bytes_and_pays_36_cents(self) -> None:
        world = self.swept(8)
        assert 8 * 45 * DOLLAR < world.lost() < 8 * 48 * DOLLAR

    def test_on_the_accounts_have_their_part_of_the_day(self) -> None:
        world = self.swept(8)
        assert world.lost() < 2 * OF_OWNER + 2 * DOLLAR
        assert unpaid_of(world, MAKER) >= OF_OWNER
        world.check()

    def test_what_is_counted_is_what_is_posted(self) -> None:
        """To the micro-dollar, but for what a chunk begins with."""
        world = self.swept(1)
        counted = sum(unpaid_of(world, trader) for trader in (MAKER, TAKER))
        assert 0 <= world.lost() - counted < 40 * BYTE

    def test_who_is_large_enough_is_never_asked(self) -> None:
        world = Venue()
        for turn in range(40):
            world.now += 1
            assert status(world.put(MAKER, SELL if turn % 2 else BUY, PRICE, 5_000)) == "resting"
            assert status(world.put(TAKER, BUY if turn % 2 else SELL, PRICE, 5_000)) == "filled"
        assert world.lost() < 0
        assert unpaid_of(world, MAKER) == 0

    def test_small_takers_do_not_use_a_large_makers_part_up(self) -> None:
        world = Venue()
        assert status(world.put(MAKER, SELL, PRICE, 100_000)) == "resting"
        while status(world.put(TAKER, BUY, PRICE, LEAST, slot=2)) == "filled":
            world.seal()
        assert (unpaid_of(world, MAKER), unpaid_of(world, TAKER) >= OF_OWNER) == (0, True)
        assert world.resting()[0][0] == MAKER
        # Its rest is small one day, and what was filled of it has paid.
        left = world.resting()[0][2]
        assert status(world.put(STRANGER, BUY, PRICE, left - 1)) == "filled"
        assert status(world.put(STRANGER, SELL, PRICE, 5_000, slot=3)) == "resting"
        met = world.put(OTHER, BUY, PRICE, 5_001)
        assert met is not None
        assert [(fill.maker - FIRST, fill.size) for fill in met.fills] == [(MAKER, 1), (STRANGER, 5_000)]


class TestLots:
    """Reduce-only orders of a lot: no least size, no posting fee, no margin."""

    def world(self, byte_micros: int) -> Venue:
        world = Venue(byte_micros=0)
        world.put(MAKER, SELL, PRICE, 10_000)
        world.put(TAKER, BUY, PRICE, 1_000)
        world.put(STRANGER, BUY, PRICE, 9_000)
        assert world.position(STRANGER) == 9_000
        world.before = world.counted()
        world.byte_micros = byte_micros
        return world

    def lots(self, world: Venue, count: int = 64) -> None:
        for slot in range(count):
            assert status(world.put(MAKER, BUY, PRICE + 1, 1, slot=slot + 10, reduce_only=1)) == "resting"

    def swept(self) -> Venue:
        world = self.world(BYTE)
        for turn in range(6):
            self.lots(world)
            world.put(OTHER, SELL, PRICE, 64, slot=turn + 1, time_in_force=IOC)
        return world

    @pytest.mark.usefixtures("off")
    def test_off_64_lots_cost_46_dollars_of_bytes_and_pay_two_cents(self) -> None:
        assert 6 * 46 * DOLLAR < self.swept().lost() < 6 * 48 * DOLLAR

    def test_on_their_account_has_its_part_of_the_day(self) -> None:
        world = self.swept()
        assert world.lost() < 2 * OF_OWNER + 2 * DOLLAR
        world.check()

    def left(self) -> tuple[Venue, Processed | None]:
        """5,400 dollars leave while L1 is dear, and 64 lots are the best that there is."""
        world = self.world(DEAR)
        assert is_dear(DEAR)
        assert status(world.put(OTHER, BUY, PRICE, 100_000)) == "resting"
        self.lots(world)
        return world, world.put(STRANGER, SELL, PRICE, 9_000, reduce_only=1, time_in_force=IOC, slot=9)

    def test_off_they_keep_a_stranger_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As it was: whoever leaves pays for all that he meets, and a part of the day does not reach so far."""
        monkeypatch.setattr(posting.Unpaid, "bears", lambda *given: False)
        monkeypatch.setattr(paying, "pays_its_bytes", lambda *given: True)
        assert self.left()[1] is None

    def test_on_he_meets_them_and_what_is_behind(self) -> None:
        world, outcome = self.left()
        assert outcome is not None
        assert (status(outcome), len(outcome.fills)) == ("filled", 11)
        assert reasons(outcome) == {Reason.UNPAID}
        assert world.position(STRANGER) == 0
        assert unpaid_of(world, STRANGER) < DOLLAR < OF_OWNER <= unpaid_of(world, MAKER)

    def test_a_preview_says_whom_he_meets(self) -> None:
        world = self.world(DEAR)
        world.put(OTHER, BUY, PRICE, 100_000)
        self.lots(world)
        leaving = order(world.now, FIRST + STRANGER, SELL, PRICE, 9_000, reduce_only=1, time_in_force=IOC, slot=9)
        foreseen = preview_order(world.engine, leaving, world.now)
        outcome = world.asked(world.signed(leaving, STRANGER))
        assert outcome is not None
        assert [(one.maker, one.size_lots, one.price_ticks) for one in foreseen.fills] == [
            (fill.maker, fill.size, fill.price) for fill in outcome.fills
        ]


class TestCrowd:
    """A thousand accounts cost a thousand dollars once, and have their part each day."""

    def lost(self, monkeypatch: pytest.MonkeyPatch, most: int) -> Venue:
        monkeypatch.setattr(posting, "OF_ALL", most)
        world = Venue(40)
        assert status(world.put(MAKER, SELL, PRICE, 1_000_000)) == "resting"
        for trader in range(1, 40):
            for slot in range(2, 12):
                world.put(trader, BUY, PRICE, LEAST, slot=slot)
        return world

    def test_off_the_operator_bears_it_of_each(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.lost(monkeypatch, 10**15).lost() > 250 * DOLLAR

    def test_on_he_bears_so_much_of_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = self.lost(monkeypatch, 100 * DOLLAR)
        assert 100 * DOLLAR <= world.lost() < 103 * DOLLAR
        # Who pays for himself trades on; and tomorrow is another day.
        assert status(world.put(2, BUY, PRICE, 5_000, slot=20)) == "filled"
        assert world.put(3, BUY, PRICE, LEAST, slot=20) is None
        world.byte_micros = 1
        assert status(world.put(3, BUY, PRICE, LEAST, slot=20)) == "filled"
        assert OF_ALL == 1_000 * DOLLAR


class TestRequests:
    """A posting fee of a twentieth of a cent pays for no request where L1 has a price."""

    def made(self) -> Venue:
        world = Venue()
        for count in range(100):
            world.now += 1
            given = {"slot": 100 + count, "amount": 20_000 + count}
            world.asked(signed_request(constants.SET_LEVERAGE, request(world.now, FIRST, **given), key(0)))
        return world

    @pytest.mark.usefixtures("off")
    def test_off_a_hundred_cost_53_dollars_and_pay_five_cents(self) -> None:
        assert 52 * DOLLAR < self.made().lost() < 55 * DOLLAR

    def test_on_they_are_borne_within_the_part_of_the_day(self) -> None:
        assert OF_OWNER <= self.made().lost() < OF_OWNER + 2 * DOLLAR


class TestRescues:
    """An account below maintenance whose friend bids for a lot, sixty-four times: each is a liquidation of its own."""

    def sold(self) -> Venue:
        world = Venue(6, byte_micros=0)
        assert world.order(1, SELL, PRICE, HEAVY).status == "resting"
        assert world.order(0, BUY, PRICE, HEAVY).status == "filled"
        ticks(world, PRICE, 2)
        ticks(world, BREAK, 1)
        world.byte_micros = BYTE
        world.before = world.counted()
        for _ in range(6):
            for slot in range(64):
                world.put(1, BUY, BREAK - 5, 1, slot=20 + slot, reduce_only=1)
            ticks(world, BREAK, 1)
        return world

    @pytest.mark.usefixtures("off")
    def test_off_they_cost_as_long_as_the_price_stands(self) -> None:
        world = self.sold()
        assert len(world.engine.rescues) == 6 * RESCUES_OF_A_TICK // 4
        assert world.lost() > 60 * DOLLAR

    def test_on_its_account_has_its_part_of_the_day(self) -> None:
        world = self.sold()
        assert 0 < len(world.engine.rescues) < 20
        assert status(world.put(2, BUY, BREAK - 10, 150_000)) == "resting"
        ticks(world, BREAK, 1)
        assert world.engine.rescues[-1].counterparty == FIRST + 2
        world.check()


class TestStops:
    """A stop costs nothing before it is sent into the book."""

    def fired(self) -> Venue:
        world = Venue(byte_micros=0)
        world.put(MAKER, SELL, PRICE, 1_000)
        world.put(TAKER, BUY, PRICE, 1_000)
        assert status(world.put(STRANGER, BUY, PRICE - 100, 100_000)) == "resting"
        ticks(world, PRICE, 1)
        world.byte_micros = BYTE
        stop = {"trigger": constants.TRIGGER_AT_OR_BELOW, "trigger_price": PRICE - 10, "reduce_only": 1}
        for slot in range(60):
            assert status(world.put(TAKER, SELL, PRICE - 200, 1, slot=slot + 1, **stop)) == "armed"
        world.before = world.counted()
        ticks(world, PRICE - 20, 1)
        return world

    @pytest.mark.usefixtures("off")
    def test_off_sixty_of_a_lot_cost_43_dollars(self) -> None:
        world = self.fired()
        assert world.position(TAKER) == 940
        assert world.lost() > 40 * DOLLAR

    def test_on_they_leave_once_the_part_of_the_day_is_used_up(self) -> None:
        world = self.fired()
        assert 940 < world.position(TAKER) < 1_000
        unpaid = unpaid_of(world, TAKER)
        assert OF_OWNER <= unpaid < OF_OWNER + 2 * DOLLAR
        world.check()
        # What closes the position whole is worth a hundredth of it.
        stop = {"trigger": constants.TRIGGER_AT_OR_BELOW, "trigger_price": PRICE - 30, "reduce_only": 1}
        assert status(world.put(TAKER, SELL, PRICE - 200, 1_000, slot=99, **stop)) == "armed"
        ticks(world, PRICE - 40, 1)
        assert world.position(TAKER) == 0


class TestOnAndOn:
    """A thousand dollars go from one own account to the next, and each of them has its part of the day."""

    def moved(self) -> Venue:
        world, account, slot = Venue(2, dollars=1_000), FIRST, 1
        while True:
            for _ in range(15):
                slot, world.now = slot % 200 + 1, world.now + 1
                asking = request(world.now, account, slot=slot, amount=20_000 + slot)
                if world.asked(signed_request(constants.SET_LEVERAGE, asking, key(0))) is None:
                    return world
            world.now += 1
            money = margin.collateral(world.engine.account(account)) - 501
            asking = request(world.now, account, slot=201, amount=money, other=constants.NEW_ACCOUNT)
            if world.asked(signed_request(constants.TRANSFER, asking, key(0))) is None:
                return world
            account = world.engine.globals.next_account - 1

    def test_off_the_whole_day_is_used_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A dollar for each account, once: then nothing of anybody is taken that does not pay for its bytes."""
        monkeypatch.setattr(posting, "OF_OWNER", OF_ALL)
        world = self.moved()
        # Less a dollar for each account.
        assert world.lost() > 8 * OF_ALL // 10
        assert margin.collateral(world.engine.account(world.engine.globals.next_account - 1)) > 870 * DOLLAR
        assert world.put(1, BUY, PRICE - 1, LEAST) is not None
        cancel = signed_request(constants.CANCEL, request(world.now, FIRST + 1), key(1))
        assert world.asked(cancel) is None
        # But who leaves the venue with a hundred times what it costs.
        leaving = request(world.now, FIRST + 1, amount=500 * DOLLAR, recipient=owner(1))
        assert world.asked(signed_request(constants.WITHDRAW, leaving, key(1))) is not None

    def test_on_of_one_owner_so_much_is_borne(self) -> None:
        world = self.moved()
        assert OF_OWNER <= world.engine.ledger.unpaid.of(owner(0), world.now) < OF_OWNER + DOLLAR
        assert world.lost() < OF_OWNER + DOLLAR
        cancel = signed_request(constants.CANCEL, request(world.now, FIRST + 1), key(1))
        assert world.asked(cancel) is not None
        world.check()


class TestChunksForNothing:
    """Thirty-two own orders that an own taker only seems to meet: so much has no room behind a trade of others."""

    def traded(self) -> Venue:
        world = Venue()
        world.request(constants.TRANSFER, OTHER, other=constants.NEW_ACCOUNT, amount=50_000 * DOLLAR)
        sub = world.engine.globals.next_account - 1
        for slot in range(1, 33):
            rests = order(world.now, sub, SELL, PRICE + 300, LEAST, slot=slot, expires_at=world.now + 60_000)
            assert status(world.process(world.signed(rests, OTHER))) == "resting"
        world.seal()
        world.before = world.engine.chunk_count, 0
        for slot in range(1, 61):
            assert status(world.put(MAKER, SELL, PRICE, 5_000, slot=slot)) == "resting"
            assert status(world.put(TAKER, BUY, PRICE, 5_000, slot=slot)) == "filled"
            seems = world.put(OTHER, BUY, PRICE + 400, 32 * LEAST, slot=slot, time_in_force=IOC)
            assert seems is not None
            assert (seems.status, seems.filled) == ("expired", 0)
        world.seal()
        return world

    def test_off_each_trade_has_a_chunk_of_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(placing, "_HALF", (constants.MAX_CHUNK_BYTES, []))
        world = self.traded()
        assert world.engine.chunk_count - world.before[0] == 60

    def test_on_a_chunk_is_half_full_before_it_is_sealed_for_more(self) -> None:
        """Three without them: whoever is behind with posting takes nothing that grows, and nobody pays for it."""
        world = self.traded()
        assert world.engine.chunk_count - world.before[0] <= 6
        world.check()
