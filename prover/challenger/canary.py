"""The canary of a devnet: a second rollup of the same bytecode, to which an invalid batch is posted now and then.

That a challenger answers a lie is shown by a lie alone. The canary asks the bridge itself whether the batch fell in
time, and never what the challenger thinks of it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error
from l1_bridge.client.keys import Signer
from l1_bridge.client.sending import OWN_TERMS
from l1_bridge.codec import batch, calls, events
from l1_bridge.hashing import keccak
from prover.challenger.challenger import Challenger, Settings
from prover.challenger.report import Report, Summary
from prover.contracts import deployment
from prover.history.history import ChainReplay
from prover.signing.recover import recover_fast
from prover.state import state as states
from prover.state.store import MemoryStore
from prover.stf import encoding
from prover.telling import Output

# Half of it is burned by every proof; no trader's money stands behind it.
BOND_WEI: Final = 10**15
WINDOW_SECONDS: Final = 7 * 86_400
MOST_CHUNKS: Final = 3
_SEAT_GAS: Final = 300_000
_COMMIT_GAS: Final = 2_000_000
_RETRY_SECONDS: Final = 60.0


class Terms(msgspec.Struct, frozen=True):
    """How often an invalid batch is posted, and how long it may stand before somebody is told."""

    interval_seconds: float = 3_600.0
    patience_seconds: float = 120.0
    poll_seconds: float = 1.0


class Labelled:
    """An Output whose lines say that they are about the canary's rollup, not about the venue's."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def event(self, name: str, text: str | None = None, /, *, colour: str | None = None, **fields: Any) -> None:
        """One thing that happened there."""
        told = None if text is None else f"canary: {text}"
        self._output.event(name, told, colour=colour, is_canary=True, **fields)

    def summary(self, title: str, fields: Mapping[str, Any], *, good: bool) -> None:
        """What it came to."""
        self._output.summary(f"canary: {title}", fields, good=good)


class _Standing(msgspec.Struct):
    number: int
    batch_hash: bytes
    posted_at: float
    tell_at: float
    is_missed: bool = False


