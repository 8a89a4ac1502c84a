"""Worker processes answer what the law's own recover answers, and their deaths are told, not swallowed."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import example, given, settings
from hypothesis import strategies as st

from l1_bridge.hashing import keccak
from prover.signing import operations
from prover.signing.recover import CURVE_ORDER, recover_fast
from prover.signing.signatures import address_of, order_digest, request_digest, sign
from prover.signing.signed import recovered
from prover.stf import constants, containers, encoding, signatures
from prover.stf.words import word_at
from sequencer.sequencing import signature_worker as verifier_worker
from sequencer.sequencing.signature_pool import (
    ANSWER_SECONDS,
    MAX_PIECE_ROWS,
    VerifierDied,
    Verifiers,
    VerifiersHopeless,
    VerifiersStopped,
    signed_row,
)
from sequencer.sequencing.signature_worker import Recoverer
from tests.patience import PATIENCE_SECONDS

KEYS = [keccak(b"verifier test key %d" % i) for i in range(7)]
HALF_ORDER = signatures.HALF_ORDER
NOBODY = containers.NOBODY
RECOVERER = Recoverer()
# Answers with as many zero bytes as it should, and dies at a row of ones.
FRAGILE = """
import os, sys
while head := sys.stdin.buffer.read(2):
    rows = sys.stdin.buffer.read(96 * int.from_bytes(head, "big"))
    if rows[:1] == b"\\x01":
        os._exit(3)
    os.write(1, bytes(20 * (len(rows) // 96)))
"""


def by_the_law(row: bytes) -> bytes:
    return signatures.recover(row[:32], word_at(row, 32), word_at(row, 64), recover_fast)


def row_of(index: int) -> bytes:
    digest = keccak(index.to_bytes(8, "big"))
    return digest + sign(KEYS[index % len(KEYS)], digest)


def signer_of(index: int) -> bytes:
    return address_of(KEYS[index % len(KEYS)])


def raw_row(r: int, s: int, parity: int, digest: bytes = b"\x07" * 32) -> bytes:
    return digest + r.to_bytes(32, "big") + (s | parity << 255).to_bytes(32, "big")


@asynccontextmanager
async def pool(
    worker_count: int = 2,
    piece_rows: int = 32,
    answer_seconds: float = ANSWER_SECONDS,
    command: Sequence[str] | None = None,
) -> AsyncIterator[Verifiers]:
    if command is None:
        verifiers = Verifiers(worker_count, piece_rows=piece_rows, answer_seconds=answer_seconds)
    else:
        verifiers = Verifiers(worker_count, piece_rows=piece_rows, answer_seconds=answer_seconds, command=command)
    async with trio.open_nursery() as nursery:
        await nursery.start(verifiers.run)
        yield verifiers
        nursery.cancel_scope.cancel()


def is_gone(pid: int) -> bool:
    """Neither alive nor a zombie."""
    return not Path(f"/proc/{pid}").exists()


def test_a_worker_shares_its_constants_with_the_law() -> None:
    assert HALF_ORDER.to_bytes(32, "big") == verifier_worker._HALF_ORDER
    assert verifier_worker._NOBODY == NOBODY


@settings(max_examples=150)
@given(st.binary(min_size=96, max_size=96))
def test_garbage_recovers_to_what_the_law_says(row: bytes) -> None:
    assert RECOVERER.recover(row) == by_the_law(row)


@settings(max_examples=150)
@given(
    st.sampled_from(KEYS),
    st.binary(min_size=32, max_size=32),
    st.sampled_from(["whole", "other parity", "bit flipped"]),
    st.integers(0, 767),
)
def test_signatures_and_their_damaged_twins_recover_to_what_the_law_says(
    key: bytes, digest: bytes, damage: str, bit: int
) -> None:
    row = digest + sign(key, digest)
    value = int.from_bytes(row, "big")
    if damage == "other parity":
        row = (value ^ 2**255).to_bytes(96, "big")
    elif damage == "bit flipped":
        row = (value ^ 1 << bit).to_bytes(96, "big")
    answer = RECOVERER.recover(row)
    assert answer == by_the_law(row)
    if damage == "whole":
        assert answer == address_of(key)
    else:
        assert answer != address_of(key)


def test_a_high_s_recovers_to_nobody_although_the_library_takes_it() -> None:
    assert RECOVERER.recover(raw_row(1, HALF_ORDER, 0)) != NOBODY
    assert RECOVERER.recover(raw_row(1, HALF_ORDER + 1, 0)) == NOBODY
    assert recover_fast(b"\x07" * 32, 27, 1, HALF_ORDER + 1) != NOBODY


@given(
    st.sampled_from([0, 1, 2, CURVE_ORDER - 1, CURVE_ORDER, CURVE_ORDER + 1, 2**256 - 1]),
    st.sampled_from([0, 1, HALF_ORDER, HALF_ORDER + 1, CURVE_ORDER - 1, CURVE_ORDER, 2**255 - 1]),
    st.integers(0, 1),
)
@example(CURVE_ORDER, 1, 0)
@example(1, 0, 1)
def test_the_ends_of_every_range_recover_to_what_the_law_says(r: int, s: int, parity: int) -> None:
    row = raw_row(r, s % 2**255, parity)
    assert RECOVERER.recover(row) == by_the_law(row)


def test_a_row_of_an_operation_is_what_its_owner_signed() -> None:
    domain = keccak(b"a domain")
    order = containers.Order(
        account=17, market=1, side=1, size=9, limit_price=300_000, slot=3, sequence=5, created_at=7, expires_at=8,
        time_in_force=1, post_only=0, reduce_only=1, trigger=2, trigger_price=4, max_fee_ppm=6, max_posting_fee=2,
        unused=0,
    )  # fmt: skip
    request = containers.Request(
        account=17,
        slot=3,
        sequence=5,
        created_at=7,
        expires_at=8,
        amount=6,
        other=18,
        recipient=b"\x09" * 20,
        max_posting_fee=700,
    )
    signature = sign(KEYS[0], order_digest(domain, order))
    row = signed_row(domain, operations.order_bytes(order, signature))
    assert row == order_digest(domain, order) + signature
    assert RECOVERER.recover(row) == address_of(KEYS[0])
    for tag in (constants.WITHDRAW, constants.TRANSFER, constants.CANCEL, constants.CANCEL_ALL):
        signature = sign(KEYS[1], request_digest(domain, tag, request))
        operation = operations.request_bytes(tag, request, signature)
        assert RECOVERER.recover(signed_row(domain, operation)) == recovered(domain, operation)


@settings(max_examples=200)
@given(st.binary(min_size=constants.ORDER_LENGTH - 1, max_size=constants.ORDER_LENGTH - 1))
def test_a_row_of_any_order_bytes_has_the_digest_of_the_law(tail: bytes) -> None:
    operation = bytes([constants.ORDER]) + tail
    order = encoding.order(word_at(operation, 1), word_at(operation, 32))
    assert signed_row(bytes(32), operation) == order_digest(bytes(32), order) + operation[-64:]


@pytest.mark.trio
@pytest.mark.parametrize("piece_rows", [1, 25, MAX_PIECE_ROWS])
async def test_answers_come_in_the_order_of_the_rows(piece_rows: int) -> None:
    async with pool(piece_rows=piece_rows) as verifiers:
        counts = [0, 1, 24, 250, piece_rows]
        answers: dict[int, list[bytes]] = {}

        async def ask(caller: int, count: int) -> None:
            rows = [row_of(1_000 * caller + i) for i in range(count)]
            answers[caller] = await verifiers.recover(rows)

        async with trio.open_nursery() as callers:
            for caller, count in enumerate(counts):
                callers.start_soon(ask, caller, count)
        for caller, count in enumerate(counts):
            assert answers[caller] == [signer_of(1_000 * caller + i) for i in range(count)]


@pytest.mark.trio
async def test_garbage_does_not_end_a_worker() -> None:
    async with pool(worker_count=1) as verifiers:
        rows = [bytes(96), b"\xff" * 96, raw_row(1, HALF_ORDER + 1, 0), row_of(3)]
        assert await verifiers.recover(rows) == [by_the_law(row) for row in rows]
        assert verifiers.restarts == 0


@pytest.mark.trio
async def test_callers_wait_where_the_workers_do_not_answer() -> None:
    async with pool(worker_count=1, piece_rows=1) as verifiers:
        await verifiers.recover([row_of(0)])
        (pid,) = verifiers.worker_pids
        os.kill(pid, signal.SIGSTOP)
        asked: list[int] = []

        async def ask(index: int) -> None:
            assert await verifiers.recover([row_of(index)]) == [signer_of(index)]
            asked.append(index)

        async with trio.open_nursery() as callers:
            for index in range(20):
                callers.start_soon(ask, index)
            await trio.testing.wait_all_tasks_blocked()
            # Two pieces are at the worker, eighteen callers still hold their rows.
            assert verifiers.waiting == 18
            assert asked == []
            os.kill(pid, signal.SIGCONT)
        assert sorted(asked) == list(range(20))
        assert verifiers.waiting == 0


@pytest.mark.trio
async def test_a_cancelled_caller_takes_nothing_from_the_others() -> None:
    async with pool(worker_count=1, piece_rows=25) as verifiers:
        await verifiers.recover([row_of(0)])
        (pid,) = verifiers.worker_pids
        os.kill(pid, signal.SIGSTOP)
        async with trio.open_nursery() as impatient:
            impatient.start_soon(verifiers.recover, [row_of(i) for i in range(60)])
            await trio.testing.wait_all_tasks_blocked()
            impatient.cancel_scope.cancel()
        os.kill(pid, signal.SIGCONT)
        assert await verifiers.recover([row_of(i) for i in range(70, 130)]) == [signer_of(i) for i in range(70, 130)]


@pytest.mark.trio
async def test_a_killed_worker_is_told_reaped_and_replaced() -> None:
    async with pool(worker_count=1) as verifiers:
        await verifiers.recover([row_of(0)])
        (pid,) = verifiers.worker_pids
        os.kill(pid, signal.SIGSTOP)
        async with trio.open_nursery() as callers:

            @callers.start_soon
            async def ask() -> None:
                with pytest.raises(VerifierDied, match="gone") as died:
                    await verifiers.recover([row_of(1)])
                assert died.value.code == "VERIFIER_DIED"

            await trio.testing.wait_all_tasks_blocked()
            os.kill(pid, signal.SIGKILL)
        assert await verifiers.recover([row_of(2)]) == [signer_of(2)]
        assert verifiers.restarts == 1
        assert is_gone(pid)
        assert pid not in verifiers.worker_pids


@pytest.mark.trio
async def test_a_worker_that_dies_idle_is_replaced_before_anybody_asks() -> None:
    async with pool(worker_count=1) as verifiers:
        await verifiers.recover([row_of(0)])
        (pid,) = verifiers.worker_pids
        os.kill(pid, signal.SIGKILL)
        with trio.fail_after(PATIENCE_SECONDS):
            while not verifiers.worker_pids - {pid}:
                await trio.testing.wait_all_tasks_blocked(0.005)
        assert is_gone(pid)
        assert await verifiers.recover([row_of(2)]) == [signer_of(2)]


@pytest.mark.trio
async def test_a_worker_that_hangs_is_killed(mock_clock: trio.testing.MockClock) -> None:
    # Time stands still but for what the test lets pass: no worker is slow, however busy the machine is.
    async with pool(worker_count=1, answer_seconds=7) as verifiers:
        await verifiers.recover([row_of(0)])
        (pid,) = verifiers.worker_pids
        os.kill(pid, signal.SIGSTOP)
        async with trio.open_nursery() as callers:

            @callers.start_soon
            async def ask() -> None:
                with pytest.raises(VerifierDied, match="no answer for 7 seconds"):
                    await verifiers.recover([row_of(1)])

            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(6)
            await trio.testing.wait_all_tasks_blocked()
            assert verifiers.restarts == 0
            mock_clock.jump(1)
        assert await verifiers.recover([row_of(2)]) == [signer_of(2)]
        assert is_gone(pid)


@pytest.mark.trio
async def test_one_fatal_row_costs_its_piece_and_no_other() -> None:
    async with pool(worker_count=1, piece_rows=1, command=[sys.executable, "-c", FRAGILE]) as verifiers:
        for _ in range(5):
            assert await verifiers.recover([bytes(96)]) == [NOBODY]
            with pytest.raises(VerifierDied, match="ended"):
                await verifiers.recover([b"\x01" * 96])
        assert await verifiers.recover([bytes(96)]) == [NOBODY]
        assert verifiers.restarts == 5


@pytest.mark.trio
async def test_workers_that_never_answer_end_the_pool() -> None:
    verifiers = Verifiers(2, command=[sys.executable, "-S", "-c", "raise SystemExit(4)"])
    with pytest.raises(VerifiersHopeless, match="exit code 4"):
        await verifiers.run()
    assert verifiers.worker_pids == set()
    with pytest.raises(VerifiersStopped):
        await verifiers.recover([row_of(1)])


@pytest.mark.trio
async def test_stopping_leaves_no_process_and_answers_those_who_wait() -> None:
    verifiers = Verifiers(2, piece_rows=1)
    pids: set[int] = set()
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(VerifiersStopped):
                await verifiers.recover([row_of(i) for i in range(10)])

        async with trio.open_nursery() as running:
            await running.start(verifiers.run)
            await verifiers.recover([row_of(i) for i in range(8)])
            pids |= verifiers.worker_pids
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
            running.cancel_scope.cancel()
    assert len(pids) == 2
    assert all(is_gone(pid) for pid in pids)
    with pytest.raises(VerifiersStopped):
        await verifiers.recover([row_of(1)])


@pytest.mark.trio
async def test_a_worker_inherits_neither_environment_nor_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CATENARY_NODE_PASSWORD", "not for workers")
    with (tmp_path / "keystore").open("wb") as secret:
        os.set_inheritable(secret.fileno(), True)
        async with pool(worker_count=1) as verifiers:
            await verifiers.recover([row_of(0)])
            (pid,) = verifiers.worker_pids
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            files = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    assert b"not for workers" not in environment
    assert {entry.split(b"=")[0] for entry in environment.split(b"\0") if entry} <= {b"PYTHONPATH", b"LC_CTYPE"}
    assert str(tmp_path / "keystore") not in files
    assert len([file for file in files if file.startswith("pipe:")]) >= 2
