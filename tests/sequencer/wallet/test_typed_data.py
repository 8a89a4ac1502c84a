"""Whatever wallet signs, the law reads the same: viem, ethers, eth-account and this package agree to the last byte."""

from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from prover.signing import operations
from prover.signing.recover import CURVE_ORDER, recover_fast
from prover.signing.signatures import address_of, compact, sign
from prover.signing.typed_data import SIGNED
from prover.stf import constants, containers, signatures
from sequencer.schema.writing import to_wire
from sequencer.wallet.drafts import Draft, draft, with_recovery_id
from sequencer.wallet.trust import ListedMarket, Location, Venue
from tests.sequencer.typed_data.npm import NpmWallets

PRIVATE_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
OWNER = address_of(PRIVATE_KEY)
NOW = 1_800_000_000_000
VENUE = Venue(
    location=Location(31_337, b"\x01" * 32, b"\x11" * 20, b"\x07" * 32, b"\x02" * 32, b"\x03" * 32),
    referee=b"\x22" * 20,
    token=b"\x33" * 20,
    window_seconds=30,
    minimum_deposit_micros=1_000_000,
    posting_fee_micros=500,
    operator=b"\x44" * 20,
    governor=bytes(20),
    block=0,
    oracle_signers=(b"\x55" * 20, b"\x66" * 20),
    oracle_quorum=2,
    markets=(ListedMarket(0, "BTC", 5, 100, 450, 50_000),),
)


def an_order(**changes: int) -> containers.Order:
    """An order with a different value in every field."""
    fields = {
        "account": 17,
        "market": 2,
        "side": 1,
        "size": 25_000,
        "limit_price": 600_005,
        "slot": 3,
        "sequence": NOW - 1,
        "created_at": NOW,
        "expires_at": NOW + 86_400_000,
        "time_in_force": 0,
        "post_only": 1,
        "reduce_only": 0,
        "trigger": 2,
        "trigger_price": 599_000,
        "max_fee_ppm": 450,
        "max_posting_fee": 500,
        "unused": 0,
    }
    return containers.Order(**{**fields, **changes})


def a_request(**changes: Any) -> containers.Request:
    """A request with a different value in every field."""
    fields: dict[str, Any] = {
        "account": 17,
        "slot": 4,
        "sequence": NOW,
        "created_at": NOW + 1,
        "expires_at": NOW + 60_000,
        "amount": 1_234_567,
        "other": 18,
        "recipient": bytes(range(1, 21)),
        "max_posting_fee": 500,
    }
    return containers.Request(**{**fields, **changes})


def drafts() -> list[Draft]:
    """Every kind of operation, and the largest numbers that fit: above 2^53 they travel as text."""
    largest = an_order(size=2**56 - 1, limit_price=2**48 - 1, sequence=2**48 - 1, created_at=2**48 - 1)
    messages: list[tuple[str, containers.Order | containers.Request]] = [
        ("order", an_order()),
        ("order", an_order(post_only=0, reduce_only=1, time_in_force=1, trigger=0, trigger_price=0)),
        ("order", largest),
        ("withdraw", a_request()),
        ("withdraw", a_request(amount=2**64 - 1)),
        ("transfer", a_request()),
        ("cancel", a_request()),
        ("cancel_all", a_request(slot=0)),
        ("set_agent", a_request(other=1, amount=NOW + 3_600_000, first_slot=5, last_slot=250)),
        ("set_agent", a_request(other=1, amount=2**48 - 1, first_slot=0, last_slot=255)),
        ("set_agent", a_request(other=0, amount=0, recipient=containers.NOBODY)),
        ("set_leverage", a_request(amount=333_334)),
    ]
    return [draft(VENUE, kind, message, 0, kind) for kind, message in messages]


@pytest.fixture(scope="module")
def by_others(other_wallets: NpmWallets) -> list[dict[str, Any]]:
    """What viem and ethers say to each draft."""
    return other_wallets(PRIVATE_KEY, [to_wire(drafted.typed_data) for drafted in drafts()])


def law_signer(drafted: Draft, signature: bytes) -> bytes:
    """Whom the law finds behind a 65-byte signature: compact bytes, as a chunk carries them."""
    word = compact(signature)
    r, parity_and_s = int.from_bytes(word[:32], "big"), int.from_bytes(word[32:], "big")
    return signatures.recover(drafted.digest, r, parity_and_s, recover_fast)


@pytest.mark.parametrize("library", ["viem", "ethers"])
def test_other_wallets_sign_what_the_law_reads(by_others: list[dict[str, Any]], library: str) -> None:
    for drafted, results in zip(drafts(), by_others, strict=True):
        said = results[library]
        assert said["digest"] == "0x" + drafted.digest.hex(), drafted.kind
        assert said["signer"].lower() == "0x" + OWNER.hex()
        signature = bytes.fromhex(said["signature"][2:])
        assert law_signer(drafted, signature) == OWNER
        # All of them sign deterministically (RFC 6979), so even the bytes are the same.
        assert signature == with_recovery_id(sign(PRIVATE_KEY, drafted.digest))


def test_eth_account_signs_what_the_law_reads() -> None:
    for drafted in drafts():
        for typed_data in (drafted.typed_data, to_wire(drafted.typed_data)):
            signable = encode_typed_data(full_message=typed_data)
            signed = Account.sign_message(signable, PRIVATE_KEY)
            assert bytes(signed.message_hash) == drafted.digest
            assert law_signer(drafted, bytes(signed.signature)) == OWNER


def test_large_numbers_travel_as_text() -> None:
    fields = to_wire(drafts()[2].fields)
    assert fields["size_lots"] == str(2**56 - 1)
    assert fields["limit_price_ticks"] == 2**48 - 1
    assert to_wire(drafts()[4].fields)["amount_micros"] == str(2**64 - 1)
    assert to_wire({"post_only": True}) == {"post_only": True}


def test_recovery_ids_are_read_in_both_fashions() -> None:
    for drafted in drafts():
        signature = with_recovery_id(sign(PRIVATE_KEY, drafted.digest))
        assert signature[64] in (27, 28)
        bare = signature[:64] + bytes([signature[64] - 27])
        assert law_signer(drafted, signature) == law_signer(drafted, bare) == OWNER
        flipped = signature[:64] + bytes([55 - signature[64]])
        assert law_signer(drafted, flipped) != OWNER


def test_the_high_s_twin_is_refused() -> None:
    drafted = drafts()[0]
    signature = with_recovery_id(sign(PRIVATE_KEY, drafted.digest))
    s = CURVE_ORDER - int.from_bytes(signature[32:64], "big")
    twin = signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])
    # Other libraries take it for the owner's signature: that is why the law must not.
    assert Account._recover_hash(drafted.digest, signature=twin).lower() == "0x" + OWNER.hex()
    with pytest.raises(ValueError, match="malleable twin"):
        compact(twin)
    r = int.from_bytes(twin[:32], "big")
    # A high s reaches into the bit of the parity, so its compact bytes are another signature; the rest is refused.
    assert signatures.recover(drafted.digest, r, s | (twin[64] - 27) << 255, recover_fast) != OWNER
    assert signatures.recover(drafted.digest, r, signatures.HALF_ORDER + 1, recover_fast) == containers.NOBODY


def test_every_signed_struct_is_covered() -> None:
    assert {operations.TAG_OF_KIND[drafted.kind] for drafted in drafts()} == set(SIGNED)
    assert constants.CANCEL_ALL in SIGNED
