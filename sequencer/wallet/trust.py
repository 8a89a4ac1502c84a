"""What a wallet believes, and why: contracts by their code on L1, markets by the genesis log, balances by a proof."""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from l1_bridge.addresses import AddressError, checksum_address, parse_address
from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error, L1Reverted
from l1_bridge.codec import batch, calls
from l1_bridge.contracts.artifact import ArtifactError, bridge_artifact
from l1_bridge.hashing import keccak
from prover.contracts import deployment
from prover.contracts.referee import FAMILIES, artifact
from prover.signing.typed_data import domain_separator
from prover.state.genesis import legal_globals, market_names
from prover.stf import constants, containers, encoding
from sequencer.schema.answers import AccountProof, GlobalsProof, MarketView, Status, WithdrawalProof
from sequencer.wallet.errors import BadInput, BadProof, L1Unreachable, NotGenuine, NotYet, WrongChain
from sequencer.wallet.units import MONEY_DECIMALS

_CACHE_LIMIT: Final = 64
# PROTOCOL.md derives what a hostile sequencer can gain on forced paths from an hour each.
_MOST_WAIT_SECONDS: Final = 3_600


class ListedMarket(msgspec.Struct, frozen=True):
    """A market as L1 has it: what its lots and ticks mean, what it may charge, how far it strays.

    `final_in` seconds the batch that lists it can no longer be proven wrong; 0 where the label stands for ever.
    """

    index: int
    name: str
    size_decimals: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    band_ppm: int
    final_in: int = 0

    @property
    def price_decimals(self) -> int:
        """Lots times ticks are micro-dollars, so both decimals add up to six."""
        return MONEY_DECIMALS - self.size_decimals


class Location(msgspec.Struct, frozen=True):
    """Which code stands where, before anything is said about it.

    `code_hash` is of the bridge's runtime code, immutables included; `shipped_hash` of the code it is compared with.
    `genesis_root` is that of batch 0: after a reorganisation another genesis may have come to the same address.
    """

    chain_id: int
    genesis_block_hash: bytes
    rollup: bytes
    genesis_root: bytes
    code_hash: bytes
    shipped_hash: bytes


class Venue(msgspec.Struct, frozen=True):
    """One deployment, as found genuine on L1, and where it was found; `block` is that of its first log."""

    location: Location
    referee: bytes
    token: bytes
    window_seconds: int
    minimum_deposit_micros: int
    posting_fee_micros: int
    operator: bytes
    governor: bytes
    block: int
    oracle_signers: tuple[bytes, ...]
    oracle_quorum: int
    markets: tuple[ListedMarket, ...]

    @property
    def chain_id(self) -> int:
        """The L1's."""
        return self.location.chain_id

    @property
    def rollup(self) -> bytes:
        """The bridge's address."""
        return self.location.rollup

    @property
    def domain(self) -> bytes:
        """The EIP-712 domain separator, computed here."""
        return domain_separator(self.chain_id, self.rollup)

    def market(self, name: str | int) -> ListedMarket:
        """A market to sign for, by its name, in any case, or by its index; BadInput where there is none.

        NotYet where it stands in no final batch: a lie could still say what its lots and ticks mean.
        """
        found = market_called(name, self.markets)
        if found.final_in > 0:
            raise NotYet(
                f"market {found.name} was listed by a batch that is not final for another {found.final_in} s of L1's "
                "clock: until then what its lots mean may prove a lie, and nothing is signed for it; wait until then"
            )
        return found


def market_called(name: str | int, markets: Sequence[ListedMarket]) -> ListedMarket:
    """A market by its name, in any case, or by its index; BadInput where there is none."""
    for market in markets:
        if str(name).upper() in (market.name.upper(), str(market.index)):
            return market
    names = ", ".join(market.name for market in markets)
    raise BadInput(f"there is no market {name}; there are {names}")


def keep_cached(path: Path, content: bytes) -> None:
    """Replaces a file of the owner's alone, whole; where that cannot be written it stays as it was."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.write_bytes(content)
        temporary.chmod(0o600)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)


class VerdictCache:
    """Verdicts that stand for ever: the code and the chain that they were found on are their key."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, location: Location) -> Venue | None:
        """The verdict on exactly this code at this address of this chain, by exactly this wallet."""
        return next((known for known in self._load() if known.location == location), None)

    def add(self, venue: Venue) -> None:
        """Keeps a verdict; a cache that cannot be written costs the next run a few calls and nothing else."""
        keep_cached(self._path, msgspec.json.encode([*self._load(), venue][-_CACHE_LIMIT:]))

    def _load(self) -> list[Venue]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[Venue])
        except (OSError, msgspec.DecodeError, msgspec.ValidationError):
            return []


