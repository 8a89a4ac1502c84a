"""One key and its account, without a wallet's questions: builds operations and signs them at once."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from prover.signing import signatures
from prover.signing.typed_data import signed_fields
from prover.stf import constants, containers
from sequencer.client.access import Identity

# What rests lives so long, as a careful client signs it.
_LIFETIME_MS: Final = 3_600_000
_MAX_FEE_PPM: Final = 1_000

SignedMessage = tuple[dict[str, Any], bytes]


class SigningAccount:
    """One key, one account. Sequences are the clock's, so a later order replaces an earlier one in its slot."""

    def __init__(
        self,
        private_key: bytes,
        domain: bytes,
        now_ms: Callable[[], int],
        account: int = 0,
        *,
        lifetime_ms: int = _LIFETIME_MS,
    ) -> None:
        self.address = signatures.address_of(private_key)
        self.account = account
        self._private_key = private_key
        self._domain = domain
        self._now_ms = now_ms
        self._lifetime_ms = lifetime_ms

    async def identify(self, account: int) -> Identity:
        """By which a node that keeps accounts private knows this key."""
        return Identity(self._domain, partial(signatures.sign, self._private_key))

    def order(
        self,
        market: int,
        side: int,
        size_lots: int,
        limit_price_ticks: int,
        slot: int,
        time_in_force: int = constants.GOOD_TILL_TIME,
        post_only: bool = False,
    ) -> SignedMessage:
        """Signed fields of an order, and its signature."""
        now = self._now_ms()
        is_resting = time_in_force == constants.GOOD_TILL_TIME
        order = containers.Order(
            account=self.account,
            market=market,
            side=side,
            size=size_lots,
            limit_price=limit_price_ticks,
            slot=slot,
            sequence=now,
            created_at=now,
            expires_at=now + (self._lifetime_ms if is_resting else constants.IMMEDIATE_LIFETIME),
            time_in_force=time_in_force,
            post_only=int(post_only),
            reduce_only=0,
            trigger=constants.NO_TRIGGER,
            trigger_price=0,
            max_fee_ppm=_MAX_FEE_PPM,
            max_posting_fee=constants.MOST_POSTING_FEE,
            unused=0,
        )
        signature = signatures.sign(self._private_key, signatures.order_digest(self._domain, order))
        return signed_fields(constants.ORDER, order), signature

    def withdrawal(self, amount_micros: int, recipient: bytes, slot: int) -> SignedMessage:
        """Signed fields of a withdrawal, and its signature."""
        return self._request(constants.WITHDRAW, slot, amount_micros, recipient)

    def transfer(self, amount_micros: int, to_account: int, slot: int) -> SignedMessage:
        """Signed fields of a transfer to another account, and its signature."""
        return self._request(constants.TRANSFER, slot, amount_micros, containers.NOBODY, to_account)

    def cancel(self, slot: int) -> SignedMessage:
        """Signed fields of a soft cancel of whatever stands in a slot, and its signature."""
        return self._request(constants.CANCEL, slot, 0, containers.NOBODY)

    def _request(self, tag: int, slot: int, amount_micros: int, recipient: bytes, other: int = 0) -> SignedMessage:
        now = self._now_ms()
        request = containers.Request(
            account=self.account,
            slot=slot,
            sequence=now,
            created_at=now,
            expires_at=now + constants.REQUEST_LIFETIME,
            amount=amount_micros,
            other=other,
            recipient=recipient,
            max_posting_fee=0 if tag == constants.CANCEL else constants.MOST_POSTING_FEE,
        )
        digest = signatures.request_digest(self._domain, tag, request)
        return signed_fields(tag, request), signatures.sign(self._private_key, digest)
