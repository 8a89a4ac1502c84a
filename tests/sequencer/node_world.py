"""A venue to test with: keys, signed operations with sensible defaults, and what must hold of every engine."""

from copy import deepcopy
from functools import cache, partial
from typing import Any, Final

import msgspec

from l1_bridge.hashing import keccak
from prover.contracts.referee import LocalReferee
from prover.signing import operations, signatures
from prover.signing.reports import assembled, signed_report
from prover.signing.signed import recovered
from prover.signing.typed_data import domain_separator
from prover.state import state as prover_state
from prover.state.genesis import DEVNET_MARKETS, MarketListing, genesis_bytes
from prover.state.store import MemoryStore
from prover.stf import constants, containers, encoding, margin
from prover.stf.replay import is_entry
from sequencer.devnet.prices import DEVNET_QUORUM, devnet_signer_keys
from sequencer.engine.effects import Processed
from sequencer.engine.engine import Engine, EngineLimits
from sequencer.engine.records import Input, SealedChunk, Terms
from sequencer.engine.reservation import Sums
from sequencer.sequencing.staged_store import BufferedStore
from tests.twins.venue import with_funds

CHAIN_ID: Final = 31_337
BRIDGE: Final = b"\x11" * 20
DOMAIN: Final = domain_separator(CHAIN_ID, BRIDGE)
# On the tick grid.
START: Final = 1_800_000_000_000
DOLLAR: Final = 1_000_000
FIRST: Final = constants.RESERVED_ACCOUNTS
DEPOSITOR: Final = b"\x55" * 20
RECIPIENT: Final = b"\x66" * 20
PRICES: Final = (600_000, 300_000, 1_500_000)
BTC, ETH, SOL = range(3)
BUY, SELL = constants.BUY, constants.SELL
GTC, IOC, FOK = constants.GOOD_TILL_TIME, constants.IMMEDIATE_OR_CANCEL, constants.FILL_OR_KILL
# 600 dollars of BTC at the first tick.
LOTS: Final = 1_000


@cache
def key(index: int) -> bytes:
    """The private key of a trader."""
    return keccak(b"catenary venue test key %d" % index)


@cache
def owner(index: int) -> bytes:
    """The address of a trader."""
    return signatures.address_of(key(index))


Listings = tuple[MarketListing, ...]


@cache
def genesis(listings: Listings = DEVNET_MARKETS) -> bytes:
    """The devnet's genesis with the devnet's oracle."""
    signers = [signatures.address_of(signer) for signer in devnet_signer_keys()]
    return genesis_bytes(owner(99), signers, DEVNET_QUORUM, listings)


@cache
def referee() -> LocalReferee:
    """The shipped bytecode, deployed once a process."""
    return LocalReferee()


def genesis_store(domain: bytes = DOMAIN, listings: Listings = DEVNET_MARKETS, funds: bool = True) -> MemoryStore:
    """A store that holds the genesis state; with `funds` as scaling reads them, while their accounts stay empty."""
    store = MemoryStore()
    state = prover_state.create(store, domain, genesis(listings))
    if funds:
        data = encoding.globals_bytes(with_funds(state.globals))
        commitment = msgspec.structs.replace(state.commitment, globals_hash=keccak(data))
        store.write({b"globals": data, b"commitment": encoding.commitment_bytes(commitment)}, sync=False)
    return store


def tick(
    time: int, prices: tuple[int, ...] = PRICES, premiums: tuple[int, ...] = (0, 0, 0), domain: bytes = DOMAIN
) -> bytes:
    """A tick that the quorum signed. time in ms on the grid, prices in ticks, premiums in ppb an hour."""
    return signed_tick(domain, devnet_signer_keys()[:DEVNET_QUORUM], time, list(prices), list(premiums))


def signed_tick(domain: bytes, keys: list[bytes], time: int, prices: list[int], premiums: list[int]) -> bytes:
    """A tick that signers 0, 1, ... sign alike."""
    signers = [partial(signatures.sign, key) for key in keys]
    return assembled([signed_report(domain, sign, time, index, prices, premiums) for index, sign in enumerate(signers)])


