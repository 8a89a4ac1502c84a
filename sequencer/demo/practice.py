"""Six steps on a devnet of one's own, each by the command that a trader would type, on an account of one's own.

Deposit, two positions, watch one eat the pool, the margin call, the gentle liquidation and its post-mortem, the exit
that no sequencer can refuse. Prices are played; all else is the shipped node, wallet and contracts.
"""

import json
import os
import secrets
import shlex
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from l1_bridge.addresses import address_bytes
from l1_bridge.client.client import L1Client
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from prover.cli.running import CommandFailed, StandardOutput
from prover.contracts import deployment
from prover.stf import constants
from sequencer.client.client import NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.client.delivery import placed
from sequencer.client.errors import Rejected
from sequencer.demo.company import Company, catenary
from sequencer.demo.played_oracle import PlayedOracle
from sequencer.demo.stage import Stage
from sequencer.devnet.funding import fund
from sequencer.devnet.signing_account import SigningAccount
from sequencer.schema.accounts import AccountView, PositionView
from sequencer.schema.answers import MarketView
from sequencer.wallet.units import money_text, percent_text, units_text

_PPM: Final = 1_000_000
_DOLLARS: Final = 5_000
_WINDOW_SECONDS: Final = 10
# Not the key of `catenary node`: what is signed here is good for no other devnet of this machine.
_OPERATOR: Final = 8
_PAYER: Final = 5
_OTHERS_DEPOSIT: Final = 200_000 * 10**6
# Of the buying power that there is then.
_LONG_PPM: Final = 600_000
_SHORT_PPM: Final = 500_000
# What BTC falls by in one step, of where it was bought; ETH falls too, and its short gains.
_STEP_PPM: Final = 3_000
_STEPS: Final = 30
_ETH_FALL_PPM: Final = 10_000
_BITCOIN, _ETHER = range(2)
# What a machine with too much to do brings about, and a few ticks take away: so many are waited for.
_PASSING: Final = ("STALE", "GRACE", "BACKLOG", "NOT_POSTABLE", "NOT_READY", "RATE_LIMITED")
_PATIENCE: Final = 40
# Commands that only show, and so can be run again for people.
_LOOKS: Final = ("preview", "positions", "contribution", "post-mortem")

_OPENED: Final = (
    "an L1 with bridge and referee, a node, two strangers who quote: all of it ends with this command",
    "each line that begins with $ is a command that you could type yourself; prices are played, all else is real",
)
_DEPOSITED: Final = (
    "the money lies in the bridge on L1; your account is an entry of the rollup's state",
    "nobody moves it without your signature, the sequencer neither",
)
_PREVIEWED: Final = "a preview asks the law what would be filled and what the account would be: nothing was sent yet"
_POOLED: Final = (
    "one pool stands behind both positions: each asks for a part of it to stay (maintenance), and for more to grow "
    "(initial)"
)
_EATEN: Final = (
    "what BTC lost came out of the pool that ETH has paid into: the gain of one position keeps the other alive",
    "isolated, each would have to stand alone",
)
_CALLED: Final = (
    "a call is told at 50, 70, 80 and 90% of the way to liquidation",
    "a deposit, a transfer or a smaller position helps, and the preview shows how far; we do none of it, to see more",
)
_SPARED: Final = "a liquidation closes no more than it must, at a price that the rest of the account does not pay for"
_LEFT: Final = (
    "that was a transaction on L1, and the sequencer has to serve it in time: else it loses its seat, and at last the "
    "bridge freezes and pays by itself",
    "what was open was closed at the worse of two prices less at most one percent: the price of asking nobody, "
    "and much at such leverage; who closes by orders and withdraws pays none of it",
)


class Learnt(msgspec.Struct):
    """What came of it; money in micro-dollars, calls in percent as they were told."""

    account: int = 0
    calls: list[int] = []
    liquidations: int = 0
    equity_before_micros: int = 0
    equity_after_micros: int = 0
    paid_micros: int = 0

    @property
    def held(self) -> bool:
        """Whether each step showed what it is there to show."""
        return bool(self.calls) and self.liquidations > 0 and self.equity_after_micros > 0 and self.paid_micros > 0


class Trader:
    """The reader's wallet, as commands."""

    def __init__(self, stage: Stage, environment: dict[str, str], next_tick: Callable[[], Awaitable[None]]) -> None:
        self._stage = stage
        self._environment = {**os.environ, **environment, "COLUMNS": str(stage.console.width)}
        self._next_tick = next_tick

    async def run(self, *arguments: str) -> dict[str, Any]:
        """A command as a trader types it: what it says is shown, what it found is returned. CommandFailed."""
        self._stage.console.print(f"\n  [bold]$ catenary wallet {shlex.join(arguments)}[/]")
        said = await self._say(*arguments, "--json")
        if not self._stage.output.as_json and arguments[0] in _LOOKS:
            told = await self._say(*arguments)
            self._stage.console.print(told, markup=False, highlight=False, emoji=False, end="")
        found: dict[str, Any] = json.loads(said.splitlines()[-1])
        return found

    async def _say(self, *arguments: str) -> str:
        command = [*catenary("wallet"), *arguments]
        for _ in range(_PATIENCE):
            ended = await trio.run_process(
                command, env=self._environment, capture_stdout=True, capture_stderr=True, check=False
            )
            if ended.returncode == 0:
                return ended.stdout.decode()
            said = ended.stderr.decode().strip()
            if not any(f"{name}:" in said for name in _PASSING):
                break
            await self._next_tick()
        raise CommandFailed(f"catenary wallet {shlex.join(arguments)}: {said}")


