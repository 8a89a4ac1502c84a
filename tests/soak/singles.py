"""Single operations for the twins campaign: each is valid by construction or has one aimed fault."""

from typing import Any

import msgspec

from prover.signing import operations, signatures
from prover.signing.reports import tick_digest
from prover.stf import codes as c
from prover.stf import constants, containers, margin
from tests.soak.requests import MAX_AMOUNT, Requests
from tests.soak.world import MAX_PREMIUM, MAX_PRICE, MAX_SIZE
from tests.twins import venue


class Singles(Requests):
    """Operations for one draft that need no other one; None where the world cannot give what is aimed at."""

    def rescue(self, tag: int) -> bytes:
        """Any rescue of anybody; mostly nobody needs one."""
        rng = self.rng
        move = containers.Rescue(
            maker=rng.randrange(3),
            market=rng.randrange(3),
            account=rng.choice([self.any_account(), rng.randrange(20)]),
            other=self.any_account(),
            lots=rng.choice([0, 1, rng.randrange(10**6), MAX_SIZE]),
        )
        return operations.rescue_bytes(tag, msgspec.structs.replace(move, maker=move.market))

    def entry(self, tag: int) -> bytes:
        """Any entry of the L1 queue; what would stop the queue for long is mostly a stranger's."""
        rng = self.rng
        index = self.any_account()
        sender = self.draft.account(index).owner
        amount = rng.choice([0, 1, rng.randrange(10**9), MAX_SIZE])
        if tag == constants.FORCED_RESCUE:
            payload = operations.forced_rescue_payload(rng.randrange(4), index, amount)
        elif tag == constants.FORCED_TICK:
            payload = venue.tick(self.globals.tick_time + constants.TICK_STEP, [1, 2, 3])[1:]
        elif tag == constants.SET_MARKET:
            payload = bytes(constants.SET_MARKET_LENGTH)
        elif tag == constants.SET_VENUE:
            kept = containers.VenueParameters(self.globals.posting_fee, self.globals.grace_period, 0, containers.NOBODY)
            payload = operations.venue_payload(kept)
        else:
            if tag in (constants.FORCED_CLOSE, constants.LEAVE) and rng.random() < 0.95:
                sender = venue.DEPOSITOR
            agent = {"agent": rng.choice(venue.AGENTS), "agent_index": rng.randrange(3), "last_slot": 255}
            payload = venue.owned(tag, index, market=rng.randrange(4), amount=amount, **agent)
        return venue.entry(tag, payload, sender, self.draft.now)

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
            if choice == 3 and margin.collateral(row) + MAX_AMOUNT >= constants.COLLATERAL_BOUND:
                return venue.deposit(row.owner, MAX_AMOUNT, index)
            return venue.deposit(venue.OWNERS[30], amount, index, rng.randbytes(20))
        if rng.random() < 0.4 and self.globals.next_account < constants.NEW_ACCOUNT:
            return venue.deposit(venue.OWNERS[1 + rng.randrange(10)], amount)
        if rng.random() < 0.1:
            return venue.deposit(venue.OWNERS[30], min(amount, 10**12), rng.randrange(1, constants.RESERVED_ACCOUNTS))
        if margin.collateral(row) + amount >= constants.COLLATERAL_BOUND:
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
            if rng.random() < 0.3:
                indices = [*indices[:-1], rng.choice([7, 200, 255])]
        elif code in (c.DUPLICATE_SIGNER, c.UNSORTED_SIGNERS):
            if len(indices) < 2:
                return None
            at = rng.randrange(1, len(indices))
            before, here = indices[at - 1], indices[at]
            indices[at - 1 : at + 1] = [before, before] if code == c.DUPLICATE_SIGNER else [here, before]
        reports: list[tuple[int, list[int], list[int], bytes]] = []
        nothing = [0] * (constants.MARKETS - count)
        # Now and then most signers have no price of one market.
        silent = rng.randrange(count) if count and rng.random() < 0.1 else count
        for number, index in enumerate(indices):
            prices = [self.next_price(market) for market in range(count)]
            premiums = [rng.choice([rng.randrange(-900_000, 900_000), MAX_PREMIUM, -(2**31)]) for _ in range(count)]
            if code == c.ZERO_PRICE:
                prices = [0] * count
            elif silent < count and rng.random() < 0.8:
                prices[silent] = 0
            digest = tick_digest(venue.DOMAIN, moment, prices + nothing, premiums + nothing)
            key = venue.SIGNER_KEYS[index % constants.SIGNERS]
            signature = venue.sign(key, digest)
            if code == c.BAD_SIGNERS and number == 0 and indices[-1] < 7:
                signature = self.spoiled(key, digest)
            reports.append((index, prices, premiums, signature))
        return operations.tick_bytes(moment, count, reports)

    def next_price(self, market: int) -> int:
        rng = self.rng
        price = self.globals.risk.price[market % constants.MARKETS] or 500_000
        if self.world.kind == "bounds" and market >= 8 and rng.random() < 0.2:
            return rng.choice([1, MAX_PRICE, MAX_PRICE // 2])
        return max(1, min(MAX_PRICE, price + rng.randrange(-price // 200 - 1, price // 200 + 1)))

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
        if code in (c.OK, c.AGENT_LIMITS):
            agent = self.draft.agent_key(index, fields["slot"], is_good=code == c.OK)
            if agent is None and code == c.AGENT_LIMITS:
                return None
            key = agent if agent is not None and (code == c.AGENT_LIMITS or rng.random() < 0.5) else key
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
        digest = signatures.order_digest(venue.DOMAIN, message)
        return operations.order_bytes(message, self.spoiled(key, digest) if spoil else venue.sign(key, digest))
