"""A wallet believes L1 and nobody else: tampered contracts, lying nodes, forged proofs, against a real chain."""

import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import rlp
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.codec import batch, calls
from l1_bridge.contracts.artifact import ARTIFACTS, bridge_artifact
from l1_bridge.hashing import keccak
from prover.contracts import deployment
from prover.contracts.referee import artifact
from prover.signing import signatures
from prover.state.genesis import DEVNET_MARKETS, genesis_bytes, label
from prover.state.state import genesis_commitment
from prover.state.tree import StateTree
from prover.stf import constants, containers, encoding
from sequencer.client.client import NodeClient
from sequencer.schema.answers import AccountProof, GlobalsProof, MarketView, Status, WithdrawalProof
from sequencer.wallet.errors import BadInput, BadProof, L1Unreachable, NotGenuine, NotYet, WalletError, WrongChain
from sequencer.wallet.trust import (
    ListedMarket,
    Venue,
    VerdictCache,
    check_markets,
    examine,
    examine_alone,
    governed,
    market_called,
    prove_account,
    prove_globals,
    prove_withdrawal,
)
from sequencer.wallet.verified import Verified, WalletOptions
from tests.l1_bridge.l1_nodes import anvil
from tests.sequencer.answers import answer
from tests.sequencer.wallet_node import mode

OPERATOR = development_key(0)
SIGNERS = [signatures.address_of(keccak(b"oracle %d" % number)) for number in range(7)]
GENESIS = genesis_bytes(OPERATOR.address, SIGNERS, 5)

T = TypeVar("T")


class Chain:
    """A deployed rollup on an L1 whose code a test may tamper with."""

    def __init__(self, url: str, found: deployment.Deployment) -> None:
        self.url = url
        self.found = found

    def ask(self, question: Callable[[L1Client], Awaitable[T]]) -> T:
        """The answer of a fresh client."""

        async def main() -> T:
            async with L1Client(self.url, L1Options(attempts=1)) as l1:
                return await question(l1)

        return trio.run(main)

    def examine(self, status: Status, cache: VerdictCache | None = None, expected: bytes | None = None) -> Venue:
        """The wallet's verdict."""
        return self.ask(lambda l1: examine(l1, status, cache, expected))

    def status(self, **changes: Any) -> Status:
        """What an honest node says, with changes."""
        honest = answer(
            Status,
            chain_id=31_337,
            rollup_address="0x" + self.found.bridge.hex(),
            referee_address="0x" + self.found.referee.hex(),
            token_address="0x" + self.found.token.hex(),
            law_version=constants.LAW_VERSION,
            ready=True,
        )
        return msgspec.structs.replace(honest, **changes)

    def replace_code(self, address: bytes, change: Callable[[bytes], bytes]) -> bytes:
        """Puts other code at an address, as only a test chain lets one; gives the code that stood there."""

        async def question(l1: L1Client) -> bytes:
            code = await l1.code(address)
            await l1.call("anvil_setCode", ["0x" + address.hex(), "0x" + change(code).hex()])
            return code

        return self.ask(question)


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    """A rollup freshly deployed on anvil."""
    with anvil() as node:

        async def main() -> deployment.Deployment:
            async with L1Client(node.url) as l1:
                return await deployment.deploy(l1, OPERATOR, GENESIS)

        yield Chain(node.url, trio.run(main))


@pytest.mark.parametrize("name", ["ETH", "eth", "1", 1])
def test_a_market_is_called_by_its_name_in_any_case_or_by_its_index(name: str | int) -> None:
    markets = [ListedMarket(index, label, 4, 100, 450, 50_000) for index, label in enumerate(("BTC", "ETH"))]
    assert market_called(name, markets) is markets[1]
    for stranger in ("DOGE", "01", "2", 2, ""):
        with pytest.raises(BadInput, match=f"no market {stranger}; there are BTC, ETH"):
            market_called(stranger, markets)


