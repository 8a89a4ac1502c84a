"""Where the node stands, and what L1 holds of it: queue, batches, withdrawals and proofs."""

from collections.abc import Callable
from itertools import islice

import trio

from l1_bridge.client.keys import DEVELOPMENT_CHAIN_ID
from l1_bridge.codec import batch
from prover.contracts.deployment import Deployment
from prover.signing.operations import ENTRY_NAMES
from prover.stf import codes, constants, encoding
from sequencer.api.methods.standing import Standing
from sequencer.api.rpc.errors import INVALID_PARAMS, NOT_READY, CallError
from sequencer.api.rpc.handlers import method
from sequencer.api.rpc.jsonrpc import Call
from sequencer.engine.engine import Engine
from sequencer.engine.records import EntryRecord, WithdrawalRecord
from sequencer.l1.bridge_view import BridgeView
from sequencer.l1.following import DEVNET_FINALITY_BLOCKS
from sequencer.schema.answers import (
    AccountProof,
    BatchView,
    DepositsView,
    DepositView,
    EntryView,
    FinalBatch,
    GlobalsProof,
    Posted,
    QueueHead,
    QueueView,
    ReadinessReason,
    Sequenced,
    Status,
    WithdrawalProof,
    WithdrawalView,
)
from sequencer.schema.params import (
    LIST_LIMIT,
    AtRoot,
    DepositsOf,
    Newest,
    NoParams,
    OfAccount,
    OfIndex,
    QueueOf,
    WithdrawalsOf,
)
from sequencer.schema.values import Bytes20, as_hex
from sequencer.views.arriving import Arrival
from sequencer.views.markets import names
from sequencer.views.posted_state import WayBackGone


