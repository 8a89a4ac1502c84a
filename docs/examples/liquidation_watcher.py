"""Tells every margin call and every liquidation of the venue as it happens; needs no key.

    python liquidation_watcher.py

A `Gap` says that something was missed for good, which a watcher must not pass over in silence.
"""

import argparse

import trio

from sequencer.client.feeds import Away, Feeds, Gap, Opened
from sequencer.schema.accounts import MarginCall
from sequencer.schema.answers import PostMortemView


def options() -> argparse.Namespace:
    """What the operator chose."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node-url", default="http://127.0.0.1:9545")
    parser.add_argument("--events", type=int, default=0, help="Ends after so many; 0: never.")
    return parser.parse_args()


def told(event: MarginCall | PostMortemView) -> str:
    """One line."""
    if isinstance(event, MarginCall):
        ratio = "no equity" if event.margin_ratio_ppm is None else f"{event.margin_ratio_ppm / 10_000:.1f}%"
        if event.account is None:
            # The node keeps accounts private.
            return f"margin call: an account at {event.level_percent}%"
        return f"margin call: account {event.account} at {event.level_percent}%, maintenance is {ratio} of its equity"
    return (
        f"{event.kind}: account {event.account}, {event.lots} lots of {event.market} at {event.price_ticks}, "
        f"fee {event.fee_micros} micro-dollars"
    )


async def main(given: argparse.Namespace) -> None:
    """Until it has told enough."""
    count = 0
    async with Feeds(given.node_url, ["margin_calls", "rescues"]) as feeds:
        async for frame in feeds:
            if isinstance(frame, Away):
                print(f"away: {frame.why}; again in {frame.pause_seconds:g} s", flush=True)
            elif isinstance(frame, Gap):
                print(f"MISSED: {frame.channel} behind {frame.sequence}", flush=True)
            else:
                for event in frame.data if isinstance(frame, Opened) else [frame.data]:
                    print(told(event), flush=True)
                    count += 1
                if given.events and count >= given.events:
                    return


if __name__ == "__main__":
    trio.run(main, options())