def deposit(owner_address: bytes, amount: int, account: int = constants.NEW_ACCOUNT) -> bytes:
    """A deposit as the queue has it."""
    return operations.deposit_bytes(containers.Deposit(DEPOSITOR, owner_address, account, amount))


def leave(now: int, account: int, sender: bytes) -> bytes:
    """The bytes of an entry by which an owner closes and takes out everything."""
    fields = encoding.entry(constants.LEAVE, 0, 0)
    payload = operations.entry_payload(constants.LEAVE, msgspec.structs.replace(fields, account=account))
    return operations.entry_bytes(constants.LEAVE, sender, now, payload)


def void_all(now: int, account: int, sender: bytes) -> bytes:
    """The bytes of an entry by which an owner voids whatever was signed before L1 took it."""
    fields = encoding.entry(constants.FORCED_AGENT, 0, 0)
    changed = msgspec.structs.replace(fields, account=account, agent_index=constants.FLOOR_INDEX)
    payload = operations.entry_payload(constants.FORCED_AGENT, changed)
    return operations.entry_bytes(constants.FORCED_AGENT, sender, now, payload)


def order(now: int, account: int, side: int, price: int, size: int = LOTS, **changes: Any) -> containers.Order:
    """A good BTC order of slot 1; changes by field name."""
    immediate = changes.get("time_in_force", GTC) != GTC
    created = changes.pop("created_at", now)
    fields: dict[str, Any] = {
        "account": account,
        "market": BTC,
        "side": side,
        "size": size,
        "limit_price": price,
        "slot": 1,
        "sequence": created,
        "created_at": created,
        "expires_at": created + (constants.IMMEDIATE_LIFETIME if immediate else 60_000),
        "time_in_force": GTC,
        "post_only": 0,
        "reduce_only": 0,
        "trigger": constants.NO_TRIGGER,
        "trigger_price": 0,
        "max_fee_ppm": 1_000,
        "max_posting_fee": 1_000,
        "unused": 0,
    }
    return containers.Order(**{**fields, **changes})


def signed_order(given: containers.Order, private_key: bytes, domain: bytes = DOMAIN) -> bytes:
    """The operation bytes of an order."""
    return operations.order_bytes(given, signatures.sign(private_key, signatures.order_digest(domain, given)))


def request(now: int, account: int, **changes: Any) -> containers.Request:
    """A request of slot 200; changes by field name."""
    created = changes.pop("created_at", now)
    fields: dict[str, Any] = {
        "account": account,
        "slot": 200,
        "sequence": created,
        "created_at": created,
        "expires_at": created + 60_000,
        "amount": 0,
        "other": 0,
        "recipient": containers.NOBODY,
        "max_posting_fee": 1_000,
    }
    return containers.Request(**{**fields, **changes})


def signed_request(tag: int, given: containers.Request, private_key: bytes, domain: bytes = DOMAIN) -> bytes:
    """The operation bytes of a request."""
    digest = signatures.request_digest(domain, tag, given)
    return operations.request_bytes(tag, given, signatures.sign(private_key, digest))


