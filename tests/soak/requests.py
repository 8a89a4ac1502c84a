"""Signed requests for the twins campaign: each is valid by construction or has one aimed fault."""

from typing import Any, Final

from prover.signing import operations, signatures
from prover.signing.recover import CURVE_ORDER
from prover.state.trial import peek_slot
from prover.stf import codes as c
from prover.stf import constants, containers, custody, margin
from tests.soak.world import MAX_TIME, Draft
from tests.twins import venue

MAX_AMOUNT: Final = 2**64 - 1


class Drawn:
    """What one draft's world gives: accounts, slots, times, signatures, each good or with one fault."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.world = draft.world
        self.rng = draft.rng
        self.globals = draft.chunk.globals

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

    def used_slot(self, index: int | None) -> tuple[int, int, int] | None:
        """A slot that has moved past a sequence which the account's floor still allows."""
        candidates = [
            leaf
            for leaf in {*self.world.slots, *self.draft.chunk.slots}
            if (index is None or leaf >> 8 == index)
            and peek_slot(self.draft.chunk, leaf).sequence > self.draft.account(leaf >> 8).floor
            and self.draft.account(leaf >> 8).owner in venue.KEY_OF
        ]
        if not candidates:
            return None
        leaf = self.rng.choice(sorted(candidates))
        return leaf >> 8, leaf & 255, peek_slot(self.draft.chunk, leaf).sequence - 1


