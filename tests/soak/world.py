"""Worlds for the twins campaign, at and off the bounds of the law, and the chunk that is drafted in one."""

import random
from typing import Any, Final

from prover.state.genesis import MarketListing
from prover.state.state import State
from prover.state.trial import peek_account, peek_slot
from prover.stf import codes, constants, containers, encoding, merkle, signatures
from prover.stf.replay import operation_length
from tests.twins import venue

WORLDS: Final = ("three", "wide", "single", "bounds", "young", "full")
FUNDS: Final = (0, 10**14, 10**16, 10**18)
MAX_PRICE: Final = 2**48 - 1
MAX_SIZE: Final = 2**56 - 1
MAX_PREMIUM: Final = 2**31 - 1
MAX_TIME: Final = 2**48 - 1


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
                funding_cap_ppb=MAX_PREMIUM if self.extreme else 500_000,
                minimum_notional_micros=10_000_000,
                interest_lower_micros=10**12 if m == 1 else 2**102,
                interest_upper_micros=10**17 if m == 1 else 2**103,
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
        for market in range(1, 3):
            # The fund of the market with low bounds, and one that is mostly large enough.
            globals.markets[market - 1].fund = fund = rng.choice([0, 10**12, 10**16] if market == 2 else FUNDS)
            accounts[market] = venue.account(containers.NOBODY, fund)
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
            accounts[index] = venue.account(owner, collateral, positions, floor, **self._extras(collateral))
        if self.extreme:
            self._extreme_accounts(globals, accounts)
        return accounts

    def _extras(self, collateral: int) -> dict[str, Any]:
        """Money that matures, epochs behind, an own bound of leverage, agents whose grant holds or does not."""
        rng = self.rng
        extras: dict[str, Any] = {"epoch": venue.EPOCH - rng.choice([0, 0, 0, 1, 2, 9])}
        if rng.random() < 0.3:
            extras |= {"older": rng.randrange(collateral), "fresh": rng.choice([0, rng.randrange(collateral)])}
        if rng.random() < 0.1:
            extras["initial_ppm"] = rng.choice([20_001, 100_000, constants.PPM])
        if rng.random() < 0.6:
            extras["agents"] = [self._grant(), rng.choice([0, self._grant()])]
        return extras

    def _grant(self) -> int:
        rng = self.rng
        first = rng.choice([0, 0, 1, 100])
        until = rng.choice([venue.NOW - 1, venue.NOW + 10**9, venue.NOW + 10**9, MAX_TIME])
        return encoding.agent_word(rng.choice(venue.AGENTS), until, first, rng.choice([255, 255, first]))

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
        return peek_account(self.chunk, index)

    def slot(self, account: int, slot: int) -> containers.Slot:
        return peek_slot(self.chunk, (account << 8) | slot)

    def agent_key(self, account: int, slot: int, is_good: bool) -> bytes | None:
        """The key of an agent that may sign in a slot, or (not `is_good`) of one that may not; None without one."""
        row = self.account(account)
        for packed in row.agents:
            agent = encoding.agent_address(packed)
            code = signatures.entrusted(row, agent, slot, self.now)
            if agent in venue.KEY_OF and code == (codes.OK if is_good else codes.AGENT_LIMITS):
                return venue.KEY_OF[agent]
        return None

    def key(self, account: int) -> bytes:
        return venue.KEY_OF.get(self.account(account).owner, venue.KEYS[31])
