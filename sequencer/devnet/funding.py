"""Play dollars for a devnet's accounts, paid in by the bridge."""

from collections.abc import Sequence
from typing import Final

from l1_bridge.client.client import L1Client
from l1_bridge.client.keys import Signer
from l1_bridge.codec import calls
from l1_bridge.contracts.artifact import load_artifact
from prover.state.genesis import MarketListing
from prover.stf import constants

_TOKEN_GAS: Final = 200_000
_DEPOSIT_GAS: Final = 400_000


async def fund(client: L1Client, payer: Signer, token: bytes, bridge: bytes, deposits: list[tuple[bytes, int]]) -> None:
    """Play dollars for `payer`, deposited into a new account of each owner. Devnets only; amounts in micro-dollars."""
    await _paid_in(client, payer, token, bridge, [(owner, constants.NEW_ACCOUNT, amount) for owner, amount in deposits])


async def endow(
    client: L1Client, payer: Signer, token: bytes, bridge: bytes, listings: Sequence[MarketListing]
) -> None:
    """Play dollars for the insurance account of each market, without which nobody gets leverage. Devnets only."""
    funds = [(payer.address, market + 1, listing.whole_fund_micros) for market, listing in enumerate(listings)]
    await _paid_in(client, payer, token, bridge, funds)


async def _paid_in(
    client: L1Client, payer: Signer, token: bytes, bridge: bytes, deposits: list[tuple[bytes, int, int]]
) -> None:
    dollars = load_artifact("MockDollar")
    total = sum(amount for _, _, amount in deposits)
    await client.send(payer, token, dollars.encode_call("mint", payer.address, total), gas=_TOKEN_GAS)
    await client.send(payer, token, dollars.encode_call("approve", bridge, total), gas=_TOKEN_GAS)
    for owner, account, amount in deposits:
        await client.send(payer, bridge, calls.encode_deposit(owner, account, amount), gas=_DEPOSIT_GAS)
