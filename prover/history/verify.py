"""Rebuilds the state from L1 alone and compares it with the bridge, with nothing of the node's but its batches."""

import time
from collections.abc import Callable

import msgspec
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.client.following import Applied
from l1_bridge.client.values import Block, Tag
from l1_bridge.codec.batch import BridgeId
from l1_bridge.codec.calls import BatchRecord, decode_record, encode_call
from l1_bridge.contracts.artifact import ArtifactError
from prover.history.history import ChainReplay
from prover.history.records import MEMORY_BLOCKS, Alarm, Judgement, Notice, Reason, Verdict
from prover.state.audit import Audit, conservation
from prover.stf import constants, encoding

_REORGANISING_SECONDS = 0.2


class Report(msgspec.Struct, frozen=True):
    """What the bridge says at one block, what replay says, and whether the money adds up.

    `equal` is true when every canonical batch replays to the root that the bridge keeps. `vault_error_micros` is what
    the bridge holds beyond its debts to the state, to claimants and to waiting depositors: exactly 0.
    """

    root: bytes
    l1_root: bytes
    equal: bool
    batches: int
    l1_batches: int
    chunks: int
    operations: int
    conservation_error_micros: int
    size_error_lots: int
    open_interest_error_lots: int
    vault_error_micros: int
    accounts: int
    positions: int
    collateral_micros: int
    deposited_micros: int
    withdrawn_micros: int
    vault_micros: int
    token_balance_micros: int
    unclaimed_micros: int
    waiting_deposits_micros: int
    l1_block: int
    first_fault: str
    seconds: float

    @property
    def held(self) -> bool:
        """Whether the roots are equal and every equation holds."""
        errors = (self.conservation_error_micros, self.size_error_lots, self.open_interest_error_lots)
        return self.equal and not any(errors) and not self.vault_error_micros and self.first_fault == ""


async def verify(
    client: L1Client, replay: ChainReplay, token: bytes, *, until: Tag = "latest", tell: Callable[[Notice], None]
) -> Report:
    """Replay the bridge's logs up to a block and compare; L1Unavailable where the node cannot answer for that block."""
    started_at = time.monotonic()
    target = await client.block(until)
    if target is None:
        raise L1Unavailable(f"the L1 node has no block {until}")
    faults = await _replay_until(client, replay, target.number, tell)
    bridge = replay.bridge
    head = await _head(client, bridge, target)
    audit: Audit | None = await trio.to_thread.run_sync(conservation, replay.state) if replay.started else None
    cursor = replay.cursor
    judged = replay.records.judgement(cursor.valid)
    root = replay.state.root if replay.started else b""
    if (head.number, head.batch_hash) != (cursor.tip, replay.batch_hash(cursor.tip)):
        faults.append(f"the bridge is at batch {head.number}, its logs at batch {cursor.tip}")
    vault, claimed, balance = [
        await client.word(address, data, target.number)
        for address, data in (
            (bridge.address, encode_call("vault_micros")),
            (bridge.address, encode_call("claimed_total_micros")),
            (token, _balance_of(bridge.address)),
        )
    ]
    unclaimed = (0 if audit is None else audit.withdrawn_micros) - claimed
    waiting = _waiting_deposits(replay)
    held = 0 if audit is None else audit.deposited_micros - audit.withdrawn_micros
    if balance < vault:
        faults.append(f"the bridge's vault says {vault} micro-dollars, the token says {balance}")
    if audit is not None and audit.next_account_error:
        faults.append("the number of accounts is not that of the opened ones")
    return Report(
        root=root,
        l1_root=head.last_root,
        equal=not cursor.incomplete and cursor.valid == head.number and root == head.last_root,
        batches=cursor.valid,
        l1_batches=head.number,
        chunks=0 if judged is None else judged.total_chunks,
        operations=0 if judged is None else judged.total_operations,
        conservation_error_micros=0 if audit is None else audit.conservation_error_micros,
        size_error_lots=0 if audit is None else sum(map(abs, audit.size_sums)),
        open_interest_error_lots=0 if audit is None else sum(map(abs, audit.open_interest_errors)),
        vault_error_micros=vault - unclaimed - waiting - held,
        accounts=0 if audit is None else audit.accounts,
        positions=0 if audit is None else audit.positions,
        collateral_micros=0 if audit is None else audit.collateral_micros,
        deposited_micros=0 if audit is None else audit.deposited_micros,
        withdrawn_micros=0 if audit is None else audit.withdrawn_micros,
        vault_micros=vault,
        token_balance_micros=balance,
        unclaimed_micros=unclaimed,
        waiting_deposits_micros=waiting,
        l1_block=target.number,
        first_fault=faults[0] if faults else "",
        seconds=round(time.monotonic() - started_at, 3),
    )


async def _replay_until(
    client: L1Client, replay: ChainReplay, target: int, tell: Callable[[Notice], None]
) -> list[str]:
    faults: list[str] = []
    follower = client.follow(
        replay.bridge.address,
        replay.cursor.from_block,
        memory_blocks=MEMORY_BLOCKS,
        resume=replay.records.blocks(),
    )
    last: Block | None = None
    while True:
        for event in await follower.poll():
            if isinstance(event, Applied) and event.block.number > target:
                break
            last = event.block
            for notice in await trio.to_thread.run_sync(replay.handle, event):
                tell(notice)
                if isinstance(notice, Alarm) and notice.reason == Reason.LAW_DRIFT:
                    faults.append(notice.detail)
        if last is not None and last.number == target:
            # What is compared next is asked by number: it must still be the block that was replayed.
            still = await client.block(target)
            if still is not None and still.hash == last.hash:
                break
        if follower.next_block > target + 1:
            raise L1Unavailable("the L1 reorganised while it was read: try again")
        await trio.sleep(0 if follower.next_block <= target else _REORGANISING_SECONDS)
    cursor = replay.cursor
    wrong = replay.records.judgement(cursor.valid + 1)
    if cursor.incomplete:
        faults.append(cursor.incomplete)
    elif not replay.started:
        faults.append(f"up to block {target} there is no Genesis of the bridge")
    elif wrong is not None:
        faults.append(_fault(wrong))
    return faults


def _fault(judged: Judgement) -> str:
    if judged.verdict == Verdict.FRAUD:
        return f"batch {judged.number} is a fraud from chunk {judged.chunk_index} on"
    return f"batch {judged.number} is unknown: {judged.reason}"


async def _head(client: L1Client, bridge: BridgeId, at: Block) -> BatchRecord:
    try:
        return decode_record(BatchRecord, await client.eth_call(bridge.address, encode_call("head"), at.number))
    except ArtifactError as error:
        raise L1Unavailable(f"the bridge's head is unreadable: {error}") from None


def _balance_of(holder: bytes) -> bytes:
    # ERC-20's own selector: the token need not be the shipped one.
    return bytes.fromhex("70a08231") + holder.rjust(32, b"\x00")


def _waiting_deposits(replay: ChainReplay) -> int:
    if not replay.started:
        return 0
    waiting = 0
    for index in range(replay.state.commitment.queue_count, replay.cursor.queue_length):
        operation = replay.records.queue_operation(index)
        assert operation is not None, "entries that wait are kept"
        if operation[0] == constants.DEPOSIT:
            head, tail = (int.from_bytes(operation[i : i + 32].ljust(32, b"\x00"), "big") for i in (1, 21))
            waiting += encoding.deposit(head, tail).amount
    return waiting
