"""One signer as a process, and the outage drill of all seven of a devnet: what an operator is told of both."""

from collections.abc import Callable
from typing import Final

import msgspec
import trio

from l1_bridge.addresses import address_bytes
from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error
from l1_bridge.client.keys import DEVELOPMENT_CHAIN_ID, development_key
from l1_bridge.client.options import L1Options
from l1_bridge.hashing import keccak
from prover.cli.running import EXIT_USAGE, CommandFailed, until_signal
from prover.signing import signatures
from prover.stf import constants
from prover.telling import Output
from sequencer.client.clock import wall_clock_ms
from sequencer.client.errors import ClientError
from sequencer.devnet.funding import fund
from sequencer.devnet.prices import devnet_signer_keys
from sequencer.devnet.signing_account import SigningAccount
from sequencer.oracle.drill import Desk, Finding, NoTick, drill
from sequencer.oracle.opening import (
    Connection,
    connected,
    expected_terms,
    opened_signer,
    price_source,
    seen_by,
)
from sequencer.oracle.options import Options
from sequencer.oracle.signer import OracleSigner, SignerKey, Step
from sequencer.oracle.terms import followed_terms
from sequencer.schema.answers import Status

_DRILL_MICROS: Final = 5_000 * 10**6
_DRILL_PAYER: Final = 7
_DEPOSIT_MICROS: Final = 10 * 10**6


class _Tally(msgspec.Struct):
    """Grid times of a signer: how many there were, how many it signed, and how many of those a node took."""

    grid_times: int = 0
    signed: int = 0
    taken: int = 0

    def count(self, step: Step) -> None:
        """One more."""
        self.grid_times += 1
        self.signed += step.report is not None
        self.taken += step.is_taken


async def run_signer(
    output: Output, options: Options, signer_index: int, sign: Callable[[bytes], bytes] | None
) -> bool:
    """Signs until a signal, or as many grid times as were asked for; without `sign`, by the devnet's well-known key.

    Whether a node took what was asked for.
    """
    tally = _Tally()

    def told(step: Step) -> None:
        tally.count(step)
        _tell_step(output, step)

    async with until_signal(), connected(options) as connection:
        key = SignerKey(signer_index, sign or _devnet_key(connection.status, signer_index))
        terms = connection.terms
        signer: OracleSigner | None = None
        is_done = False
        while not is_done:
            async with price_source(options, terms.markets) as source:
                if signer is None:
                    signer = opened_signer(options, connection, source, key)
                else:
                    signer.follow(terms, seen_by(options, source, signer_index))
                output.event(
                    "ready",
                    f"Signer {signer_index} reports {len(terms.markets)} markets to {', '.join(options.node_url)}",
                    signer=signer_index,
                    markets=[market.name for market in terms.markets],
                )
                followed = terms
                while not is_done and followed == terms:
                    left = None if options.ticks is None else options.ticks - tally.grid_times
                    is_done = await signer.run(left, told)
                    if not is_done:
                        followed = await followed_terms(connection.nodes, expected_terms(options), terms)
            terms = followed
    held = options.ticks is None or tally.taken == options.ticks
    output.summary("Signer stopped", {"signer_index": signer_index, **msgspec.structs.asdict(tally)}, good=held)
    return held


def _tell_step(output: Output, step: Step) -> None:
    if step.report is None:
        output.event("silent", f"{step.time_ms} silent: {step.reason}", time_ms=step.time_ms, reason=step.reason)
        return
    output.event(
        "report",
        f"{step.time_ms} prices {step.report.prices_ticks} premiums {step.report.premiums_ppb} {step.answers}",
        time_ms=step.time_ms,
        prices_ticks=step.report.prices_ticks,
        premiums_ppb=step.report.premiums_ppb,
        signature=step.report.signature,
        answers=step.answers,
    )


def _devnet_key(status: Status, signer_index: int) -> Callable[[bytes], bytes]:
    if status.chain_id != DEVELOPMENT_CHAIN_ID:
        raise CommandFailed(f"Chain {status.chain_id} is not a devnet: --keystore is required.", EXIT_USAGE)
    key = devnet_signer_keys()[signer_index]
    return lambda digest: signatures.sign(key, digest)


# The drill.


async def run_drill(output: Output, options: Options) -> bool:
    """Plays the outage drill; whether the venue did in each phase what it must."""
    async with (
        until_signal(),
        connected(options) as connection,
        price_source(options, connection.terms.markets) as source,
        L1Client(options.l1_rpc_url, L1Options(poll_seconds=0.2)) as l1,
    ):
        keys = [SignerKey(index, _devnet_key(connection.status, index)) for index in range(constants.SIGNERS)]
        signers = [opened_signer(options, connection, source, key) for key in keys]
        try:
            desk = await _opened_desk(connection, l1)
            findings = await drill(signers, desk, lambda finding: _tell_finding(output, finding))
        except NoTick as error:
            raise CommandFailed(f"There was {error}: was the node started with --no-oracle?") from None
        except (ClientError, L1Error) as error:
            raise CommandFailed(f"The drill could not be played: {error}.") from None
        held = all(finding.is_held for finding in findings)
        output.summary(
            "Outage drill held" if held else "Outage drill did NOT hold",
            {"phases": len(findings), "held": held},
            good=held,
        )
        return held
    raise CommandFailed("Stopped before the end.")


async def _opened_desk(connection: Connection, l1: L1Client) -> Desk:
    node, status = connection.nodes[0], connection.status
    token, bridge = address_bytes(status.token_address), address_bytes(status.rollup_address)
    seed = wall_clock_ms().to_bytes(8, "big")
    maker, taker = (
        SigningAccount(keccak(b"drill" + bytes([number]) + seed), connection.terms.domain, wall_clock_ms)
        for number in range(2)
    )

    async def deposited(owner: bytes, micros: int) -> int:
        before = await node.accounts(owner)
        await fund(l1, development_key(_DRILL_PAYER), token, bridge, [(owner, micros)])
        while (after := await node.accounts(owner)) == before:
            await trio.sleep(0.2)
        return after[-1]

    async def deposit() -> None:
        await deposited(maker.address, _DEPOSIT_MICROS)

    for account in (maker, taker):
        account.account = await deposited(account.address, _DRILL_MICROS)
    return Desk(node, maker, taker, deposit, wall_clock_ms)


def _tell_finding(output: Output, finding: Finding) -> None:
    probes = finding.probes
    output.event(
        "phase",
        f"{finding.phase:<12} {finding.speaking} speak, {finding.ticks} ticks: fill {probes.fill}, withdrawal "
        f"{probes.withdrawal}, cancel {probes.cancel}, deposit {probes.deposit}",
        colour="green" if finding.is_held else "red",
        **msgspec.to_builtins(finding),
    )
