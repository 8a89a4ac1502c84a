"""The canary: a lie beside the venue falls in time, or somebody is told; and never off a devnet."""

import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import trio
from click.testing import CliRunner

from l1_bridge.client.client import L1Client
from l1_bridge.client.keys import Signer, development_key
from l1_bridge.client.options import L1Options
from l1_bridge.codec import batch, calls
from l1_bridge.hashing import keccak
from prover.challenger.canary import BOND_WEI, Canary, Labelled, Terms, invalid_batch, open_watch
from prover.challenger.challenger import Challenger, Settings
from prover.challenger.report import Report, Summary
from prover.cli.main import cli
from prover.contracts import deployment
from prover.history.history import ChainReplay
from prover.signing.recover import recover_fast
from prover.state import state as states
from prover.state.store import MemoryStore
from tests.l1_bridge.l1_nodes import L1Node, anvil
from tests.patience import PATIENCE_SECONDS
from tests.prover.challenger.runs import ROOT, Recorder, command
from tests.prover.conftest import POLL_SECONDS
from tests.prover.l1_faults import Tampering
from tests.prover.world import CHALLENGER, GENESIS, World

LIAR = 8
TERMS = Terms(interval_seconds=3_600, patience_seconds=120, poll_seconds=POLL_SECONDS)


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Cage:
    """A canary on the module's node with a clock of its own, and nobody who answers unless asked to."""

    def __init__(self, client: L1Client, rollup: deployment.Deployment, signer: Signer) -> None:
        self.client, self.rollup = client, rollup
        self.said, self.clock = Recorder(), Clock()
        record = deployment.DeploymentRecord(rollup, GENESIS)
        self.canary = Canary(client, signer, record, Report(self.said, None), TERMS, self.clock)
        self.replay = ChainReplay(MemoryStore(), rollup.identity, from_block=rollup.block)

    async def at(self, seconds: float) -> None:
        """One step of the canary at this time."""
        self.clock.now = seconds
        await self.canary.step()

    async def answer(self) -> None:
        """A challenger comes by once."""
        settings = Settings(signer=development_key(CHALLENGER), poll_seconds=POLL_SECONDS)
        await Challenger(self.client, self.replay, Recorder(), settings).run(once=True)

    @property
    def alarms(self) -> list[str]:
        """Codes of the alarms so far."""
        return [said["code"] for said in self.said.names("alarm")]


async def rollup_beside(world: World, client: L1Client) -> deployment.Deployment:
    venue = await deployment.read(client, world.bridge.address)
    parameters = msgspec.structs.replace(deployment.DEVNET_PARAMETERS, bond_wei=BOND_WEI, window_seconds=604_800)
    liar = development_key(LIAR)
    return await deployment.deploy_bridge(client, liar, GENESIS, parameters, venue.token, venue.referee)


@pytest.fixture
async def cage(world: World, client: L1Client) -> Cage:
    return Cage(client, await rollup_beside(world, client), development_key(LIAR))


@pytest.mark.parametrize("count", range(4))
def test_the_last_chunk_of_an_invalid_batch_is_what_no_replay_gives_and_the_others_are_honest(count: int) -> None:
    bridge = batch.BridgeId(31_337, b"\x01" * 20)
    chunks, claimed = invalid_batch(bridge, GENESIS, 1_000, count)

    state = states.create(MemoryStore(), bridge.domain_separator(), GENESIS)
    replayed = []
    for each in chunks:
        chunk = state.chunk(recover_fast)
        chunk.run(each.body)
        replayed.append(state.seal(chunk))
    assert [each.post_root for each in chunks[:-1]] == replayed[:-1]
    assert chunks[-1].post_root == claimed.root() != replayed[-1]
    assert len(chunks) == 1 + count % 3


