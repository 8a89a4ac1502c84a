"""Whose signature an action of another venue carries: its published vector, and every way to be none."""

from typing import Any

import msgspec
import pytest

from prover.signing.signatures import address_of
from prover.stf.containers import NOBODY
from sequencer.gateway.refusals import Refused
from sequencer.gateway.signed import connection_id, envelope, mainnet, signer_of, unknown

KEY = bytes.fromhex("0123456789" * 6 + "0123")
# The SDK's own test: an order of asset 1, nonce 0, and what it signs with source "b".
ORDER = {"a": 1, "b": True, "p": "100", "s": "100", "r": False, "t": {"limit": {"tif": "Gtc"}}}
ACTION = {"type": "order", "orders": [ORDER], "grouping": "na"}
SIGNED = {
    "r": "0x82b2ba28e76b3d761093aaded1b1cdad4960b3af30212b343fb2e6cdfa4e3d54",
    "s": "0x6b53878fc99d26047f4d7e8c90eb98955a109f44209163f52d8dc4278cbbd9f5",
    "v": 27,
}


def posted(**changes: Any) -> dict[str, Any]:
    """What is posted."""
    return {"action": ACTION, "nonce": 0, "signature": SIGNED, "vaultAddress": None, "expiresAfter": None, **changes}


def test_the_published_vector_leads_to_its_signer() -> None:
    given = envelope(posted())
    assert connection_id(given).hex() == "884f2c32bb6dbdd65f6033e32fb28c0cb6f5b345db0f6471fd3366d85c9252c1"
    assert signer_of(given, "b") == address_of(KEY)
    assert signer_of(given, "a") not in (address_of(KEY), NOBODY)


def test_a_word_without_its_leading_zeros_and_a_small_v_are_read() -> None:
    given = envelope(posted(signature={**SIGNED, "v": 0}))
    assert signer_of(given, "b") == address_of(KEY)
    assert signer_of(envelope(posted(signature={"r": "0x1", "s": "0x1", "v": 27})), "b") != address_of(KEY)


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": 1},
        {"vaultAddress": "0x" + "11" * 20},
        {"expiresAfter": 1},
        {"action": {"type": "order", "grouping": "na", "orders": [ORDER]}},
        {"action": {**ACTION, "orders": [{**ORDER, "s": "101"}]}},
    ],
    ids=["nonce", "vault", "expiry", "order of keys", "size"],
)
def test_whatever_else_was_sent_than_was_signed_leads_to_somebody_else(changes: dict[str, Any]) -> None:
    given = envelope(posted(**changes))
    recovered = signer_of(given, "b")
    assert recovered != address_of(KEY)
    told = unknown(given, recovered)
    assert told.startswith("User or API Wallet 0x")
    assert "0x" + connection_id(given).hex() in told


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {},
        posted(action=[]),
        posted(action={}),
        posted(action={"type": 7}),
        posted(nonce="1"),
        posted(nonce=-1),
        posted(nonce=2**64),
        posted(expiresAfter=2**64),
        posted(signature={"r": "0x1", "s": "0x1"}),
        posted(signature={**SIGNED, "r": "0x" + "1" * 65}),
        posted(signature={**SIGNED, "s": "1"}),
        posted(vaultAddress="0x11"),
    ],
)
def test_what_is_no_signed_action_is_refused(payload: object) -> None:
    with pytest.raises(Refused):
        envelope(payload)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1])
def test_an_action_that_cannot_be_packed_is_refused(value: int) -> None:
    with pytest.raises(Refused, match="cannot be packed"):
        connection_id(envelope(posted(action={"type": "order", "a": value})))


@pytest.mark.parametrize("v", [2, 26, 29, -1, 2**70])
def test_a_signature_that_is_none_leads_to_nobody(v: int) -> None:
    assert signer_of(envelope(posted(signature={**SIGNED, "v": v})), "b") == NOBODY


def test_a_signature_for_the_mainnet_is_named() -> None:
    assert 'source "a"' in mainnet(address_of(KEY))
    assert msgspec.json.decode(msgspec.json.encode(mainnet(address_of(KEY)))) == mainnet(address_of(KEY))
