"""Play dollars for a devnet's accounts, paid in by the bridge."""

from typing import Final

from l1_bridge.client.client import L1Client
from l1_bridge.client.keys import Signer
from l1_bridge.codec import calls
from l1_bridge.contracts.artifact import load_artifact
from prover.stf import constants

_TOKEN_GAS: Final = 200_000
_DEPOSIT_GAS: Final = 400_000


async def fund(client: L1Client, payer: Signer, token: bytes, bridge: bytes, deposits: list[tuple[bytes, int]]) -> None:
    """Play dollars for `payer`, deposited into a new account of each owner. Devnets only; amounts in micro-dollars."""
    dollars = load_artifact("MockDollar")
    total = sum(amount for _, amount in deposits)
    await client.send(payer, token, dollars.encode_call("mint", payer.address, total), gas=_TOKEN_GAS)
    await client.send(payer, token, dollars.encode_call("approve", bridge, total), gas=_TOKEN_GAS)
    for owner, amount in deposits:
        data = calls.encode_deposit(owner, constants.NEW_ACCOUNT, amount)
        await client.send(payer, bridge, data, gas=_DEPOSIT_GAS)