async def examine(l1: L1Client, status: Status, cache: VerdictCache | None, expected: bytes | None = None) -> Venue:
    """The venue that the node claims to serve, if it is what L1 holds and what this package ships.

    `expected` is the rollup's address as the user knows it. Raises WrongChain, NotGenuine or L1Unreachable.
    """
    with _answered():
        return await _examine(l1, status, cache, expected)


async def examine_alone(l1: L1Client, rollup: bytes, cache: VerdictCache, pinned_chain: int | None = None) -> Venue:
    """The venue at an address, by L1 alone: for whoever has to do without the node. Raises as `examine`.

    `pinned_chain`: the one that the address was pinned on, where the user has not named it anew.
    """
    with _answered():
        chain_id = await l1.chain_id()
        if pinned_chain not in (None, chain_id):
            raise WrongChain(f"this wallet's rollup is on chain {pinned_chain}, the L1 at {l1.url} is chain {chain_id}")
        return await _genuine(l1, chain_id, rollup, cache)


@contextmanager
def _answered() -> Iterator[None]:
    """What L1 refuses, or does not answer, in the wallet's words."""
    try:
        yield
    except L1Reverted as error:
        raise NotGenuine(f"the contracts on L1 do not answer as Catenary's do: {error.reason}") from None
    except L1Error as error:
        raise L1Unreachable(str(error)) from None
    except ArtifactError as error:
        raise NotGenuine(f"the contracts on L1 do not answer as Catenary's do: {error}") from None


async def _examine(l1: L1Client, status: Status, cache: VerdictCache | None, expected: bytes | None) -> Venue:
    chain_id = await l1.chain_id()
    if chain_id != status.chain_id:
        raise WrongChain(f"the node serves chain {status.chain_id}, the L1 at {l1.url} is chain {chain_id}")
    rollup = _node_address(status.rollup_address, "rollup")
    if expected is not None and rollup != expected:
        raise WrongChain(
            f"the node serves the rollup {checksum_address(rollup)}, not {checksum_address(expected)} as asked for"
        )
    venue = await _genuine(l1, chain_id, rollup, cache)
    for name, said, actual in (
        ("referee", status.referee_address, venue.referee),
        ("token", status.token_address, venue.token),
    ):
        if _node_address(said, name) != actual:
            raise NotGenuine(f"the node names {said} as {name}, but the bridge has {checksum_address(actual)}")
    return venue


async def _genuine(l1: L1Client, chain_id: int, rollup: bytes, cache: VerdictCache | None) -> Venue:
    first = await l1.block(0)
    shipped = [bridge_artifact(), *(artifact(name) for name in ("FraudReferee", *FAMILIES))]
    code = await l1.code(rollup)
    location = Location(
        chain_id=chain_id,
        genesis_block_hash=b"" if first is None else first.hash,
        rollup=rollup,
        genesis_root=await deployment.genesis_root(l1, rollup) if bridge_artifact().matches_runtime(code) else b"",
        code_hash=keccak(code),
        shipped_hash=keccak(b"".join(keccak(contract.runtime_bytecode) for contract in shipped)),
    )
    venue = cache.find(location) if cache is not None else None
    if venue is None:
        venue = await _verify(l1, location)
        if cache is not None:
            cache.add(venue)
    return venue


async def _verify(l1: L1Client, location: Location) -> Venue:
    try:
        found = await deployment.read(l1, location.rollup)
    except deployment.WrongContracts as error:
        raise NotGenuine(f"{error}; nothing is signed for it") from None
    answer = await l1.eth_call(location.rollup, bridge_artifact().encode_call("parameters"))
    parameters = calls.decode_record(calls.Parameters, answer)
    waits = (("clock lag", parameters.max_lag_seconds), ("queue wait", parameters.inclusion_seconds))
    for word, seconds in waits:
        if seconds > _MOST_WAIT_SECONDS:
            raise NotGenuine(
                f"the bridge lets the sequencer's {word} by {seconds} s, where at most {_MOST_WAIT_SECONDS} s keep "
                "in time what is forced; nothing is signed for it"
            )
    globals, block = await _genesis_globals(l1, location)
    return Venue(
        location=location,
        referee=found.referee,
        token=found.token,
        window_seconds=parameters.window_seconds,
        minimum_deposit_micros=parameters.minimum_deposit_micros,
        posting_fee_micros=globals.posting_fee,
        operator=globals.operator,
        governor=parameters.governor,
        block=block,
        oracle_signers=tuple(signer for signer in globals.signers if signer != containers.NOBODY),
        oracle_quorum=globals.quorum,
        markets=listed_markets(globals),
    )


