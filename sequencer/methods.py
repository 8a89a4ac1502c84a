"""The node's API methods: what may be asked and submitted, and in which words it is answered."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
import trio

from l1_bridge import batch
from l1_bridge.artifact import load_artifact
from l1_bridge.l1_client import L1Client, L1Error, Signer
from prover import operations
from prover.deployment import Deployment
from prover.genesis import name_and_decimals
from prover.stf import codes, constants, containers, encoding
from prover.stf.replay import operation_length
from sequencer.account_view import view
from sequencer.api.errors import (
    BACKLOG,
    INVALID_PARAMS,
    LAW_ERRORS,
    NOT_READY,
    CallError,
    law_error,
)
from sequencer.api.jsonrpc import Call, NoParams, Registry
from sequencer.api.subscriptions import Feeds
from sequencer.api.values import Bytes20, HexBytes, Uint64, decode_value
from sequencer.engine import Engine, Fill, Outcome, SealedChunk
from sequencer.mirror import Mirror
from sequencer.order_book import order_id
from sequencer.venue import Backlogged, Venue

_BOOK_LEVELS: Final = 50
_LIST_LIMIT: Final = 200
_FAUCET_MICROS: Final = 100_000 * 10**6
_FAUCET_WEI: Final = 10**18
_FAUCET_GAS: Final = 200_000
_DEVNETS: Final = (31_337, 1_337)

Account = Annotated[int, msgspec.Meta(ge=0, lt=2**24)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=_LIST_LIMIT)]


class OrderFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signed order word. side: 0 buys, 1 sells; time_in_force: 0 GTC, 1 IOC, 2 FOK; trigger: 0, 1 (>=), 2 (<=)."""

    account: Account
    market: Annotated[int, msgspec.Meta(ge=0, lt=2**8)]
    side: Annotated[int, msgspec.Meta(ge=0, le=1)]
    size_lots: Uint64
    limit_price_ticks: Uint64
    slot: Annotated[int, msgspec.Meta(ge=0, lt=2**8)]
    sequence: Uint64
    created_at_ms: Uint64
    expires_at_ms: Uint64
    time_in_force: Annotated[int, msgspec.Meta(ge=0, le=3)]
    post_only: bool
    reduce_only: bool
    trigger: Annotated[int, msgspec.Meta(ge=0, le=3)]
    trigger_price_ticks: Uint64
    max_fee_ppm: Annotated[int, msgspec.Meta(ge=0, lt=2**16)]
    max_posting_fee_micros: Annotated[int, msgspec.Meta(ge=0, lt=2**24)]


class RequestFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signed fields of a withdrawal, transfer, cancel or cancel-all; those that it lacks are left out."""

    account: Account
    sequence: Uint64
    created_at_ms: Uint64
    expires_at_ms: Uint64
    slot: Annotated[int, msgspec.Meta(ge=0, lt=2**8)] = 0
    amount_micros: Uint64 = msgspec.field(default_factory=lambda: Uint64(0))
    recipient: Bytes20 = msgspec.field(default_factory=lambda: Bytes20(20))
    to_account: Account = 0


class SignedOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order and its 64- or 65-byte signature."""

    order: OrderFields
    signature: HexBytes


