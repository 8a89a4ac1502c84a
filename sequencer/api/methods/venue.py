"""The node's API methods for reading, its channels, and who answers the others."""

from collections.abc import Callable
from itertools import islice
from typing import Annotated, Final

import msgspec
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.codec import batch
from prover.contracts.deployment import Deployment
from prover.signing.operations import ENTRY_NAMES
from prover.stf import codes, constants, encoding
from sequencer.api.methods.account import AccountMethods
from sequencer.api.methods.rescues import RescueMethods
from sequencer.api.methods.submitting import Account, Submitting
from sequencer.api.methods.words import Json, Words, as_hex
from sequencer.api.rpc.errors import INVALID_PARAMS, NOT_READY, CallError
from sequencer.api.rpc.jsonrpc import Call, NoParams, Registry
from sequencer.api.rpc.subscriptions import Feeds
from sequencer.engine.effects import Processed
from sequencer.engine.engine import Engine
from sequencer.engine.records import SealedChunk
from sequencer.l1.bridge_view import BridgeView
from sequencer.schema.values import Bytes20
from sequencer.sequencing.sequencer import Sequencer

_BOOK_LEVELS: Final = 50
_LIST_LIMIT: Final = 200

Limit = Annotated[int, msgspec.Meta(ge=1, le=_LIST_LIMIT)]


class OfAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One account."""

    account: Account


class OfOwner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One owner's address."""

    owner: Bytes20


class OfMarket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One market by name or index."""

    market: str | int
    levels: Annotated[int, msgspec.Meta(ge=1, le=_BOOK_LEVELS)] = 20


class FillsOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest fills of an account."""

    account: Account
    limit: Limit = 50


class WithdrawalsOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Withdrawals by recipient, or of all accounts of the owner of one."""

    account: Account | None = None
    recipient: Bytes20 | None = None


class OfIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One withdrawal."""

    index: Annotated[int, msgspec.Meta(ge=0)]


class QueueOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest entries, of one account or of all, or the one with this index."""

    index: Annotated[int, msgspec.Meta(ge=0)] | None = None
    account: Account | None = None
    limit: Limit = 20


class Newest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many."""

    limit: Limit = 20


