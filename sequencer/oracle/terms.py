"""What a signer's word is about: which deployment, which markets; asked of nodes, as far as the operator leaves it."""

from collections.abc import Sequence
from typing import Final

import msgspec
import structlog
import trio

from l1_bridge.addresses import address_bytes
from prover.signing.typed_data import domain_separator
from sequencer.client.client import NodeClient
from sequencer.client.errors import ClientError, Misfit
from sequencer.oracle.price_sources import Market
from sequencer.schema.answers import Status

_WAIT_SECONDS: Final = 2.0
# A node that is being replaced by one of this version is back by then.
_MISFIT_SECONDS: Final = 60.0


class Terms(msgspec.Struct, frozen=True):
    """What a signer's word is about: one deployment and its markets in order. Only new markets ever change it."""

    domain: bytes
    markets: tuple[Market, ...]


class Expected(msgspec.Struct, frozen=True):
    """What the operator knows beforehand; None where a node may tell. `markets`: some may still be to come."""

    chain_id: int | None = None
    rollup_address: bytes | None = None
    markets: tuple[Market, ...] | None = None


class TermsDiffer(Exception):
    """A node is of another deployment than was asked for, or lists other markets."""


async def agreed_terms(node: NodeClient, expected: Expected) -> Terms:
    """The terms by a node's word, as far as the operator has not fixed them; TermsDiffer where they contradict him."""
    status = await node.status()
    listed = tuple(Market(market.name, market.price_decimals) for market in await node.markets())
    address = address_bytes(status.rollup_address)
    known = expected.markets and expected.markets[: len(listed)]
    for name, wanted, found in (
        ("chain", expected.chain_id, status.chain_id),
        ("rollup", expected.rollup_address and "0x" + expected.rollup_address.hex(), "0x" + address.hex()),
        ("list of markets", known and _listed(known), _listed(listed)),
    ):
        if wanted is not None and wanted != found:
            raise TermsDiffer(f"the node at {node.url} has the {name} {found}, expected was {wanted}")
    return Terms(domain_separator(status.chain_id, address), listed)


def _listed(markets: Sequence[Market]) -> str:
    return " ".join(f"{market.name}:{market.price_decimals}" for market in markets)


async def awaited_terms(nodes: Sequence[NodeClient], expected: Expected) -> tuple[Status, Terms]:
    """What a node agrees to, of several the longest list of markets; waits for one, and for one that does not answer.

    TermsDiffer where all are of another venue; Misfit where some are of another version, and none else, for a minute.
    """
    began: float | None = None
    while True:
        asked = await asked_terms(nodes, expected)
        if asked.found:
            return max(asked.found, key=lambda one: len(one[1].markets))
        if len(asked.differ) == len(nodes):
            raise asked.differ[0]
        now = trio.current_time()
        is_hopeless = len(asked.differ) + len(asked.misfit) == len(nodes)
        began = (now if began is None else began) if is_hopeless else None
        if began is not None and now - began >= _MISFIT_SECONDS:
            raise asked.misfit[0]
        await trio.sleep(_WAIT_SECONDS)


class Asked(msgspec.Struct):
    """Status and terms of each node that serves the venue, and what others said instead, if they answered."""

    found: list[tuple[Status, Terms]] = msgspec.field(default_factory=list)
    differ: list[TermsDiffer] = msgspec.field(default_factory=list)
    misfit: list[Misfit] = msgspec.field(default_factory=list)


async def asked_terms(nodes: Sequence[NodeClient], expected: Expected) -> Asked:
    """Asks each node once."""
    log = structlog.get_logger("oracle")
    asked = Asked()
    for node in nodes:
        try:
            asked.found.append((await node.status(), await agreed_terms(node, expected)))
        except TermsDiffer as error:
            log.warning("oracle.another_venue", node=node.url, error=str(error))
            asked.differ.append(error)
        except Misfit as error:
            log.warning("oracle.another_version", node=node.url, error=str(error))
            asked.misfit.append(error)
        except ClientError as error:
            log.warning("oracle.no_node", node=node.url, error=str(error))
    return asked


async def followed_terms(nodes: Sequence[NodeClient], expected: Expected, terms: Terms) -> Terms:
    """The terms once a market may have been listed: the longest list that begins with the markets so far.

    A node that says otherwise is one of several: it ends no signer, and mutes none.
    """
    asked = await asked_terms(nodes, expected)
    longer = [
        found_terms
        for _, found_terms in asked.found
        if found_terms.domain == terms.domain and found_terms.markets[: len(terms.markets)] == terms.markets
    ]
    return max([terms, *longer], key=lambda one: len(one.markets))
