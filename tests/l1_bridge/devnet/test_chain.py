"""The embedded L1's engine under a fake clock: time, what it refuses, and what a crash leaves behind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from l1_bridge.client.keys import Signer, development_key
from l1_bridge.devnet.chain import Call, DevnetChain, RefusedError, steady_clock
from l1_bridge.devnet.database import ChainDatabase, DatadirError
from l1_bridge.hashing import keccak
from tests.l1_bridge.l1_nodes import probe_initcode

START = 1_800_000_000
NOBODY = bytes(19) + b"\x55"


class Clock:
    """Wall-clock seconds that move only when told."""

    def __init__(self) -> None:
        self.now = float(START)

    def __call__(self) -> float:
        return self.now


class Venue:
    """A chain over a directory, its clock, and a sender's next nonce."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.clock = Clock()
        self.directory = directory
        self.options = options
        self.nonce = 0
        self.open()

    def open(self) -> None:
        self.database = ChainDatabase(self.directory)
        self.chain = DevnetChain(self.database, 31337, clock=self.clock, **self.options)

    def send(self, signer: Signer | None = None, **fields: Any) -> bytes:
        signer = signer or development_key(0)
        base_fee = self.chain.pending_header().base_fee_per_gas
        transaction = {
            "type": 2,
            "chainId": 31337,
            "nonce": self.nonce,
            "to": NOBODY,
            "value": 1,
            "data": b"",
            "gas": 21_000,
            "maxFeePerGas": base_fee + 10**9,
            "maxPriorityFeePerGas": 10**9,
        } | fields
        raw, _ = signer.sign_transaction({name: value for name, value in transaction.items() if value is not None})
        sent = self.chain.send(raw)
        self.nonce += 1
        return sent


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Venue]:
    opened = Venue(tmp_path)
    yield opened
    opened.chain.close()


def test_a_machine_whose_clock_jumps_moves_no_block() -> None:
    wall, monotonic = Clock(), Clock()
    monotonic.now = 7.0
    clock = steady_clock(wall, monotonic)
    assert clock() == START
    wall.now += 3_600
    monotonic.now += 15
    assert clock() == START + 15
    # The next run begins with what the clock says then.
    assert steady_clock(wall, monotonic)() == START + 3_600


def test_a_transaction_is_mined_at_the_wall_clock(venue: Venue) -> None:
    venue.clock.now += 100.7
    sent = venue.send()
    assert venue.chain.head.block_number == 1
    assert venue.chain.head.timestamp == START + 100
    assert venue.database.receipt(sent) is not None


def test_a_burst_runs_ahead_only_as_far_as_allowed(venue: Venue) -> None:
    venue.clock.now += 1
    sent = [venue.send() for _ in range(40)]
    # One block at the clock and one for each second it may run ahead; the others wait in the open block.
    assert venue.chain.head.timestamp == START + 1 + 15
    assert venue.chain.head.block_number == 16
    assert [venue.database.receipt(item) is not None for item in sent] == [True] * 16 + [False] * 24
    assert venue.chain.nonce(venue.chain.head, development_key(0).address) == 16
    assert venue.chain.nonce(venue.chain.pending_header(), development_key(0).address) == 40
    assert venue.chain.open_transaction(sent[-1]) is not None
    venue.chain.tick()
    assert venue.chain.head.block_number == 16
    venue.clock.now += 1
    venue.chain.tick()
    assert venue.chain.head.block_number == 17
    assert venue.chain.head.timestamp == START + 17
    assert all(venue.database.receipt(item) is not None for item in sent)
    body = venue.database.block_body(17)
    assert body is not None
    assert body[1] == sent[16:]
    assert venue.chain.balance(venue.chain.head, NOBODY) == 40


def test_a_clock_set_back_by_thirty_seconds_stops_blocks_not_time(venue: Venue) -> None:
    venue.clock.now += 60
    venue.send()
    venue.clock.now -= 30
    waiting = venue.send()
    assert venue.chain.head.timestamp == START + 60
    assert venue.database.receipt(waiting) is None
    venue.clock.now += 16
    venue.chain.tick()
    assert venue.chain.head.timestamp == START + 61
    assert venue.database.receipt(waiting) is not None


def test_empty_blocks_keep_time_and_slow_down_when_nobody_sends(venue: Venue) -> None:
    times = []
    for _ in range(400):
        venue.clock.now += 1
        before = venue.chain.head.block_number
        venue.chain.tick()
        if venue.chain.head.block_number > before:
            times.append(venue.chain.head.timestamp - START)
    assert times[:300] == list(range(1, 301))
    assert times[300:] == list(range(312, 400, 12))
    venue.send()
    venue.clock.now += 1
    venue.chain.tick()
    venue.clock.now += 1
    venue.chain.tick()
    assert venue.chain.head.timestamp - START == 402


