# pragma version 0.4.3
"""
@title Custody
@license MIT
@notice Deposits and forced operations from the L1 queue, and every signed request that is no order.
"""

from prover.stf import codes
from prover.stf import constants
from prover.stf import containers
from prover.stf import encoding
from prover.stf import margin
from prover.stf import signatures


@internal
@pure
def deposit(entry: containers.Deposit, index: int256, account: containers.Account, owing: containers.Debts, now: int256) -> (int256, containers.Account):
    """Whether a deposit is booked, empty or refunded; PROTOCOL.md 8.1."""
    if entry.amount == 0:
        return codes.ZERO_AMOUNT, account
    if entry.account == constants.NEW_ACCOUNT:
        if entry.owner == containers.NOBODY or index >= constants.NEW_ACCOUNT:
            return codes.REFUNDED, account
        return codes.OK, self.opened(entry.owner, entry.amount, account)
    # Anybody may add to the insurance account of a market.
    insurance: bool = entry.account > constants.FEE_ACCOUNT and entry.account < constants.RESERVED_ACCOUNTS
    if not insurance and (account.owner == containers.NOBODY or account.owner != entry.owner):
        return codes.REFUNDED, account
    # Whoever sleeps is judged by debts that are long past: with a deposit anybody has an account judged in time.
    today: containers.Account = margin.matured(owing, account, now)
    if margin.collateral(today) + entry.amount >= constants.COLLATERAL_BOUND:
        return codes.REFUNDED, account
    return codes.OK, self.credited(today, entry.amount)


@internal
@pure
def opened(owner: address, amount: int256, absent: containers.Account) -> containers.Account:
    """A new account with its first money; PROTOCOL.md 8.1."""
    return containers.Account(
        owner=owner,
        floor=0,
        settled=amount,
        older=0,
        fresh=0,
        epoch=0,
        initial_ppm=0,
        agents=absent.agents,
        positions=absent.positions,
        factor=0,
    )


@internal
@pure
def credited(account: containers.Account, amount: int256) -> containers.Account:
    """An account with so much more settled money, or less; PROTOCOL.md 8.1."""
    return containers.Account(
        owner=account.owner,
        floor=account.floor,
        settled=account.settled + amount,
        older=account.older,
        fresh=account.fresh,
        epoch=account.epoch,
        initial_ppm=account.initial_ppm,
        agents=account.agents,
        positions=account.positions,
        factor=account.factor,
    )


@internal
@pure
def check_payment(risk: containers.Risk, clock: containers.Clock, settled: containers.Account, amount: int256, most: int256) -> int256:
    """Whether so much, and at most so much, may leave a settled account now; PROTOCOL.md 7.3."""
    if amount == 0:
        return codes.ZERO_AMOUNT
    if not clock.priced:
        return codes.STALE
    if clock.grace:
        return codes.GRACE
    if amount > most:
        return codes.COLLATERAL
    if amount > margin.spendable(risk, settled, constants.WITHDRAWAL_FLOOR_PPM):
        return codes.MARGIN
    return codes.OK


@internal
@pure
def charged(terms: containers.Terms, account: containers.Account) -> (containers.Account, int256):
    """A settled account less the posting fee, and the dust of settling; PROTOCOL.md 7.3."""
    settled: containers.Account = account
    dust: int256 = 0
    settled, dust = margin.settle(terms.risk, account, terms.clock.now)
    return margin.booked(settled, -terms.posting_fee, settled.positions), dust


@internal
@pure
def withdraw(terms: containers.Terms, request: containers.Request, account: containers.Account, slot: containers.Slot, signer: address) -> containers.Booked:
    """Whether a withdrawal is paid; PROTOCOL.md 8.2."""
    refused: containers.Booked = containers.Booked(code=codes.NOT_CANONICAL, account=account, other=account, slot=slot, fee=0, dust=0)
    if request.slot == 0:
        return refused
    refused.code = signatures.permitted(signatures.owned(account, signer), terms, request, account, slot)
    if refused.code != codes.OK:
        return refused
    if request.recipient == containers.NOBODY:
        refused.code = codes.NO_RECIPIENT
        return refused
    if terms.withdrawal_count >= constants.MAX_WITHDRAWALS:
        refused.code = codes.WITHDRAWALS_FULL
        return refused
    paid: containers.Account = account
    dust: int256 = 0
    paid, dust = self.charged(terms, account)
    refused.code = self.check_payment(terms.risk, terms.clock, paid, request.amount, paid.settled)
    if refused.code != codes.OK:
        return refused
    return containers.Booked(
        code=codes.OK,
        account=self.credited(paid, -request.amount),
        other=account,
        slot=containers.Slot(sequence=request.sequence + 1, filled=0),
        fee=terms.posting_fee,
        dust=dust,
    )


