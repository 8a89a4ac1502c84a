"""The embedded L1's engine under a fake clock: time, what it refuses, and what a crash leaves behind."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import plyvel
import pytest

from l1_bridge.client.keys import Signer, development_key
from l1_bridge.devnet.chain import Call, DevnetChain, RefusedError, steady_clock
from l1_bridge.devnet.database import ChainDatabase, DatadirError
from l1_bridge.devnet.server import DevnetRpc
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


def test_nobody_is_told_that_a_transaction_is_mined_before_the_head_has_it(
    venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing a block takes as long as the disk does, and whoever hears of a receipt reads the newest state next."""
    rpc, commit = DevnetRpc(venue.chain), venue.database.commit

    def ask(method: str, *params: str) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return json.loads(rpc.handle(json.dumps(request).encode()))["result"]

    def told(transaction_hash: bytes) -> tuple[bool, str | None, str, str]:
        name = "0x" + transaction_hash.hex()
        sender = "0x" + development_key(0).address.hex()
        is_mined = ask("eth_getTransactionReceipt", name) is not None
        block = ask("eth_getTransactionByHash", name)["blockNumber"]
        return is_mined, block, ask("eth_blockNumber"), ask("eth_getTransactionCount", sender, "latest")

    # As many as the chain may run ahead, and one that waits in the open block.
    waits = [venue.send() for _ in range(16)][-1]
    seen = [told(waits)]

    def committing() -> None:
        assert venue.database.receipt(waits) is not None
        seen.append(told(waits))
        commit()
        seen.append(told(waits))

    monkeypatch.setattr(venue.database, "commit", committing)
    venue.clock.now += 2
    venue.chain.tick()
    assert seen == [(False, None, "0xf", "0xf")] * 3
    assert told(waits) == (True, "0x10", "0x10", "0x10")


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


# History.

ENOUGH = 256