class World:
    """An engine over a memory store, a clock moved by hand, and the journal that an edge would have kept."""

    def __init__(
        self,
        traders: int = 0,
        limits: EngineLimits | None = None,
        dollars: int = 100_000,
        domain: bytes = DOMAIN,
        start: int = START,
        listings: Listings = DEVNET_MARKETS,
        funds: bool = True,
    ) -> None:
        """With `traders`, that many funded accounts FIRST, FIRST + 1, ... and a first tick. `start` is on the grid.

        Without `funds` everything begins with the genesis that a bridge would have, and nobody has leverage.
        """
        self.limits = limits
        self.domain = domain
        self.listings = listings
        self.funds = funds
        self.store = genesis_store(domain, listings, funds)
        self.engine = Engine(BufferedStore(self.store), domain, limits)
        self.now = start
        self.queue_only = False
        self.byte_micros = 0
        self.journal: list[Input] = []
        self.sealed: list[SealedChunk] = []
        if traders:
            for index in range(traders):
                self.process(deposit(owner(index), dollars * DOLLAR))
            self.process(tick(self.now, domain=domain))

    # What the edge does.

    def process(self, operation: bytes, terms: Terms | None = None) -> Processed:
        """One input, journaled if it changed something; terms: what is asked beside what is signed."""
        signed = bool(operation) and operation[0] != constants.TICK and not is_entry(operation[0])
        signer = recovered(self.engine.domain, operation) if signed else b""
        given = Input(self.now, operation, signer, self.queue_only, terms, self.byte_micros)
        outcome = self.engine.process(given)
        if outcome.changed:
            self.journal.append(given)
            self.sealed += self.engine.flush(len(self.journal))
        else:
            assert not self.engine.sealed, "what sealed a chunk has changed something"
        return outcome

    def seal(self) -> None:
        """Seals and writes the open chunk."""
        self.process(b"")

    def tick(self, prices: tuple[int, ...] = PRICES, premiums: tuple[int, ...] = (0, 0, 0)) -> Processed:
        """The next tick on the grid, with the clock moved there."""
        self.now += constants.TICK_STEP - self.now % constants.TICK_STEP
        return self.process(tick(self.now, prices, premiums, self.domain))

    # What traders do. A trader is the index of a key, its account FIRST + that.

    def order(self, trader: int, side: int, price: int, size: int = LOTS, **changes: Any) -> Processed:
        """One signed order."""
        terms = changes.pop("terms", None)
        given = order(self.now, FIRST + trader, side, price, size, **changes)
        return self.process(signed_order(given, key(trader), self.domain), terms)

    def signed(self, given: containers.Order, trader: int) -> bytes:
        """An order as it is signed here."""
        return signed_order(given, key(trader), self.domain)

    def request(self, tag: int, trader: int, **changes: Any) -> Processed:
        """One signed request."""
        return self.process(signed_request(tag, request(self.now, FIRST + trader, **changes), key(trader), self.domain))

    def grant(self, trader: int, agent: int, index: int = 0, **changes: Any) -> Processed:
        """The owner's word for an agent, who is the index of a key too: every slot, for an hour; or as changed."""
        fields = {"amount": self.now + constants.HOUR, "first_slot": 0, "last_slot": 255, "slot": 250, **changes}
        return self.request(constants.SET_AGENT, trader, other=index, recipient=owner(agent), **fields)

    def dismiss(self, trader: int, index: int = 0, **changes: Any) -> Processed:
        """The owner's word that there is no agent any more."""
        return self.request(constants.SET_AGENT, trader, other=index, **{"slot": 250, **changes})

    def agent_order(
        self, agent: int, trader: int, side: int, price: int, size: int = LOTS, **changes: Any
    ) -> Processed:
        """One order for a trader's account, signed by somebody else."""
        given = order(self.now, FIRST + trader, side, price, size, **changes)
        return self.process(signed_order(given, key(agent), self.domain))

    # What is seen.

    def resting(self, market: int = BTC) -> list[tuple[int, int, int]]:
        """(trader, slot, lots left) of the book's orders by arrival."""
        return [(given.account - FIRST, given.slot, left) for given, left in self.engine.books[market].resting()]

    def waiting(self, market: int = BTC) -> list[tuple[int, int]]:
        """(trader, slot) of the armed orders by arrival."""
        return [(given.account - FIRST, given.slot) for given in self.engine.triggers[market].waiting()]

    def open(self, trader: int) -> dict[int, Sums]:
        """What a trader's open orders reserve margin for."""
        return self.engine.orders.reserved(FIRST + trader, self.engine.globals.risk.price)

    def position(self, trader: int, market: int = BTC) -> int:
        """Lots held."""
        return encoding.unpack(self.engine.account(FIRST + trader).positions[market]).size

    # What must hold.

    def check(self, flush_every: int = 7) -> None:
        """Seals, then: bytecode, journal and store all say the same root, and the same books."""
        self.seal()
        check_chunks(self.store, self.engine, self.listings, self.funds)
        check_conservation(self.engine)
        for interval in (0, flush_every):
            again = replayed(self.journal, interval, self.limits, self.listings, self.funds)
            assert picture(again) == picture(self.engine)
        reopened = Engine(BufferedStore(deepcopy(self.store)), DOMAIN, self.limits)
        for given in self.journal[reopened.cursor :]:
            assert reopened.process(given).changed
        assert picture(reopened) == picture(self.engine)


