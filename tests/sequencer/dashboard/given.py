"""What the page's own tests are handed by the law: a venue as an L1 node would show it, and proofs of its state."""

from typing import Any, Final

import msgspec

from l1_bridge.client.keys import development_key
from l1_bridge.codec import batch, calls, events
from l1_bridge.contracts.abi import encode
from l1_bridge.contracts.artifact import Artifact, bridge_artifact, load_artifact
from l1_bridge.hashing import keccak
from prover.contracts.deployment import DEVNET_PARAMETERS
from prover.contracts.referee import FAMILIES, artifact
from prover.signing.access import access_digest
from prover.signing.receipts import Acknowledgement, acknowledged_digest, levels, path_of
from prover.signing.typed_data import domain_separator
from prover.state.genesis import genesis_bytes
from prover.state.state import genesis_commitment
from prover.state.tree import StateTree
from prover.stf import constants, containers, encoding

CHAIN_ID: Final = 31_337
BRIDGE, REFEREE, TOKEN, OPERATOR = (bytes([number]) * 20 for number in (0x11, 0x22, 0x33, 0x44))
_PARTS: Final = {name: bytes([0x50 + at]) * 20 for at, name in enumerate(FAMILIES)}
_SIGNERS: Final = [bytes([0x60 + at]) * 20 for at in range(7)]
_CREATION: Final = b"\x77" * 32


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _code(contract: Artifact) -> str:
    return _hex(contract.runtime_bytecode + bytes(contract.immutable_bytes))


def chain() -> dict[str, Any]:
    """Answers of an L1 node about a genuine venue: code by address, views by address and calldata, the genesis log."""
    genesis = genesis_bytes(OPERATOR, _SIGNERS, 5)
    opened, _ = genesis_commitment(genesis)
    commitment = batch.Commitment.decode(encoding.commitment_bytes(opened))
    bridge, referee = bridge_artifact(), artifact("FraudReferee")
    views: dict[str, str] = {}

    def shows(contract: Artifact, at: bytes, name: str, *results: Any, asked: tuple[Any, ...] = ()) -> None:
        answer = encode(contract.functions[name].output_types, results)
        views[_hex(at) + _hex(contract.encode_call(name, *asked))] = _hex(answer)

    shows(bridge, BRIDGE, "REFEREE", REFEREE)
    shows(bridge, BRIDGE, "TOKEN", TOKEN)
    shows(bridge, BRIDGE, "DOMAIN_SEPARATOR", domain_separator(CHAIN_ID, BRIDGE))
    shows(bridge, BRIDGE, "parameters", DEVNET_PARAMETERS.words())
    shows(bridge, BRIDGE, "record", (0, bytes(32), commitment.root(), 0, 0, 0, 0), asked=(0,))
    shows(load_artifact("MockDollar"), TOKEN, "decimals", 6)
    for name, at in _PARTS.items():
        shows(referee, REFEREE, name.upper(), at)
    topic, event = next((topic, one) for topic, one in bridge.events.items() if one.name == "Genesis")
    assert topic == events.topic_of(events.Genesis)
    said = (REFEREE, TOKEN, DEVNET_PARAMETERS.words(), commitment.words(), genesis)
    creation = calls.encode_creation(TOKEN, REFEREE, DEVNET_PARAMETERS, commitment, genesis)
    return {
        "status": {
            "chain_id": CHAIN_ID,
            "rollup_address": _hex(BRIDGE),
            "referee_address": _hex(REFEREE),
            "token_address": _hex(TOKEN),
        },
        "codes": {
            _hex(BRIDGE): _code(bridge),
            _hex(REFEREE): _code(referee),
            **{_hex(at): _code(artifact(name)) for name, at in _PARTS.items()},
        },
        "views": views,
        "log": {
            "topics": [_hex(topic), _hex(bytes(32)), _hex(commitment.root())],
            "data": _hex(encode([kind for _, kind in event.data], said)),
            "blockNumber": "0x7",
            "transactionHash": _hex(_CREATION),
        },
        "input": _hex(creation),
        "markets": [
            {"name": "BTC", "sizeDecimals": 5},
            {"name": "ETH", "sizeDecimals": 4},
            {"name": "SOL", "sizeDecimals": 2},
        ],
    }