@pytest.mark.trio
async def test_a_lie_that_is_proven_in_time_is_told_and_the_next_one_takes_a_new_seat(cage: Cage) -> None:
    await cage.at(0)
    await cage.at(1)
    assert len(cage.said.names("canary_posted")) == 1
    await cage.answer()
    await cage.at(119)
    (answered,) = cage.said.names("canary_answered")
    assert (answered["in_time"], answered["number"], answered["seconds"]) == (True, 1, 119)

    # Not before it is due, and then on a bond of its own.
    await cage.at(3_599)
    assert cage.canary.posted == 1
    await cage.at(3_600)
    assert (cage.canary.posted, cage.canary.missed, cage.alarms) == (2, 0, [])
    seat = await cage.client.eth_call(cage.rollup.bridge, calls.encode_call("seat"))
    assert calls.decode_record(calls.Seat, seat).bond_id == 2


@pytest.mark.trio
async def test_a_lie_that_outlives_its_time_is_an_alarm_until_it_falls(cage: Cage) -> None:
    await cage.at(0)
    await cage.at(119.9)
    assert cage.alarms == []
    await cage.at(120)
    await cage.at(121)
    assert cage.alarms == ["CANARY_STANDS"]
    # It is told again each interval, counted once, and no second lie is built on a lie.
    await cage.at(3_720)
    assert (cage.alarms, cage.canary.missed, cage.canary.posted) == (["CANARY_STANDS"] * 2, 1, 1)

    await cage.answer()
    await cage.at(3_721)
    (answered,) = cage.said.names("canary_answered")
    assert answered["in_time"] is False
    assert (cage.canary.posted, cage.canary.missed) == (2, 1)


@pytest.mark.trio
async def test_the_time_of_a_lie_runs_on_while_l1_does_not_answer(world: World, node: L1Node, client: L1Client) -> None:
    is_down = False

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if is_down:
            raise httpx.ConnectError("nobody there")
        return result

    options = L1Options(poll_seconds=POLL_SECONDS, attempts=1)
    rollup = await rollup_beside(world, client)
    async with L1Client(node.url, options, transport=Tampering(tamper)) as failing:
        cage = Cage(failing, rollup, development_key(LIAR))
        await cage.at(0)
        is_down = True
        await cage.at(60)
        assert cage.alarms == []
        await cage.at(120)
    assert cage.alarms == ["CANARY_STANDS"]


@pytest.mark.trio
async def test_a_lie_that_cannot_be_posted_is_told_once_and_tried_again(world: World, client: L1Client) -> None:
    poor = Signer(keccak(b"no ether"))
    cage = Cage(client, await rollup_beside(world, client), poor)
    await cage.at(0)
    await cage.at(59)
    await cage.at(60)
    assert (cage.alarms, cage.canary.posted) == (["CANARY_NOT_POSTED"], 0)
    await client.send(development_key(LIAR), poor.address, value=10**18, gas=21_000)
    await cage.at(119)
    assert cage.canary.posted == 0
    await cage.at(120)
    assert cage.canary.posted == 1


@pytest.mark.trio
async def test_one_challenger_watches_the_venue_and_the_canary(world: World, client: L1Client) -> None:
    good = await world.open_accounts()
    venue = await deployment.read(client, world.bridge.address)
    said = Recorder()
    settings = Settings(signer=development_key(CHALLENGER), poll_seconds=POLL_SECONDS)
    terms = msgspec.structs.replace(TERMS, patience_seconds=PATIENCE_SECONDS)
    watch = await open_watch(client, development_key(LIAR), venue, said, settings, terms)
    challenger = Challenger(client, ChainReplay(MemoryStore(), world.bridge), said, settings)
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            nursery.start_soon(challenger.run)
            await said.until("canary_answered")
            await world.steal()
            while [told for told in said.names("rolled_back") if "is_canary" not in told] == []:
                await said.heard.wait()
            nursery.cancel_scope.cancel()
    summary = challenger.finish()
    watch.finish(summary)
    assert (summary.held, summary.fraud, summary.proofs_won, summary.canaries, summary.canaries_missed) == (
        True,
        1,
        1,
        1,
        0,
    )
    assert (await world.head()).batch_hash == good.batch_hash
    (started,) = said.names("canary_started")
    assert started["referee_address"] == venue.referee
    assert await deployment.read(client, started["rollup_address"])
    assert [told["is_canary"] for told in said.names("rolled_back") if "is_canary" in told] == [True]