class Market:
    """A market whose price is played, in which strangers quote what the reader wants."""

    def __init__(self, api: NodeClient, oracle: PlayedOracle, others: list[SigningAccount], index: int) -> None:
        self._api = api
        self._oracle = oracle
        self._others = others
        self._index = index

    async def view(self) -> MarketView:
        """As the node tells it."""
        return (await self._api.markets())[self._index]

    async def fall(self, start: int, ppm: int) -> None:
        """To so much below a start, for two ticks: rescues judge by the better of two prices."""
        self._oracle.hold(self._index, start * (_PPM - ppm) // _PPM)
        await self._oracle.next_tick()
        await self._oracle.next_tick()

    async def quote(self, side: int, size: int, price: int | None = None) -> None:
        """A stranger's order, at the oracle price if none is given."""
        for _ in range(_PATIENCE):
            at = (await self.view()).price_ticks if price is None else price
            try:
                await placed(self._api, self._others[side].order(self._index, side, size, at, 1 + self._index))
                return
            except Rejected as refusal:
                if refusal.rejection not in _PASSING:
                    raise
            await self._oracle.next_tick()
        raise CommandFailed(f"nobody could quote for {_PATIENCE} ticks")

    async def order(self, side: str, size: int, price: int) -> list[str]:
        """The options of the reader's order."""
        view = await self.view()
        decimals = units_text(size, view.size_decimals), units_text(price, view.price_decimals)
        return [
            "--market", view.name, "--side", side, "--size", decimals[0], "--price", decimals[1],
            "--time-in-force", "ioc",
        ]  # fmt: skip

    async def power(self, account: AccountView, side: int, ppm: int) -> int:
        """So much of what an account could buy or sell, in lots."""
        name = (await self.view()).name
        power = next(one for one in account.buying_power if one.market == name)
        return (power.buy_lots if side == constants.BUY else power.sell_lots) * ppm // _PPM

    async def held(self, account: AccountView) -> PositionView:
        """What an account holds of it."""
        name = (await self.view()).name
        return next(one for one in account.positions if one.market == name)


class Practice:
    """The steps, in order."""

    def __init__(self, stage: Stage, trader: Trader, api: NodeClient, bitcoin: Market, ether: Market) -> None:
        self.learnt = Learnt()
        self._stage = stage
        self._trader = trader
        self._api = api
        self._bitcoin = bitcoin
        self._ether = ether
        self._bought_at = 0
        self._fallen = 0

    @property
    def steps(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """Title and step."""
        return [
            ("Deposit", self._deposit),
            ("Two positions, one pool", self._trade),
            ("One position eats the pool", self._eat),
            ("The margin call", self._wait_for_the_call),
            ("The gentle liquidation", self._liquidate),
            ("The exit that nobody can refuse", self._leave),
        ]

    async def _deposit(self) -> None:
        made = await self._trader.run("new", "--light-kdf")
        await self._trader.run("deposit", "--amount", str(_DOLLARS), "--faucet")
        (self.learnt.account,) = await self._api.accounts(address_bytes(made["address"]))
        self._say(*_DEPOSITED)

    async def _trade(self) -> None:
        price = self._bought_at = (await self._bitcoin.view()).price_ticks
        size = await self._bitcoin.power(await self._account(), constants.BUY, _LONG_PPM)
        await self._bitcoin.quote(constants.SELL, size)
        order = await self._bitcoin.order("buy", size, price)
        await self._trader.run("preview", "order", *order)
        self._say(_PREVIEWED)
        await self._trader.run("order", *order)
        size = await self._ether.power(await self._account(), constants.SELL, _SHORT_PPM)
        await self._ether.quote(constants.BUY, size)
        await self._trader.run("order", *await self._ether.order("sell", size, (await self._ether.view()).price_ticks))
        await self._trader.run("positions")
        self._say(_POOLED)

    async def _eat(self) -> None:
        await self._ether.fall((await self._ether.view()).price_ticks, _ETH_FALL_PPM)
        await self._fall(2 * _STEP_PPM)
        await self._trader.run("contribution", "--shock", "-1")
        self._say(*_EATEN)

    async def _wait_for_the_call(self) -> None:
        for _ in range(_STEPS):
            account = await self._account()
            if account.margin_call_percent:
                break
            await self._fall(_STEP_PPM)
        self._heard(account)
        await self._trader.run("positions")
        half = (await self._bitcoin.held(account)).size_lots // 2
        price = (await self._bitcoin.view()).price_ticks
        await self._bitcoin.quote(constants.BUY, half)
        order = await self._bitcoin.order("sell", half, price * 99 // 100)
        await self._trader.run("preview", "order", *order, "--reduce-only")
        self._say(*_CALLED)

    async def _liquidate(self) -> None:
        learnt = self.learnt
        for _ in range(_STEPS):
            account = await self._account()
            self._heard(account)
            told = await self._api.post_mortems(learnt.account, 10)
            is_safe = account.margin_ratio_ppm is not None and account.margin_ratio_ppm < _PPM
            if told and is_safe:
                break
            # Somebody bids just below the oracle price: within the price that the law grants the account.
            price = self._bought_at * (_PPM - self._fallen - _STEP_PPM * is_safe) // _PPM
            await self._bitcoin.quote(
                constants.BUY, (await self._bitcoin.held(account)).size_lots, price * 9_998 // 10_000
            )
            await self._fall(_STEP_PPM * is_safe)
        if not told:
            raise CommandFailed("nobody was liquidated although the price fell")
        learnt.liquidations = len(told)
        learnt.equity_before_micros = told[-1].equity_before_micros
        learnt.equity_after_micros = told[0].equity_after_micros
        await self._trader.run("post-mortem")
        await self._trader.run("positions")
        kept = percent_text(learnt.equity_after_micros * _PPM // learnt.equity_before_micros)
        self._say(_SPARED, f"{kept} of the equity before it is still there; each number above can be checked on L1")

    async def _leave(self) -> None:
        left = await self._trader.run("leave")
        self._say(*_LEFT)
        if not left["done"]:
            raise CommandFailed(f"the exit goes on: no prices came for it, and batch {left['batch']} has it half done")
        if left["withdrawal"] is None:
            raise CommandFailed("the exit paid nothing")
        paid = await self._trader.run("claim", str(left["withdrawal"]), "--wait")
        self.learnt.paid_micros = int(paid["amount_micros"])
        self._say(f"{money_text(self.learnt.paid_micros)} are back at your address on L1")

    async def _account(self) -> AccountView:
        return await self._api.account(self.learnt.account)

    async def _fall(self, ppm: int) -> None:
        self._fallen += ppm
        await self._bitcoin.fall(self._bought_at, self._fallen)

    def _heard(self, account: AccountView) -> None:
        level = account.margin_call_percent
        if level and (not self.learnt.calls or level > self.learnt.calls[-1]):
            self.learnt.calls.append(level)
            fell, left = units_text(self._fallen, 4), money_text(account.equity_micros)
            self._stage.alarm(f"margin call at {level}%: BTC fell by {fell}%, equity {left}")

    def _say(self, *sentences: str) -> None:
        for sentence in sentences:
            self._stage.step(sentence)


async def _opened(
    directory: Path, stage: Stage, company: Company, nursery: trio.Nursery, stack: AsyncExitStack
) -> Practice:
    """A devnet with two strangers on it, whose prices stand still."""
    l1_url = await company.embedded_l1()
    _, venue = await company.node(l1_url, _OPERATOR, window_seconds=_WINDOW_SECONDS)
    client = await stack.enter_async_context(L1Client(l1_url, L1Options(poll_seconds=0.3)))
    found = await deployment.read(client, address_bytes(venue["rollup_address"]))
    api = await stack.enter_async_context(NodeClient(venue["url"]))
    oracle = PlayedOracle(found.domain, await api.markets(), 0)
    oracle.node = api
    nursery.start_soon(oracle.run)
    others = [SigningAccount(secrets.token_bytes(32), found.domain, wall_clock_ms) for _ in range(2)]
    deposits = [(other.address, _OTHERS_DEPOSIT) for other in others]
    await fund(client, development_key(_PAYER), found.token, found.bridge, deposits)
    for other in others:
        while not (accounts := await api.accounts(other.address)):
            await trio.sleep(0.3)
        other.account = accounts[0]
    # From the first price on they stand still; nothing grows before there are two.
    await oracle.next_tick()
    markets = await api.markets()
    for market in markets:
        oracle.hold(market.index, market.price_ticks)
    await oracle.next_tick()
    await oracle.next_tick()
    environment = {
        "CATENARY_WALLET_NODE_URL": venue["url"],
        "CATENARY_WALLET_L1_RPC_URL": l1_url,
        "CATENARY_WALLET_DIR": str(directory / "wallets"),
        "CATENARY_WALLET_PASSWORD": secrets.token_hex(8),
        "CATENARY_WALLET_POLL_INTERVAL": "0.3",
    }
    played = [Market(api, oracle, others, index) for index in (_BITCOIN, _ETHER)]
    return Practice(stage, Trader(stage, environment, oracle.next_tick), api, *played)


async def play(directory: Path, output: StandardOutput, pause: Callable[[], Awaitable[None]]) -> Learnt:
    """Plays it and ends every process that it started. pause: waits until the reader wants to go on."""
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        company, stage = Company(directory, nursery), Stage(output)
        try:
            stage.act("A devnet of your own")
            practice = await _opened(directory, stage, company, nursery, stack)
            for sentence in _OPENED:
                stage.step(sentence)
            for title, step in practice.steps:
                await pause()
                stage.act(title)
                await step()
        finally:
            await company.stop()
        nursery.cancel_scope.cancel()
    return practice.learnt
