"""The L1 nodes that a challenger begins with: one that fails or lies at the start ends nothing where another does not.

Nothing but all nodes' word that these are not the shipped contracts, or that this is another chain, ends the command.
Which chain it is no node is asked where there are several: whoever says first would choose what the bridge's logs are
read as, for ever.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error, L1Rejected, L1Unavailable, L1WrongChain
from prover.cli.running import EXIT_L1, CommandFailed
from prover.contracts import deployment
from prover.contracts.deployment import Deployment, WrongContracts

# So long the others are waited for, once one node has shown the rollup.
START_SECONDS: Final = 30.0
_LONGEST_PAUSE_SECONDS: Final = 30.0
# Whatever else is said against a rollup is about the node, and may be otherwise a moment later.
_VERDICTS: Final = (L1WrongChain, WrongContracts)

_Answer = TypeVar("_Answer")


async def begin(
    given: Sequence[L1Client], bridge: bytes, pause_seconds: float, once: bool
) -> tuple[list[L1Client], Deployment]:
    """The nodes, one that shows the rollup first, and what it shows; waits for one as long as not all say no.

    once: at the first round that shows nothing, what the first node has said is raised.
    """
    log = structlog.get_logger()
    while True:
        shown, failing = await _asked(given, bridge)
        again = None if shown else pause_seconds
        for client, error in failing.items():
            event = "l1_contradicts" if isinstance(error, _VERDICTS) else "l1_away"
            log.warning(event, place=client.place, error=str(error), again_in_seconds=again)
        if shown:
            sound = [client for client in given if client in shown]
            found = shown[sound[0]]
            for client in sound:
                if shown[client] != found:
                    log.warning("l1_contradicts", place=client.place, error="it shows another referee or token")
            return [*sound, *failing], found
        if once or all(isinstance(error, _VERDICTS) for error in failing.values()):
            raise failing[given[0]]
        await trio.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)


async def _asked(
    given: Sequence[L1Client], bridge: bytes
) -> tuple[dict[L1Client, Deployment], dict[L1Client, L1Error | WrongContracts]]:
    """What each node shows, or why it shows nothing."""
    shown: dict[L1Client, Deployment] = {}
    failing: dict[L1Client, L1Error | WrongContracts] = {client: L1Unavailable("no answer in time") for client in given}
    begun = trio.current_time()

    async def ask(client: L1Client, scope: trio.CancelScope) -> None:
        try:
            await client.chain_id()
            shown[client] = await deployment.read(client, bridge)
        except (L1Error, WrongContracts) as error:
            failing[client] = error
            return
        del failing[client]
        scope.deadline = min(scope.deadline, begun + START_SECONDS)

    async with trio.open_nursery() as nursery:
        for client in given:
            nursery.start_soon(ask, client, nursery.cancel_scope)
    return shown, failing


async def awaited(question: Callable[[], Awaitable[_Answer]], pause_seconds: float, once: bool) -> _Answer:
    """What L1 answers, waited for as long as it is away: whoever guards is needed once it is back. Not with `once`."""
    while True:
        try:
            return await question()
        except L1Unavailable as error:
            if once:
                raise
            structlog.get_logger().warning("l1_away", error=str(error), again_in_seconds=pause_seconds)
        await trio.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)


async def first_block(given: Sequence[L1Client], bridge: bytes) -> int:
    """The latest block in which the bridge began, as any node says: behind a false one there is no Genesis, which the
    challenger finds out, and from a false early one it would read for days. CommandFailed where all of them refuse.
    """
    said: list[int] = []
    away: L1Unavailable | None = None
    reason = ""
    for client in given:
        with trio.move_on_after(START_SECONDS if said else math.inf):
            try:
                said.append(await deployment.first_block(client, bridge))
            except L1Unavailable as error:
                away = error
            except L1Rejected as error:
                reason = error.reason
    if said:
        return max(said)
    if away is not None:
        raise away
    text = f"The L1 node keeps no old state ({reason}): say --from-block, the block of the bridge's deployment."
    raise CommandFailed(text, EXIT_L1)
