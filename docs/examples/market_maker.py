"""Quotes both sides of one market around the oracle price, and takes its quotes back when it ends.

    python market_maker.py --account 17 --rollup-address 0x... --keystore agent.json --password-file password

Read docs/bots.md beside it. A soft cancel costs nothing; what it took out is the sequencer's word, with a receipt.
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
from sequencer.client.feeds import Away, Feeds, Gap, Opened
from sequencer.devnet.signing_account import SigningAccount
from sequencer.schema.answers import MarketView

BID_SLOT, ASK_SLOT = 1, 2


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
    parser.add_argument("--spread-ppm", type=int, default=500, help="Each side's distance from the oracle price.")
    parser.add_argument("--quotes", type=int, default=0, help="Ends after so many; 0: never.")
    return parser.parse_args()


async def quote(node: NodeClient, maker: SigningAccount, market: MarketView, given: argparse.Namespace) -> None:
    """Both sides anew, each in its own slot, where it replaces the quote before."""
    away = max(1, market.price_ticks * given.spread_ppm // 1_000_000)
    sides = [
        (constants.BUY, market.price_ticks - away, BID_SLOT),
        (constants.SELL, market.price_ticks + away, ASK_SLOT),
    ]
    quotes = [
        (*maker.order(market.index, side, given.size_lots, price, slot, post_only=True), {})
        for side, price, slot in sides
    ]
    for (side, price, _), result in zip(sides, await delivered(node, quotes), strict=True):
        told = f"refused: {result}" if isinstance(result, Rejected) else result.status
        print(f"{'bid' if side == constants.BUY else 'ask'} {price} {told}", flush=True)


async def main(given: argparse.Namespace) -> None:
    """Quotes at every tick; whoever trades with it is told on `orders:N`."""
    key = decrypt(msgspec.json.decode(given.keystore.read_bytes()), given.password_file.read_text().splitlines()[0])
    # The rollup comes from whoever runs this, never from the node: what is signed is valid there alone.
    maker = SigningAccount(key, domain_separator(given.chain_id, given.rollup_address), wall_clock_ms, given.account)
    quoted = 0
    async with (
        NodeClient(given.node_url) as node,
        Feeds(given.node_url, ["prices", f"orders:{given.account}"], identify=maker.identify) as feeds,
    ):
        node.identify = maker.identify
        try:
            async for frame in feeds:
                if isinstance(frame, Away | Gap):
                    print(f"{type(frame).__name__.lower()}: {frame}", flush=True)
                elif frame.channel == "prices":
                    await quote(node, maker, next(each for each in frame.data if each.name == given.market), given)
                    quoted += 1
                    if quoted == given.quotes:
                        return
                elif not isinstance(frame, Opened):
                    for event in frame.data:
                        if event.event == "filled":
                            print(f"filled {event.side} {event.lots} at {event.price_ticks}", flush=True)
        finally:
            with trio.move_on_after(10, shield=True):
                for slot in (BID_SLOT, ASK_SLOT):
                    await node.request("cancel", *maker.cancel(slot))
                print("quotes taken back", flush=True)


if __name__ == "__main__":
    trio.run(main, options())