class SignedOrders(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to a hundred orders; each is answered for itself."""

    orders: Annotated[list[SignedOrder], msgspec.Meta(max_length=100)]


class SignedRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request and its 64- or 65-byte signature."""

    request: RequestFields
    signature: HexBytes


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


class Newest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many."""

    limit: Limit = 20


class ToAddress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom the faucet pays."""

    address: Bytes20


class TypedDataOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An operation without signature: kind and any of its signed fields; what is missing is filled in."""

    operation: dict[str, Any]


Json = dict[str, Any]

_KIND_TAGS: Final = {
    "order": constants.ORDER,
    "withdraw": constants.WITHDRAW,
    "transfer": constants.TRANSFER,
    "cancel": constants.CANCEL,
    "cancel_all": constants.CANCEL_ALL,
}


class Methods:
    """The handlers. Everything they answer says which finality it has."""

    def __init__(
        self,
        venue: Venue,
        mirror: Mirror,
        client: L1Client,
        deployment: Deployment,
        signer: Signer | None,
        now_ms: Callable[[], int],
    ) -> None:
        self._venue = venue
        self._engine: Engine = venue.engine
        self._mirror = mirror
        self._client = client
        self._deployment = deployment
        self._signer = signer
        self._now_ms = now_ms
        self._feeds: Feeds | None = None
        self.final_batch = 0
        self.is_ready = False

    # Registration and feeds.

    def register(self, registry: Registry) -> None:
        """Adds every method."""
        add = registry.add
        law = (*LAW_ERRORS, BACKLOG)
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
        add("catenary_order", self.order, params=SignedOrder, description="Submits an order.", errors=law, result=Json)
        add(
            "catenary_orders",
            self.orders,
            params=SignedOrders,
            description="Submits orders.",
            errors=law,
            result=list[Json],
        )
        for name, tag in (
            ("catenary_withdraw", constants.WITHDRAW),
            ("catenary_transfer", constants.TRANSFER),
            ("catenary_cancel", constants.CANCEL),
            ("catenary_cancelAll", constants.CANCEL_ALL),
        ):
            sentence = f"Submits a {operations.SIGNED[tag][0]} request."
            add(name, self._request_handler(tag), params=SignedRequest, description=sentence, errors=law, result=Json)
        sentence = "What eth_signTypedData_v4 signs for an operation."
        add("catenary_typedData", self.typed_data, params=TypedDataOf, description=sentence, result=Json)
        add(
            "catenary_withdrawals",
            self.withdrawals,
            params=WithdrawalsOf,
            description="Withdrawals.",
            result=list[Json],
        )
        sentence = "What a claim on L1 needs."
        add("catenary_withdrawalProof", self.withdrawal_proof, params=OfIndex, description=sentence, result=Json)
        sentence = "An account's membership in the newest posted root."
        add("catenary_proof", self.proof, params=OfAccount, description=sentence, errors=(NOT_READY,), result=Json)
        add(
            "catenary_batches", self.batches, params=Newest, description="The newest posted batches.", result=list[Json]
        )
        sentence = "Play dollars and a little ether, on devnets."
        add("catenary_faucet", self.faucet, params=ToAddress, description=sentence, errors=(NOT_READY,), result=Json)

    def open_feeds(self, feeds: Feeds) -> None:
        """Opens the channels."""
        self._feeds = feeds
        feeds.open("prices", self._prices)
        feeds.open("batches", lambda: self._batches(20))
        for index in range(self._engine.globals.market_count):
            name = self._name(index)
            feeds.open(f"book:{name}", lambda index=index: self._levels(index, 20))  # type: ignore[misc]
            feeds.open(f"trades:{name}", lambda index=index: self._trades(index))  # type: ignore[misc]

        def account_feed(key: str) -> Callable[[], object] | None:
            if not key.isascii() or not key.isdigit() or len(key) > 8 or int(key) >= self._engine.globals.next_account:
                return None
            return lambda: self._account(int(key))

        feeds.family("account:", account_feed)

    def sequenced(self, outcome: Outcome) -> None:
        """Tells the feeds about a durable input."""
        if self._feeds is None:
            return
        for index in outcome.markets:
            self._feeds.publish(f"book:{self._name(index)}", self._levels(index, 20))
        for fill in outcome.fills:
            self._feeds.publish(f"trades:{self._name(fill.market)}", self._fill(fill))
        for account in outcome.accounts:
            self._feeds.publish(f"account:{account}", self._account(account))
        if len(outcome.markets) == self._engine.globals.market_count:
            self._feeds.publish("prices", self._prices())

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
        newest = self._mirror.batches[-1] if self._mirror.batches else None
        return {
            "chain_id": self._deployment.chain_id,
            "rollup_address": _hex(self._deployment.bridge),
            "referee_address": _hex(self._deployment.referee),
            "token_address": _hex(self._deployment.token),
            "l1_block": self._mirror.block,
            "law_version": constants.LAW_VERSION,
            "state_root": _hex(engine.state.root),
            "sequenced": {
                "chunk": engine.chunk_count,
                "operations": engine.open_operations,
                "timestamp_ms": engine.view.commitment.timestamp,
                "queue_count": engine.view.commitment.queue_count,
            },
            "posted": {
                "batch": newest.number if newest else 0,
                "chunks": self._mirror.posted_chunks,
                "root": _hex(newest.last_root) if newest else "",
            },
            "final": {"batch": self.final_batch},
            "now_ms": self._now_ms(),
            "ready": self.is_ready,
        }

    async def markets(self, params: NoParams, call: Call) -> list[Json]:
        """catenary_markets."""
        return self._prices()

    async def accounts(self, params: OfOwner, call: Call) -> list[int]:
        """catenary_accounts."""
        return self._engine.accounts_of(bytes(params.owner))

    async def account(self, params: OfAccount, call: Call) -> Json:
        """catenary_account."""
        self._require_account(params.account)
        return self._account(params.account)

    async def book(self, params: OfMarket, call: Call) -> Json:
        """catenary_book."""
        return self._levels(self._market(params.market), params.levels)

    async def open_orders(self, params: OfAccount, call: Call) -> list[Json]:
        """catenary_openOrders."""
        return self._open_orders(params.account)

    async def fills(self, params: FillsOf, call: Call) -> list[Json]:
        """catenary_fills."""
        newest = (fill for fill in reversed(self._engine.recent_fills) if params.account in (fill.maker, fill.taker))
        return [self._fill(fill) for fill, _ in zip(newest, range(params.limit), strict=False)]

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
                posted = self._mirror.batch_of_chunk(record.chunk)
                number = posted.number if posted else None
                is_final = number is not None and number <= self.final_batch
                found.append(
                    {
                        "index": record.index,
                        "recipient": _hex(record.recipient),
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
        posted = self._mirror.batch_of_chunk(record.chunk)
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
            "proof": [_hex(sibling) for sibling in proof],
            "recipient": _hex(record.recipient),
            "amount_micros": str(record.amount),
        }

    async def proof(self, params: OfAccount, call: Call) -> Json:
        """catenary_proof."""
        if not self._mirror.batches or self._mirror.batches[-1].chunks is None:
            raise CallError(NOT_READY, "No batch of this node is the newest on L1.")
        state = self._mirror.posted_state()
        leaf = params.account << constants.SLOT_BITS
        newest = self._mirror.batches[-1]
        last = self._engine.chunk_record(self._mirror.posted_chunks)
        assert last is not None, "a posted chunk is kept"
        return {
            "batch": newest.number,
            "leaf": _hex(state.payloads.get(leaf, b"")),
            "path": [_hex(sibling) for sibling in state.tree.path(leaf)],
            "commitment": _words(last.commitment),
        }

    async def batches(self, params: Newest, call: Call) -> list[Json]:
        """catenary_batches."""
        return self._batches(params.limit)

    async def typed_data(self, params: TypedDataOf, call: Call) -> Json:
        """catenary_typedData."""
        fields = dict(params.operation)
        kind = fields.pop("kind", None)
        if not isinstance(kind, str) or kind not in _KIND_TAGS:
            raise CallError(INVALID_PARAMS, f"kind is one of {', '.join(_KIND_TAGS)}.")
        tag = _KIND_TAGS[kind]
        self._fill_in(tag, fields)
        try:
            if tag == constants.ORDER:
                message: containers.Order | containers.Request = _order(msgspec.convert(fields, OrderFields, **_HOOK))
                digest = operations.order_digest(self._deployment.domain, message)  # type: ignore[arg-type]
            else:
                message = _request(msgspec.convert(fields, RequestFields, **_HOOK))
                digest = operations.request_digest(self._deployment.domain, tag, message)
        except msgspec.ValidationError as error:
            raise CallError(INVALID_PARAMS, str(error)) from None
        typed = operations.typed_data(tag, message, self._deployment.chain_id, self._deployment.bridge)
        return {"typed_data": _text_numbers(typed), "digest": _hex(digest), "operation": {"kind": kind, **fields}}

    def _fill_in(self, tag: int, fields: Json) -> None:
        account = fields.get("account")
        if not isinstance(account, int) or not 0 <= account < 2**24:
            raise CallError(INVALID_PARAMS, "account is an index of 24 bits.")
        now = self._now_ms()
        fields.setdefault("created_at_ms", now)
        created = fields["created_at_ms"]
        lifetime = constants.REQUEST_LIFETIME
        if tag == constants.ORDER:
            defaults = {
                "time_in_force": 0, "post_only": False, "reduce_only": False, "trigger": 0, "trigger_price_ticks": 0,
                "max_fee_ppm": 1_000, "max_posting_fee_micros": 1_000_000,
            }  # fmt: skip
            for name, value in defaults.items():
                fields.setdefault(name, value)
            is_resting = fields["time_in_force"] == constants.GOOD_TILL_TIME
            lifetime = constants.ORDER_LIFETIME if is_resting else constants.IMMEDIATE_LIFETIME
        if isinstance(created, int):
            fields.setdefault("sequence", created)
            fields.setdefault("expires_at_ms", created + lifetime)
        if tag != constants.CANCEL_ALL:
            fields.setdefault("slot", self._free_slot(account))

    # Submitting.

    async def order(self, params: SignedOrder, call: Call) -> Json:
        """catenary_order."""
        order = _sized(_order(params.order))
        digest = operations.order_digest(self._deployment.domain, order)
        operation = operations.order_bytes(order, self._compact(params.signature, order.account, digest))
        outcome = await self._submit(operation, order.account, digest)
        return {
            "order_id": outcome.order or order_id(order),
            "status": outcome.status,
            "reason": outcome.refusal,
            "filled_lots": outcome.filled,
            "remaining_lots": outcome.remaining,
            "fills": [self._fill(fill) for fill in outcome.fills],
            "finality": "sequenced",
        }

    async def orders(self, params: SignedOrders, call: Call) -> list[Json]:
        """catenary_orders."""
        answers: list[Json] = [{} for _ in params.orders]

        async def one(place: int, signed: SignedOrder) -> None:
            try:
                answers[place] = {"result": await self.order(signed, call)}
            except CallError as error:
                answers[place] = {"error": error.body()}

        for place, signed in enumerate(params.orders):
            await one(place, signed)
        return answers

    def _request_handler(self, tag: int) -> Any:
        async def handle(params: SignedRequest, call: Call) -> Json:
            request = _sized_request(_request(params.request))
            digest = operations.request_digest(self._deployment.domain, tag, request)
            operation = operations.request_bytes(tag, request, self._compact(params.signature, request.account, digest))
            outcome = await self._submit(operation, request.account, digest)
            return {
                "code": outcome.code,
                "chunk": outcome.chunk,
                "operation_index": outcome.operation,
                "withdrawal_index": outcome.withdrawal,
                "finality": "sequenced",
            }

        return handle

    async def faucet(self, params: ToAddress, call: Call) -> Json:
        """catenary_faucet."""
        if self._deployment.chain_id not in _DEVNETS or self._signer is None:
            raise CallError(NOT_READY, "There is a faucet on devnets only.")
        token = load_artifact("MockDollar")
        data = token.encode_call("mint", bytes(params.address), _FAUCET_MICROS)
        try:
            receipt = await self._client.send(self._signer, self._deployment.token, data, gas=_FAUCET_GAS)
            await self._client.send(self._signer, bytes(params.address), value=_FAUCET_WEI, gas=21_000)
        except L1Error as error:
            raise CallError(NOT_READY, f"The L1 does not pay: {error}") from None
        return {
            "amount_micros": str(_FAUCET_MICROS),
            "wei": str(_FAUCET_WEI),
            "transaction_hash": _hex(receipt.transaction_hash),
        }

    async def _submit(self, operation: bytes, account: int, digest: bytes) -> Outcome:
        if not self.is_ready:
            raise CallError(NOT_READY)
        assert operation_length(operation, 0) == len(operation)
        try:
            outcome = await self._venue.submit(operation)
        except Backlogged:
            raise CallError(BACKLOG) from None
        if outcome.code != codes.OK:
            data: Json = {}
            if outcome.code == codes.BAD_SIGNATURE:
                data = self._signature_data(self._engine.recover_signer(operation), account, digest)
            raise CallError(law_error(outcome.code), outcome.refusal, data=data)
        return outcome

    def _compact(self, signature: bytes, account: int, digest: bytes) -> bytes:
        try:
            return operations.compact(bytes(signature))
        except ValueError as error:
            data = self._signature_data(containers.NOBODY, account, digest)
            sentence = f"{str(error)[:1].upper()}{str(error)[1:]}."
            raise CallError(law_error(codes.BAD_SIGNATURE), sentence, data=data) from None

    def _signature_data(self, recovered: bytes, account: int, digest: bytes) -> Json:
        return {
            "recovered": _hex(recovered),
            "expected_owner": _hex(self._engine.account(account).owner),
            "digest": _hex(digest),
        }

    # Views.

    def _require_account(self, index: int) -> None:
        if self._engine.account(index).owner == containers.NOBODY:
            raise CallError(law_error(codes.NO_ACCOUNT), data={"account": index})

    def _name(self, market: int) -> str:
        return name_and_decimals(self._engine.globals.markets[market])[0]

    def _market(self, market: str | int) -> int:
        for index in range(self._engine.globals.market_count):
            if market == index or market == self._name(index):
                return index
        raise CallError(law_error(codes.NO_MARKET), data={"market": market})

    def _prices(self) -> list[Json]:
        globals = self._engine.globals
        found: list[Json] = []
        for index in range(globals.market_count):
            market = globals.markets[index]
            name, decimals = name_and_decimals(market)
            found.append(
                {
                    "index": index,
                    "name": name,
                    "size_decimals": decimals,
                    "price_decimals": 6 - decimals,
                    "status": "open" if market.status == constants.MARKET_OPEN else "closed",
                    "price_ticks": globals.risk.price[index],
                    "previous_price_ticks": market.previous_price,
                    "premium_ppm": market.premium_ppm,
                    "open_interest_lots": market.open_interest,
                    "initial_ppm": globals.risk.initial_ppm[index],
                    "maintenance_ppm": globals.risk.maintenance_ppm[index],
                    "maker_fee_ppm": market.maker_fee_ppm,
                    "taker_fee_ppm": market.taker_fee_ppm,
                    "band_ppm": market.band_ppm,
                    "minimum_notional_micros": str(market.minimum_notional),
                    "posting_fee_micros": globals.posting_fee,
                    "tick_time_ms": globals.tick_time,
                }
            )
        return found

    def _levels(self, market: int, levels: int) -> Json:
        bids, asks = self._engine.books[market].depth(levels)
        return {"market": self._name(market), "bids": bids, "asks": asks}

    def _trades(self, market: int) -> list[Json]:
        newest = [fill for fill in self._engine.recent_fills if fill.market == market]
        return [self._fill(fill) for fill in newest[-50:]]

    def _account(self, index: int) -> Json:
        seen = view(self._engine.globals.risk, self._engine.account(index))
        plain = msgspec.to_builtins(seen, builtin_types=(bytes,))
        for name in plain:
            if name.endswith("_micros"):
                plain[name] = str(plain[name])
        plain["owner"] = _hex(seen.owner)
        plain["positions"] = [
            {
                "market": self._name(position.market),
                "size_lots": position.size_lots,
                "cost_micros": str(position.cost_micros),
                "value_micros": str(position.value_micros),
                "pending_funding_micros": str(position.pending_funding_micros),
                "unrealised_micros": str(position.unrealised_micros),
            }
            for position in seen.positions
        ]
        slot = self._free_slot(index)
        sequence = max(self._engine.slot(index << constants.SLOT_BITS | slot).sequence, seen.floor)
        return {
            "account": index,
            **plain,
            "slots_hint": {"slot": slot, "sequence": sequence},
            "open_orders": self._open_orders(index),
            "finality": "sequenced",
            "root": _hex(self._engine.state.root),
        }

    def _free_slot(self, account: int) -> int:
        taken = {order.slot for order, _, _ in self._engine.open_orders(account)}
        return next((slot for slot in range(1, 256) if slot not in taken), 255)

    def _open_orders(self, account: int) -> list[Json]:
        return [
            {
                "order_id": order_id(order),
                "market": self._name(order.market),
                "side": "buy" if order.side == constants.BUY else "sell",
                "size_lots": order.size,
                "filled_lots": order.size - left,
                "limit_price_ticks": order.limit_price,
                "slot": order.slot,
                "sequence": order.sequence,
                "expires_at_ms": order.expires_at,
                "reduce_only": order.reduce_only == 1,
                "post_only": order.post_only == 1,
                "status": "armed" if armed else "resting",
            }
            for order, left, armed in self._engine.open_orders(account)
        ]

    def _fill(self, fill: Fill) -> Json:
        return {
            "market": self._name(fill.market),
            "price_ticks": fill.price,
            "size_lots": fill.size,
            "fee_micros": str(fill.fee),
            "maker": fill.maker,
            "taker": fill.taker,
            "maker_order_id": fill.maker_order,
            "taker_order_id": fill.taker_order,
            "taker_side": "sell" if fill.maker_side == constants.BUY else "buy",
            "time_ms": fill.time,
            "chunk": fill.chunk,
            "operation_index": fill.operation,
        }

    def _batches(self, limit: int) -> list[Json]:
        return [
            {
                "number": posted.number,
                "batch_hash": _hex(posted.batch_hash),
                "committer": _hex(posted.committer),
                "root": _hex(posted.last_root),
                "chunks": posted.chunk_count,
                "bytes": posted.operations_bytes,
                "committed_at": posted.committed_at,
                "l1_block": posted.block,
                "finality": "final" if posted.number <= self.final_batch else "posted",
            }
            for posted in reversed(self._mirror.batches[-limit:])
        ]


_HOOK: Final[dict[str, Any]] = {"dec_hook": decode_value}


def _order(fields: OrderFields) -> containers.Order:
    return containers.Order(
        account=fields.account,
        market=fields.market,
        side=fields.side,
        size=int(fields.size_lots),
        limit_price=int(fields.limit_price_ticks),
        slot=fields.slot,
        sequence=int(fields.sequence),
        created_at=int(fields.created_at_ms),
        expires_at=int(fields.expires_at_ms),
        time_in_force=fields.time_in_force,
        post_only=int(fields.post_only),
        reduce_only=int(fields.reduce_only),
        trigger=fields.trigger,
        trigger_price=int(fields.trigger_price_ticks),
        max_fee_ppm=fields.max_fee_ppm,
        max_posting_fee=fields.max_posting_fee_micros,
        unused=0,
    )


def _sized(order: containers.Order) -> containers.Order:
    wide = order.size >> 56 or order.limit_price >> 48 or order.sequence >> 48 or order.trigger_price >> 48
    if wide or order.created_at >> 48 or order.expires_at >> 48:
        raise CallError(INVALID_PARAMS, "A field is wider than its signed type.")
    return order


def _request(fields: RequestFields) -> containers.Request:
    return containers.Request(
        account=fields.account,
        slot=fields.slot,
        sequence=int(fields.sequence),
        created_at=int(fields.created_at_ms),
        expires_at=int(fields.expires_at_ms),
        amount=int(fields.amount_micros),
        other=fields.to_account,
        recipient=bytes(fields.recipient),
    )


def _sized_request(request: containers.Request) -> containers.Request:
    if request.sequence >> 48 or request.created_at >> 48 or request.expires_at >> 48:
        raise CallError(INVALID_PARAMS, "A field is wider than its signed type.")
    return request


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _words(commitment: bytes) -> list[str]:
    return [_hex(commitment[place : place + 32]) for place in range(0, len(commitment), 32)]


def _text_numbers(value: Any) -> Any:
    """Numbers that JavaScript would round, as decimal strings."""
    if isinstance(value, dict):
        return {name: _text_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_text_numbers(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and value >= 2**53:
        return str(value)
    return value
