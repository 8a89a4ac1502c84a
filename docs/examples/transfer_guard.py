"""Moves money from an owner's other account into one whose margin runs low, within a limit.

    python transfer_guard.py --account 18 --from-account 17 --rollup-address 0x... --keystore owner.json ...

Money moves by the owner's key alone, so this program holds it: run it where you would keep that key.
"""

import argparse
from pathlib import Path

import msgspec
import trio

from l1_bridge.addresses import address_bytes
from l1_bridge.client.keystore import decrypt
from prover.signing.typed_data import domain_separator
from sequencer.client.client import NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.client.errors import NodeUnreachable, Rejected
from sequencer.client.feeds import Away, Feeds, Gap
from sequencer.devnet.signing_account import SigningAccount

SLOT = 200


def options() -> argparse.Namespace:
    """What the operator chose."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node-url", default="http://127.0.0.1:9545")
    parser.add_argument("--chain-id", type=int, default=31_337)
    parser.add_argument("--rollup-address", required=True, type=address_bytes)
    parser.add_argument("--account", required=True, type=int, help="Which is guarded.")
    parser.add_argument("--from-account", required=True, type=int)
    parser.add_argument("--keystore", required=True, type=Path)
    parser.add_argument("--password-file", required=True, type=Path)
    parser.add_argument("--above-percent", type=int, default=70, help="Of maintenance over equity.")
    parser.add_argument("--step-micros", type=int, default=100_000_000)
    parser.add_argument("--most-micros", type=int, default=1_000_000_000, help="In all, while this runs.")
    return parser.parse_args()


async def main(given: argparse.Namespace) -> None:
    """Until as much was moved as may be."""
    key = decrypt(msgspec.json.decode(given.keystore.read_bytes()), given.password_file.read_text().splitlines()[0])
    # The rollup comes from whoever runs this, never from the node: what is signed is valid there alone.
    payer = SigningAccount(
        key, domain_separator(given.chain_id, given.rollup_address), wall_clock_ms, given.from_account
    )
    left = given.most_micros
    channels = [f"account:{given.account}"]
    async with (
        NodeClient(given.node_url) as node,
        Feeds(given.node_url, channels, identify=payer.identify) as feeds,
    ):
        node.identify = payer.identify
        async for frame in feeds:
            if isinstance(frame, Away | Gap):
                continue
            try:
                # As it stands now: what is told may be of before the last transfer.
                ratio = (await node.account(given.account)).margin_ratio_ppm
            except (Rejected, NodeUnreachable) as error:
                print(f"not seen: {error}", flush=True)
                continue
            # None: equity is gone, and what is moved would pay for that first.
            if ratio is None or ratio < given.above_percent * 10_000:
                continue
            amount = min(given.step_micros, left)
            try:
                await node.request("transfer", *payer.transfer(amount, given.account, SLOT))
            except (Rejected, NodeUnreachable) as error:
                # Counted where it is unknown: the limit holds whatever became of it.
                left -= amount if isinstance(error, NodeUnreachable) else 0
                print(f"not moved: {error}", flush=True)
                await trio.sleep(1)
            else:
                left -= amount
                print(f"moved {amount} micro-dollars at {ratio / 10_000:.1f}%, {left} may follow", flush=True)
            if left == 0:
                return


if __name__ == "__main__":
    trio.run(main, options())