class Counted(Venue):
    """A venue with a contract that logs each call; it is called now and then as blocks go by."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, block_period_seconds=1, history_blocks=ENOUGH)
        self.clock.now += 1
        created = self.database.receipt(self.send(to=None, value=0, data=probe_initcode(), gas=1_000_000))
        assert created is not None
        self.creation = msgspec.json.decode(created)
        self.probe = bytes.fromhex(self.creation["contractAddress"].removeprefix("0x"))
        self.calls: dict[int, bytes] = {}

    def pass_blocks(self, count: int, *, is_tidied: bool = True) -> None:
        for _ in range(count):
            self.clock.now += 1
            if self.chain.head.block_number % 5 == 3:
                sent = self.send(to=self.probe, value=0, data=keccak(b"increase()")[:4], gas=100_000)
                self.calls[self.chain.head.block_number] = sent
            else:
                self.chain.tick()
            if is_tidied:
                self.chain.tidy()

    def count_at(self, block: int) -> int:
        header = self.chain.header(block)
        owner = development_key(0).address
        call = Call(sender=owner, to=self.probe, data=keccak(b"count()")[:4], value=0, gas=100_000)
        return int.from_bytes(self.chain.execute(header, call).output, "big")

    @property
    def rows(self) -> int:
        return sum(1 for _ in self.database._level.iterator(include_value=False))


def test_history_is_bounded_and_the_newest_state_whole(tmp_path: Path) -> None:
    venue = Counted(tmp_path)
    venue.pass_blocks(ENOUGH - 2)
    assert venue.database.first_block == 0
    rows = []
    for _ in range(12):
        venue.pass_blocks(ENOUGH // 2)
        rows.append(venue.rows)
        head, first = venue.chain.head.block_number, venue.database.first_block
        assert head + 1 - 2 * ENOUGH <= first
        assert first == 0 or head + 1 - first >= ENOUGH
        # Every state that is kept is whole, and nonces, code and balances are those of all that was ever sent.
        for block in (first, (first + head) // 2, head):
            if block:
                assert venue.count_at(block) == sum(at <= block for at in venue.calls)
        assert venue.chain.nonce(venue.chain.head, development_key(0).address) == venue.nonce
        assert venue.chain.balance(venue.chain.head, development_key(1).address) == 10_000 * 10**18
    assert venue.database.first_block > 3 * ENOUGH
    # It goes up and down with the generations, and not up alone.
    assert max(rows[8:]) <= max(rows[:8])
    # What was cut does not come back, and the chain goes on.
    head, first = venue.chain.head.block_number, venue.database.first_block
    venue.chain.close()
    venue.open()
    assert (venue.chain.head.block_number, venue.database.first_block) == (head, first)
    venue.pass_blocks(ENOUGH)
    assert venue.count_at(venue.chain.head.block_number) == len(venue.calls)
    venue.chain.close()


def test_what_is_older_is_refused_by_a_code_and_what_is_rare_is_kept(tmp_path: Path) -> None:
    venue = Counted(tmp_path)
    venue.pass_blocks(4 * ENOUGH)
    first = venue.database.first_block
    assert first > 1
    header = venue.chain.header(0)
    assert header is not None
    assert header.hash == venue.chain.genesis_hash
    assert venue.chain.header(first) is not None
    assert venue.chain.header(venue.chain.head.block_number + 1) is None
    for block in (1, first - 1):
        with pytest.raises(RefusedError, match=f"pruned history unavailable: block {block} is before {first}") as error:
            venue.chain.header(block)
        assert error.value.code == 4444
    # The first sixteen logs of a kind, and what has created a contract, stay; of the others none is told from before.
    kept = [msgspec.json.decode(log.json)["blockNumber"] for log in venue.database.logs(0, first - 1)]
    calls = sorted(venue.calls)
    assert [int(block, 16) for block in kept] == calls[:16]
    assert len(list(venue.database.logs(first, calls[-1]))) == sum(at >= first for at in calls)
    with pytest.raises(RefusedError, match="pruned history"):
        venue.chain.require_history(first - 1, [venue.probe], [])
    for asked in ((first, [venue.probe], []), (0, [NOBODY], []), (0, [venue.probe], [bytes(32)])):
        venue.chain.require_history(*asked)
    creation = bytes.fromhex(venue.creation["transactionHash"].removeprefix("0x"))
    assert venue.database.transaction(creation) is not None
    assert venue.database.receipt(venue.calls[calls[0]]) is None
    assert venue.database.receipt(venue.calls[calls[-1]]) is not None
    venue.chain.close()


def test_nothing_goes_before_the_state_is_copied_and_a_kill_meanwhile_costs_time_alone(tmp_path: Path) -> None:
    venue = Counted(tmp_path)
    venue.pass_blocks(ENOUGH, is_tidied=False)
    assert venue.database.has_earlier
    with patch("l1_bridge.devnet.chain._NODES_AT_ONCE", 2):
        venue.chain.tidy()
        venue.pass_blocks(2 * ENOUGH, is_tidied=False)
        assert venue.database.first_block == 0
        # Killed: what was walked is walked again, and states of before that walk are kept as long as others.
        venue.database.close()
        venue.open()
        venue.pass_blocks(ENOUGH - 10)
        assert venue.database.first_block == 0
        venue.pass_blocks(ENOUGH)
        first = venue.database.first_block
        assert first > 0
        head = venue.chain.head.block_number
        for block in (head - ENOUGH + 1, head):
            assert venue.count_at(block) == sum(at <= block for at in venue.calls)
        # Of what is older the blocks are kept, and whoever asks for a state that is not hears that.
        assert venue.chain.header(first) is not None
        asked = {"jsonrpc": "2.0", "id": 1, "method": "eth_call"}
        call = {"to": "0x" + venue.probe.hex(), "data": "0x" + keccak(b"count()")[:4].hex()}
        answer = DevnetRpc(venue.chain).handle(json.dumps(asked | {"params": [call, hex(first)]}).encode())
        assert msgspec.json.decode(answer)["error"]["code"] == 4444
    venue.chain.close()


def test_a_generation_that_cannot_be_noted_has_not_begun(tmp_path: Path) -> None:
    venue = Counted(tmp_path)
    venue.pass_blocks(ENOUGH - 3)
    level = venue.database._level
    venue.database._level = Full(level)
    with pytest.raises(OSError, match="full"):
        venue.pass_blocks(3)
    venue.database._level = level
    assert (venue.database.has_earlier, venue.database.since) == (False, 0)
    venue.pass_blocks(1)
    assert venue.database.has_earlier
    assert venue.count_at(venue.chain.head.block_number) == len(venue.calls)
    venue.chain.close()


class Full:
    """A database whose disk takes blocks and no word about generations."""

    def __init__(self, level: Any) -> None:
        self._level = level

    def __getattr__(self, name: str) -> Any:
        return getattr(self._level, name)

    def put(self, key: bytes, value: bytes, sync: bool) -> None:
        raise OSError("the disk is full")


def test_a_datadir_of_another_version_is_refused(tmp_path: Path) -> None:
    level = plyvel.DB(str(tmp_path), create_if_missing=True)
    level.put(b"mchain_id", b"31337")
    level.close()
    with pytest.raises(DatadirError, match="another version"):
        ChainDatabase(tmp_path)