@internal
@pure
def received(terms: containers.Terms, account: containers.Account, before: containers.Account, after: containers.Account) -> containers.Account:
    """An account with what another one gave, each part as old as it was; PROTOCOL.md 8.3."""
    today: containers.Account = margin.matured(terms.risk.debts, account, terms.clock.now)
    richer: containers.Account = containers.Account(
        owner=today.owner,
        floor=today.floor,
        settled=today.settled + before.settled - after.settled,
        older=today.older + before.older - after.older,
        fresh=today.fresh + before.fresh - after.fresh,
        epoch=today.epoch,
        initial_ppm=today.initial_ppm,
        agents=today.agents,
        positions=today.positions,
        factor=today.factor,
    )
    return margin.booked(richer, 0, richer.positions)


@internal
@pure
def transfer(terms: containers.Terms, request: containers.Request, index: int256, account: containers.Account, other: containers.Account, slot: containers.Slot, signer: address) -> containers.Booked:
    """Whether a transfer is paid, to an account that is there or to a new one; PROTOCOL.md 8.3."""
    refused: containers.Booked = containers.Booked(code=codes.NOT_CANONICAL, account=account, other=other, slot=slot, fee=0, dust=0)
    if request.slot == 0:
        return refused
    if request.account == request.other:
        refused.code = codes.SAME_ACCOUNT
        return refused
    refused.code = signatures.permitted(signatures.owned(account, signer), terms, request, account, slot)
    if refused.code != codes.OK:
        return refused
    opening: bool = request.other == constants.NEW_ACCOUNT
    if opening and index >= constants.NEW_ACCOUNT:
        refused.code = codes.ACCOUNTS_FULL
        return refused
    if opening and request.amount <= constants.CREATION_FEE:
        refused.code = codes.TOO_SMALL
        return refused
    if not opening and other.owner != account.owner:
        refused.code = codes.NOT_OWNER
        return refused
    paid: containers.Account = account
    dust: int256 = 0
    paid, dust = self.charged(terms, account)
    # Unsettled money may move: it keeps its age, and stays within reach of what it may have to pay.
    refused.code = self.check_payment(terms.risk, terms.clock, paid, request.amount, margin.collateral(paid))
    if refused.code != codes.OK:
        return refused
    if margin.collateral(other) + request.amount >= constants.COLLATERAL_BOUND:
        refused.code = codes.OUT_OF_BOUNDS
        return refused
    given: containers.Account = margin.booked(paid, -request.amount, paid.positions)
    fee: int256 = terms.posting_fee
    receiving: containers.Account = other
    if opening:
        receiving = self.opened(account.owner, 0, other)
    receiving = self.received(terms, receiving, paid, given)
    if opening:
        fee = fee + constants.CREATION_FEE
        receiving = margin.booked(receiving, -constants.CREATION_FEE, receiving.positions)
    return containers.Booked(
        code=codes.OK,
        account=given,
        other=receiving,
        slot=containers.Slot(sequence=request.sequence + 1, filled=0),
        fee=fee,
        dust=dust,
    )

@internal
@pure
def cancel(terms: containers.Terms, request: containers.Request, account: containers.Account, slot: containers.Slot, signer: address) -> containers.Booked:
    """Whether a slot's sequences are void; PROTOCOL.md 8.4."""
    refused: containers.Booked = containers.Booked(code=codes.NOT_CANONICAL, account=account, other=account, slot=slot, fee=0, dust=0)
    if request.slot == 0:
        return refused
    refused.code = signatures.permitted(signatures.entrusted(account, signer, request.slot, terms.clock.now), terms, request, account, slot)
    if refused.code != codes.OK:
        return refused
    cancelled: containers.Slot = containers.Slot(sequence=request.sequence + 1, filled=0)
    return containers.Booked(code=codes.OK, account=account, other=account, slot=cancelled, fee=0, dust=0)


@internal
@pure
def cancel_all(terms: containers.Terms, request: containers.Request, account: containers.Account, signer: address) -> containers.Booked:
    """Whether an account's sequences are void; PROTOCOL.md 8.5."""
    untouched: containers.Slot = containers.Slot(sequence=0, filled=0)
    refused: containers.Booked = containers.Booked(code=codes.NOT_CANONICAL, account=account, other=account, slot=untouched, fee=0, dust=0)
    if request.slot != 0:
        return refused
    refused.code = signatures.permitted(signatures.entrusted(account, signer, 0, terms.clock.now), terms, request, account, untouched)
    if refused.code != codes.OK:
        return refused
    voided: containers.Account = self.raised(account, request.sequence + 1)
    return containers.Booked(code=codes.OK, account=voided, other=account, slot=untouched, fee=0, dust=0)


