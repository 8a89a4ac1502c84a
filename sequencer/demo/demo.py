"""The whole story in front of the user: trade, lie, proof, roll-back, new sequencer, claim, rebuilt from L1.

The driver only starts processes and sends what wallets would send. Every figure of the summary is read back: from L1's
receipts and logs, and from `verify`, which runs as its own process and knows nothing but L1.
"""

import random
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from l1_bridge.addresses import address_bytes
from l1_bridge.client.client import L1Client
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.client.values import Receipt
from l1_bridge.codec import batch, calls, events
from l1_bridge.contracts.artifact import bridge_artifact
from prover.cli.running import CommandFailed, StandardOutput
from prover.contracts import deployment
from prover.stf import constants, encoding
from prover.stf.replay import operation_length
from prover.stf.words import word_at
from sequencer.client.client import NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.client.delivery import delivered
from sequencer.client.errors import Rejected
from sequencer.demo.child import Child
from sequencer.demo.company import Company, catenary, l1_options
from sequencer.demo.liquidation import liquidate_gently
from sequencer.demo.played_oracle import PlayedOracle
from sequencer.demo.stage import Stage
from sequencer.devnet.funding import fund
from sequencer.devnet.market_maker import ladder
from sequencer.devnet.signing_account import SigningAccount
from sequencer.schema.answers import MarketView
from sequencer.wallet.commands.grid import Grid, listed
from sequencer.wallet.commands.insight import post_mortem_text

_MAKERS: Final = 3
_TAKERS: Final = 9
_MAKER_DEPOSIT: Final = 200_000 * 10**6
_TAKER_DEPOSIT: Final = 20_000 * 10**6
_WITHDRAWAL: Final = 1_250 * 10**6
_ROUNDS: Final = 12
_CLAIM_GAS: Final = 400_000
# Ends a story that hangs, and none on a slow machine: it takes two minutes on one that has nothing else to do.
_DEADLINE_SECONDS: Final = 1_800
_OPERATOR: Final = 0
_SUCCESSOR: Final = 1
_CHALLENGER: Final = 3
_PAYER: Final = 5


class Summary(msgspec.Struct):
    """What the demo ends with; the promise is `held`."""

    deposits: int = 0
    orders: int = 0
    fills: int = 0
    margin_calls: list[int] = []
    liquidations: int = 0
    liquidation_closed_ppm: int = 0
    liquidation_equity_kept_ppm: int = 0
    batches_posted: int = 0
    fraud_proof_transactions: int = 0
    fraud_proof_gas: int = 0
    fraud_proof_calldata_bytes: int = 0
    rolled_back_batches: int = 0
    stolen_micros_prevented: int = 0
    withdrawal_claimed: bool = False
    conservation_error_micros: int = -1
    verified_roots_equal: bool = False
    rollup_address: str = ""
    l1: str = ""
    seconds: float = 0.0

    @property
    def held(self) -> bool:
        """Whether everything that the demo is there to show has happened on L1."""
        return (
            self.fills >= 200
            and bool(self.margin_calls)
            and self.liquidations > 0
            and 0 < self.liquidation_closed_ppm < 900_000
            and self.fraud_proof_transactions == 1
            and self.rolled_back_batches == 1
            and self.stolen_micros_prevented > 0
            and self.withdrawal_claimed
            and self.conservation_error_micros == 0
            and self.verified_roots_equal
        )


class DemoConfig(msgspec.Struct, frozen=True):
    """l1_rpc_url empty: an embedded L1. keep: leave L1 and node up at the end."""

    datadir: Path
    l1_rpc_url: str = ""
    keep: bool = False
    seed: int = 0
    window_seconds: int = 20


