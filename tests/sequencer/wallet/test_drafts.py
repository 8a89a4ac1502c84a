"""What a wallet builds before it signs: for one venue, within the law, in slots that the key may use."""

from typing import Any

import msgspec
import pytest

from prover.signing.recover import recover_fast
from prover.stf import constants, containers, signatures
from sequencer.client.errors import Rejected
from sequencer.schema.accounts import AgentView
from sequencer.schema.answers import SigningRequest, TypedData
from sequencer.schema.writing import to_wire
from sequencer.wallet.drafts import (
    Draft,
    Place,
    RequestTerms,
    compare_with_node,
    draft,
    permitted_slots,
    request_draft,
    sized_refusal,
    sized_text,
)
from sequencer.wallet.errors import BadInput, NotGenuine
from tests.sequencer.answers import answer
from tests.sequencer.wallet.test_typed_data import VENUE, drafts
from tests.sequencer.wallet.test_wallet import ACCOUNT, AGENT, KEY, NOW, account_view


def test_a_draft_signs_for_one_venue_only() -> None:
    message = containers.Request(ACCOUNT, 1, NOW, NOW, NOW + 1, 0, 0, containers.NOBODY)
    here = draft(VENUE, "cancel", message, 0, "cancel")
    elsewhere = msgspec.structs.replace(VENUE, location=msgspec.structs.replace(VENUE.location, chain_id=1))
    assert draft(elsewhere, "cancel", message, 0, "cancel").digest != here.digest
    compact = KEY.sign(here.digest)
    r, parity_and_s = int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:], "big")
    assert signatures.recover(here.digest, r, parity_and_s, recover_fast) == KEY.address


def node_answer(drafted: Draft, **changes: Any) -> TypedData:
    """What an honest node answers to a draft, with changes to the message."""
    typed_data = to_wire(drafted.typed_data)
    typed_data = {**typed_data, "message": {**typed_data["message"], **changes}}
    return told(typed_data, drafted)


def told(typed_data: dict[str, Any], drafted: Draft) -> TypedData:
    """Typed data as the client reads it."""
    shown = msgspec.convert(typed_data, SigningRequest, strict=False)
    return answer(TypedData, typed_data=shown, digest="0x" + drafted.digest.hex())


def test_a_nodes_typed_data_must_be_the_wallets_own() -> None:
    for drafted in drafts():
        compare_with_node(drafted, node_answer(drafted))
    drafted = drafts()[3]
    with pytest.raises(NotGenuine, match="does not show the operation"):
        compare_with_node(drafted, node_answer(drafted, amount_micros=1))
    with pytest.raises(NotGenuine, match="does not show the operation"):
        compare_with_node(drafted, node_answer(drafted, extra=1))
    other = node_answer(drafted)
    with pytest.raises(NotGenuine, match="digest"):
        compare_with_node(drafted, msgspec.structs.replace(other, digest="0x" + "00" * 32))
    shown = msgspec.to_builtins(other.typed_data)
    foreign = {**shown, "domain": {**shown["domain"], "chainId": 1}}
    with pytest.raises(NotGenuine, match="another domain"):
        compare_with_node(drafted, told(foreign, drafted))
    renamed = {**shown, "primaryType": "Order"}
    with pytest.raises(NotGenuine, match="other types"):
        compare_with_node(drafted, told(renamed, drafted))


@pytest.mark.parametrize(
    ("terms", "text", "value"),
    [
        (RequestTerms(kind="withdraw", amount=1_000_000), "withdraw $1.00 to 0x", 1_000_000),
        (RequestTerms(kind="transfer", amount=2_500_000, other=18), "transfer $2.50 to account 18", 2_500_000),
        (
            RequestTerms(kind="transfer", amount=2_000_000, other=constants.NEW_ACCOUNT),
            "transfer $2.00 to a new account, $1.00 of it as fee",
            2_000_000,
        ),
        (RequestTerms(kind="cancel", slot=7), "cancel slot 7", 0),
        (RequestTerms(kind="cancel_all"), "cancel all orders", 0),
        (RequestTerms(kind="set_agent", other=1), "dismiss agent 1", 0),
        (RequestTerms(kind="set_leverage", amount=500_000), "set the own bound of leverage: at most 2.00x", 0),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_request_says_what_it_would_do_and_what_it_can_move(terms: RequestTerms, text: str, value: int) -> None:
    drafted = request_draft(VENUE, terms, Place(ACCOUNT, 7, NOW), KEY.address)
    assert drafted.text.startswith(text)
    assert drafted.value_micros == value
    assert (drafted.message.account, drafted.message.slot, drafted.message.sequence) == (ACCOUNT, 7, NOW)
    assert drafted.message.expires_at == NOW + 60_000


def test_an_agent_has_the_slots_of_its_living_grants() -> None:
    shown = "0x" + AGENT.address.hex()
    ended, living = AgentView(shown, NOW - 1, 1, 9), AgentView(shown, NOW, 5, 6)
    assert permitted_slots(account_view(agents=[ended, living]), AGENT.address, NOW) == {5, 6}
    with pytest.raises(BadInput, match="grant for account 17 ended at"):
        permitted_slots(account_view(agents=[ended, None]), AGENT.address, NOW)
    # An owner has all, and a stranger too: the law's refusal says whose account it is.
    for address in (KEY.address, b"\x13" * 20):
        assert len(permitted_slots(account_view(agents=[ended, living]), address, NOW)) == 256


def test_a_refusal_names_the_largest_size_in_units() -> None:
    btc = VENUE.markets[0]
    told = "Free collateral is 5 dollars, and 1234 lots are the largest size that passes."
    refusal = sized_refusal(Rejected(-33_029, "TAKER_MARGIN", told, {"largest_size_lots": "1234"}), btc)
    assert (
        str(refusal) == "TAKER_MARGIN: Free collateral is 5 dollars, and 0.01234 BTC is the largest size that passes."
    )
    assert (refusal.rejection, refusal.data["largest_size"]) == ("TAKER_MARGIN", "0.01234")
    assert sized_text(told, None, btc) == told


@pytest.mark.parametrize("lots", [None, 7, "", "-1", "٣", "9" * 21, "1.5"])
def test_what_a_node_says_beside_it_is_read_as_a_size_or_not_at_all(lots: object) -> None:
    refusal = Rejected(-33_029, "TAKER_MARGIN", "no", {} if lots is None else {"largest_size_lots": lots})
    assert sized_refusal(refusal, VENUE.markets[0]) is refusal