def proofs() -> dict[str, Any]:
    """Proofs of accounts, of one that is not there, and of a withdrawal, with the root that they lead to."""
    rows = {one: _account(one) for one in (17, 18, 40_000)}
    tree = StateTree(sorted((number << 8, encoding.account_hash(row)) for number, row in rows.items()))
    withdrawals = [batch.Withdrawal(index, bytes([index + 1]) * 20, 10**6 * (index + 1)) for index in range(5)]
    leaves = StateTree([(one.index, one.leaf()) for one in withdrawals])
    commitment = batch.Commitment(
        law_version=constants.LAW_VERSION,
        tree_root=tree.root,
        withdrawals_root=leaves.root,
        withdrawn_total_micros=15 * 10**6,
        queue_count=3,
        queue_taken=3,
        queue_hash=keccak(b"queue"),
        timestamp_ms=1_800_000_000_000,
        globals_hash=keccak(b"globals"),
    )
    words = [_hex(commitment.encode()[at : at + 32]) for at in range(0, 288, 32)]
    return {
        "root": _hex(commitment.root()),
        "accounts": [
            {
                "account": number,
                "owner": _hex(row.owner),
                "collateral": str(row.settled + row.older + row.fresh),
                "positions": [
                    {"market": at, "sizeLots": str(one.size), "costMicros": str(one.cost)}
                    for at, one in enumerate(row.positions)
                    if one is not containers.EMPTY
                ],
                "proof": {
                    "batch": 3,
                    "leaf": _hex(encoding.account_payload(row)) if number in rows else "0x",
                    "path": [_hex(sibling) for sibling in tree.path(number << 8)],
                    "commitment": words,
                },
            }
            for number, row in {**rows, 19: encoding.no_account()}.items()
        ],
        "withdrawal": {
            "index": 3,
            "proof": {
                "batch": 3,
                "commitment": words,
                "proof": [_hex(sibling) for sibling in leaves.path(3)],
                "recipient": _hex(withdrawals[3].recipient),
                "amount_micros": str(withdrawals[3].amount_micros),
            },
        },
    }


def promises() -> list[dict[str, Any]]:
    """Members of a group of three, each with its path, as the sequencer signs them; `by`: whose key it was."""
    operator = development_key(0)
    every = [Acknowledgement(constants.ORDER, 17, slot, 1_000, slot * 10, 1_800_000_000_000) for slot in (1, 2)] + [
        Acknowledgement(constants.WITHDRAW, 17, 3, 1_000, 0, 1_800_000_000_000)
    ]
    tree = levels([one.leaf for one in every])
    digest = acknowledged_digest(domain_separator(CHAIN_ID, BRIDGE), tree[-1][0])
    return [
        {
            **msgspec.structs.asdict(one),
            "place": place,
            "path": [_hex(sibling) for sibling in path_of(tree, place)],
            "signature": _hex(operator.sign(digest)),
            "by": _hex(operator.address),
        }
        for place, one in enumerate(every)
    ]


def access() -> dict[str, Any]:
    """What is signed to be told of an account, and its digest, on the rollup of tests/vectors/signatures.json."""
    challenge, expires_at_ms = b"\x33" * 32, 1_800_000_000_000
    digest = access_digest(domain_separator(CHAIN_ID, BRIDGE), 17, "venue.example", challenge, expires_at_ms)
    message = {
        "account": 17,
        "host": "venue.example",
        "challenge": _hex(challenge),
        "expires_at_ms": expires_at_ms,
    }
    return {"message": message, "digest": _hex(digest)}


def _account(number: int) -> containers.Account:
    positions = [containers.EMPTY] * constants.MARKETS
    positions[0] = containers.Position(size=-60_000 * number, cost=-36_006_000_000, funding=-800_026_666)
    positions[number % constants.MARKETS] = containers.Position(size=5, cost=2**100, funding=2**70)
    return containers.Account(
        owner=bytes([number % 250]) * 20,
        floor=number,
        settled=-(10**9) * number,
        older=0,
        fresh=7,
        epoch=125_000,
        initial_ppm=100_000,
        agents=[0, (int.from_bytes(b"\x66" * 20, "big") << 64) | 100],
        positions=positions,
        factor=2**90,
    )