def listed_markets(globals: containers.Globals) -> tuple[ListedMarket, ...]:
    """All markets of a venue."""
    markets = globals.markets[: globals.market_count]
    names = market_names([market.label for market in markets])
    return tuple(
        ListedMarket(index, name, market.label[31], market.maker_fee_ppm, market.taker_fee_ppm, market.band_ppm)
        for index, (name, market) in enumerate(zip(names, markets, strict=True))
    )


async def _genesis_globals(l1: L1Client, location: Location) -> tuple[containers.Globals, int]:
    """The first globals, from the one log that the bridge's constructor wrote, and its block."""
    try:
        logged = await deployment.logged_genesis(l1, batch.BridgeId(location.chain_id, location.rollup))
    except deployment.WrongContracts as error:
        raise NotGenuine(f"{error}; nothing is signed for it") from None
    if logged is not None:
        genesis, block = logged
        return legal_globals(genesis), block
    raise NotGenuine("the L1 node does not give the bridge's genesis log: what lots and ticks mean is unknown")


def governed(
    venue: Venue, final: Sequence[ListedMarket], posted: containers.Globals, number: int, final_in: int
) -> Venue:
    """The venue with what it lists and charges by a posted batch; BadProof where labels that were final are others.

    `final`: the markets of a final batch, or of genesis; those that came later are final with the posted one.
    """
    markets = listed_markets(posted)
    for was, is_now in itertools.zip_longest(final, markets[: len(final)]):
        if is_now is None or (was.name, was.size_decimals) != (is_now.name, is_now.size_decimals):
            raise BadProof(
                f"batch {number} on L1 changes the label of market {was.index}, which was final as {was.name} of "
                f"{was.size_decimals} decimals and changes never: the batch is a lie, and nothing is signed on it"
            )
    later = [msgspec.structs.replace(market, final_in=final_in) for market in markets[len(final) :]]
    return msgspec.structs.replace(
        venue,
        markets=(*markets[: len(final)], *later),
        posting_fee_micros=posted.posting_fee,
        oracle_signers=tuple(signer for signer in posted.signers if signer != containers.NOBODY),
    )


def check_markets(venue: Venue, markets: Sequence[MarketView]) -> None:
    """NotGenuine where the node gives a market another name or grid than L1: a size would mean something else."""
    for listed in venue.markets:
        for market in markets:
            if market.index == listed.index:
                said = (market.name, market.size_decimals, market.price_decimals)
                if said != (listed.name, listed.size_decimals, listed.price_decimals):
                    raise NotGenuine(f"the node calls market {listed.index} {said}, L1 calls it {listed.name}")


class ProvenAccount(msgspec.Struct, frozen=True):
    """An account as a batch on L1 commits to it, and how much of the queue that batch was done with, and took."""

    batch_number: int
    account: containers.Account
    timestamp_ms: int
    queue_count: int
    queue_taken: int


async def prove_account(l1: L1Client, venue: Venue, account: int, proof: AccountProof) -> ProvenAccount:
    """The posted account, by Merkle path to the root that the bridge recorded; BadProof if the path leads elsewhere."""
    commitment = commitment_of(proof)
    payload = _hex(proof.leaf, "leaf")
    try:
        row = encoding.account_from_payload(payload) if payload else encoding.no_account()
    except ValueError as error:
        raise BadProof(f"the node's leaf is no account: {error}") from None
    node = encoding.account_hash(row)
    path = [_hex(item, "path", 32) for item in proof.path]
    if len(path) != constants.ACCOUNT_BITS + constants.SLOT_BITS:
        raise BadProof("the node's path has not 32 siblings")
    position = account << constants.SLOT_BITS
    for sibling in path:
        left, right = (sibling, node) if position & 1 else (node, sibling)
        node = containers.NO_HASH if left == right == containers.NO_HASH else keccak(left + right)
        position >>= 1
    if node != commitment.tree_root:
        raise BadProof("the node's path does not lead from the account to the committed tree")
    await recorded_batch(l1, venue, proof.batch, commitment)
    return ProvenAccount(proof.batch, row, commitment.timestamp_ms, commitment.queue_count, commitment.queue_taken)


