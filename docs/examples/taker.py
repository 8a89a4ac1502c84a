"""Waits until somebody sells at a price or below, buys at once what is wanted, and never twice.

    python taker.py --account 17 --rollup-address 0x... --keystore agent.json --password-file password --below 600000

The order has a name of its own (`client_id`), so that after a crash this program first asks what became of it.
"""

import argparse
from pathlib import Path

import msgspec
import trio

from l1_bridge.addresses import address_bytes
from l1_bridge.client.keystore import decrypt
from prover.signing.typed_data import domain_separator
from prover.stf import constants
from sequencer.client.client import NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.client.delivery import delivered
from sequencer.client.errors import Rejected
from sequencer.client.feeds import Away, Feeds, Gap
from sequencer.devnet.signing_account import SigningAccount

SLOT = 10


def options() -> argparse.Namespace:
    """What the operator chose."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node-url", default="http://127.0.0.1:9545")
    parser.add_argument("--chain-id", type=int, default=31_337)
    parser.add_argument("--rollup-address", required=True, type=address_bytes)
    parser.add_argument("--account", required=True, type=int)
    parser.add_argument("--keystore", required=True, type=Path)
    parser.add_argument("--password-file", required=True, type=Path)
    parser.add_argument("--market", default="BTC")
    parser.add_argument("--size-lots", type=int, default=100)
    parser.add_argument("--below", required=True, type=int, help="The highest price, in ticks.")
    parser.add_argument("--name", default="taker-1", help="Of this purchase: the same name is bought once.")
    return parser.parse_args()


async def is_done(node: NodeClient, given: argparse.Namespace) -> bool:
    """Whether an order of this name was taken before."""
    try:
        found = await node.fate(account=given.account, client_id=given.name)
    except Rejected as refusal:
        if refusal.rejection != "UNKNOWN_ORDER":
            raise
        return False
    print(f"{given.name} is {found.status}: {found.filled_lots} lots", flush=True)
    return found.status != "refused"


async def main(given: argparse.Namespace) -> None:
    """One purchase."""
    key = decrypt(msgspec.json.decode(given.keystore.read_bytes()), given.password_file.read_text().splitlines()[0])
    # The rollup comes from whoever runs this, never from the node: what is signed is valid there alone.
    taker = SigningAccount(key, domain_separator(given.chain_id, given.rollup_address), wall_clock_ms, given.account)
    async with NodeClient(given.node_url) as node, Feeds(given.node_url, [f"book:{given.market}"]) as feeds:
        node.identify = taker.identify
        market = next(each for each in await node.markets() if each.name == given.market)
        if await is_done(node, given):
            return
        async for frame in feeds:
            if isinstance(frame, Away | Gap) or not frame.data.asks or frame.data.asks[0][0] > given.below:
                continue
            order = taker.order(
                market.index, constants.BUY, given.size_lots, given.below, SLOT, constants.IMMEDIATE_OR_CANCEL
            )
            (result,) = await delivered(node, [(*order, {"client_id": given.name})])
            if isinstance(result, Rejected):
                raise SystemExit(f"refused: {result}")
            paid = sum(fill.price_ticks * fill.size_lots for fill in result.fills)
            print(f"bought {result.filled_lots} lots for {paid} micro-dollars, fees {result.fees_micros}", flush=True)
            return


if __name__ == "__main__":
    trio.run(main, options())