class Canary:
    """One lying seat holder and whoever watches it: at most one invalid batch stands at a time."""

    def __init__(
        self,
        client: L1Client,
        signer: Signer,
        rollup: deployment.DeploymentRecord,
        report: Report,
        terms: Terms,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        """signer: pays for bonds and lies; never the challenger's, whose proofs must not wait for a lie to be mined."""
        assert rollup.deployment.chain_id in deployment.DEVNET_CHAINS, "lies are posted on devnets alone"
        self._client = client
        self._signer = signer
        self._bridge = rollup.deployment.identity
        self._genesis = rollup.genesis
        self._report = report
        self._terms = terms
        self._clock = clock
        self._logger = structlog.get_logger()
        self._standing: _Standing | None = None
        self._due_at = clock()
        self.posted = 0
        self.missed = 0

    async def run(self) -> None:
        """Lie and look, for ever."""
        while True:
            await self.step()
            await trio.sleep(self._terms.poll_seconds)

    async def step(self) -> None:
        """Looks after the batch that stands; posts the next one when it is due and none does."""
        try:
            if self._standing is not None and await self._has_fallen(self._standing):
                self._answered(self._standing)
            if self._standing is None and self._clock() >= self._due_at:
                await self._post()
        except L1Error as error:
            # An L1 that does not answer takes no proof either: the time of the batch that stands runs on.
            if self._standing is None:
                self._due_at = self._clock() + _RETRY_SECONDS
                self._report.alarm("CANARY_NOT_POSTED", str(error), once_for=b"")
            else:
                self._logger.warning("canary_not_seen", error=str(error))
        if self._standing is not None and self._clock() >= self._standing.tell_at:
            self._tell(self._standing)

    async def _has_fallen(self, standing: _Standing) -> bool:
        question = calls.encode_call("is_canonical", standing.number, standing.batch_hash)
        return not await self._client.word(self._bridge.address, question)

    def _answered(self, standing: _Standing) -> None:
        self._standing = None
        self._report.end_alarm("CANARY_STANDS", standing.batch_hash)
        seconds = round(self._clock() - standing.posted_at, 3)
        self._report.event(
            "canary_answered",
            f"the invalid batch {standing.number} fell after {seconds:g} s",
            colour=None if standing.is_missed else "green",
            number=standing.number,
            batch_hash=standing.batch_hash,
            seconds=seconds,
            in_time=not standing.is_missed,
        )

    def _tell(self, standing: _Standing) -> None:
        self.missed += not standing.is_missed
        standing.is_missed = True
        standing.tell_at = self._clock() + self._terms.interval_seconds
        seconds = round(self._clock() - standing.posted_at, 3)
        detail = f"the invalid batch {standing.number} has stood for {seconds:g} s: nobody has proven it"
        self._report.alarm("CANARY_STANDS", detail)

    async def _post(self) -> None:
        bridge = self._bridge.address
        seat = calls.decode_record(calls.Seat, await self._client.eth_call(bridge, calls.encode_call("seat")))
        if seat.holder != self._signer.address:
            taking = calls.encode_call("take_seat", "canary")
            await self._client.send(self._signer, bridge, taking, BOND_WEI, gas=_SEAT_GAS, terms=OWN_TERMS)
        answer = await self._client.eth_call(bridge, calls.encode_call("head"))
        head = calls.decode_record(calls.BatchRecord, answer)
        now_ms = 1_000 * await self._client.next_timestamp()
        chunks, claimed = invalid_batch(self._bridge, self._genesis, now_ms, self.posted)
        data = calls.encode_commit(head.number, head.batch_hash, chunks, claimed)
        receipt = await self._client.send(self._signer, bridge, data, gas=_COMMIT_GAS, terms=OWN_TERMS)
        told = (events.decode_log(self._bridge, log) for log in receipt.logs if log.address == bridge)
        (committed,) = [event for event in told if isinstance(event, events.BatchCommitted)]
        number, now = committed.batch.header.number, self._clock()
        self._standing = _Standing(number, committed.batch_hash, now, now + self._terms.patience_seconds)
        self._due_at = now + self._terms.interval_seconds
        self.posted += 1
        self._report.end_alarm("CANARY_NOT_POSTED", b"")
        self._report.event(
            "canary_posted",
            f"the invalid batch {number} is posted, {len(chunks)} chunks",
            number=number,
            batch_hash=committed.batch_hash,
            chunks=len(chunks),
            block_number=receipt.block_number,
        )


def invalid_batch(
    bridge: batch.BridgeId, genesis: bytes, now_ms: int, count: int
) -> tuple[list[batch.Chunk], batch.Commitment]:
    """(chunks, what the last root is said to open to) on the genesis state: honest chunks of junk, then a false one.

    It is what a bridge takes and no replay gives: the tree's root of the last chunk is over leaves that do not exist.
    """
    state = states.create(MemoryStore(), bridge.domain_separator(), genesis)
    chunks = []
    for index in range(1 + count % MOST_CHUNKS):
        body = now_ms.to_bytes(6, "big") + bytes([0xFF]) * (count % 256 + index)
        chunk = state.chunk(recover_fast)
        chunk.run(body)
        chunks.append(batch.Chunk(body, state.seal(chunk)))
    honest = batch.Commitment.decode(encoding.commitment_bytes(state.commitment))
    claimed = msgspec.structs.replace(honest, tree_root=keccak(b"canary" + honest.tree_root))
    return [*chunks[:-1], batch.Chunk(chunks[-1].body, claimed.root())], claimed


class CanaryWatch:
    """The canary's rollup with a challenger over it that is made as the venue's is, with the same key."""

    def __init__(self, canary: Canary, challenger: Challenger, report: Report) -> None:
        self._canary = canary
        self._challenger = challenger
        self._report = report

    async def run(self) -> None:
        """Lie, look and answer, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._canary.run)
            await self._challenger.run()

    def finish(self, summary: Summary) -> None:
        """Adds to the venue's summary what came of the canary: a lie that outlived its time breaks the promise."""
        summary.canaries, summary.canaries_missed = self._canary.posted, self._canary.missed
        summary.alarms += self._report.summary.alarms + self._challenger.finish().alarms
        summary.held = summary.held and not self._canary.missed


async def open_watch(
    client: L1Client,
    liar: Signer,
    venue: deployment.Deployment,
    output: Output,
    settings: Settings,
    terms: Terms,
) -> CanaryWatch:
    """Deploys a bridge over the venue's own referee and token, with its genesis; WrongContracts without a genesis log.

    settings: the venue's challenger's.
    """
    logged = await deployment.logged_genesis(client, venue.identity)
    if logged is None:
        raise deployment.WrongContracts(f"the bridge at 0x{venue.bridge.hex()} never logged its genesis")
    parameters = msgspec.structs.replace(deployment.DEVNET_PARAMETERS, bond_wei=BOND_WEI, window_seconds=WINDOW_SECONDS)
    found = await deployment.deploy_bridge(client, liar, logged[0], parameters, venue.token, venue.referee)
    told = Labelled(output)
    replay = ChainReplay(MemoryStore(), found.identity, from_block=found.block)
    challenger = Challenger(
        client, replay, told, msgspec.structs.replace(settings, guard=None, source=None, verdicts=None)
    )
    report = Report(output, None)
    record = deployment.DeploymentRecord(found, logged[0])
    report.event(
        "canary_started",
        f"canary of 0x{liar.address.hex()}, bridge 0x{found.bridge.hex()} beside the venue's",
        rollup_address=found.bridge,
        referee_address=found.referee,
        liar=liar.address,
    )
    return CanaryWatch(Canary(client, liar, record, report, terms), challenger, report)