def test_a_genuine_rollup_is_recognised(chain: Chain) -> None:
    venue = chain.examine(chain.status(), expected=chain.found.bridge)
    assert (venue.chain_id, venue.rollup) == (31_337, chain.found.bridge)
    assert (venue.referee, venue.token) == (chain.found.referee, chain.found.token)
    assert venue.domain == chain.found.domain
    assert [(market.name, market.size_decimals, market.price_decimals) for market in venue.markets] == [
        ("BTC", 5, 1),
        ("ETH", 4, 2),
        ("SOL", 2, 4),
    ]
    assert [market.taker_fee_ppm for market in venue.markets] == [listing.taker_fee_ppm for listing in DEVNET_MARKETS]
    assert [market.band_ppm for market in venue.markets] == [listing.band_ppm for listing in DEVNET_MARKETS]
    assert (venue.operator, venue.oracle_signers, venue.oracle_quorum) == (OPERATOR.address, tuple(SIGNERS), 5)
    assert venue.posting_fee_micros == 500
    assert venue.window_seconds == deployment.DEVNET_PARAMETERS.window_seconds


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"chain_id": 1}, WrongChain, "chain 1, the L1 .* is chain 31337"),
        ({"rollup_address": "0x" + "77" * 20}, NotGenuine, "there is no contract"),
        ({"rollup_address": "0x12"}, NotGenuine, "no usable rollup address"),
        ({"referee_address": "0x" + "77" * 20}, NotGenuine, "as referee, but the bridge has"),
        ({"token_address": "0x" + "77" * 20}, NotGenuine, "as token, but the bridge has"),
    ],
)
def test_a_node_that_names_something_else_is_refused(
    chain: Chain, changes: dict[str, Any], error: type[WalletError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        chain.examine(chain.status(**changes))


def test_another_contract_is_no_bridge(chain: Chain) -> None:
    for address in (chain.found.token, chain.found.referee):
        with pytest.raises(NotGenuine, match="not the shipped RollupBridge"):
            chain.examine(chain.status(rollup_address="0x" + address.hex()))


def test_a_rollup_that_was_pinned_on_another_chain_is_not_looked_for_on_this(chain: Chain, tmp_path: Path) -> None:
    def alone(pinned_chain: int | None) -> Venue:
        cache = VerdictCache(tmp_path / "verified.json")
        return chain.ask(lambda l1: examine_alone(l1, chain.found.bridge, cache, pinned_chain))

    assert alone(None) == alone(31_337)
    with pytest.raises(WrongChain, match=r"this wallet's rollup is on chain 1, the L1 at .* is chain 31337"):
        alone(1)


def test_the_rollup_that_the_user_knows_wins(chain: Chain) -> None:
    with pytest.raises(WrongChain, match="as asked for"):
        chain.examine(chain.status(), expected=b"\x77" * 20)


@pytest.mark.parametrize("victim", ["bridge", "referee", "TRADING", "CUSTODY", "MARKETS"])
def test_one_changed_byte_of_any_contract_is_found(chain: Chain, victim: str) -> None:
    if victim.isupper():
        shipped = artifact("FraudReferee")
        answer = chain.ask(lambda l1: deployment.view(l1, shipped, chain.found.referee, victim))
        address = bytes.fromhex(answer[2:])
    else:
        address = getattr(chain.found, victim)
    original = chain.replace_code(address, lambda code: code[:1000] + bytes([code[1000] ^ 1]) + code[1001:])
    try:
        with pytest.raises(NotGenuine, match="nothing is signed for it"):
            chain.examine(chain.status())
    finally:
        chain.replace_code(address, lambda _: original)
    chain.examine(chain.status())


def test_a_bridge_made_for_another_address_is_refused(chain: Chain) -> None:
    # The very code of the bridge, immutables included, at an address that its signing domain does not name.
    stranger = b"\x99" * 20
    genuine = chain.ask(lambda l1: l1.code(chain.found.bridge))
    chain.replace_code(stranger, lambda _: genuine)
    with pytest.raises(NotGenuine, match="domain"):
        chain.examine(chain.status(rollup_address="0x" + stranger.hex()))


@pytest.mark.parametrize("slow", ["max_lag_seconds", "inclusion_seconds"])
def test_a_bridge_that_lets_the_sequencer_wait_for_longer_than_the_bounds_assume_is_refused(
    chain: Chain, slow: str
) -> None:
    parameters = msgspec.structs.replace(deployment.DEVNET_PARAMETERS, **{slow: 3_601})
    found = chain.ask(lambda l1: deployment.deploy(l1, OPERATOR, GENESIS, parameters))
    with pytest.raises(NotGenuine, match="by 3601 s, where at most 3600 s"):
        Chain(chain.url, found).examine(Chain(chain.url, found).status())


# What an outsider can deploy of genuine code, and what he cannot have signed for.


def initcode(runtime: bytes, storage: dict[int, int], topics: list[bytes], data: bytes) -> bytes:
    """What puts code somewhere after it has written to its storage, and logged, whatever its author likes."""

    def push(value: int | bytes) -> bytes:
        return b"\x7f" + (value if isinstance(value, bytes) else value.to_bytes(32, "big"))

    def assembled(at: int) -> bytes:
        written = b"".join(push(value) + push(slot) + b"\x55" for slot, value in storage.items())
        copied = push(len(data)) + push(at) + push(0) + b"\x39"
        logged = b"".join(map(push, reversed(topics))) + push(len(data)) + push(0) + bytes([0xA0 + len(topics)])
        returned = (
            push(len(runtime)) + push(at + len(data)) + push(0) + b"\x39" + push(len(runtime)) + push(0) + b"\xf3"
        )
        return written + copied + logged + returned

    return assembled(len(assembled(0))) + data + runtime


def entry_of(slot: int, key: int) -> int:
    """Where Vyper keeps an entry of a map."""
    return int.from_bytes(keccak(slot.to_bytes(32, "big") + key.to_bytes(32, "big")), "big")


async def last_block(l1: L1Client) -> int:
    """The number of the latest block."""
    head = await l1.block()
    assert head is not None
    return head.number


def test_genuine_code_over_a_forged_storage_is_no_bridge(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = bridge_artifact()
    layout = json.loads((ARTIFACTS / "RollupBridge.json").read_text())["layout"]["storage_layout"]
    topic = next(topic for topic, event in shipped.events.items() if event.name == "Genesis")

    async def forge(l1: L1Client) -> bytes:
        address = keccak(rlp.encode([OPERATOR.address, await l1.nonce(OPERATOR.address)]))[12:]
        at = batch.BridgeId(31_337, address)
        genuine = await l1.code(chain.found.bridge)
        (log,) = await l1.logs(chain.found.bridge, [topic], 0, await last_block(l1))
        root = log.topics[2]
        first_hash = batch.genesis_hash(at, GENESIS, root)
        storage = {
            entry_of(layout["hash_at"]["slot"], 0): int.from_bytes(first_hash, "big"),
            entry_of(layout["last_root_at"]["slot"], 0): int.from_bytes(root, "big"),
            layout["vault_micros"]["slot"]: 10**15,
        }
        runtime = genuine.replace(chain.found.domain, at.domain_separator())
        made, _ = await l1.deploy(
            OPERATOR, initcode(runtime, storage, [topic, first_hash, root], log.data), gas=12_000_000
        )
        assert made == address
        # Its code, its first root and its log are those of a bridge; a fortune stands in its books, and nothing there.
        assert await deployment.read(l1, made) == msgspec.structs.replace(chain.found, bridge=made, block=0)
        assert await deployment.genesis_root(l1, made) == root
        assert await deployment.view(l1, shipped, made, "vault_micros") == 10**15
        return made

    forged = chain.status(rollup_address="0x" + chain.ask(forge).hex())
    with pytest.raises(NotGenuine, match="was not made by the shipped constructor"):
        chain.examine(forged)

    async def trusting(*arguments: Any) -> None:
        pass

    # Without the rule it is as good as any.
    monkeypatch.setattr(deployment, "_require_constructed", trusting)
    assert chain.examine(forged).markets == chain.examine(chain.status()).markets


def bridge_over(chain: Chain, **changes: Any) -> str:
    """A bridge that the shipped constructor makes of what a deployer likes."""
    opened = batch.Commitment.decode(encoding.commitment_bytes(genesis_commitment(GENESIS)[0]))
    fixed = {"token": chain.found.token, "referee": chain.found.referee, "parameters": deployment.DEVNET_PARAMETERS}
    fixed |= {"genesis": opened, "genesis_bytes": GENESIS}

    async def deployed(l1: L1Client) -> bytes:
        made, _ = await l1.deploy(OPERATOR, calls.encode_creation(**(fixed | changes)), gas=12_000_000)
        return made

    return "0x" + chain.ask(deployed).hex()


def other_genesis(**changes: Any) -> bytes:
    """Genesis bytes that differ in some fields."""
    globals = encoding.globals_from_bytes(GENESIS)
    for name, value in changes.items():
        setattr(globals, name, value)
    return encoding.globals_bytes(globals)


@pytest.mark.parametrize(
    ("genesis", "sentence"),
    [
        (other_genesis(posting_fee=501), "genesis bytes do not give its first root"),
        (other_genesis(market_count=2), "genesis cannot be used: no legal genesis: absent markets are zero"),
        (other_genesis(quorum=4), "genesis cannot be used: no legal genesis: the oracle has an odd quorum"),
        (b"no genesis", "genesis cannot be used"),
    ],
)
def test_a_bridge_whose_genesis_contradicts_itself_is_refused(chain: Chain, genesis: bytes, sentence: str) -> None:
    rollup = bridge_over(chain, genesis_bytes=genesis)
    with pytest.raises(NotGenuine, match=sentence):
        chain.examine(chain.status(rollup_address=rollup))


def test_money_that_nobody_put_into_the_first_tree_is_found(chain: Chain) -> None:
    # An account of the deployer's with a fortune, which the genesis bytes do not show.
    commitment, _ = genesis_commitment(GENESIS)
    rich = encoding.account_from_payload(bytes.fromhex(forged_payload()[2:]))
    commitment.tree_root = StateTree([(0, encoding.account_hash(rich))]).root
    rollup = bridge_over(chain, genesis=batch.Commitment.decode(encoding.commitment_bytes(commitment)))
    with pytest.raises(NotGenuine, match="genesis bytes do not give its first root"):
        chain.examine(chain.status(rollup_address=rollup))


def test_another_referee_or_token_is_refused(chain: Chain) -> None:
    with pytest.raises(NotGenuine, match="is not the shipped FraudReferee"):
        chain.examine(chain.status(rollup_address=bridge_over(chain, referee=chain.found.token)))
    # Whatever it is asked, it answers 18.
    eighteen = initcode(bytes.fromhex("60125f5260205ff3"), {}, [], b"")
    token, _ = chain.ask(lambda l1: l1.deploy(OPERATOR, eighteen, gas=1_000_000))
    with pytest.raises(NotGenuine, match="has 18 decimals, where amounts here have 6"):
        chain.examine(chain.status(rollup_address=bridge_over(chain, token=token)))


def test_what_made_a_contract_is_told_by_its_transaction_alone(chain: Chain) -> None:
    async def question(l1: L1Client) -> bytes:
        receipt = await l1.send(OPERATOR, b"\x99" * 19 + b"\x01", value=1, gas=21_000)
        with pytest.raises(L1Unavailable, match="does not know transaction 0x0909"):
            await l1.creation(b"\x09" * 32)
        return await l1.creation(receipt.transaction_hash)

    assert chain.ask(question) == b""


def test_an_l1_that_is_gone(chain: Chain) -> None:
    async def main() -> None:
        async with L1Client(chain.url, L1Options(attempts=1)) as l1:
            l1.url = "http://127.0.0.1:1"
            await examine(l1, chain.status(), None)

    with pytest.raises(L1Unreachable):
        trio.run(main)


def test_a_verdict_is_kept_for_exactly_this_code(chain: Chain, tmp_path: Path) -> None:
    path = tmp_path / "wallets" / "verified.json"
    cache = VerdictCache(path)
    venue = chain.examine(chain.status(), cache)
    assert mode(path) == 0o600
    assert cache.find(venue.location) == venue
    for change in (
        {"chain_id": 1},
        {"rollup": b"\x01" * 20},
        {"genesis_root": b"\x01" * 32},
        {"code_hash": b"\x01" * 32},
        {"shipped_hash": b"\x01" * 32},
    ):
        assert cache.find(msgspec.structs.replace(venue.location, **change)) is None
    # With the verdict at hand nothing but code, chain and the first root is asked.
    asked: list[str] = []

    async def question(l1: L1Client) -> Venue:
        call = l1.call

        async def counted(method: str, *arguments: Any, **options: Any) -> Any:
            asked.append(method)
            return await call(method, *arguments, **options)

        l1.call = counted  # type: ignore[method-assign]
        return await examine(l1, chain.status(), cache)

    assert chain.ask(question) == venue
    assert asked == ["eth_getBlockByNumber", "eth_getCode", "eth_call"]
    path.write_text("no JSON")
    assert chain.examine(chain.status(), cache) == venue
    with pytest.raises(NotGenuine):
        chain.examine(chain.status(token_address="0x" + "77" * 20), cache)


def market_views(venue: Venue) -> list[MarketView]:
    """What an honest node says of the markets."""
    return [
        answer(
            MarketView,
            index=market.index,
            name=market.name,
            size_decimals=market.size_decimals,
            price_decimals=market.price_decimals,
            price_ticks=1,
        )
        for market in venue.markets
    ]


@pytest.mark.parametrize("change", [{"name": "ETH"}, {"size_decimals": 4, "price_decimals": 2}, {"price_decimals": 2}])
def test_a_node_cannot_change_what_a_lot_is(chain: Chain, change: dict[str, Any]) -> None:
    venue = chain.examine(chain.status())
    honest = market_views(venue)
    check_markets(venue, honest)
    with pytest.raises(NotGenuine, match="L1 calls it BTC"):
        check_markets(venue, [msgspec.structs.replace(honest[0], **change), *honest[1:]])


# Labels. What was final never changes; what is not yet final is known, and signed for by nobody.


def globals_with(*labels: bytes) -> containers.Globals:
    """The globals of genesis, with markets of these labels as well."""
    globals = encoding.globals_from_bytes(GENESIS)
    for index, name in enumerate(labels, 3):
        globals.markets[index] = msgspec.structs.replace(globals.markets[2], label=name)
    globals.market_count = 3 + len(labels)
    return globals


def test_a_market_that_is_not_final_is_refused_for_signing_by_name(chain: Chain) -> None:
    venue = chain.examine(chain.status())
    posted = globals_with(label("DOGE", 3))
    young = governed(venue, venue.markets, posted, 9, 120)
    assert [market.name for market in young.markets] == ["BTC", "ETH", "SOL", "DOGE"]
    for known in ("BTC", "sol", 2):
        assert young.market(known).final_in == 0
    for unknown in ("DOGE", "doge", 3):
        with pytest.raises(NotYet, match="market DOGE was listed by a batch that is not final for another 120 s"):
            young.market(unknown)
    assert governed(venue, young.markets, posted, 10, 120).market("DOGE").size_decimals == 3
    assert governed(venue, venue.markets, posted, 9, 0).market("DOGE").size_decimals == 3


@pytest.mark.parametrize("false", [label("DOGE", 2), label("DOGS", 3)])
def test_a_label_that_was_final_never_changes(chain: Chain, false: bytes) -> None:
    venue = chain.examine(chain.status())
    final = governed(venue, venue.markets, globals_with(label("DOGE", 3)), 9, 0).markets
    with pytest.raises(BadProof, match="batch 11 on L1 changes the label of market 3, which was final as DOGE of 3"):
        governed(venue, final, globals_with(false, label("PEPE", 0)), 11, 120)
    # Nor does a market that was there go away.
    with pytest.raises(BadProof, match="market 3"):
        governed(venue, final, globals_with(), 11, 0)


def test_a_batch_is_as_final_as_the_bridge_says(chain: Chain) -> None:
    venue = chain.examine(chain.status())
    commitment, _ = genesis_commitment(GENESIS)
    proof = GlobalsProof(batch=0, globals="0x" + GENESIS.hex(), commitment=words(commitment))
    proven = chain.ask(lambda l1: prove_globals(l1, venue, proof))
    assert (proven.batch_number, proven.final_in, proven.globals.market_count) == (0, 0, 3)
    other = encoding.globals_bytes(globals_with(label("DOGE", 3)))
    with pytest.raises(BadProof, match="globals are not the committed ones"):
        chain.ask(lambda l1: prove_globals(l1, venue, msgspec.structs.replace(proof, globals="0x" + other.hex())))


# Proofs. Batch 0, the genesis, is on L1 too: its tree holds the fee account.


def words(commitment: containers.Commitment) -> list[str]:
    """Nine words as a node gives them."""
    data = encoding.commitment_bytes(commitment)
    return ["0x" + data[place : place + 32].hex() for place in range(0, 288, 32)]


def genesis_proof(account: int = 0) -> AccountProof:
    """What an honest node gives for an account of the genesis."""
    commitment, leaves = genesis_commitment(GENESIS)
    tree = StateTree([(leaf, encoding.account_hash(encoding.account_from_payload(data))) for leaf, data in leaves])
    payload = dict(leaves).get(account << 8, b"")
    path = ["0x" + sibling.hex() for sibling in tree.path(account << 8)]
    return AccountProof(batch=0, leaf="0x" + payload.hex(), path=path, commitment=words(commitment))


def test_an_account_is_posted_by_proof_only(chain: Chain) -> None:
    venue = chain.examine(chain.status())
    proven = chain.ask(lambda l1: prove_account(l1, venue, 0, genesis_proof()))
    assert (proven.batch_number, proven.account.owner) == (0, OPERATOR.address)
    absent = chain.ask(lambda l1: prove_account(l1, venue, 17, genesis_proof(17)))
    assert absent.account == encoding.no_account()


def forged_payload() -> str:
    """The fee account with money that it has not got."""
    rich = msgspec.structs.replace(encoding.no_account(), owner=OPERATOR.address, settled=10**12)
    return "0x" + encoding.account_payload(rich).hex()


def forged_tree() -> list[str]:
    """A commitment to a tree in which the forged account stands: consistent in itself, unknown to L1."""
    commitment, _ = genesis_commitment(GENESIS)
    rich = encoding.account_from_payload(bytes.fromhex(forged_payload()[2:]))
    commitment.tree_root = StateTree([(0, encoding.account_hash(rich))]).root
    return words(commitment)


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"leaf": forged_payload()}, BadProof, "does not lead"),
        ({"leaf": "0x"}, BadProof, "does not lead"),
        ({"leaf": "0x1234"}, BadProof, "is no account"),
        ({"leaf": "zz"}, BadProof, "not hexadecimal"),
        ({"path": ["0x" + "01" * 32] * 32}, BadProof, "does not lead"),
        ({"path": ["0x" + "00" * 32] * 31}, BadProof, "32 siblings"),
        ({"path": ["0x00"] * 32}, BadProof, "1 bytes, not 32"),
        ({"leaf": forged_payload(), "commitment": forged_tree()}, BadProof, "does not open the root of batch 0"),
        ({"commitment": []}, BadProof, "commitment is none"),
        ({"batch": 1}, NotYet, "does not stand on L1"),
    ],
)
def test_forged_account_proofs_are_refused(
    chain: Chain, changes: dict[str, Any], error: type[WalletError], sentence: str
) -> None:
    venue = chain.examine(chain.status())
    forged = msgspec.structs.replace(genesis_proof(), **changes)
    with pytest.raises(error, match=sentence):
        chain.ask(lambda l1: prove_account(l1, venue, 0, forged))