@pytest.mark.trio
async def test_a_missed_lie_breaks_the_promise_of_the_command(world: World, client: L1Client) -> None:
    venue = await deployment.read(client, world.bridge.address)
    # It watches alone: nobody sends the proof.
    terms = Terms(3_600, 0.0, POLL_SECONDS)
    said = Recorder()
    watch = await open_watch(client, development_key(LIAR), venue, said, Settings(poll_seconds=POLL_SECONDS), terms)
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            await said.until("alarm")
            nursery.cancel_scope.cancel()
    summary = Summary(held=True)
    watch.finish(summary)
    assert (summary.held, summary.canaries_missed, summary.alarms) == (False, 1, 1)


def test_what_is_said_of_the_canary_is_marked() -> None:
    said = Recorder()
    Labelled(said).event("batch", "batch 1", number=1)
    assert said.said == [{"event": "batch", "is_canary": True, "number": 1}]


# The command.


@pytest.fixture
async def mainnet() -> AsyncIterator[str]:
    """A node that says it is chain 1."""
    with anvil("--chain-id", "1") as started:
        yield started.url


async def ended(*arguments: str) -> tuple[int, str]:
    done = await trio.run_process(arguments, cwd=ROOT, capture_stdout=True, capture_stderr=True, check=False)
    return done.returncode, done.stderr.decode()


@pytest.mark.trio
async def test_off_a_devnet_the_canary_is_refused_by_name(world: World, mainnet: str, tmp_path: Path) -> None:
    code, stderr = await ended(*command(world, mainnet, tmp_path, "--canary"))
    assert code == 2
    assert "Chain 1 is not a devnet: --canary posts invalid batches and burns bonds" in stderr
    assert len(stderr.splitlines()) == 1


@pytest.mark.parametrize("other", ["--watch", "--once"])
def test_a_canary_that_nobody_would_answer_is_a_usage_error(other: str, tmp_path: Path) -> None:
    options = ("--l1-rpc-url", "http://127.0.0.1:1", "--rollup-address", "0x" + "11" * 20, "--datadir", str(tmp_path))
    result = CliRunner().invoke(cli, ["challenger", *options, "--canary", other])
    assert result.exit_code == 2
    assert "not with --watch or --once" in result.output


@pytest.mark.trio
async def test_the_liars_key_is_never_the_challengers(world: World, node: L1Node, tmp_path: Path) -> None:
    code, stderr = await ended(*command(world, node.url, tmp_path, "--canary", "--canary-key", "3"))
    assert code == 2
    assert "its proofs would wait for lies" in stderr


@pytest.mark.trio
async def test_the_command_answers_its_own_canary(world: World, node: L1Node, tmp_path: Path) -> None:
    arguments = command(world, node.url, tmp_path, "--canary", "--canary-patience", str(PATIENCE_SECONDS))
    assert arguments[0] == sys.executable
    process = await trio.lowlevel.open_process(arguments, cwd=ROOT, stdout=-1)
    assert process.stdout is not None
    said = b""
    with trio.fail_after(PATIENCE_SECONDS):
        while b"canary_answered" not in said:
            said += await process.stdout.receive_some()
        process.send_signal(signal.SIGTERM)
        while received := await process.stdout.receive_some():
            said += received
        await process.stdout.aclose()
        summary = json.loads(said.splitlines()[-1])
        assert await process.wait() == 0
    assert (summary["held"], summary["canaries"], summary["canaries_missed"]) == (True, 1, 0)
