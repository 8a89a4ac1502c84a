"""Worlds and operations for the twins campaign: each operation is valid by construction or has one aimed fault.

Worlds differ in size and in how near their state stands to the law's bounds.
"""

import random
from typing import Any, Final

from prover import operations
from prover.genesis import MarketListing
from prover.recover import ORDER as CURVE_ORDER
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, margin, merkle
from prover.stf.replay import KINDS, operation_length
from tests.twins import venue

WORLDS: Final = ("three", "wide", "single", "bounds", "young", "full")
REQUESTS: Final = (constants.WITHDRAW, constants.TRANSFER, constants.CANCEL, constants.CANCEL_ALL)
MAX_PRICE: Final = 2**48 - 1
MAX_SIZE: Final = 2**56 - 1
MAX_AMOUNT: Final = 2**64 - 1
MAX_TIME: Final = 2**48 - 1
MAX_PREMIUM: Final = 2**23 - 1


class World:
    """A state and what is known about who may sign for it."""

    def __init__(self, kind: str, rng: random.Random) -> None:
        self.kind = kind
        self.rng = rng
        self.extreme = kind in ("bounds", "full")
        self.market_count = {"three": 3, "wide": 16, "single": 1, "bounds": 16, "young": 3, "full": 2}[kind]
        self.signer_count, self.quorum = {"single": (1, 1), "three": (4, 3), "full": (4, 3)}.get(kind, (7, 5))
        listings = tuple(
            MarketListing(
                name=f"M{m}",
                size_decimals=5,
                initial_ppm=rng.choice([20_000, 50_000, 1_000_000]) if m else 20_000,
                maintenance_ppm=rng.choice([1, 12_000, 20_000]),
                maker_fee_ppm=rng.choice([0, 100]),
                taker_fee_ppm=rng.choice([450, 450, 1]),
                band_ppm=1_000_000 if self.extreme else 50_000,
                funding_cap_ppm=MAX_PREMIUM if self.extreme else 500,
                minimum_notional_micros=10_000_000,
            )
            for m in range(self.market_count)
        )
        self.closed = self.market_count - 1 if self.market_count > 1 else None
        prices = [rng.randrange(1_000, 10_000_000) for _ in range(self.market_count)]
        if kind == "bounds":
            prices[1:4] = [MAX_PRICE, 1, MAX_PRICE // 2]
        globals = venue.globals_of(listings, self.quorum, self.signer_count, prices)
        if self.closed is not None:
            globals.markets[self.closed].status = constants.MARKET_CLOSED
        if kind == "young":
            globals.tick_time = 0
            globals.risk.price = [0] * constants.MARKETS
        self.posting_fee = globals.posting_fee
        accounts = self._accounts(globals, prices)
        if kind == "bounds":
            globals.next_account = constants.NEW_ACCOUNT - 6
            self._near_withdrawals(globals, 40)
        if kind == "full":
            self._near_withdrawals(globals, 1)
        slots = {
            (index << 8) | slot: containers.Slot(
                sequence=rng.randrange(3, 50), filled=rng.choice([0, 1, 10**6, MAX_SIZE])
            )
            for index in accounts
            for slot in rng.sample(range(1, 256), 2)
        }
        self.accounts = sorted(accounts)
        self.slots = sorted(slots)
        self.state: State = venue.build_state(globals, accounts, slots)

    def _accounts(self, globals: containers.Globals, prices: list[int]) -> dict[int, containers.Account]:
        rng = self.rng
        count = 12 if self.kind == "single" else 40
        accounts: dict[int, containers.Account] = {}
        for index in range(venue.FIRST, venue.FIRST + count):
            owner = venue.OWNERS[1 + rng.randrange(10)]
            rich = rng.random() < 0.3
            collateral = rng.randrange(10**12, 10**15) if rich else rng.randrange(10**8, 10**10)
            floor = rng.choice([0, 0, 2, 40])
            positions: dict[int, containers.Position] = {}
            if self.kind != "young":
                for market in range(self.market_count):
                    if rng.random() < (0.8 if self.kind == "wide" else 0.4):
                        positions[market] = self._position(globals, market, prices[market], collateral)
            accounts[index] = venue.account(owner, collateral, positions, floor)
        if self.extreme:
            self._extreme_accounts(globals, accounts)
        return accounts

    def _position(self, globals: containers.Globals, market: int, price: int, collateral: int) -> containers.Position:
        rng = self.rng
        notional = max(1, collateral * rng.randrange(1, 60) // 100 // (1 if rng.random() < 0.2 else 10))
        size = max(1, min(MAX_SIZE, notional // price)) * rng.choice([1, -1])
        cost = size * price + rng.randrange(-notional // 5 - 1, notional // 5 + 1)
        if rng.random() < 0.08:
            # Under water: the whole collateral is lost, or nearly.
            cost += collateral + rng.randrange(-notional // 20 - 1, notional // 20 + 1)
        return venue.position(size, cost, globals.risk.funding_index[market] - rng.choice([0, 0, 10**6, -(10**9), 1]))

    def _extreme_accounts(self, globals: containers.Globals, accounts: dict[int, containers.Account]) -> None:
        """Accounts at every bound of the law, in pairs of one owner, so that money may move between them."""
        indices = globals.risk.funding_index
        indices[0] = constants.FUNDING_BOUND - 1 - self.rng.randrange(2**70)
        indices[1] = -constants.FUNDING_BOUND + 1 + self.rng.randrange(2**76)
        index = max(accounts) + 1
        bound = constants.COLLATERAL_BOUND
        position = venue.position
        lowest = -constants.FUNDING_BOUND + 1
        rows: list[tuple[int, dict[int, containers.Position]]] = [
            (bound - 1, {}),
            (bound - 2**20, {}),
            (bound - 1 - 2**64, {}),
            (2**80, {0: position(1, 1, indices[0])}),
            (2**90, {0: position(MAX_SIZE, 0, indices[0])}),
            (2**90, {0: position(-MAX_SIZE, 1 - constants.COST_BOUND, indices[0])}),
            (2**90, {0: position(MAX_SIZE - 1, 1 - constants.COST_BOUND, indices[0])}),
            (-bound + 1, {0: position(5, -(2**100), indices[0])}),
            (2**95, {0: position(-1, 1 - constants.COST_BOUND, indices[0])}),
            (2**95, {0: position(1, 1 - constants.COST_BOUND, indices[0])}),
            (2**95, {0: position(10**6, 10**6, lowest)}),
            (2**95, {m: position(MAX_SIZE, 1 - constants.COST_BOUND, lowest) for m in range(self.market_count)}),
            (2**95, {m: position(-MAX_SIZE, constants.COST_BOUND - 1, -lowest) for m in range(self.market_count)}),
            (0, {}),
            (1, {}),
        ]
        for collateral, positions in rows:
            accounts[index] = venue.account(venue.OWNERS[1 + index % 3], collateral, positions)
            index += 1

    def _near_withdrawals(self, globals: containers.Globals, left: int) -> None:
        globals.withdrawal_count = constants.MAX_WITHDRAWALS - left
        globals.frontier = [self.rng.randbytes(32) for _ in range(constants.WITHDRAWAL_LEVELS)]
        assert merkle.frontier_root(globals.frontier, globals.withdrawal_count) != containers.NO_HASH


class Draft:
    """A chunk body in the making, over a live chunk of the Python law that says what each operation came to."""

    def __init__(self, world: World, timestamp: int, recover: Any) -> None:
        self.world = world
        self.rng = world.rng
        self.chunk = world.state.chunk(recover)
        self.chunk.open(timestamp)
        self.now: int = self.chunk.commitment.timestamp
        self.parts = [timestamp.to_bytes(6, "big")]
        self.size = constants.TIMESTAMP_LENGTH
        self.count = 0

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    def push(self, operation: bytes) -> int | None:
        """Adds an operation and gives its code; None where it does not fit into the body."""
        if self.size + len(operation) > constants.MAX_CHUNK_BYTES:
            return None
        assert operation_length(operation, 0) == len(operation)
        self.parts.append(operation)
        self.size += len(operation)
        self.count += 1
        return self.chunk.apply(operation)

    def account(self, index: int) -> containers.Account:
        return self.chunk.peek_account(index)

    def slot(self, account: int, slot: int) -> containers.Slot:
        return self.chunk.peek_slot((account << 8) | slot)

    def key(self, account: int) -> bytes:
        return venue.KEY_OF.get(self.account(account).owner, venue.KEYS[31])


class Generator:
    """Operations for one draft."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.world = draft.world
        self.rng = draft.rng
        self.globals = draft.chunk.globals

    # Times and sequences

    def times(self, lifetime: int) -> dict[str, int]:
        """Times that are valid now, at the edges of what is valid every third time."""
        now = self.draft.now
        edge = self.rng.randrange(6)
        created = now - self.rng.randrange(0, min(lifetime, 5_000))
        expires = min(created + lifetime, now + 1_000 + self.rng.randrange(1_000))
        if edge == 0:
            created = now + constants.CLOCK_TOLERANCE
            expires = created + lifetime
        elif edge == 1:
            created, expires = now - lifetime, now
        return {"created_at": created, "expires_at": min(expires, MAX_TIME)}

    def fault_of_time(self, code: int, lifetime: int) -> dict[str, int]:
        """One fault in otherwise valid times."""
        now = self.draft.now
        late = self.rng.choice([1, 1, 2, 10**6])
        if code == c.NOT_YET:
            created = now + constants.CLOCK_TOLERANCE + late
            return {"created_at": created, "expires_at": created + 1}
        if code == c.EXPIRED:
            return {"created_at": now - late, "expires_at": now - late}
        if code == c.LIFETIME:
            return {"created_at": now, "expires_at": now + lifetime + late}
        return {"created_at": now, "expires_at": now, "sequence": now + late}

    def free_slot(self, account: int) -> tuple[int, int]:
        """A slot and a sequence that is valid in it."""
        slot = self.rng.choice([1, 255, self.rng.randrange(1, 256)])
        for known in self.rng.sample(self.world.slots, min(3, len(self.world.slots))):
            if known >> 8 == account and self.rng.random() < 0.5:
                slot = known & 255
        lowest = max(self.draft.account(account).floor, self.draft.slot(account, slot).sequence)
        return slot, lowest + self.rng.choice([0, 0, 1, 7])

    def any_account(self) -> int:
        return self.rng.choice(self.world.accounts)

    def nobody(self) -> int:
        """An index that is no account, reserved ones only where an operation does not mind."""
        globals = self.globals
        return self.rng.choice(
            [
                constants.NEW_ACCOUNT,
                16_000_000 + self.rng.randrange(1_000),
                min(globals.next_account + 1, constants.NEW_ACCOUNT),
            ]
        )

    def spoiled(self, key: bytes, digest: bytes) -> bytes:
        """A signature that does not recover to the key's address."""
        good = venue.sign(key, digest)
        r, s = int.from_bytes(good[:32], "big"), int.from_bytes(good[32:], "big") & (2**255 - 1)
        parity = good[32] >> 7
        choice = self.rng.randrange(9)
        if choice == 0:
            return venue.sign(venue.KEYS[30], digest)
        if choice == 1:
            # The malleable twin: s' = n - s with the other parity recovers to the same address.
            return r.to_bytes(32, "big") + ((CURVE_ORDER - s) & (2**255 - 1) | (1 - parity) << 255).to_bytes(32, "big")
        if choice == 2:
            return bytes(32) + good[32:]
        if choice == 3:
            return good[:32] + bytes(32)
        if choice == 4:
            return CURVE_ORDER.to_bytes(32, "big") + good[32:]
        if choice == 5:
            return b"\xff" * 64
        if choice == 6:
            return good[:32] + (s | (1 - parity) << 255).to_bytes(32, "big")
        if choice == 7:
            return self.rng.randbytes(64)
        return venue.sign(key, bytes(32))

    # Requests

    def request(self, tag: int, code: int) -> bytes | None:
        """A request that is valid (code OK) or has one fault; None where the world cannot give that."""
        rng, draft = self.rng, self.draft
        fields: dict[str, Any] = self.times(constants.REQUEST_LIFETIME)
        index = self.any_account()
        if tag == constants.TRANSFER:
            pair = self.two_of_one_owner(index, near_bound=code == c.OUT_OF_BOUNDS)
            if pair is None:
                return None
            index, fields["other"] = pair
        slot, sequence = self.free_slot(index)
        fields |= {"slot": slot, "sequence": sequence}
        if tag == constants.WITHDRAW:
            fields["recipient"] = rng.choice([venue.RECIPIENT, b"\xff" * 20, rng.randbytes(20)])
        if tag == constants.CANCEL_ALL:
            fields |= {"slot": 0, "sequence": draft.account(index).floor + rng.choice([0, 0, 0, 1])}
        key = draft.key(index)
        spoil = False
        if tag in (constants.WITHDRAW, constants.TRANSFER):
            amount = self.amount(index, code)
            if amount is None and code in (c.OK, c.COLLATERAL, c.MARGIN, c.OUT_OF_BOUNDS):
                return None
            fields["amount"] = amount or 1
        if code == c.NOT_CANONICAL:
            fields["slot"] = 0 if tag != constants.CANCEL_ALL else rng.choice([1, 255])
        elif code == c.SAME_ACCOUNT:
            fields["other"] = index
        elif code == c.NO_ACCOUNT:
            index = rng.choice([self.nobody(), rng.randrange(1, 17)])
        elif code == c.BAD_SIGNATURE:
            spoil = True
        elif code in (c.NOT_YET, c.EXPIRED, c.LIFETIME, c.SEQUENCE_AHEAD):
            fields |= self.fault_of_time(code, constants.REQUEST_LIFETIME)
        elif code == c.CANCELLED:
            if draft.account(index).floor == 0:
                return None
            fields["sequence"] = draft.account(index).floor - 1
        elif code == c.USED:
            known = self.used_slot(index if tag == constants.TRANSFER else None)
            if known is None:
                return None
            index, fields["slot"], fields["sequence"] = known
            key = draft.key(index)
        elif code == c.NO_RECIPIENT:
            fields["recipient"] = containers.NOBODY
        elif code == c.ZERO_AMOUNT:
            fields["amount"] = 0
        elif code == c.NOT_OWNER:
            stranger = self.any_account()
            fields["other"] = rng.choice([self.nobody(), 5, stranger])
            if draft.account(stranger).owner == draft.account(index).owner:
                fields["other"] = self.nobody()
        message = venue.request(index, **fields)
        digest = operations.request_digest(venue.DOMAIN, tag, message)
        return operations.request_bytes(tag, message, self.spoiled(key, digest) if spoil else venue.sign(key, digest))

    def two_of_one_owner(self, index: int, near_bound: bool) -> tuple[int, int] | None:
        owner = self.draft.account(index).owner
        if near_bound:
            near = [
                i
                for i in self.world.accounts
                if constants.COLLATERAL_BOUND - 2**21 < self.draft.account(i).collateral < constants.COLLATERAL_BOUND
            ]
            if not near:
                return None
            other = self.rng.choice(near)
            owner = self.draft.account(other).owner
            payers = [i for i in self.world.accounts if i != other and self.draft.account(i).owner == owner]
            return (self.rng.choice(payers), other) if payers else None
        others = [i for i in self.world.accounts if i != index and self.draft.account(i).owner == owner]
        return (index, self.rng.choice(others)) if others else None

    def used_slot(self, index: int | None) -> tuple[int, int, int] | None:
        """A slot that has moved past a sequence which the account's floor still allows."""
        candidates = [
            leaf
            for leaf in {*self.world.slots, *self.draft.chunk.slots}
            if (index is None or leaf >> 8 == index)
            and self.draft.chunk.peek_slot(leaf).sequence > self.draft.account(leaf >> 8).floor
            and self.draft.account(leaf >> 8).owner in venue.KEY_OF
        ]
        if not candidates:
            return None
        leaf = self.rng.choice(sorted(candidates))
        return leaf >> 8, leaf & 255, self.draft.chunk.peek_slot(leaf).sequence - 1

    def amount(self, index: int, code: int) -> int | None:
        """An amount that this account may pay, or that is refused with COLLATERAL, MARGIN or OUT_OF_BOUNDS."""
        settled, _ = margin.settle(self.globals.risk, self.draft.account(index))
        spendable = min(settled.collateral, margin.spendable(self.globals.risk, settled), MAX_AMOUNT)
        if code == c.COLLATERAL:
            over = max(settled.collateral, 0) + self.rng.choice([1, 1, 1_000])
            return over if over <= MAX_AMOUNT else None
        if code == c.MARGIN:
            if not max(spendable, 0) < min(settled.collateral, MAX_AMOUNT):
                return None
            return self.rng.choice([max(spendable, 0) + 1, min(settled.collateral, MAX_AMOUNT)])
        if spendable < 1:
            return None
        if code == c.OUT_OF_BOUNDS:
            return min(spendable, 2**62)
        if code == c.OK and self.rng.random() < 0.1:
            return spendable
        return self.rng.randrange(1, max(2, spendable // 50))

    # Deposits and ticks

    def deposit(self, code: int) -> bytes | None:
        rng = self.rng
        index = self.any_account()
        row = self.draft.account(index)
        amount = rng.choice([1, rng.randrange(1, 10**10), rng.randrange(1, 10**10), MAX_AMOUNT])
        if code == c.ZERO_AMOUNT:
            return venue.deposit(row.owner, 0, rng.choice([index, constants.NEW_ACCOUNT]))
        if code == c.WITHDRAWALS_FULL and self.globals.withdrawal_count < constants.MAX_WITHDRAWALS:
            return None
        if code in (c.REFUNDED, c.WITHDRAWALS_FULL):
            if code == c.REFUNDED and self.globals.withdrawal_count >= constants.MAX_WITHDRAWALS:
                return None
            choice = rng.randrange(5)
            if choice == 0:
                return venue.deposit(containers.NOBODY, amount)
            if choice == 1:
                return venue.deposit(containers.NOBODY, amount, 16_000_000)
            if choice == 2 and self.globals.next_account >= constants.NEW_ACCOUNT:
                return venue.deposit(row.owner, amount)
            if choice == 3 and row.collateral + MAX_AMOUNT >= constants.COLLATERAL_BOUND:
                return venue.deposit(row.owner, MAX_AMOUNT, index)
            return venue.deposit(venue.OWNERS[30], amount, index, rng.randbytes(20))
        if rng.random() < 0.4 and self.globals.next_account < constants.NEW_ACCOUNT:
            return venue.deposit(venue.OWNERS[1 + rng.randrange(10)], amount)
        if row.collateral + amount >= constants.COLLATERAL_BOUND:
            return None
        return venue.deposit(row.owner, amount, index)

    def tick(self, code: int) -> bytes | None:
        """Five signers that differ a little; one fault among the tick's own."""
        rng, world, globals = self.rng, self.world, self.globals
        first = max(globals.tick_time // constants.TICK_STEP + 1, (self.draft.now - 15_000) // constants.TICK_STEP)
        last = (self.draft.now + constants.CLOCK_TOLERANCE) // constants.TICK_STEP
        # The earliest leaves room for a later one in the same chunk.
        moment = rng.choice([first, first, last]) * constants.TICK_STEP
        if code == c.OK and first > last:
            return None
        indices = sorted(rng.sample(range(world.signer_count), world.quorum))
        count = world.market_count
        if code == c.OFF_GRID:
            moment = rng.choice([moment + 1, moment - 1, (last + 1) * constants.TICK_STEP])
        elif code == c.OLD_TICK:
            moment = globals.tick_time - rng.choice([0, 0, constants.TICK_STEP])
            if moment < 0:
                return None
        elif first > last:
            return None
        elif code == c.QUORUM:
            choice = rng.randrange(5)
            if choice == 0:
                return operations.tick_bytes(moment, count, [])
            if choice == 1:
                count = count - 1
            elif choice == 2 and count < constants.MARKETS:
                count = count + 1
            elif choice == 3:
                indices = indices[1:]
            else:
                indices = [*indices, indices[-1]]
        elif code == c.BAD_SIGNERS:
            choice = rng.randrange(4)
            if choice == 0:
                indices = [*indices[:-1], rng.choice([7, 200, 255])]
            elif choice == 1 and len(indices) > 1:
                indices = [indices[1], indices[0], *indices[2:]]
            elif choice == 2 and len(indices) > 1:
                indices = [indices[0], indices[0], *indices[2:]]
        reports: list[tuple[int, list[int], list[int], bytes]] = []
        nothing = [0] * (constants.MARKETS - count)
        for number, index in enumerate(indices):
            prices = [self.next_price(market) for market in range(count)]
            premiums = [rng.choice([rng.randrange(-900, 900), MAX_PREMIUM, -(2**23)]) for _ in range(count)]
            if code == c.ZERO_PRICE and number == len(indices) // 2:
                prices[rng.randrange(count)] = 0
            digest = operations.tick_digest(venue.DOMAIN, moment, prices + nothing, premiums + nothing)
            key = venue.SIGNER_KEYS[index % constants.SIGNERS]
            signature = venue.sign(key, digest)
            if code == c.BAD_SIGNERS and number == 0 and indices == sorted(set(indices)) and indices[-1] < 7:
                signature = self.spoiled(key, digest)
            reports.append((index, prices, premiums, signature))
        return operations.tick_bytes(moment, count, reports)

    def next_price(self, market: int) -> int:
        rng = self.rng
        price = self.globals.risk.price[market % constants.MARKETS] or 500_000
        if self.world.kind == "bounds" and market >= 8 and rng.random() < 0.2:
            return rng.choice([1, MAX_PRICE, MAX_PRICE // 2])
        return max(1, min(MAX_PRICE, price + rng.randrange(-price // 200 - 1, price // 200 + 1)))

    # Orders and fills

    def order_fields(self, account: int, **fixed: Any) -> dict[str, Any]:
        rng = self.rng
        slot, sequence = self.free_slot(account)
        market = fixed.get("market", rng.randrange(self.world.market_count))
        price = self.globals.risk.price[market] or 500_000
        minimum = self.globals.markets[market].minimum_notional
        kind = fixed.get("time_in_force", rng.choice([0, 0, 0, 1, 2]))
        lifetime = constants.ORDER_LIFETIME if kind == constants.GOOD_TILL_TIME else constants.IMMEDIATE_LIFETIME
        return {
            "market": market,
            "side": rng.randrange(2),
            "size": min(MAX_SIZE, -(-minimum // price) + rng.choice([0, 5, rng.randrange(10_000)])),
            "limit_price": price,
            "slot": slot,
            "sequence": sequence,
            **self.times(lifetime),
            "time_in_force": kind,
            "max_fee_ppm": rng.choice([450, 1_000, 65_535]),
            "max_posting_fee": rng.choice([self.world.posting_fee, 2**24 - 1]),
        } | fixed

    def order(self, code: int) -> bytes | None:
        """One order alone, valid or with one fault."""
        rng = self.rng
        index = self.any_account()
        fields = self.order_fields(index)
        lifetime = (
            constants.ORDER_LIFETIME
            if fields["time_in_force"] == constants.GOOD_TILL_TIME
            else constants.IMMEDIATE_LIFETIME
        )
        key = self.draft.key(index)
        spoil = False
        if code == c.OK:
            fields |= rng.choice(
                [
                    {"time_in_force": 0, "post_only": 1},
                    {"trigger": 1, "trigger_price": MAX_PRICE},
                    {"trigger": 2, "trigger_price": 1},
                    {"size": MAX_SIZE, "limit_price": MAX_PRICE},
                    {"reduce_only": 1, "size": 1, "limit_price": 1},
                    {},
                ]
            )
        elif code == c.RESERVED:
            index = rng.choice([0, 1, 16])
            key = venue.OPERATOR_KEY
        elif code == c.NO_ACCOUNT:
            index = self.nobody()
        elif code == c.BAD_SIGNATURE:
            spoil = True
        elif code == c.NOT_CANONICAL:
            fields |= rng.choice(
                [
                    {"unused": 1},
                    {"slot": 0},
                    {"size": 0},
                    {"limit_price": 0},
                    {"time_in_force": 3},
                    {"trigger": 3, "trigger_price": 1},
                    {"time_in_force": 1, "post_only": 1},
                    {"time_in_force": 2, "post_only": 1},
                    {"trigger": 0, "trigger_price": 1},
                    {"trigger": 1, "trigger_price": 0},
                    {"trigger": 2, "trigger_price": 0},
                ]
            )
        elif code in (c.NOT_YET, c.EXPIRED, c.LIFETIME, c.SEQUENCE_AHEAD):
            fields |= self.fault_of_time(code, lifetime)
        elif code == c.NO_MARKET:
            if self.world.market_count == constants.MARKETS:
                fields["market"] = rng.choice([16, 255])
            else:
                fields["market"] = rng.choice([self.world.market_count, 16, 255])
        elif code == c.TOO_SMALL:
            fields |= {"size": 1, "limit_price": self.globals.markets[0].minimum_notional - 1, "market": 0}
        message = venue.order(index, **fields)
        digest = operations.order_digest(venue.DOMAIN, message)
        return operations.order_bytes(message, self.spoiled(key, digest) if spoil else venue.sign(key, digest))

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
        if code == c.STALE and draft.chunk.fresh():
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
        maker_fields = self.order_fields(
            maker_account, market=market, side=maker_side, limit_price=limit, time_in_force=0
        )
        better = rng.choice([0, 0, price // 100])
        taker_limit = limit + better if maker_side == constants.SELL else limit - better
        taker_fields = self.order_fields(
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
            known = self.used_slot(index)
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
            if draft.chunk.decide_fill(one, two, size).code == c.OK:
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
            margin.spendable(globals.risk, margin.settle(globals.risk, draft.account(i))[0]) for i in (maker, taker)
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
        if code == c.STALE and self.draft.chunk.fresh():
            return
        made: bytes | None
        if tag == constants.DEPOSIT:
            made = self.deposit(code)
        elif tag == constants.TICK:
            made = self.tick(code)
        elif tag == constants.ORDER:
            made = self.order(code)
        else:
            made = self.request(tag, code)
        if made is not None:
            self.draft.push(made)

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
        return operations.request_bytes(tag, venue.request(17), self.rng.randbytes(64))
