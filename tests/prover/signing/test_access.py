"""Who may see an account, and what is signed to show it: typed data that eth-account makes the same of."""

import msgspec
import pytest
from eth_account.messages import encode_typed_data

from l1_bridge.hashing import keccak
from prover.signing.access import access_digest, may_see
from prover.signing.typed_data import DOMAIN_NAME, DOMAIN_VERSION, domain_separator
from prover.stf import containers, encoding
from tests.twins.venue import OWNERS

CHAIN, ROLLUP, CHALLENGE = 31_337, b"\x22" * 20, b"\x33" * 32
FIELDS = {"account": 17, "host": "venue.example", "challenge": CHALLENGE, "expires_at_ms": 1_800_000_000_000}
TYPES = {"account": "uint24", "host": "string", "challenge": "bytes32", "expires_at_ms": "uint48"}


def test_what_is_signed_is_typed_data_of_the_rollup() -> None:
    domain = {
        "name": DOMAIN_NAME, "version": DOMAIN_VERSION, "chainId": CHAIN, "verifyingContract": "0x" + ROLLUP.hex()
    }  # fmt: skip
    types = {"Access": [{"name": name, "type": kind} for name, kind in TYPES.items()]}
    signable = encode_typed_data(domain, types, FIELDS)
    digest = keccak(b"\x19" + signable.version + signable.header + signable.body)
    assert access_digest(domain_separator(CHAIN, ROLLUP), *FIELDS.values()) == digest


@pytest.mark.parametrize(
    "change",
    [{"account": 18}, {"host": "other.example"}, {"challenge": b"\x34" * 32}, {"expires_at_ms": 1_800_000_000_001}],
)
def test_every_field_is_signed(change: dict[str, object]) -> None:
    domain = domain_separator(CHAIN, ROLLUP)
    assert access_digest(domain, *{**FIELDS, **change}.values()) != access_digest(domain, *FIELDS.values())
    assert access_digest(domain_separator(CHAIN + 1, ROLLUP), *FIELDS.values()) != access_digest(
        domain, *FIELDS.values()
    )


def test_owner_and_agents_may_see_until_their_time_is_over() -> None:
    owner, agent, stranger = OWNERS[:3]
    account = msgspec.structs.replace(
        encoding.no_account(), owner=owner, agents=[0, encoding.agent_word(agent, 1_000, 5, 9)]
    )
    seen = {time: [may_see(account, who, time) for who in (owner, agent, stranger)] for time in (1_000, 1_001)}
    assert seen == {1_000: [True, True, False], 1_001: [True, False, False]}
    # Nobody's signature recovers to an account that is not there.
    assert not may_see(encoding.no_account(), containers.NOBODY, 0)