class Methods:
    """The handlers. Everything they answer says which finality it has."""

    def __init__(
        self,
        venue: Sequencer,
        view: BridgeView,
        client: L1Client,
        deployment: Deployment,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine: Engine = venue.engine
        self._view = view
        self._deployment = deployment
        self._now_ms = now_ms
        self._feeds: Feeds | None = None
        self._markets_open = 0
        self._words = Words(self._engine)
        self.submitting = Submitting(venue, self._words, client, deployment, now_ms, lambda: self.is_ready)
        self._rescues = RescueMethods(self._engine, self._words)
        places_of = self._rescues.rankings.places
        self.insight = AccountMethods(self._engine, self._words, self.submitting, now_ms, places_of)
        self.is_ready = False

    # Registration and feeds.

    def register(self, registry: Registry) -> None:
        """Adds every method."""
        add = registry.add
        add("catenary_status", self.status, params=NoParams, description="Where the node stands.", result=Json)
        add(
            "catenary_markets", self.markets, params=NoParams, description="All markets with prices.", result=list[Json]
        )
        add("catenary_accounts", self.accounts, params=OfOwner, result=list[int], description="An owner's accounts.")
        add("catenary_account", self.account, params=OfAccount, description="One account, valued.", result=Json)
        add("catenary_book", self.book, params=OfMarket, description="Price levels of a market.", result=Json)
        add(
            "catenary_openOrders", self.open_orders, params=OfAccount, description="Orders it holds.", result=list[Json]
        )
        add("catenary_fills", self.fills, params=FillsOf, description="The newest fills.", result=list[Json])
        add(
            "catenary_withdrawals",
            self.withdrawals,
            params=WithdrawalsOf,
            description="Withdrawals.",
            result=list[Json],
        )
        sentence = (
            "The L1 queue: how much of it is done, the forced close under way, the newest entries and their codes."
        )
        add("catenary_queue", self.queue, params=QueueOf, description=sentence, result=Json)
        sentence = "What a claim on L1 needs."
        add("catenary_withdrawalProof", self.withdrawal_proof, params=OfIndex, description=sentence, result=Json)
        sentence = "An account's membership in the newest posted root."
        add("catenary_proof", self.proof, params=OfAccount, description=sentence, errors=(NOT_READY,), result=Json)
        sentence = "The globals at the newest posted root: markets, parameters, signers, prices."
        add(
            "catenary_globals",
            self.posted_globals,
            params=NoParams,
            description=sentence,
            errors=(NOT_READY,),
            result=Json,
        )
        add(
            "catenary_batches", self.batches, params=Newest, description="The newest posted batches.", result=list[Json]
        )
        self.submitting.register(registry)
        self.insight.register(registry)
        self._rescues.register(registry)

    def open_feeds(self, feeds: Feeds) -> None:
        """Opens the channels."""
        self._feeds = feeds
        feeds.open("prices", self._words.prices)
        feeds.open("batches", lambda: self._batches(20))
        self._open_markets(feeds)

        def account_feed(key: str) -> Callable[[], object] | None:
            if not key.isascii() or not key.isdigit() or len(key) > 8 or int(key) >= self._engine.globals.next_account:
                return None
            return lambda: self.insight.account(int(key))

        feeds.family("account:", account_feed)
        self.insight.open_feeds(feeds)
        self._rescues.open_feeds(feeds)

    def _open_markets(self, feeds: Feeds) -> None:
        """Opens the channels of markets that were listed since."""
        names = self._words.names()
        for index in range(self._markets_open, len(names)):
            feeds.open(f"book:{names[index]}", lambda index=index: self._words.levels(index, 20))  # type: ignore[misc]
            feeds.open(f"trades:{names[index]}", lambda index=index: self._words.trades(index))  # type: ignore[misc]
        self._markets_open = len(names)

    def sequenced(self, outcome: Processed) -> None:
        """Tells the feeds about a durable input."""
        if self._feeds is None:
            return
        self._open_markets(self._feeds)
        for index in outcome.markets:
            self._feeds.publish(f"book:{self._words.name(index)}", self._words.levels(index, 20))
        for fill in outcome.fills:
            self._feeds.publish(f"trades:{self._words.name(fill.market)}", self._words.fill(fill))
        for account in outcome.accounts:
            # Valuing costs more than telling: nobody listens to most accounts.
            if self._feeds.is_open(f"account:{account}"):
                self._feeds.publish(f"account:{account}", self.insight.account(account))
        if len(outcome.markets) == self._engine.globals.market_count:
            self._feeds.publish("prices", self._words.prices())
        self._rescues.sequenced(outcome, self._feeds, self.insight.account)
        self.insight.ticked(self._feeds)

    def sealed(self, chunks: list[SealedChunk]) -> None:
        """Nothing to tell: a sealed chunk is not yet on L1."""

    def posted(self) -> None:
        """Tells the feeds that the batches on L1 changed."""
        if self._feeds is not None:
            self._feeds.publish("batches", self._batches(1))

    # Reading.

    async def status(self, params: NoParams, call: Call) -> Json:
        """catenary_status."""
        engine = self._engine
        newest = self._view.batches[-1] if self._view.batches else None
        return {
            "chain_id": self._deployment.chain_id,
            "rollup_address": as_hex(self._deployment.bridge),
            "referee_address": as_hex(self._deployment.referee),
            "token_address": as_hex(self._deployment.token),
            "l1_block": self._view.block,
            "law_version": constants.LAW_VERSION,
            "state_root": as_hex(engine.state.root),
            "sequenced": {
                "chunk": engine.chunk_count,
                "operations": engine.open_operations,
                "timestamp_ms": engine.view.commitment.timestamp,
                "queue_count": engine.view.commitment.queue_count,
            },
            "posted": {
                "batch": newest.number if newest else 0,
                "chunks": self._view.posted_chunks,
                "root": as_hex(newest.last_root) if newest else "",
            },
            "final": {"batch": self._view.final_batch},
            "now_ms": self._now_ms(),
            "grace_until_ms": engine.globals.grace_until,
            "ready": self.is_ready,
        }

    async def queue(self, params: QueueOf, call: Call) -> Json:
        """catenary_queue."""
        globals, commitment = self._engine.globals, self._engine.view.commitment
        every = globals.head_market == constants.MARKETS
        head = {
            "account": globals.head_account,
            "market": None if every else self._words.name(globals.head_market),
            "left_lots": None if every else globals.head_lots,
        }
        found = (
            record
            for record in reversed(self._engine.entries)
            if params.index in (None, record.index) and params.account in (None, record.account)
        )
        return {
            "done": commitment.queue_count,
            "head": head if commitment.queue_open else None,
            "entries": [
                {
                    "index": record.index,
                    "operation": ENTRY_NAMES[record.tag],
                    "sender": as_hex(record.sender),
                    "account": record.account,
                    "code": record.code,
                    "name": codes.SENTENCE[record.code][0],
                    "sentence": codes.SENTENCE[record.code][1],
                    "done": record.done,
                    "withdrawal": record.withdrawal,
                    "chunk": record.chunk,
                    "operation_index": record.operation,
                }
                for record in islice(found, params.limit)
            ],
        }

    async def markets(self, params: NoParams, call: Call) -> list[Json]:
        """catenary_markets."""
        return self._words.prices()

    async def accounts(self, params: OfOwner, call: Call) -> list[int]:
        """catenary_accounts."""
        return self._engine.accounts_of(bytes(params.owner))

    async def account(self, params: OfAccount, call: Call) -> Json:
        """catenary_account."""
        self._words.require_account(params.account)
        return self.insight.account(params.account)

    async def book(self, params: OfMarket, call: Call) -> Json:
        """catenary_book."""
        return self._words.levels(self._words.market(params.market), params.levels)

    async def open_orders(self, params: OfAccount, call: Call) -> list[Json]:
        """catenary_openOrders."""
        return self._words.open_orders(params.account)

    async def fills(self, params: FillsOf, call: Call) -> list[Json]:
        """catenary_fills."""
        newest = (fill for fill in reversed(self._engine.recent_fills) if params.account in (fill.maker, fill.taker))
        return [self._words.fill(fill) for fill, _ in zip(newest, range(params.limit), strict=False)]

    async def withdrawals(self, params: WithdrawalsOf, call: Call) -> list[Json]:
        """catenary_withdrawals."""
        recipient = params.recipient
        if recipient is None:
            if params.account is None:
                raise CallError(INVALID_PARAMS, "Give an account or a recipient.")
            recipient = Bytes20(self._engine.account(params.account).owner)
        found: list[Json] = []
        for record in reversed(self._engine.withdrawals):
            if record.recipient == recipient and len(found) < _LIST_LIMIT:
                posted = self._view.batch_of_chunk(record.chunk)
                number = posted.number if posted else None
                is_final = number is not None and self._view.is_final(number)
                found.append(
                    {
                        "index": record.index,
                        "recipient": as_hex(record.recipient),
                        "amount_micros": str(record.amount),
                        "batch": number,
                        "finality": "final" if is_final else "posted" if number is not None else "sequenced",
                    }
                )
        return found

    async def withdrawal_proof(self, params: OfIndex, call: Call) -> Json:
        """catenary_withdrawalProof."""
        if params.index >= len(self._engine.withdrawals):
            raise CallError(INVALID_PARAMS, f"There is no withdrawal {params.index}.")
        record = self._engine.withdrawals[params.index]
        posted = self._view.batch_of_chunk(record.chunk)
        if posted is None or posted.chunks is None:
            raise CallError(NOT_READY, "The withdrawal is in no posted batch yet.")
        last = self._engine.chunk_record(posted.chunks)
        assert last is not None, "a posted chunk is kept"
        leaves = [
            encoding.withdrawal_hash(entry.index, entry.recipient, entry.amount)
            for entry in self._engine.withdrawals[: last.withdrawal_count]
        ]
        proof = await trio.to_thread.run_sync(lambda: batch.WithdrawalTree(leaves).proof(params.index))
        return {
            "batch": posted.number,
            "commitment": _words(last.commitment),
            "proof": [as_hex(sibling) for sibling in proof],
            "recipient": as_hex(record.recipient),
            "amount_micros": str(record.amount),
        }

    async def proof(self, params: OfAccount, call: Call) -> Json:
        """catenary_proof."""
        if not self._view.batches or self._view.batches[-1].chunks is None:
            raise CallError(NOT_READY, "No batch of this node is the newest on L1.")
        state = self._view.posted_state()
        leaf = params.account << constants.SLOT_BITS
        newest = self._view.batches[-1]
        last = self._engine.chunk_record(self._view.posted_chunks)
        assert last is not None, "a posted chunk is kept"
        return {
            "batch": newest.number,
            "leaf": as_hex(state.payloads.get(leaf, b"")),
            "path": [as_hex(sibling) for sibling in state.tree.path(leaf)],
            "commitment": _words(last.commitment),
        }

    async def posted_globals(self, params: NoParams, call: Call) -> Json:
        """catenary_globals."""
        posted = self._view.posted_chunks
        last = self._engine.chunk_record(posted)
        if not self._view.batches or last is None:
            raise CallError(NOT_READY, "No batch of this node is the newest on L1.")
        # The next chunk's witness begins with the commitment and the globals that it starts from; it may be sealed and
        # not written yet.
        waiting = (chunk for chunk in self._engine.sealed if chunk.number == posted + 1)
        after = self._engine.chunk_record(posted + 1) or next(waiting, None)
        data = encoding.globals_bytes(self._engine.state.globals)
        if after is not None:
            data = after.witness[encoding.COMMITMENT_BYTES :][: encoding.GLOBALS_BYTES]
        return {
            "batch": self._view.batches[-1].number,
            "globals": as_hex(data),
            "commitment": _words(last.commitment),
        }

    async def batches(self, params: Newest, call: Call) -> list[Json]:
        """catenary_batches."""
        return self._batches(params.limit)

    def _batches(self, limit: int) -> list[Json]:
        return [
            {
                "number": posted.number,
                "batch_hash": as_hex(posted.batch_hash),
                "committer": as_hex(posted.committer),
                "root": as_hex(posted.last_root),
                "chunks": posted.chunk_count,
                "bytes": posted.operations_bytes,
                "committed_at": posted.committed_at,
                "l1_block": posted.block,
                "finality": "final" if self._view.is_final(posted.number) else "posted",
            }
            for posted in reversed(self._view.batches[-limit:])
        ]


def _words(commitment: bytes) -> list[str]:
    return [as_hex(commitment[place : place + 32]) for place in range(0, len(commitment), 32)]