class Rollup:
    """The handlers."""

    def __init__(
        self,
        engine: Engine,
        view: BridgeView,
        deployment: Deployment,
        now_ms: Callable[[], int],
        standing: Standing,
    ) -> None:
        self._engine = engine
        self._view = view
        self._deployment = deployment
        self._now_ms = now_ms
        self._standing = standing

    @method("catenary_status", "Where the node stands.")
    async def status(self, params: NoParams, call: Call) -> Status:
        engine, view, deployment = self._engine, self._view, self._deployment
        newest = view.batches[-1] if view.batches else None
        commitment = engine.view.commitment
        return Status(
            chain_id=deployment.chain_id,
            rollup_address=as_hex(deployment.bridge),
            referee_address=as_hex(deployment.referee),
            token_address=as_hex(deployment.token),
            l1_block=view.block,
            law_version=constants.LAW_VERSION,
            state_root=as_hex(engine.state.root),
            sequenced=Sequenced(
                engine.chunk_count, engine.open_operations, commitment.timestamp, commitment.queue_count
            ),
            posted=Posted(
                newest.number if newest else 0, view.posted_chunks, as_hex(newest.last_root) if newest else ""
            ),
            final=FinalBatch(view.final_batch),
            now_ms=self._now_ms(),
            grace_until_ms=engine.globals.grace_until,
            ready=self._standing.is_ready,
            reasons=[ReadinessReason(one.code, one.sentence) for one in self._standing.why_not()],
        )

    @method(
        "catenary_queue",
        "The L1 queue: how much of it is done, the forced close under way, the newest entries and their codes.",
    )
    async def queue(self, params: QueueOf, call: Call) -> QueueView:
        commitment = self._engine.view.commitment
        found = (
            record
            for record in reversed(self._engine.entries)
            if params.index in (None, record.index) and params.account in (None, record.account)
        )
        entries = [_entry_view(record) for record in islice(found, params.limit)]
        head = self._head() if commitment.queue_taken > commitment.queue_count else None
        return QueueView(commitment.queue_count, head, entries)

    def _head(self) -> QueueHead:
        globals = self._engine.globals
        every = globals.head_market == constants.MARKETS
        return QueueHead(
            account=globals.head_account,
            market=None if every else names(globals)[globals.head_market],
            left_lots=None if every else globals.head_lots,
            limit_price_ticks=globals.head_limit % constants.HEAD_OVER or None,
            entered_at_ms=globals.head_time,
        )

    @method("catenary_batches", "The newest posted batches.")
    async def batches(self, params: Newest, call: Call) -> list[BatchView]:
        return self.newest_batches(params.limit)

    def newest_batches(self, limit: int) -> list[BatchView]:
        """The batches on L1, the newest first."""
        return [
            BatchView(
                number=posted.number,
                batch_hash=as_hex(posted.batch_hash),
                committer=as_hex(posted.committer),
                root=as_hex(posted.last_root),
                chunks=posted.chunk_count,
                bytes=posted.operations_bytes,
                committed_at=posted.committed_at,
                l1_block=posted.block,
                finality="final" if self._view.is_final(posted.number) else "posted",
            )
            for posted in reversed(self._view.batches[-limit:])
        ]

    @method("catenary_deposits", "Deposits that L1 has and no account yet: each with its blocks.")
    async def deposits(self, params: DepositsOf, call: Call) -> DepositsView:
        """Of those that were sequenced, the account's transfers tell."""
        owner = params.owner
        if owner is None:
            if params.account is None:
                raise CallError(INVALID_PARAMS, "Give an account or an owner.")
            owner = Bytes20(self._engine.account(params.account).owner)
        arriving = self._view.arriving
        arriving.drop(self._engine.view.commitment.queue_taken)
        found = islice(arriving.of(bytes(owner), params.account), LIST_LIMIT)
        is_devnet = self._deployment.chain_id == DEVELOPMENT_CHAIN_ID
        return DepositsView(
            l1_block=self._view.block,
            confirmations_needed=DEVNET_FINALITY_BLOCKS + 1 if is_devnet else None,
            deposits=[self._deposit_view(arrival) for arrival in found],
        )

    def _deposit_view(self, arrival: Arrival) -> DepositView:
        deposit, arriving = arrival.deposit, self._view.arriving
        return DepositView(
            index=arrival.index,
            depositor=as_hex(deposit.depositor),
            owner=as_hex(deposit.owner),
            account=None if deposit.account == constants.NEW_ACCOUNT else deposit.account,
            amount_micros=deposit.amount,
            l1_block=arrival.block,
            confirmations=max(0, self._view.block - arrival.block + 1),
            entered_at_ms=arrival.entered_at * 1_000,
            is_final=arrival.block <= arriving.final,
        )

    @method("catenary_withdrawals", "Withdrawals.")
    async def withdrawals(self, params: WithdrawalsOf, call: Call) -> list[WithdrawalView]:
        recipient = params.recipient
        if recipient is None:
            if params.account is None:
                raise CallError(INVALID_PARAMS, "Give an account or a recipient.")
            recipient = Bytes20(self._engine.account(params.account).owner)
        found = self._engine.withdrawals.newest_of(bytes(recipient))
        return [self._withdrawal_view(record) for record in islice(found, LIST_LIMIT)]

    def _withdrawal_view(self, record: WithdrawalRecord) -> WithdrawalView:
        posted = self._view.batch_of_chunk(record.chunk)
        is_final = posted is not None and self._view.is_final(posted.number)
        return WithdrawalView(
            index=record.index,
            recipient=as_hex(record.recipient),
            amount_micros=record.amount,
            batch=None if posted is None else posted.number,
            finality="sequenced" if posted is None else "final" if is_final else "posted",
        )

    @method("catenary_withdrawalProof", "What a claim on L1 needs.")
    async def withdrawal_proof(self, params: OfIndex, call: Call) -> WithdrawalProof:
        if params.index >= len(self._engine.withdrawals):
            raise CallError(INVALID_PARAMS, f"There is no withdrawal {params.index}.")
        record = self._engine.withdrawals[params.index]
        posted = self._view.batch_of_chunk(record.chunk)
        if posted is None or posted.chunks is None:
            raise CallError(NOT_READY, "The withdrawal is in no posted batch yet.")
        last = self._engine.chunk_record(posted.chunks)
        assert last is not None, "a posted chunk is kept"
        leaves = self._engine.withdrawals.leaves(last.withdrawal_count)
        proof = await trio.to_thread.run_sync(lambda: batch.WithdrawalTree(leaves).proof(params.index))
        return WithdrawalProof(
            batch=posted.number,
            commitment=_words(last.commitment),
            proof=[as_hex(sibling) for sibling in proof],
            recipient=as_hex(record.recipient),
            amount_micros=record.amount,
        )

    @method("catenary_proof", "An account's membership in the newest posted root.", errors=(NOT_READY,))
    async def proof(self, params: OfAccount, call: Call) -> AccountProof:
        if not self._view.batches or self._view.batches[-1].chunks is None:
            raise CallError(NOT_READY, "No batch of this node is the newest on L1.")
        try:
            state = self._view.posted_state()
        except WayBackGone:
            raise CallError(NOT_READY, "L1 holds less than this node can still go back to.") from None
        leaf = params.account << constants.SLOT_BITS
        last = self._engine.chunk_record(self._view.posted_chunks)
        assert last is not None, "a posted chunk is kept"
        return AccountProof(
            batch=self._view.batches[-1].number,
            leaf=as_hex(state.payload(leaf)),
            path=[as_hex(sibling) for sibling in state.path(leaf)],
            commitment=_words(last.commitment),
        )

    @method(
        "catenary_globals",
        "The globals at the newest posted root, or at the newest final one: markets, parameters, signers, prices.",
        errors=(NOT_READY,),
    )
    async def posted_globals(self, params: AtRoot, call: Call) -> GlobalsProof:
        view = self._view
        posted = next((one for one in reversed(view.batches) if not params.final or view.is_final(one.number)), None)
        last = None if posted is None or posted.chunks is None else self._engine.chunk_record(posted.chunks)
        if posted is None or last is None:
            raise CallError(
                NOT_READY, f"No batch of this node is the newest{' final' if params.final else ''} one on L1."
            )
        # The next chunk's witness begins with the commitment and the globals that it starts from.
        after = self._engine.chunk_begun(last.number + 1)
        data = encoding.globals_bytes(self._engine.state.globals)
        if after is not None:
            data = after.witness[encoding.COMMITMENT_BYTES :][: encoding.GLOBALS_BYTES]
        return GlobalsProof(batch=posted.number, globals=as_hex(data), commitment=_words(last.commitment))


def _entry_view(record: EntryRecord) -> EntryView:
    name, sentence = codes.SENTENCE[record.code]
    return EntryView(
        index=record.index,
        operation=ENTRY_NAMES[record.tag],
        sender=as_hex(record.sender),
        account=record.account,
        code=record.code,
        name=name,
        sentence=sentence,
        done=record.done,
        withdrawal=record.withdrawal,
        chunk=record.chunk,
        operation_index=record.operation,
    )


def _words(commitment: bytes) -> list[str]:
    return [as_hex(commitment[place : place + 32]) for place in range(0, len(commitment), 32)]