class ProvenGlobals(msgspec.Struct, frozen=True):
    """The globals as a batch on L1 commits to them; `final_in` seconds nobody can prove it wrong any more."""

    batch_number: int
    globals: containers.Globals
    final_in: int


async def prove_globals(l1: L1Client, venue: Venue, proof: GlobalsProof) -> ProvenGlobals:
    """The globals as a posted batch on L1 commits to them; BadProof for any others."""
    commitment = commitment_of(proof)
    data = _hex(proof.globals, "globals")
    if keccak(data) != commitment.globals_hash:
        raise BadProof("the node's globals are not the committed ones")
    await recorded_batch(l1, venue, proof.batch, commitment)
    with _answered():
        final_at = await deployment.view(l1, bridge_artifact(), venue.rollup, "final_at", proof.batch)
        head = await l1.newest_block()
    final_in = max(0, final_at - head.timestamp)
    try:
        return ProvenGlobals(proof.batch, encoding.globals_from_bytes(data), final_in)
    except ValueError as error:
        raise BadProof(f"the committed globals cannot be read: {error}") from None


class ProvenWithdrawal(msgspec.Struct, frozen=True):
    """A withdrawal in the tree of a posted batch, with all that a claim needs."""

    batch_number: int
    commitment: batch.Commitment
    withdrawal: batch.Withdrawal
    proof: list[bytes]


async def prove_withdrawal(l1: L1Client, venue: Venue, index: int, proof: WithdrawalProof) -> ProvenWithdrawal:
    """The posted withdrawal, by its path to the recorded root; BadProof if the path leads elsewhere."""
    commitment = commitment_of(proof)
    recipient = _hex(proof.recipient, "recipient", 20)
    withdrawal = batch.Withdrawal(index, recipient, proof.amount_micros)
    path = [_hex(item, "proof", 32) for item in proof.proof]
    if not 0 <= index < constants.MAX_WITHDRAWALS or not 0 <= proof.amount_micros < 2**64:
        raise BadProof("the node's withdrawal has an index or an amount that no withdrawal has")
    if len(path) != batch.WITHDRAWALS_DEPTH:
        raise BadProof("the node's proof has not 32 siblings")
    if batch.merkle_root(withdrawal.leaf(), index, path) != commitment.withdrawals_root:
        raise BadProof("the node's proof does not lead from the withdrawal to the committed withdrawals tree")
    await recorded_batch(l1, venue, proof.batch, commitment)
    return ProvenWithdrawal(proof.batch, commitment, withdrawal, path)


async def recorded_batch(l1: L1Client, venue: Venue, number: int, commitment: batch.Commitment) -> calls.BatchRecord:
    """What the bridge keeps of a batch, if the commitment opens its last root; BadProof or NotYet if not."""
    bridge = bridge_artifact()
    try:
        data = await l1.eth_call(venue.rollup, bridge.encode_call("record", number))
    except L1Reverted as error:
        if error.reason == "NOT_CANONICAL":
            raise NotYet(f"batch {number} does not stand on L1: not posted yet, or rolled back") from None
        raise NotGenuine(f"the bridge does not answer: {error.reason}") from None
    except L1Error as error:
        raise L1Unreachable(str(error)) from None
    record = calls.decode_record(calls.BatchRecord, data)
    if record.last_root != commitment.root():
        raise BadProof(f"the node's commitment does not open the root of batch {number} on L1")
    return record


def commitment_of(proof: AccountProof | GlobalsProof | WithdrawalProof) -> batch.Commitment:
    """The commitment that a proof leads to; BadProof for what is none."""
    data = b"".join(_hex(word, "commitment", 32) for word in proof.commitment)
    try:
        return batch.Commitment.decode(data)
    except ValueError as error:
        raise BadProof(f"the node's commitment is none: {error}") from None


def _hex(text: str, what: str, size: int | None = None) -> bytes:
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise BadProof(f"the node's {what} is not hexadecimal") from None
    if size is not None and len(value) != size:
        raise BadProof(f"the node's {what} has {len(value)} bytes, not {size}")
    return value


def _node_address(text: str, what: str) -> bytes:
    try:
        return parse_address(text)
    except AddressError:
        raise NotGenuine(f"the node gives no usable {what} address: {text!r}") from None
