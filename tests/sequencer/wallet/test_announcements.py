"""What a wallet makes of a governor's announcements: what each says, and what has become of it."""

from typing import Any, cast

import msgspec
import pytest
from eth_abi.abi import encode

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.client.reading import L1Reader
from l1_bridge.client.values import Log
from l1_bridge.codec import events
from l1_bridge.codec.batch import BridgeId
from l1_bridge.codec.events import ENACTMENT_SECONDS
from l1_bridge.contracts.artifact import bridge_artifact
from l1_bridge.hashing import keccak
from prover.signing import operations
from prover.state.genesis import label
from prover.stf import constants, containers
from sequencer.wallet.announcements import Announcement, announcements
from sequencer.wallet.commands.govern import announcement_text

IDENTITY = BridgeId(31_337, b"\x11" * 20)
DELAY_ENDS = 1_000


def market_payload(**changes: Any) -> bytes:
    """Parameters of a second market that the law lists."""
    fields: dict[str, Any] = {
        "market": 1,
        "status": constants.MARKET_OPEN,
        "label": label("DOGE", 3),
        "initial_ppm": 100_000,
        "maintenance_ppm": 50_000,
        "maker_fee_ppm": 100,
        "taker_fee_ppm": 450,
        "band_ppm": 100_000,
        "unwind_band_ppm": 5_000,
        "funding_cap_ppb": 1_000_000,
        "funding_interest_ppb": -12_500,
        "funding_damping_ppb": 62_500,
        "minimum_notional": 1,
        "price": 10_000,
        "interest_lower": 0,
        "interest_upper": 0,
    }
    return operations.market_payload(containers.Parameters(**(fields | changes)))


def venue_payload(posting_fee: int) -> bytes:
    """A posting fee, and nothing else."""
    return operations.venue_payload(containers.VenueParameters(posting_fee, 0, 0, containers.NOBODY))


def test_payloads_are_read_as_they_are_written() -> None:
    payload = market_payload(interest_lower=5, interest_upper=2**100)
    given = operations.market_parameters(payload)
    assert operations.market_payload(given) == payload
    assert (given.market, given.label, given.interest_upper) == (1, label("DOGE", 3), 2**100)
    assert operations.venue_parameters(venue_payload(700)).posting_fee == 700
    for read, right in ((operations.market_parameters, payload), (operations.venue_parameters, venue_payload(1))):
        for wrong in (b"", right[:-1], right + b"\x00"):
            with pytest.raises(ValueError, match="bytes, these are"):
                read(wrong)


def test_what_is_announced_reaches_a_terminal_as_plain_text() -> None:
    evil = market_payload(label=b"\x1b[31mEVIL\x07".ljust(31, b"\x00") + b"\x02")
    one = Announcement(keccak(evil), constants.SET_MARKET, evil, DELAY_ENDS, "waiting")
    assert all(line.isprintable() for line in announcement_text(one))
    assert "?[31mEVIL?" in announcement_text(one)[2]
    nothing = msgspec.structs.replace(one, payload=b"\x00")
    assert announcement_text(nothing)[2] == "   nothing that the law could take"


# What has become of each.


class ToldL1:
    """An L1 that says what a test lets it say; faults only."""

    def __init__(self, logs: list[Log], now: int, waiting: tuple[bytes, ...] = ()) -> None:
        self._logs, self._now, self._waiting = logs, now, waiting

    async def block(self, number: str) -> Any:
        """The head, or none."""
        return None if self._now < 0 else msgspec.defstruct("Head", ["number", "timestamp"])(9, self._now)

    newest_block = L1Reader.newest_block

    async def logs(self, *_: Any) -> list[Log]:
        """The bridge's."""
        return self._logs

    async def eth_call(self, address: bytes, data: bytes) -> bytes:
        """announced_at of a hash."""
        assert address == IDENTITY.address
        return (int(data[-32:] in self._waiting) * 5).to_bytes(32, "big")


def log(name: str, digest: bytes, data: bytes = b"") -> Log:
    """One log of the bridge."""
    topic = next(topic for topic, event in bridge_artifact().events.items() if event.name == name)
    return Log(IDENTITY.address, (topic, digest), data, 1, b"\x01" * 32, b"\x02" * 32, 0, 0)


def announced(payload: bytes) -> Log:
    """A log of an announcement."""
    data = encode(["uint256", "uint256", "bytes"], [DELAY_ENDS, constants.SET_MARKET, payload])
    return log("Announced", keccak(payload), data)


async def states(l1: ToldL1) -> list[str]:
    """Of all announcements."""
    return [one.state for one in await announcements(cast(L1Client, l1), IDENTITY, 0)]


@pytest.mark.trio
async def test_an_announcement_waits_stands_open_for_two_weeks_and_expires() -> None:
    payload = market_payload()
    waiting = (keccak(payload),)
    for now, state in (
        (DELAY_ENDS - 1, "waiting"),
        (DELAY_ENDS, "enactable"),
        (DELAY_ENDS + ENACTMENT_SECONDS - 1, "enactable"),
        (DELAY_ENDS + ENACTMENT_SECONDS, "expired"),
    ):
        assert await states(ToldL1([announced(payload)], now, waiting)) == [state]
    assert await states(ToldL1([announced(payload)], DELAY_ENDS)) == ["enacted"]


@pytest.mark.trio
async def test_the_same_may_be_announced_again_and_each_has_its_end() -> None:
    payload = market_payload()
    digest = keccak(payload)
    twice = [announced(payload), log("Retracted", digest), announced(payload)]
    assert await states(ToldL1(twice, DELAY_ENDS, (digest,))) == ["retracted", "enactable"]
    assert await states(ToldL1([announced(payload), announced(payload)], 0)) == ["enacted", "waiting"]
    other = [announced(payload), announced(payload[::-1]), log("Retracted", digest)]
    assert await states(ToldL1(other, 0)) == ["retracted", "waiting"]
    assert await states(ToldL1([], 0)) == []


@pytest.mark.trio
async def test_an_l1_node_that_says_nonsense_is_not_believed() -> None:
    with pytest.raises(L1Unavailable, match="no latest block"):
        await states(ToldL1([], -1))
    with pytest.raises(events.LogError):
        await states(ToldL1([log("Announced", bytes(32), b"\x00")], 0))
