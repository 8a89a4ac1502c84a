"""What a devnet gets from its node: simulated prices, and somebody to trade with."""

from collections.abc import Callable
from functools import partial
from typing import Final

import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error
from l1_bridge.client.keys import development_key
from l1_bridge.hashing import keccak
from prover.contracts.deployment import Deployment
from prover.signing.reports import signed_report
from prover.signing.signatures import sign
from prover.state.genesis import name_and_decimals
from prover.stf import constants, containers
from sequencer.api.methods.reports import Reports
from sequencer.client.client import NodeClient
from sequencer.client.errors import ClientError
from sequencer.devnet.funding import fund
from sequencer.devnet.market_maker import make_markets
from sequencer.devnet.prices import RandomWalk, devnet_signer_keys
from sequencer.devnet.signing_account import SigningAccount
from sequencer.sequencing.report_desk import TICK, ReportRefused
from sequencer.sequencing.sequencer import Sequencer

_MAKER_KEY: Final = 9
_MAKER_DEPOSIT_MICROS: Final = 1_000_000 * 10**6
# What a maker that is gone has quoted ends soon.
_QUOTE_LIFETIME_MS: Final = 60_000


def _labels(globals: containers.Globals) -> list[tuple[str, int]]:
    return [name_and_decimals(market) for market in globals.markets[: globals.market_count]]


async def simulate_oracle(
    sequencer: Sequencer,
    reports: Reports,
    domain: bytes,
    seed: int,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Devnets only: seven well-known keys sign a simulated price at every grid time."""
    globals = sequencer.engine.globals
    labels = _labels(globals)
    prices = RandomWalk(seed, labels, globals.risk.price)
    keys = devnet_signer_keys()
    is_started = False
    while True:
        now = sequencer.now_ms()
        step = now - now % constants.TICK_STEP
        if step > sequencer.engine.globals.tick_time:
            listed = sequencer.engine.globals
            prices.follow(_labels(listed), [market.previous_price for market in listed.markets])
            for market, ppm in reports.taken_moves().items():
                prices.move(market, ppm)
            current, premiums = prices.step()
            for index, key in enumerate(keys):
                report = signed_report(domain, partial(sign, key), step, index, current, premiums)
                try:
                    taken = reports.desk.take(report, now)
                except ReportRefused as error:
                    # A rollup of somebody else on a devnet may have other signers; its node still serves.
                    structlog.get_logger("oracle").warning("report.refused", code=error.name, signer=index)
                    continue
                if taken.status == TICK:
                    await reports.submit(step, taken.tick)
        if not is_started:
            is_started = True
            task_status.started()
        await trio.sleep((constants.TICK_STEP - (sequencer.now_ms() % constants.TICK_STEP) + 20) / 1_000)


async def run_maker(client: L1Client, deployment: Deployment, url: str, now_ms: Callable[[], int]) -> None:
    """Devnets only: somebody to trade with. Its account is opened by the first run and used by all."""
    log = structlog.get_logger("maker")
    key = keccak(b"catenary devnet market maker")
    trader = SigningAccount(key, deployment.domain, now_ms, lifetime_ms=_QUOTE_LIFETIME_MS)
    async with NodeClient(url) as api:
        try:
            accounts = await api.accounts(trader.address)
            if not accounts:
                payer = development_key(_MAKER_KEY)
                deposits = [(trader.address, _MAKER_DEPOSIT_MICROS)]
                await fund(client, payer, deployment.token, deployment.bridge, deposits)
                while not (accounts := await api.accounts(trader.address)):
                    await trio.sleep(0.5)
            trader.account = accounts[0]
            await make_markets(trader, api)
        except (ClientError, L1Error) as error:
            log.warning("maker.gave_up", error=str(error))
