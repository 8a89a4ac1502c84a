"""An agent as a process: opens key, venue and journal, goes round until a signal."""

from pathlib import Path
from typing import Final

import msgspec
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.options import L1Options
from prover.cli.keys import asked_password
from prover.cli.running import CommandFailed, first_of, until_signal
from prover.telling import Output
from sequencer.agent.alerts import Alerts
from sequencer.agent.config import Config, read_config
from sequencer.agent.hand import Hand
from sequencer.agent.journal import Journal, read_story
from sequencer.agent.rounds import DAY_MS, Round
from sequencer.client.client import NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.client.errors import ClientError, NodeUnreachable
from sequencer.wallet.bridge import Bridge
from sequencer.wallet.keys import Key, keystore_path, open_keystore
from sequencer.wallet.verified import Verified, WalletOptions
from sequencer.wallet.word.keeping import keeping_of

_LONGEST_PAUSE_SECONDS: Final = 30


class Given(msgspec.Struct, frozen=True):
    """What is said on the command line."""

    config: Path
    password_file: Path | None
    owner_password_file: Path | None


async def run_agent(output: Output, given: Given) -> bool:
    """Goes round until a signal; CommandFailed where it cannot begin."""
    try:
        async with until_signal():
            await _run(output, given)
    except* ClientError as group:
        error = first_of(group)
        raise CommandFailed(f"The agent cannot go on: {error}.", error.status) from None
    return True


async def _run(output: Output, given: Given) -> None:
    config = read_config(given.config)
    directory = Path(config.wallet_dir).expanduser()
    key = _key(directory, config.keystore, given.password_file)
    owner = None
    if config.top_up is not None:
        owner = _key(directory, config.top_up.owner_keystore, given.owner_password_file)
    log = structlog.get_logger("agent")
    options = WalletOptions(warn=lambda line: log.warning("agent.warning", line=line), tell=log.info)
    with Journal(journal_path(given.config, config)) as journal:
        async with NodeClient(config.node_url) as node, L1Client(config.l1_rpc_url, L1Options(attempts=2)) as l1:
            # Nothing is signed unless the contracts on L1 are the shipped ones.
            verified = Verified(node, l1, directory, options)
            venue = await verified.venue()
            bridge = Bridge(node, l1, verified, key.address, None, options, directory)
            keeping = keeping_of(venue, bridge, l1, directory, key.address)
            hand = Hand(node, venue, config.account, key, journal, wall_clock_ms, keeping)
            alerts = Alerts(config.alerts.webhooks, config.alerts.commands)
            rounds = Round(config, journal, hand, alerts, owner, lambda name, line: output.event(name, line, line=line))
            await rounds.check(key.address)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(alerts.run)
                nursery.start_soon(keeping.run)
                line = f"{len(config.tasks)} tasks for account {config.account}"
                output.event("ready", line, account=config.account)
                await go_round(rounds, config.poll_seconds)


async def go_round(rounds: Round, poll_seconds: float) -> None:
    """One round behind the other; a node that does not answer is asked again, more and more rarely."""
    log = structlog.get_logger("agent")
    pause = poll_seconds
    while True:
        try:
            await rounds.go()
            pause = poll_seconds
        except NodeUnreachable as error:
            log.warning("agent.node_unreachable", why=str(error))
            pause = min(2 * pause, max(poll_seconds, _LONGEST_PAUSE_SECONDS))
        await trio.sleep(pause)


def journal_path(config_path: Path, config: Config) -> Path:
    """Beside the configuration, unless it is said where."""
    return config_path.parent / Path(config.journal).expanduser()


def told_status(output: Output, config_path: Path) -> None:
    """What an agent's journal says of its tasks, whether it runs or not."""
    config = read_config(config_path)
    story = read_story(journal_path(config_path, config))
    for task in config.tasks:
        progress = story.of(task.name)
        state = f"over: {progress.stopped}" if progress.stopped else "under way" if progress.began else "not begun"
        standing = "" if progress.open is None else progress.open.order_id
        last = "" if progress.last is None else progress.last.why
        output.event(
            "task",
            f"{task.name}: {state}, {progress.filled} lots filled of {progress.orders} orders"
            + (f", {standing} was open" if standing else "")
            + (f", last {last}" if last else ""),
            task=task.name,
            state=state,
            filled_lots=progress.filled,
            orders=progress.orders,
            open=standing,
            last=last,
        )
    today = wall_clock_ms() // DAY_MS
    fields = {
        "account": config.account,
        "tasks": len(config.tasks),
        "given_today_micros": str(story.paid.get(today, 0)),
    }
    output.summary("agent", fields, good=True)


def _key(directory: Path, keystore: str, password_file: Path | None) -> Key:
    path = keystore_path(directory, keystore)
    return open_keystore(path, asked_password(path, password_file))