class Demo:
    """The acts, in order."""

    def __init__(self, config: DemoConfig, stage: Stage, nursery: trio.Nursery, stack: AsyncExitStack) -> None:
        self.config = config
        self.stage = stage
        self.summary = Summary()
        self._nursery = nursery
        self._stack = stack
        self._random = random.Random(config.seed)
        self.company = Company(config.datadir, nursery)

    async def play(self) -> Summary:
        """All of it; the summary counts what L1 and verify say."""
        stage = self.stage
        stage.act("A chain, a node, a challenger")
        l1_url = self.config.l1_rpc_url or await self.company.embedded_l1()
        client = await self._stack.enter_async_context(L1Client(l1_url, L1Options(poll_seconds=0.3)))
        self.summary.l1 = await client.client_version()
        stage.step(f"L1 is {self.summary.l1}, chain {await client.chain_id()}")
        node, venue = await self.company.node(l1_url, _OPERATOR, window_seconds=self.config.window_seconds)
        rollup = address_bytes(venue["rollup_address"])
        self.summary.rollup_address = venue["rollup_address"]
        found = await deployment.read(client, rollup)
        stage.step(
            f"the node deployed the rollup at {venue['rollup_address']} and holds the seat with a bond of 20 ether"
        )
        challenger = await self._challenger(l1_url, rollup)
        api = await self._stack.enter_async_context(_node_client(venue["url"]))

        oracle = PlayedOracle(found.domain, await api.markets(), self.config.seed)
        oracle.node = api
        self._nursery.start_soon(oracle.run)

        stage.act("Deposits")
        makers, takers, hero = await self._fund(client, api, found)

        stage.act("Three markets, makers, takers, a moving price")
        await oracle.next_tick()
        await self._trade(api, makers, takers)

        stage.act("A margin call, a gentle liquidation")
        await self._liquidate(api, oracle, hero, makers)

        stage.act("A withdrawal, batches on L1")
        withdrawal = await self._withdraw(api, takers[0])
        posted = await self._wait_posted(api, withdrawal)
        stage.step(f"the withdrawal is in batch {posted}, final {self.config.window_seconds} s after its commit")

        stage.act("The sequencer turns into a thief")
        await self._everything_posted(api)
        oracle.node = None
        await node.stop()
        lie = await self._lie(l1_url, rollup)

        stage.act("One transaction")
        await self._proof(challenger, lie["batch"])

        stage.act("A new sequencer takes the seat")
        node, venue = await self.company.node(l1_url, _SUCCESSOR, rollup=venue["rollup_address"])
        api = await self._stack.enter_async_context(_node_client(venue["url"]))
        oracle.node = api
        stage.step("another key puts up a bond and goes on from the last true root")
        await self._trade(api, makers, takers, rounds=2)
        await self._everything_posted(api)

        stage.act("The window passes, the money comes home")
        await self._claim(client, api, found, withdrawal, takers[0])

        stage.act("Verify, from L1 alone")
        await self._everything_posted(api)
        # Nothing may move while L1 is read and compared.
        oracle.node = None
        await node.stop()
        await self._verify(l1_url, rollup)
        await self._count(client, found)
        await challenger.stop()
        self.summary.seconds = round(stage.seconds, 1)
        if self.config.keep:
            await self._keep(l1_url, venue)
        return self.summary

    # Processes.

    async def _challenger(self, l1_url: str, rollup: bytes) -> Child:
        command = [
            *catenary("challenger"),
            *l1_options(l1_url, rollup),
            "--datadir",
            str(self.config.datadir / "challenger"),
        ]
        command += ["--development-key", str(_CHALLENGER), "--poll-interval", "0.5", "--json"]
        child = await self.company.spawn("the challenger", command)
        await child.said("started")
        self.stage.step("a challenger follows L1, knowing nothing but its logs; it needs no bond")
        return child

    async def _keep(self, l1_url: str, venue: dict[str, Any]) -> None:
        node, again = await self.company.node(l1_url, _SUCCESSOR, rollup=venue["rollup_address"])
        self.stage.step(
            f"left running: L1 {l1_url}, node {again['url']}, rollup {venue['rollup_address']}; Ctrl-C ends"
        )
        self.stage.output.event("kept", l1_rpc_url=l1_url, url=again["url"], rollup_address=venue["rollup_address"])
        await node.process.wait()

    # Acts.

    async def _fund(
        self, client: L1Client, api: NodeClient, found: deployment.Deployment
    ) -> tuple[list[SigningAccount], list[SigningAccount], SigningAccount]:
        traders = [
            SigningAccount(self._random.randbytes(32), found.domain, wall_clock_ms)
            for _ in range(_MAKERS + _TAKERS + 1)
        ]
        makers, takers, hero = traders[:_MAKERS], traders[_MAKERS:-1], traders[-1]
        deposits = [(trader.address, _MAKER_DEPOSIT) for trader in makers]
        deposits += [(trader.address, _TAKER_DEPOSIT) for trader in (*takers, hero)]
        with self.stage.bar() as bar:
            task = bar.add_task("deposits booked", total=len(traders), note="")
            async with trio.open_nursery() as nursery:
                payer = development_key(_PAYER)
                nursery.start_soon(fund, client, payer, found.token, found.bridge, deposits)
                for trader in traders:
                    while not (accounts := await api.accounts(trader.address)):
                        await trio.sleep(0.3)
                    trader.account = accounts[0]
                    bar.advance(task)
        total = sum(amount for _, amount in deposits) // 10**6
        self.stage.step(f"{len(deposits)} traders, ${total:,} in the bridge, booked from finalized L1 blocks")
        return makers, takers, hero

    async def _trade(
        self, api: NodeClient, makers: list[SigningAccount], takers: list[SigningAccount], rounds: int = _ROUNDS
    ) -> None:
        fills = orders = refused = 0
        with self.stage.bar() as bar:
            task = bar.add_task("trading", total=rounds, note="")
            for _ in range(rounds):
                markets = await api.markets()
                batches = [
                    quote for maker in makers for market in markets for quote in ladder(maker, market, 4, 900, 250)
                ]
                batches += [self._take(taker, market) for taker in takers for market in markets]
                for start in range(0, len(batches), 50):
                    for answer in await delivered(api, batches[start : start + 50]):
                        orders += 1
                        if isinstance(answer, Rejected):
                            refused += 1
                        else:
                            fills += len(answer.fills)
                prices = "  ".join(f"{market.name} ${_dollars(market)}" for market in markets)
                bar.update(task, advance=1, note=f"{fills} fills  {prices}")
                await trio.sleep(0.4)
        self.stage.step(f"{orders} signed orders, {fills} fills at the node, {refused} refused by the law")

    def _take(self, taker: SigningAccount, market: MarketView) -> tuple[dict[str, Any], bytes]:
        side = self._random.choice((constants.BUY, constants.SELL))
        reach = market.price_ticks * 20_000 // 1_000_000
        limit = market.price_ticks + (reach if side == constants.BUY else -reach)
        size = max(1, self._random.randrange(300, 2_500) * 10**6 // market.price_ticks)
        return taker.order(market.index, side, size, limit, 200 + market.index, constants.IMMEDIATE_OR_CANCEL)

    async def _liquidate(
        self, api: NodeClient, oracle: PlayedOracle, hero: SigningAccount, makers: list[SigningAccount]
    ) -> None:
        story = await liquidate_gently(api, oracle, hero, makers[0], makers[1], self.stage.step)
        self.summary.margin_calls = story.calls
        if not story.post_mortems:
            raise CommandFailed("nobody was liquidated although the price fell by a hundredth")
        told = story.largest
        self.summary.liquidations = len(story.post_mortems)
        self.summary.liquidation_closed_ppm = story.closed_ppm
        self.summary.liquidation_equity_kept_ppm = story.equity_kept_ppm
        self.stage.step(
            f"liquidated gently: {story.closed_ppm / 10_000:.1f}% of the position closed, "
            f"{story.equity_kept_ppm / 10_000:.1f}% of the equity kept"
        )
        title, *lines = post_mortem_text(told, Grid(listed(await api.markets())))
        self.stage.step(f"post-mortem {title}")
        for line in lines:
            self.stage.step(line)

    async def _lie(self, l1_url: str, rollup: bytes) -> dict[str, Any]:
        self.stage.step("the honest node stops; the same key now runs a liar")
        liar = await self.company.spawn(
            "liar", [sys.executable, "-m", "sequencer.demo.lying_sequencer", *l1_options(l1_url, rollup)]
        )
        lie = await liar.said("lied")
        dollars = lie["amount_micros"] / 10**6
        self.stage.alarm(f"batch {lie['batch']} pays it ${dollars:,.2f} out of account {lie['victim_account']}")
        self.stage.alarm(f"it asks for the money at once: L1 answers {lie['claim_refused']}")
        return lie

    async def _proof(self, challenger: Child, batch: int) -> None:
        mined = await challenger.said("proof_mined")
        self.stage.step(
            f"the challenger proves it: block {mined.get('block_number')}, {mined.get('gas_used', 0):,} gas"
        )
        await challenger.said("rolled_back", number=batch)
        self.stage.step("the batch is rolled back, half of the thief's bond is burned, half goes to the challenger")

    async def _verify(self, l1_url: str, rollup: bytes) -> None:
        verify = await self.company.spawn("verify", [*catenary("verify"), *l1_options(l1_url, rollup), "--json"])
        report = await verify.said("summary")
        self.summary.conservation_error_micros = report["conservation_error_micros"]
        self.summary.verified_roots_equal = report["equal"]
        self.stage.step(
            f"{report['batches']} batches, {report['chunks']} chunks, {report['operations']} operations replayed: "
            f"root {report['root'][:18]}… equal, {report['conservation_error_micros']} micro-dollars missing"
        )

    async def _withdraw(self, api: NodeClient, trader: SigningAccount) -> int:
        fields, signature = trader.withdrawal(_WITHDRAWAL, trader.address, slot=250)
        answer = await api.request("withdraw", fields, signature)
        assert answer.withdrawal_index is not None
        self.stage.step(
            f"account {trader.account} takes ${_WITHDRAWAL / 10**6:,.2f} out: withdrawal {answer.withdrawal_index}"
        )
        return answer.withdrawal_index

    async def _wait_posted(self, api: NodeClient, index: int) -> int:
        while True:
            try:
                return (await api.withdrawal_proof(index)).batch
            except Rejected:
                await trio.sleep(0.3)

    async def _everything_posted(self, api: NodeClient) -> None:
        target = (await api.status()).sequenced.chunk
        while (status := await api.status()).posted.chunks < target:
            await trio.sleep(0.3)
        self.stage.step(f"{status.posted.chunks} chunks are on L1, in {status.posted.batch} batches")

    async def _claim(
        self, client: L1Client, api: NodeClient, found: deployment.Deployment, index: int, trader: SigningAccount
    ) -> None:
        proof = await api.withdrawal_proof(index)
        final_at = await deployment.view(client, bridge_artifact(), found.bridge, "final_at", proof.batch)
        with self.stage.bar() as bar:
            task = bar.add_task("challenge window", total=self.config.window_seconds, note="")
            while True:
                head = await client.block("latest")
                left = final_at - (head.timestamp if head else 0)
                if left <= 0:
                    break
                bar.update(task, completed=max(0, self.config.window_seconds - left), note=f"{left} s")
                await trio.sleep(0.5)
            bar.update(task, completed=self.config.window_seconds, note="final")
        commitment = batch.Commitment.decode(b"".join(bytes.fromhex(word[2:]) for word in proof.commitment))
        withdrawal = batch.Withdrawal(index, address_bytes(proof.recipient), proof.amount_micros)
        siblings = [bytes.fromhex(sibling[2:]) for sibling in proof.proof]
        data = calls.encode_claim(proof.batch, commitment, withdrawal, siblings)
        # Anybody may send a claim; L1 pays the recipient.
        receipt = await client.send(development_key(_PAYER), found.bridge, data, gas=_CLAIM_GAS)
        self.stage.step(
            f"L1 pays ${proof.amount_micros / 10**6:,.2f} to 0x{trader.address.hex()}, {receipt.gas_used:,} gas"
        )

    # Counting.

    async def _count(self, client: L1Client, found: deployment.Deployment) -> None:
        """Fills the summary from the bridge's logs and the proof's receipt."""
        head = await client.block("latest")
        assert head is not None
        batches: dict[bytes, events.BatchCommitted] = {}
        rolled: list[tuple[events.RolledBack, bytes]] = []
        summary = self.summary
        for log in await client.logs(found.bridge, [], 0, head.number):
            event = events.decode_log(found.identity, log)
            if isinstance(event, events.BatchCommitted):
                batches[event.batch_hash] = event
                summary.batches_posted += 1
            elif isinstance(event, events.RolledBack):
                rolled.append((event, log.transaction_hash))
            elif isinstance(event, events.Enqueued):
                summary.deposits += _opens(event.operation)
            elif isinstance(event, events.Claimed):
                summary.withdrawal_claimed = True
        summary.rolled_back_batches = len(rolled)
        summary.fraud_proof_transactions = len({transaction for _, transaction in rolled})
        for event, transaction in rolled:
            receipt = await client.receipt(transaction)
            assert isinstance(receipt, Receipt)
            summary.fraud_proof_gas = receipt.gas_used
            sent = await client.call("eth_getTransactionByHash", ["0x" + transaction.hex()])
            summary.fraud_proof_calldata_bytes = len(bytes.fromhex(sent["input"][2:]))
            bad = batches.pop(event.batch_hash)
            parent = batches.get(bad.batch.header.parent_hash)
            before = parent.batch.commitment.withdrawn_total_micros if parent else 0
            summary.stolen_micros_prevented += bad.batch.commitment.withdrawn_total_micros - before
        for committed in batches.values():
            for chunk in committed.batch.chunks:
                at = constants.TIMESTAMP_LENGTH
                while at < len(chunk.body) and (size := operation_length(chunk.body, at)):
                    summary.orders += chunk.body[at] == constants.ORDER
                    summary.fills += chunk.body[at] == constants.FILL
                    at += size


def _opens(operation: bytes) -> bool:
    """Whether an entry is a trader's deposit, and not what the node paid into the funds."""
    if operation[0] != constants.DEPOSIT:
        return False
    return encoding.deposit(word_at(operation, 1), word_at(operation, 21)).account == constants.NEW_ACCOUNT


def _dollars(market: MarketView) -> str:
    return f"{market.price_ticks / 10**market.price_decimals:,.2f}"


@asynccontextmanager
async def _node_client(url: str) -> AsyncIterator[NodeClient]:
    async with NodeClient(url) as client:
        yield client


async def play(config: DemoConfig, output: StandardOutput) -> Summary:
    """Plays the demo and ends every process that it started."""
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        demo = Demo(config, Stage(output), nursery, stack)
        try:
            if config.keep:
                summary = await demo.play()
            else:
                with trio.fail_after(_DEADLINE_SECONDS):
                    summary = await demo.play()
        except trio.TooSlowError:
            raise CommandFailed(f"the demo did not end within {_DEADLINE_SECONDS} s") from None
        finally:
            await demo.company.stop()
        nursery.cancel_scope.cancel()
    return summary
