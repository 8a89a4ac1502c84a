"""What a signer's word is about: which deployment, which markets; asked of nodes, as far as the operator leaves it."""

from collections.abc import Sequence
from typing import Final

import msgspec
import structlog
import trio

from l1_bridge.addresses import address_bytes
from prover.signing.typed_data import domain_separator
from sequencer.client.client import NodeClient
from sequencer.client.errors import ClientError
from sequencer.oracle.price_sources import Market
from sequencer.schema.answers import Status

_WAIT_SECONDS: Final = 2.0


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
    """What a node agrees to, of several the longest list of markets; waits for one. TermsDiffer where none does."""
    while True:
        found, differ = await asked_terms(nodes, expected)
        if found:
            return max(found, key=lambda one: len(one[1].markets))
        if len(differ) == len(nodes):
            raise differ[0]
        await trio.sleep(_WAIT_SECONDS)


async def asked_terms(
    nodes: Sequence[NodeClient], expected: Expected
) -> tuple[list[tuple[Status, Terms]], list[TermsDiffer]]:
    """Status and terms of each node that serves the venue, and what the others said instead."""
    log = structlog.get_logger("oracle")
    found: list[tuple[Status, Terms]] = []
    differ: list[TermsDiffer] = []
    for node in nodes:
        try:
            found.append((await node.status(), await agreed_terms(node, expected)))
        except TermsDiffer as error:
            log.warning("oracle.another_venue", node=node.url, error=str(error))
            differ.append(error)
        except ClientError as error:
            log.warning("oracle.no_node", node=node.url, error=str(error))
    return found, differ


async def followed_terms(nodes: Sequence[NodeClient], expected: Expected, terms: Terms) -> Terms:
    """The terms once a market may have been listed: the longest list that begins with the markets so far.

    A node that says otherwise is one of several: it ends no signer, and mutes none.
    """
    found, _ = await asked_terms(nodes, expected)
    longer = [
        found_terms
        for _, found_terms in found
        if found_terms.domain == terms.domain and found_terms.markets[: len(terms.markets)] == terms.markets
    ]
    return max([terms, *longer], key=lambda one: len(one.markets))