def test_no_empty_blocks_without_a_period(tmp_path: Path) -> None:
    venue = Venue(tmp_path, block_period_seconds=0)
    venue.clock.now += 1000
    venue.chain.tick()
    assert venue.chain.head.block_number == 0
    assert venue.chain.pending_header().timestamp == START + 1000
    venue.chain.close()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"nonce": 1}, "nonce too high"),
        ({"chainId": 1}, "invalid chain id"),
        ({"gas": 20_999}, "intrinsic gas too low"),
        ({"gas": (1 << 24) + 1}, "gas limit too high"),
        ({"data": b"\x01" * 100, "gas": 24_999}, "intrinsic gas too low"),
        ({"maxFeePerGas": 1, "maxPriorityFeePerGas": 1}, "less than block base fee"),
        ({"value": 10_001 * 10**18}, "insufficient funds"),
        ({"to": None, "data": bytes(49_153), "gas": 1 << 24}, "max initcode size exceeded"),
    ],
)
def test_what_the_rules_forbid_is_refused_and_changes_nothing(
    venue: Venue, fields: dict[str, Any], sentence: str
) -> None:
    root = venue.chain.head.state_root
    with pytest.raises(RefusedError, match=sentence) as refused:
        venue.send(**fields)
    assert refused.value.code == -32000
    assert venue.chain.head.block_number == 0
    assert venue.chain.pending_header().state_root == root
    assert venue.chain.pending_header().gas_used == 0
    venue.send()
    assert venue.chain.head.block_number == 1


def test_what_the_rules_allow_just_so_is_mined(venue: Venue) -> None:
    for fields in (
        {"gas": 1 << 24},
        {"data": b"\x01" * 100, "gas": 25_000},
        {"to": None, "data": bytes(49_152), "gas": 1 << 24, "value": 0},
    ):
        assert venue.database.receipt(venue.send(**fields)) is not None


def test_a_transaction_is_taken_once(venue: Venue) -> None:
    venue.send(maxFeePerGas=3 * 10**9)
    venue.nonce = 0
    with pytest.raises(RefusedError, match="already known"):
        venue.send(maxFeePerGas=3 * 10**9)
    with pytest.raises(RefusedError, match="nonce too low"):
        venue.send(value=2)


def test_a_refusal_leaves_the_open_block_alone(venue: Venue) -> None:
    venue.clock.now += 1
    sent = [venue.send() for _ in range(18)]
    open_root = venue.chain.pending_header().state_root
    with pytest.raises(RefusedError):
        venue.send(value=10_001 * 10**18)
    assert venue.chain.pending_header().state_root == open_root
    venue.clock.now += 1
    venue.chain.tick()
    assert all(venue.database.receipt(item) is not None for item in sent)


def test_a_crash_leaves_the_last_sealed_block(tmp_path: Path) -> None:
    """A write that never commits is a kill between any two of py-evm's writes."""
    venue = Venue(tmp_path)
    venue.send()
    head, genesis = venue.chain.head.hash, venue.chain.genesis_hash
    venue.clock.now += 1
    venue.database.commit = lambda: (_ for _ in ()).throw(OSError("disk"))  # type: ignore[method-assign]
    with pytest.raises(OSError, match="disk"):
        venue.send()
    assert venue.chain.head.hash == head
    venue.database.close()
    venue.open()
    assert venue.chain.head.hash == head
    assert venue.chain.genesis_hash == genesis
    venue.nonce = 1
    venue.send()
    assert venue.chain.balance(venue.chain.head, NOBODY) == 2
    venue.chain.close()


def test_a_failed_seal_drops_the_block_and_the_chain_goes_on(venue: Venue) -> None:
    commit = venue.database.commit
    venue.database.commit = lambda: (_ for _ in ()).throw(OSError("disk"))  # type: ignore[method-assign]
    with pytest.raises(OSError, match="disk"):
        venue.send()
    venue.database.commit = commit  # type: ignore[method-assign]
    venue.nonce = 0
    venue.send()
    assert venue.chain.head.block_number == 1
    assert venue.chain.balance(venue.chain.head, NOBODY) == 1


def test_a_foreign_or_locked_datadir_is_refused(tmp_path: Path) -> None:
    venue = Venue(tmp_path)
    with pytest.raises(DatadirError, match="in use"):
        ChainDatabase(tmp_path)
    venue.chain.close()
    database = ChainDatabase(tmp_path)
    with pytest.raises(DatadirError, match="chain 31337, not chain 5"):
        DevnetChain(database, 5)
    database.close()


def test_calls_change_nothing_and_estimates_suffice(venue: Venue) -> None:
    venue.clock.now += 1
    created = venue.send(to=None, value=0, data=probe_initcode(), gas=1_000_000)
    receipt = venue.database.receipt(created)
    assert receipt is not None
    probe = bytes.fromhex(receipt.split(b'"contractAddress":"0x')[1][:40].decode())
    owner = development_key(0).address
    increase = Call(sender=owner, to=probe, data=keccak(b"increase()")[:4], value=0, gas=1_000_000)
    root = venue.chain.head.state_root
    result = venue.chain.execute(venue.chain.head, increase)
    assert result.error is None
    assert venue.chain.head.state_root == root
    assert venue.chain.storage(venue.chain.head, probe, 0) == 0
    gas = venue.chain.estimate_gas(venue.chain.head, increase)
    assert gas <= result.gas_used_before_refund * 1.05
    venue.send(to=probe, value=0, data=increase.data, gas=gas)
    assert venue.chain.storage(venue.chain.head, probe, 0) == 1
    with pytest.raises(RefusedError, match="intrinsic gas too low"):
        venue.chain.execute(venue.chain.head, Call(sender=owner, to=probe, data=b"", value=0, gas=20_999))
    bare = Call(sender=bytes(19) + b"\x44", to=NOBODY, data=b"", value=1, gas=30_000)
    with pytest.raises(RefusedError, match="insufficient funds for transfer"):
        venue.chain.execute(venue.chain.head, bare)
    with pytest.raises(RefusedError, match="max initcode size"):
        venue.chain.execute(venue.chain.head, Call(sender=owner, to=b"", data=bytes(49_153), value=0, gas=1 << 24))
