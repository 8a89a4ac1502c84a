"""The act in which a price falls: margin calls, and a gentle liquidation."""

from collections.abc import Callable
from typing import Final

import msgspec

from prover.stf import constants
from sequencer.client.client import NodeClient
from sequencer.client.delivery import placed
from sequencer.demo.played_oracle import PlayedOracle
from sequencer.devnet.signing_account import SigningAccount
from sequencer.schema.answers import PostMortemView

_PPM: Final = 1_000_000
# What BTC falls by, from where it was bought, tick by tick; at the last one it stays.
_FALL_PPM: Final = (3_000, 6_000, 8_500, 12_000)
# Of the buying power.
_BOLDNESS_PPM: Final = 900_000


class MarginStory(msgspec.Struct, frozen=True):
    """What came of the act. calls: levels in percent as they were told; post_mortems: the oldest first."""

    calls: list[int]
    lots: int
    post_mortems: list[PostMortemView]

    @property
    def largest(self) -> PostMortemView:
        """The liquidation of the most lots."""
        return max(self.post_mortems, key=lambda record: record.lots)

    @property
    def closed_ppm(self) -> int:
        """Of the position, how much was closed."""
        return sum(record.lots for record in self.post_mortems) * _PPM // self.lots

    @property
    def equity_kept_ppm(self) -> int:
        """Of the equity before the first liquidation, how much was left after the last."""
        first, last = self.post_mortems[0], self.post_mortems[-1]
        return last.equity_after_micros * _PPM // first.equity_before_micros


async def liquidate_gently(
    api: NodeClient,
    oracle: PlayedOracle,
    hero: SigningAccount,
    maker: SigningAccount,
    rescuer: SigningAccount,
    tell: Callable[[str], None],
) -> MarginStory:
    """A trader at nine tenths of the leverage that there is; the price falls by a hundredth; the book takes some."""
    market = (await api.markets())[0]
    price = market.price_ticks
    oracle.hold(market.index, price)
    await oracle.next_tick()
    await oracle.next_tick()
    account = await api.account(hero.account)
    size = next(power.buy_lots for power in account.buying_power if power.market == market.name) * _BOLDNESS_PPM // _PPM
    equity = account.equity_micros
    await placed(api, maker.order(market.index, constants.SELL, size, price, 240))
    await placed(api, hero.order(market.index, constants.BUY, size, price, 1, constants.IMMEDIATE_OR_CANCEL))
    tell(f"account {hero.account} buys {size / 10**market.size_decimals:,.2f} {market.name} on ${equity / 10**6:,.0f}")
    lots = (await api.account(hero.account)).positions[0].size_lots
    told: list[PostMortemView] = []
    calls: list[int] = []
    for fall in (*_FALL_PPM, *[_FALL_PPM[-1]] * 8):
        there = price * (_PPM - fall) // _PPM
        oracle.hold(market.index, there)
        await oracle.next_tick()
        await oracle.next_tick()
        account = await api.account(hero.account)
        level = account.margin_call_percent
        if level and (not calls or level > calls[-1]):
            calls.append(level)
            fell, left = fall / 10_000, account.equity_micros / 10**6
            tell(f"margin call at {level}%: {market.name} fell by {fell:.2f}%, equity ${left:,.0f}")
        told = await api.post_mortems(hero.account, 10)
        if told and account.margin_ratio_ppm is not None and account.margin_ratio_ppm < _PPM:
            break
        if fall == _FALL_PPM[-1]:
            # Somebody bids just below the oracle price: within the price that the law grants the account.
            await placed(api, rescuer.order(market.index, constants.BUY, size, there * 9_998 // 10_000, 241))
    oracle.let_go()
    return MarginStory(calls, lots, told[::-1])