def replayed(
    journal: list[Input],
    flush_every: int,
    limits: EngineLimits | None = None,
    listings: Listings = DEVNET_MARKETS,
    funds: bool = True,
) -> Engine:
    """An engine that a journal alone made; it is thrown away and reopened at every `flush_every`th flush."""
    store = genesis_store(listings=listings, funds=funds)
    engine = Engine(BufferedStore(store), DOMAIN, limits)
    flushes = 0
    for count, given in enumerate(journal, start=1):
        assert engine.process(given).changed
        if engine.sealed:
            engine.flush(count)
            flushes += 1
            if flush_every and flushes % flush_every == 0:
                engine = Engine(BufferedStore(store), DOMAIN, limits)
                # What overflowed a chunk stands in the next one: the store ends with the input before it.
                assert count - 1 <= engine.cursor <= count
                for late in journal[engine.cursor : count]:
                    assert engine.process(late).changed
                assert not engine.sealed
    return engine


def picture(engine: Engine) -> dict[str, Any]:
    """Everything of an engine that a restart has to bring back."""
    return {
        "root": engine.state.root,
        "chunks": engine.chunk_count,
        "cursor": engine.cursor,
        "books": [[(order.account, order.slot, order.sequence, left) for order, left in book.resting()]
                  for book in engine.books],
        "depth": [book.depth(1_000) for book in engine.books],
        "armed": [[(order.account, order.slot, order.sequence) for order in book.waiting()]
                  for book in engine.triggers],
        "withdrawals": list(engine.withdrawals),
        "rescues": list(engine.rescues),
        "entries": list(engine.entries),
        "tick signers": engine.tick_signers,
        "accounts": {owner(index): engine.accounts_of(owner(index)) for index in range(100)},
    }  # fmt: skip


def check_chunks(store: MemoryStore, engine: Engine, listings: Listings = DEVNET_MARKETS, funds: bool = True) -> None:
    """Every chunk replays on the shipped bytecode, from the root before it to its own."""
    root = prover_state.State(genesis_store(listings=listings, funds=funds), DOMAIN).root
    for number in range(1, engine.chunk_count + 1):
        chunk = engine.chunk_record(number)
        assert chunk is not None
        assert chunk.number == number
        assert chunk.pre_root == root
        assert len(chunk.body) <= constants.MAX_CHUNK_BYTES
        root = referee().replay(DOMAIN, chunk.pre_root, chunk.body, chunk.witness)
        assert chunk.post_root == root, f"chunk {number}"
        assert engine.chunk_with_root(root) == number
    assert engine.state.root == root


def check_conservation(engine: Engine) -> None:
    """The equation of the blueprint's numbers, over every account that exists."""
    globals = engine.globals
    money = globals.funding_dust - (globals.pool.receivable + globals.pool.owed) * constants.FUNDING_SCALE
    sizes = [0] * constants.MARKETS
    longs = [0] * constants.MARKETS
    for index in range(globals.next_account):
        account = engine.account(index)
        money += margin.collateral(account) * constants.FUNDING_SCALE
        for market in range(constants.MARKETS):
            held = encoding.unpack(account.positions[market])
            owed = held.size * (globals.risk.funding_index[market] - held.funding)
            money -= held.cost * constants.FUNDING_SCALE + owed
            if globals.markets[market].status == constants.MARKET_SETTLED:
                # Some have been folded already: what is left counts at the price for ever.
                money += held.size * globals.risk.price[market] * constants.FUNDING_SCALE
                continue
            sizes[market] += held.size
            longs[market] += max(0, held.size)
    paid_in = globals.deposited_total - engine.view.commitment.withdrawn_total
    assert money == paid_in * constants.FUNDING_SCALE
    assert sizes == [0] * constants.MARKETS
    assert longs == [market.open_interest for market in globals.markets]
