"""Steps of the twins campaign: fills between orders, and whatever else is aimed at, pushed into one draft."""

from typing import Any, Final

from prover.signing import operations
from prover.state.trial import decide_fill
from prover.stf import codes as c
from prover.stf import constants, margin
from prover.stf.replay import KINDS
from tests.soak.singles import Singles
from tests.soak.world import MAX_PRICE, MAX_SIZE, Draft
from tests.twins import venue

# Accounts drawn until one can give what is aimed at.
_ATTEMPTS: Final = 5


class Generator:
    """Fills one draft, operation by operation."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.world = draft.world
        self.rng = draft.rng
        self.globals = draft.chunk.globals
        self.singles = Singles(draft)

    # Fills

    def admit(self, account: int, fields: dict[str, Any]) -> int | None:
        """Puts an order into the chunk; its place there."""
        fields = fields | {"limit_price": min(MAX_PRICE, fields["limit_price"])}
        message = venue.order(account, **fields)
        if self.draft.push(venue.signed_order(message, self.draft.key(account))) != c.OK:
            return None
        return len(self.draft.chunk.orders) - 1

    def fill(self, code: int) -> None:
        """Two orders and a fill between them, valid or with one fault."""
        rng, draft, globals = self.rng, self.draft, self.globals
        orders = draft.chunk.orders
        if code == c.NO_ORDER:
            count = len(orders)
            draft.push(operations.fill_bytes(*rng.choice([(count, 0), (0, 255), (255, 255), (0, count)]), 1))
            return
        if code == c.OK and len(orders) > 3 and rng.random() < 0.5:
            self.refill()
            return
        if code == c.STALE and draft.chunk.clock().priced:
            return
        if draft.chunk.slot_references + 2 > constants.MAX_SLOT_REFERENCES:
            self.refill()
            return
        open_markets = [m for m in range(self.world.market_count) if m != self.world.closed]
        market = rng.choice(open_markets)
        if code == c.NO_MARKET:
            if self.world.closed is None:
                return
            market = self.world.closed
        price = globals.risk.price[market] or 500_000
        pair = self.sides(market, code)
        if pair is None:
            return
        maker_account, taker_account, maker_side, size = pair
        row = globals.markets[market]
        limit = max(1, min(MAX_PRICE, price + rng.randrange(-price // 300 - 1, price // 300 + 1)))
        maker_fields = self.singles.order_fields(
            maker_account, market=market, side=maker_side, limit_price=limit, time_in_force=0
        )
        better = rng.choice([0, 0, price // 100])
        taker_limit = limit + better if maker_side == constants.SELL else limit - better
        taker_fields = self.singles.order_fields(
            taker_account, market=market, side=1 - maker_side, limit_price=max(1, min(MAX_PRICE, taker_limit))
        )
        whole = max(size, maker_fields["size"], taker_fields["size"])
        maker_fields["size"] = min(MAX_SIZE, whole * rng.choice([1, 2, 3]))
        taker_fields["size"] = min(MAX_SIZE, whole)
        if taker_fields["time_in_force"] == constants.FILL_OR_KILL:
            size = taker_fields["size"]
        if rng.random() < 0.2:
            maker_fields |= rng.choice([{"post_only": 1}, {"trigger": 1, "trigger_price": 1}])
        if rng.random() < 0.2:
            taker_fields |= rng.choice(
                [{"trigger": 2, "trigger_price": MAX_PRICE}, {"trigger": 1, "trigger_price": price}]
            )
        either = rng.choice([maker_fields, taker_fields])
        if code == c.SAME_ACCOUNT:
            taker_account = maker_account
        elif code == c.MISMATCHED:
            if rng.random() < 0.5 or self.world.market_count == 1:
                taker_fields["side"] = maker_side
            else:
                taker_fields["market"] = rng.choice([m for m in range(self.world.market_count) if m != market])
                taker_fields |= {"size": MAX_SIZE, "limit_price": MAX_PRICE}
        elif code == c.POST_ONLY:
            if rng.random() < 0.5:
                taker_fields |= {"post_only": 1, "time_in_force": 0}
            else:
                maker_fields |= {"post_only": 0, "time_in_force": rng.choice([1, 2])}
                maker_fields |= {"created_at": draft.now, "expires_at": draft.now}
        elif code == c.ALL_OR_NOTHING:
            taker_fields |= {"time_in_force": 2, "post_only": 0, "created_at": draft.now, "expires_at": draft.now}
            taker_fields["size"] = min(MAX_SIZE, taker_fields["size"] + 1)
            size = taker_fields["size"] - 1
        elif code == c.NOT_CROSSED:
            taker_fields["limit_price"] = limit - 1 if maker_side == constants.SELL else limit + 1
        elif code == c.PRICE_BAND:
            beyond = price + price * row.band_ppm // constants.PPM + 1
            if beyond > MAX_PRICE:
                return
            limits = {"limit_price": beyond, "size": whole}
            maker_fields |= limits
            taker_fields |= limits
        elif code == c.FEE_ABOVE_MAXIMUM:
            choice = rng.randrange(3)
            if choice == 0 and row.maker_fee_ppm > 0:
                maker_fields["max_fee_ppm"] = row.maker_fee_ppm - 1
            elif choice == 1 and row.taker_fee_ppm > 0:
                taker_fields["max_fee_ppm"] = row.taker_fee_ppm - 1
            else:
                taker_fields["max_posting_fee"] = globals.posting_fee - 1
        elif code == c.CANCELLED:
            index = maker_account if either is maker_fields else taker_account
            if draft.account(index).floor == 0:
                return
            either["sequence"] = draft.account(index).floor - 1
        elif code == c.USED:
            index = maker_account if either is maker_fields else taker_account
            known = self.singles.used_slot(index)
            if known is None:
                return
            _, either["slot"], either["sequence"] = known
        elif code == c.OVERFILLED:
            size = rng.choice([0, taker_fields["size"] + 1])
            if size:
                maker_fields["size"] = min(MAX_SIZE, taker_fields["size"] + 1)
            taker_fields |= {"time_in_force": 0}
        elif code == c.NOT_TRIGGERED:
            either |= rng.choice(
                [{"trigger": 1, "trigger_price": price + 1}, {"trigger": 2, "trigger_price": price - 1}]
            )
            if either["trigger_price"] > MAX_PRICE or either["trigger_price"] < 1:
                return
        elif code == c.REDUCE_ONLY:
            either["reduce_only"] = 1
            index = maker_account if either is maker_fields else taker_account
            held = draft.account(index).positions[market].size
            if held != 0 and rng.random() < 0.5:
                either["side"] = constants.BUY if held > 0 else constants.SELL
                (taker_fields if either is maker_fields else maker_fields)["side"] = 1 - either["side"]
                taker_fields["limit_price"] = limit
        elif code in (c.OUT_OF_BOUNDS, c.MAKER_MARGIN, c.TAKER_MARGIN):
            maker_fields["size"] = taker_fields["size"] = size
            taker_fields["time_in_force"] = 0
        elif code == c.OK and rng.random() < 0.25:
            held = draft.account(taker_account).positions[market].size
            if held != 0 and (held > 0) == (taker_fields["side"] == constants.SELL) and size <= abs(held):
                taker_fields["reduce_only"] = 1
        maker = self.admit(maker_account, maker_fields)
        taker = self.admit(taker_account, taker_fields)
        if maker is None or taker is None:
            return
        left = size
        if code == c.OK and taker_fields["time_in_force"] != constants.FILL_OR_KILL:
            for _ in range(rng.choice([0, 0, 1, 2])):
                part = max(1, left // 3)
                draft.push(operations.fill_bytes(maker, taker, part))
                left -= part
        draft.push(operations.fill_bytes(maker, taker, max(left, 0 if code == c.OVERFILLED else 1)))

    def refill(self) -> bool:
        """One more fill between orders that the chunk holds, now and then any two of them; whether there was one."""
        rng, draft = self.rng, self.draft
        orders = draft.chunk.orders
        if rng.random() < 0.05 and orders:
            any_two = operations.fill_bytes(rng.randrange(len(orders)), rng.randrange(len(orders)), rng.randrange(100))
            return draft.push(any_two) is not None
        pairs = [
            (maker, taker)
            for maker, one in enumerate(orders)
            for taker, two in enumerate(orders)
            if one.market == two.market and one.side < two.side and one.account != two.account
        ]
        for pair in rng.sample(pairs, min(6, len(pairs))):
            maker, taker = pair if rng.random() < 0.5 else pair[::-1]
            one, two = orders[maker], orders[taker]
            left = min(
                each.size
                - (row.filled if (row := draft.slot(each.account, each.slot)).sequence == each.sequence else 0)
                for each in (one, two)
            )
            size = rng.choice([1, max(1, left // 4), max(1, left // 100)])
            if decide_fill(draft.chunk, one, two, size).code == c.OK:
                return draft.push(operations.fill_bytes(maker, taker, size)) is not None
        return False

    def sides(self, market: int, code: int) -> tuple[int, int, int, int] | None:
        """Maker, taker, the maker's side and a size: within both budgets, or past the one that the code names."""
        rng, draft, globals = self.rng, self.draft, self.globals
        accounts = self.world.accounts
        side = rng.randrange(2)
        maker, taker = rng.sample(accounts, 2)
        price = globals.risk.price[market] or 500_000
        if code == c.OUT_OF_BOUNDS:
            big = [i for i in accounts if draft.account(i).positions[0].size not in range(-(2**40), 2**40)]
            if market != 0 or not big:
                return None
            one = rng.choice(big)
            held = draft.account(one).positions[0].size
            other = rng.choice([i for i in accounts if i != one])
            size = rng.choice([2**56 - abs(held), 2**56 - abs(held) + 1, MAX_SIZE])
            if not 0 < size <= MAX_SIZE:
                return None
            return one, other, constants.BUY if held > 0 else constants.SELL, size
        margins = [
            margin.spendable(globals.risk, settled, constants.WITHDRAWAL_FLOOR_PPM)
            for settled in (margin.settle(globals.risk, draft.account(i), draft.now)[0] for i in (maker, taker))
        ]
        fraction = max(globals.risk.initial_ppm[market] + 60_000, 1)
        sizes = [max(room, 0) * constants.PPM // fraction // price for room in margins]
        if code == c.MAKER_MARGIN:
            return maker, taker, side, min(MAX_SIZE, sizes[0] * 30 + 10**9 // price + 1)
        if code == c.TAKER_MARGIN:
            if sizes[1] * 30 > sizes[0]:
                maker, taker, sizes = taker, maker, sizes[::-1]
            return maker, taker, side, min(MAX_SIZE, sizes[1] * 15 + 10**8 // price + 1)
        size = min(*sizes, MAX_SIZE) // rng.choice([2, 4, 20])
        return maker, taker, side, max(1, size)

    # Steps

    def operation(self, tag: int, code: int) -> None:
        """Aims at one pair of the law's table."""
        if tag == constants.FILL:
            self.fill(code)
            return
        if code == c.STALE and self.draft.chunk.clock().priced:
            return
        for _ in range(_ATTEMPTS):
            made = self.single(tag, code)
            if made is not None:
                self.draft.push(made)
                return

    def single(self, tag: int, code: int) -> bytes | None:
        """One operation that needs no other; None where the account that was drawn cannot give what is aimed at."""
        if tag == constants.DEPOSIT:
            return self.singles.deposit(code)
        if tag == constants.TICK:
            return self.singles.tick(code)
        if tag == constants.ORDER:
            return self.singles.order(code)
        if constants.LIQUIDATE <= tag <= constants.CLOSE_STEP:
            return self.singles.rescue(tag)
        if tag >= constants.FORCED_RESCUE:
            return self.singles.entry(tag)
        return self.singles.request(tag, code)

    def fill_up(self) -> None:
        """Takes what is left of the chunk's room and then tries every operation once more: FULL."""
        rng, draft = self.rng, self.draft
        if rng.random() < 0.5:
            while draft.chunk.has_room(constants.DEPOSIT) and self.push(venue.deposit(venue.OWNERS[1], 0)):
                pass
        count = len(draft.chunk.orders)
        while draft.chunk.has_room(constants.FILL):
            if rng.random() < 0.9 and self.refill():
                continue
            if not self.push(operations.fill_bytes(count, count, 1)):
                break
        for tag in KINDS:
            for _ in range(2):
                self.push(self.sample(tag))
        if rng.random() < 0.1:
            # The shortest operation there is, as often as it fits.
            while self.push(operations.tick_bytes(0, 0, [])):
                pass

    def push(self, operation: bytes) -> bool:
        return self.draft.push(operation) is not None

    def sample(self, tag: int) -> bytes:
        """Any whole operation of a tag; valid or not does not matter."""
        if tag == constants.FILL:
            return operations.fill_bytes(0, 1, 1)
        if tag == constants.DEPOSIT:
            return venue.deposit(venue.OWNERS[1], 1)
        if tag == constants.TICK:
            return operations.tick_bytes(0, 1, [(0, [1], [0], bytes(64))])
        if tag == constants.ORDER:
            return operations.order_bytes(venue.order(17), self.rng.randbytes(64))
        if constants.LIQUIDATE <= tag <= constants.CLOSE_STEP:
            return self.singles.rescue(tag)
        if tag >= constants.FORCED_RESCUE:
            return self.singles.entry(tag)
        return operations.request_bytes(tag, venue.request(17), self.rng.randbytes(64))