@internal
@pure
def set_agent(terms: containers.Terms, request: containers.Request, account: containers.Account, slot: containers.Slot, signer: address) -> containers.Booked:
    """Whether an agent is trusted or dismissed; PROTOCOL.md 8.9."""
    refused: containers.Booked = containers.Booked(code=codes.NOT_CANONICAL, account=account, other=account, slot=slot, fee=0, dust=0)
    if request.slot == 0 or request.other >= constants.AGENTS or request.first_slot > request.last_slot:
        return refused
    # Nobody is an agent by the one word that is zero.
    if request.recipient == containers.NOBODY and (request.amount != 0 or request.last_slot != 0):
        return refused
    refused.code = signatures.permitted(signatures.owned(account, signer), terms, request, account, slot)
    if refused.code != codes.OK:
        return refused
    word: uint256 = encoding.agent_word(request.recipient, request.amount, request.first_slot, request.last_slot)
    trusted: containers.Account = self.trusting(account, request.other, word)
    used: containers.Slot = containers.Slot(sequence=request.sequence + 1, filled=0)
    return containers.Booked(code=codes.OK, account=trusted, other=account, slot=used, fee=0, dust=0)


@internal
@pure
def set_leverage(terms: containers.Terms, request: containers.Request, account: containers.Account, slot: containers.Slot, signer: address) -> containers.Booked:
    """Whether an owner's own bound is set; PROTOCOL.md 8.10."""
    refused: containers.Booked = containers.Booked(code=codes.NOT_CANONICAL, account=account, other=account, slot=slot, fee=0, dust=0)
    if request.slot == 0 or request.amount > constants.PPM:
        return refused
    refused.code = signatures.permitted(signatures.owned(account, signer), terms, request, account, slot)
    if refused.code != codes.OK:
        return refused
    bounded: containers.Account = containers.Account(
        owner=account.owner,
        floor=account.floor,
        settled=account.settled,
        older=account.older,
        fresh=account.fresh,
        epoch=account.epoch,
        initial_ppm=request.amount,
        agents=account.agents,
        positions=account.positions,
        factor=account.factor,
    )
    used: containers.Slot = containers.Slot(sequence=request.sequence + 1, filled=0)
    return containers.Booked(code=codes.OK, account=bounded, other=account, slot=used, fee=0, dust=0)


@internal
@pure
def book(tag: int256, terms: containers.Terms, request: containers.Request, account: containers.Account, slot: containers.Slot, signer: address) -> containers.Booked:
    """What a request that moves no money comes to, and what its bytes cost; PROTOCOL.md 8.4, 8.5, 8.9, 8.10."""
    booked: containers.Booked = containers.Booked(code=codes.OK, account=account, other=account, slot=slot, fee=0, dust=0)
    if tag == constants.CANCEL:
        booked = self.cancel(terms, request, account, slot, signer)
    elif tag == constants.SET_AGENT:
        booked = self.set_agent(terms, request, account, slot, signer)
    elif tag == constants.SET_LEVERAGE:
        booked = self.set_leverage(terms, request, account, slot, signer)
    else:
        booked = self.cancel_all(terms, request, account, signer)
    if booked.code != codes.OK:
        return booked
    paid: containers.Account = booked.account
    dust: int256 = 0
    paid, dust = self.charged(terms, booked.account)
    # Requirements are not asked: an account may call its orders back for as long as it can pay for that.
    every: containers.Sums = margin.sums(terms.risk, paid, constants.MARKETS)
    if margin.collateral(paid) + every.value < 0:
        booked.code = codes.INSOLVENT
        return booked
    booked.account = paid
    booked.fee = terms.posting_fee
    booked.dust = dust
    return booked


@internal
@pure
def check_sender(entry: containers.Entry, account: containers.Account) -> int256:
    """Whether an entry's sender owns the account that it names; PROTOCOL.md 8.17."""
    if entry.account < constants.RESERVED_ACCOUNTS:
        return codes.RESERVED
    if account.owner == containers.NOBODY:
        return codes.NO_ACCOUNT
    if account.owner != entry.sender:
        return codes.NOT_OWNER
    return codes.OK