def test_a_proof_of_another_account_is_refused(chain: Chain) -> None:
    venue = chain.examine(chain.status())
    with pytest.raises(BadProof, match="does not lead"):
        chain.ask(lambda l1: prove_account(l1, venue, 1, genesis_proof(0)))


@pytest.mark.parametrize("changes", [{}, {"amount_micros": 2**64}, {"recipient": "0x12"}, {"proof": []}])
def test_a_withdrawal_that_is_in_no_tree_is_refused(chain: Chain, changes: dict[str, Any]) -> None:
    venue = chain.examine(chain.status())
    invented = WithdrawalProof(
        batch=0,
        commitment=genesis_proof().commitment,
        proof=["0x" + "00" * 32] * 32,
        recipient="0x" + "12" * 20,
        amount_micros=1_000_000,
    )
    with pytest.raises(BadProof):
        chain.ask(lambda l1: prove_withdrawal(l1, venue, 0, msgspec.structs.replace(invented, **changes)))


def test_a_clock_that_differs_is_said(chain: Chain, tmp_path: Path) -> None:
    now = 1_800_000_000_000

    def warnings(node_now: int) -> list[str]:
        said: list[str] = []

        class OneNode(NodeClient):
            async def status(self) -> Status:
                return chain.status(now_ms=node_now)

            async def markets(self) -> list[MarketView]:
                return []

        async def question(l1: L1Client) -> None:
            node = OneNode("http://node")
            await Verified(node, l1, tmp_path, WalletOptions(warn=said.append, clock_ms=lambda: now)).venue()

        chain.ask(question)
        return said

    assert warnings(now + 5_000) == warnings(now - 5_000) == []
    assert "5.0 s ahead of this one" in warnings(now + 5_001)[0]
    assert "60.0 s behind this one" in warnings(now - 60_000)[0]