class Requests(Drawn):
    """Requests for one draft; None where the world cannot give what is aimed at."""

    def request(self, tag: int, code: int) -> bytes | None:
        """A request that is valid (code OK) or has one fault; None where the world cannot give that."""
        rng, draft = self.rng, self.draft
        fields: dict[str, Any] = self.times(constants.REQUEST_LIFETIME)
        index = self.any_account()
        if code == c.INSOLVENT:
            debtor = self.in_debt()
            if debtor is None:
                return None
            index = debtor
        if tag == constants.TRANSFER:
            pair = self.two_of_one_owner(index, near_bound=code == c.OUT_OF_BOUNDS)
            if pair is None:
                return None
            index, fields["other"] = pair
        slot, sequence = self.free_slot(index)
        fields |= {"slot": slot, "sequence": sequence}
        fields["max_posting_fee"] = rng.choice([self.globals.posting_fee, 2**24 - 1])
        if tag == constants.WITHDRAW:
            fields["recipient"] = rng.choice([venue.RECIPIENT, b"\xff" * 20, rng.randbytes(20)])
        if tag == constants.CANCEL_ALL:
            fields |= {"slot": 0, "sequence": draft.account(index).floor + rng.choice([0, 0, 0, 1])}
        key = draft.key(index)
        spoil = False
        if tag == constants.SET_AGENT:
            fields |= self.grant()
        if tag == constants.SET_LEVERAGE:
            fields["amount"] = rng.choice([0, 0, 0, 20_000, 100_000])
        if tag in (constants.CANCEL, constants.CANCEL_ALL) and code in (c.OK, c.AGENT_LIMITS):
            agent = draft.agent_key(index, fields["slot"], is_good=code == c.OK)
            if agent is None and code == c.AGENT_LIMITS:
                return None
            if agent is not None and (code == c.AGENT_LIMITS or rng.random() < 0.5):
                key = agent
        if tag == constants.TRANSFER and code in (c.OK, c.TOO_SMALL) and (code == c.TOO_SMALL or rng.random() < 0.15):
            if self.globals.next_account < constants.NEW_ACCOUNT:
                fields["other"] = constants.NEW_ACCOUNT
            elif code == c.TOO_SMALL:
                return None
        if tag in (constants.WITHDRAW, constants.TRANSFER):
            amount = self.amount(index, code)
            if amount is None and code in (c.OK, c.COLLATERAL, c.MARGIN, c.OUT_OF_BOUNDS):
                return None
            fields["amount"] = amount or 1
        if code == c.NOT_CANONICAL:
            fields["slot"] = 0 if tag != constants.CANCEL_ALL else rng.choice([1, 255])
            if tag == constants.SET_AGENT and rng.random() < 0.7:
                fields |= {"slot": slot} | rng.choice(
                    [
                        {"other": rng.choice([2, 255])},
                        {"first_slot": 6, "last_slot": 5},
                        {"recipient": containers.NOBODY, "amount": 1, "first_slot": 0, "last_slot": 0},
                        {"recipient": containers.NOBODY, "amount": 0, "first_slot": 0, "last_slot": 1},
                    ]
                )
            if tag == constants.SET_LEVERAGE and rng.random() < 0.7:
                fields |= {"slot": slot, "amount": constants.PPM + rng.choice([1, 10**6])}
        elif code == c.TOO_SMALL:
            fields["amount"] = rng.choice([0, 1, constants.CREATION_FEE])
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
        elif code == c.FEE_ABOVE_MAXIMUM:
            fields["max_posting_fee"] = rng.choice([0, self.globals.posting_fee - 1])
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
        digest = signatures.request_digest(venue.DOMAIN, tag, message)
        return operations.request_bytes(tag, message, self.spoiled(key, digest) if spoil else venue.sign(key, digest))

    def grant(self) -> dict[str, Any]:
        """What a grant says: a good one, an old one, or that there is none any more."""
        rng = self.rng
        place = {"other": rng.randrange(constants.AGENTS)}
        if rng.random() < 0.2:
            return place
        first = rng.choice([0, 1, 77])
        until = rng.choice([self.draft.now, self.draft.now - 1, self.draft.now + 10**9, MAX_TIME])
        slots = {"first_slot": first, "last_slot": rng.choice([first, 255])}
        return place | {"recipient": rng.choice(venue.AGENTS), "amount": until} | slots

    def two_of_one_owner(self, index: int, near_bound: bool) -> tuple[int, int] | None:
        owner = self.draft.account(index).owner
        if near_bound:
            near = [
                i
                for i in self.world.accounts
                if constants.COLLATERAL_BOUND - 2**21
                < margin.collateral(self.draft.account(i))
                < constants.COLLATERAL_BOUND
            ]
            if not near:
                return None
            other = self.rng.choice(near)
            owner = self.draft.account(other).owner
            payers = [i for i in self.world.accounts if i != other and self.draft.account(i).owner == owner]
            return (self.rng.choice(payers), other) if payers else None
        others = [i for i in self.world.accounts if i != index and self.draft.account(i).owner == owner]
        return (index, self.rng.choice(others)) if others else None

    def paid(self, index: int) -> containers.Account:
        """An account as it stands once it has paid for a request."""
        globals = self.globals
        clock = self.draft.chunk.clock()
        terms = containers.Terms(globals.risk, clock, globals.posting_fee, globals.withdrawal_count)
        return custody.charged(terms, self.draft.account(index))[0]

    def in_debt(self) -> int | None:
        """An account that cannot pay for a request."""
        for index in self.rng.sample(self.world.accounts, len(self.world.accounts)):
            paid = self.paid(index)
            value = margin.sums(self.globals.risk, paid, constants.MARKETS).value
            if margin.collateral(paid) + value < 0 and paid.owner in venue.KEY_OF:
                return index
        return None

    def amount(self, index: int, code: int) -> int | None:
        """An amount that this account may pay, or that is refused with COLLATERAL, MARGIN or OUT_OF_BOUNDS."""
        paid = self.paid(index)
        spendable = min(
            paid.settled, margin.spendable(self.globals.risk, paid, constants.WITHDRAWAL_FLOOR_PPM), MAX_AMOUNT
        )
        if code == c.COLLATERAL:
            over = max(paid.settled, 0) + self.rng.choice([1, 1, 1_000])
            return over if over <= MAX_AMOUNT else None
        if code == c.MARGIN:
            if not max(spendable, 0) < min(paid.settled, MAX_AMOUNT):
                return None
            return self.rng.choice([max(spendable, 0) + 1, min(paid.settled, MAX_AMOUNT)])
        if spendable < 1:
            return None
        if code == c.OUT_OF_BOUNDS:
            return min(spendable, 2**62)
        if code == c.OK and self.rng.random() < 0.1:
            return spendable
        return self.rng.randrange(1, max(2, spendable // 50))