@internal
@pure
def released(risk: containers.Risk, clock: containers.Clock, withdrawal_count: int256, settled: containers.Account, amount: int256) -> int256:
    """How much a forced path pays of what it asks for; PROTOCOL.md 7.3."""
    # Forced paths work at all times; without a young price more of open notional has to stay.
    floor_ppm: int256 = constants.WITHDRAWAL_FLOOR_PPM
    if clock.grace or not clock.priced:
        floor_ppm = constants.FORCED_FLOOR_PPM
    if withdrawal_count >= constants.MAX_WITHDRAWALS:
        return 0
    return max(min(amount, min(settled.settled, margin.spendable(risk, settled, floor_ppm))), 0)


@internal
@pure
def left(account: containers.Account, now: int256) -> containers.Account:
    """An account whose owner leaves: signatures void, agents dismissed; PROTOCOL.md 8.19."""
    # Whatever was signed so far is below the floor: nobody signs further ahead than the tolerance.
    agents: uint256[2] = account.agents
    for i: int256 in range(constants.AGENTS):
        agents[i] = 0
    return containers.Account(
        owner=account.owner,
        floor=max(account.floor, now + constants.CLOCK_TOLERANCE + 1),
        settled=account.settled,
        older=account.older,
        fresh=account.fresh,
        epoch=account.epoch,
        initial_ppm=account.initial_ppm,
        agents=agents,
        positions=account.positions,
        factor=account.factor,
    )


@internal
@pure
def raised(account: containers.Account, least: int256) -> containers.Account:
    """An account on which nothing of a sequence below a floor is valid any more; PROTOCOL.md 8.20."""
    return containers.Account(
        owner=account.owner,
        floor=max(account.floor, least),
        settled=account.settled,
        older=account.older,
        fresh=account.fresh,
        epoch=account.epoch,
        initial_ppm=account.initial_ppm,
        agents=account.agents,
        positions=account.positions,
        factor=account.factor,
    )


@internal
@pure
def trusting(account: containers.Account, index: int256, word: uint256) -> containers.Account:
    """An account with an agent in one of its places, or nobody; PROTOCOL.md 8.9, 8.20."""
    agents: uint256[2] = account.agents
    agents[index] = word
    return containers.Account(
        owner=account.owner,
        floor=account.floor,
        settled=account.settled,
        older=account.older,
        fresh=account.fresh,
        epoch=account.epoch,
        initial_ppm=account.initial_ppm,
        agents=agents,
        positions=account.positions,
        factor=account.factor,
    )


@internal
@pure
def enter(tag: int256, risk: containers.Risk, clock: containers.Clock, withdrawal_count: int256, entry: containers.Entry, account: containers.Account) -> containers.Entered:
    """What an entry of an account's owner comes to; PROTOCOL.md 8.17 to 8.20."""
    entered: containers.Entered = containers.Entered(
        code=self.check_sender(entry, account), account=account, amount=0, lots=0, opened=False, dust=0
    )
    if entered.code != codes.OK:
        return entered
    if tag == constants.FORCED_AGENT:
        nobody: bool = entry.agent == containers.NOBODY and (entry.expires_at != 0 or entry.last_slot != 0)
        raising: bool = entry.agent_index == constants.FLOOR_INDEX
        named: bool = raising and entry.agent != containers.NOBODY
        if entry.agent_index > constants.FLOOR_INDEX or entry.first_slot > entry.last_slot or nobody or named:
            entered.code = codes.BAD_ENTRY
            return entered
        if raising:
            entered.account = self.raised(account, entry.time)
            return entered
        word: uint256 = encoding.agent_word(entry.agent, entry.expires_at, entry.first_slot, entry.last_slot)
        entered.account = self.trusting(account, entry.agent_index, word)
        return entered
    settled: containers.Account = account
    dust: int256 = 0
    settled, dust = margin.settle(risk, account, clock.now)
    if tag == constants.FORCED_CLOSE:
        if entry.market >= constants.MARKETS:
            entered.code = codes.NO_MARKET
            return entered
        entered.lots = min(entry.amount, abs(encoding.unpack(settled.positions[entry.market]).size))
        if entered.lots == 0:
            entered.code = codes.OVERFILLED
        # No price is asked for: none that a step takes is older than the entry.
        entered.opened = entered.code == codes.OK
        return entered
    entered.account = settled
    entered.dust = dust
    if tag == constants.LEAVE:
        entered.account = self.left(settled, clock.now)
        entered.opened = not margin.closed(settled, constants.MARKETS, 0)
        if entered.opened:
            return entered
    entered.amount = self.released(risk, clock, withdrawal_count, settled, entry.amount)
    if entered.amount == 0 and tag == constants.FORCED_WITHDRAW:
        return containers.Entered(code=codes.COLLATERAL, account=account, amount=0, lots=0, opened=False, dust=0)
    entered.account = self.credited(entered.account, -entered.amount)
    return entered
