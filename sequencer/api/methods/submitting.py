"""Submitting: signed operations and what is to be signed; each answered once it is durable."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error
from l1_bridge.client.keys import development_key
from l1_bridge.contracts.artifact import load_artifact
from prover.contracts.deployment import DEVNET_CHAINS, Deployment
from prover.signing import operations, signatures
from prover.signing.typed_data import SIGNED, typed_data
from prover.stf import codes, constants, containers
from prover.stf.replay import operation_length
from sequencer.api.methods.words import Json, Words, as_hex
from sequencer.api.rpc.errors import BACKLOG, INVALID_PARAMS, LAW_ERRORS, NOT_READY, CallError, law_error
from sequencer.api.rpc.jsonrpc import Call, Registry
from sequencer.engine.effects import Processed
from sequencer.engine.order_book import order_id
from sequencer.schema.values import Bytes20, HexBytes, Uint64, decode_value
from sequencer.sequencing.sequencer import Sequencer

_MOST_ORDERS: Final = 100
# An order with all its digits takes 600 bytes, and twice that with a line and an indent for each field.
_ORDER_BYTES: Final = 1_280
_FAUCET_MICROS: Final = 100_000 * 10**6
_FAUCET_WEI: Final = 10**18
_FAUCET_GAS: Final = 200_000
_FAUCET_KEY: Final = 7

Account = Annotated[int, msgspec.Meta(ge=0, lt=2**24)]
# By name: kind and the fields of one operation, of which none has as many.
UnsignedFields = Annotated[dict[str, Any], msgspec.Meta(max_length=32)]


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
    """The signed fields of a request that is no order; those that it lacks are left out.

    to_account 16,777,215 opens an account for the same owner; agent_index: 0 or 1; an agent left out is dismissed.
    """

    account: Account
    sequence: Uint64
    created_at_ms: Uint64
    expires_at_ms: Uint64
    slot: Annotated[int, msgspec.Meta(ge=0, lt=2**8)] = 0
    amount_micros: Uint64 = msgspec.field(default_factory=lambda: Uint64(0))
    recipient: Bytes20 = msgspec.field(default_factory=lambda: Bytes20(20))
    to_account: Account = 0
    agent_index: Annotated[int, msgspec.Meta(ge=0, lt=2**8)] = 0
    agent: Bytes20 = msgspec.field(default_factory=lambda: Bytes20(20))
    agent_expires_at_ms: Uint64 = msgspec.field(default_factory=lambda: Uint64(0))
    first_slot: Annotated[int, msgspec.Meta(ge=0, lt=2**8)] = 0
    last_slot: Annotated[int, msgspec.Meta(ge=0, lt=2**8)] = 0
    initial_ppm: Annotated[int, msgspec.Meta(ge=0, lt=2**24)] = 0


class SignedOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order and its 64- or 65-byte signature."""

    order: OrderFields
    signature: HexBytes


class SignedOrders(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to a hundred orders; each is answered for itself."""

    orders: Annotated[list[SignedOrder], msgspec.Meta(max_length=_MOST_ORDERS)]


class SignedRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request and its 64- or 65-byte signature."""

    request: RequestFields
    signature: HexBytes


class ToAddress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom the faucet pays."""

    address: Bytes20


class TypedDataOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An operation without signature: kind and any of its signed fields; what is missing is filled in."""

    operation: UnsignedFields


class Drafted(msgspec.Struct, frozen=True):
    """An operation before it is signed; `operation` is what was asked for with all fields."""

    tag: int
    message: containers.Order | containers.Request
    operation: Json


class _Signed(msgspec.Struct, frozen=True):
    """An operation as the venue takes it, and what its signature is over."""

    operation: bytes
    message: containers.Order | containers.Request
    digest: bytes


class Submitting:
    """The handlers that change something, and the typed data that leads there."""

    def __init__(
        self,
        venue: Sequencer,
        words: Words,
        client: L1Client,
        deployment: Deployment,
        now_ms: Callable[[], int],
        is_ready: Callable[[], bool],
    ) -> None:
        self._venue = venue
        self._engine = venue.engine
        self._words = words
        self._client = client
        self._deployment = deployment
        self._now_ms = now_ms
        self._is_ready = is_ready

    def register(self, registry: Registry) -> None:
        """Adds every method."""
        add = registry.add
        law = (*LAW_ERRORS, BACKLOG)
        add("catenary_order", self.order, params=SignedOrder, description="Submits an order.", errors=law, result=Json)
        add(
            "catenary_orders",
            self.orders,
            params=SignedOrders,
            description="Submits orders.",
            errors=law,
            result=list[Json],
            params_bytes=_MOST_ORDERS * _ORDER_BYTES,
        )
        for name, tag in (
            ("catenary_withdraw", constants.WITHDRAW),
            ("catenary_transfer", constants.TRANSFER),
            ("catenary_cancel", constants.CANCEL),
            ("catenary_cancelAll", constants.CANCEL_ALL),
            ("catenary_setAgent", constants.SET_AGENT),
            ("catenary_setLeverage", constants.SET_LEVERAGE),
        ):
            sentence = f"Submits a {SIGNED[tag][0]} request."
            add(name, self._request_handler(tag), params=SignedRequest, description=sentence, errors=law, result=Json)
        sentence = "What eth_signTypedData_v4 signs for an operation."
        add("catenary_typedData", self.typed_data, params=TypedDataOf, description=sentence, result=Json)
        sentence = "Play dollars and a little ether, on devnets."
        add("catenary_faucet", self.faucet, params=ToAddress, description=sentence, errors=(NOT_READY,), result=Json)

    async def typed_data(self, params: TypedDataOf, call: Call) -> Json:
        """catenary_typedData."""
        drafted = self.draft(params.operation)
        domain, bridge = self._deployment.domain, self._deployment.bridge
        if isinstance(drafted.message, containers.Order):
            digest = signatures.order_digest(domain, drafted.message)
        else:
            digest = signatures.request_digest(domain, drafted.tag, drafted.message)
        typed = typed_data(drafted.tag, drafted.message, self._deployment.chain_id, bridge)
        return {"typed_data": _text_numbers(typed), "digest": as_hex(digest), "operation": drafted.operation}

    def draft(self, operation: Json) -> Drafted:
        """An operation with everything that was left out filled in; CallError for fields that do not fit."""
        fields = dict(operation)
        kind = fields.pop("kind", None)
        if not isinstance(kind, str) or kind not in operations.TAG_OF_KIND:
            raise CallError(INVALID_PARAMS, f"kind is one of {', '.join(operations.TAG_OF_KIND)}.")
        tag = operations.TAG_OF_KIND[kind]
        self._fill_in(tag, fields)
        message: containers.Order | containers.Request
        try:
            if tag == constants.ORDER:
                message = _order(msgspec.convert(fields, OrderFields, **_HOOK))
            else:
                message = _request(tag, msgspec.convert(fields, RequestFields, **_HOOK))
        except msgspec.ValidationError as error:
            raise CallError(INVALID_PARAMS, str(error)) from None
        return Drafted(tag, message, {"kind": kind, **fields})

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
            fields.setdefault("slot", self._words.free_slot(account))

    async def order(self, params: SignedOrder, call: Call) -> Json:
        """catenary_order."""
        signed = self._signed_order(params)
        (outcome,) = await self._submit([signed], call)
        return self._ordered(signed, outcome)

    async def orders(self, params: SignedOrders, call: Call) -> list[Json]:
        """catenary_orders: one behind the other in their order, and durable together."""
        read: list[_Signed | CallError] = []
        for given in params.orders:
            try:
                read.append(self._signed_order(given))
            except CallError as error:
                read.append(error)
        outcomes = iter(await self._submit([signed for signed in read if isinstance(signed, _Signed)], call))
        answers: list[Json] = []
        for signed in read:
            try:
                if isinstance(signed, CallError):
                    raise signed
                answers.append({"result": self._ordered(signed, next(outcomes))})
            except CallError as error:
                answers.append({"error": error.body()})
        return answers

    def _signed_order(self, params: SignedOrder) -> _Signed:
        order = sized(_order(params.order))
        digest = signatures.order_digest(self._deployment.domain, order)
        operation = operations.order_bytes(order, self._compact(params.signature, order.account, digest))
        return _Signed(operation, order, digest)

    def _ordered(self, signed: _Signed, outcome: Processed | None) -> Json:
        """What is answered to an order; CallError where it was refused."""
        outcome = self._applied(signed, outcome)
        assert isinstance(signed.message, containers.Order)
        return {
            "order_id": outcome.order or order_id(signed.message),
            "status": outcome.status,
            "reason": outcome.refusal,
            "filled_lots": outcome.filled,
            "remaining_lots": outcome.remaining,
            "fills": [self._words.fill(fill) for fill in outcome.fills],
            "finality": "sequenced",
        }

    def _request_handler(self, tag: int) -> Any:
        async def handle(params: SignedRequest, call: Call) -> Json:
            request = sized_request(tag, _request(tag, params.request))
            digest = signatures.request_digest(self._deployment.domain, tag, request)
            operation = operations.request_bytes(tag, request, self._compact(params.signature, request.account, digest))
            signed = _Signed(operation, request, digest)
            (sequenced,) = await self._submit([signed], call)
            outcome = self._applied(signed, sequenced)
            return {
                "code": outcome.code,
                "chunk": outcome.chunk,
                "operation_index": outcome.operation,
                "withdrawal_index": outcome.withdrawal,
                "account_opened": outcome.opened,
                "finality": "sequenced",
            }

        return handle

    async def faucet(self, params: ToAddress, call: Call) -> Json:
        """catenary_faucet."""
        if self._deployment.chain_id not in DEVNET_CHAINS:
            raise CallError(NOT_READY, "There is a faucet on devnets only.")
        token = load_artifact("MockDollar")
        data = token.encode_call("mint", bytes(params.address), _FAUCET_MICROS)
        try:
            # A key of its own: whoever asks for play money must not stand in the poster's way.
            payer = development_key(_FAUCET_KEY)
            receipt = await self._client.send(payer, self._deployment.token, data, gas=_FAUCET_GAS)
            await self._client.send(payer, bytes(params.address), value=_FAUCET_WEI, gas=21_000)
        except L1Error as error:
            raise CallError(NOT_READY, f"The L1 does not pay: {error}") from None
        return {
            "amount_micros": str(_FAUCET_MICROS),
            "wei": str(_FAUCET_WEI),
            "transaction_hash": as_hex(receipt.transaction_hash),
        }

    async def _submit(self, signed: list[_Signed], call: Call) -> list[Processed | None]:
        if not self._is_ready():
            raise CallError(NOT_READY)
        assert all(operation_length(one.operation, 0) == len(one.operation) for one in signed)
        return await self._venue.submit_all([one.operation for one in signed], call.release)

    def _applied(self, signed: _Signed, outcome: Processed | None) -> Processed:
        """The outcome of what was applied; CallError where it was refused."""
        if outcome is None:
            raise CallError(BACKLOG)
        if outcome.code != codes.OK:
            data: Json = {}
            if outcome.code == codes.BAD_SIGNATURE:
                recovered = self._engine.recover_signer(signed.operation)
                data = self._signature_data(recovered, signed.message.account, signed.digest)
            raise CallError(law_error(outcome.code), outcome.refusal, data=data)
        return outcome

    def _compact(self, signature: bytes, account: int, digest: bytes) -> bytes:
        try:
            return signatures.compact(bytes(signature))
        except ValueError as error:
            data = self._signature_data(containers.NOBODY, account, digest)
            sentence = f"{str(error)[:1].upper()}{str(error)[1:]}."
            raise CallError(law_error(codes.BAD_SIGNATURE), sentence, data=data) from None

    def _signature_data(self, recovered: bytes, account: int, digest: bytes) -> Json:
        return {
            "recovered": as_hex(recovered),
            "expected_owner": as_hex(self._engine.account(account).owner),
            "digest": as_hex(digest),
        }


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


def sized(order: containers.Order) -> containers.Order:
    """The order, if every field fits its signed type; CallError if not."""
    wide = order.size >> 56 or order.limit_price >> 48 or order.sequence >> 48 or order.trigger_price >> 48
    if wide or order.created_at >> 48 or order.expires_at >> 48:
        raise CallError(INVALID_PARAMS, "A field is wider than its signed type.")
    return order


def _request(tag: int, fields: RequestFields) -> containers.Request:
    amount, other, recipient = int(fields.amount_micros), fields.to_account, fields.recipient
    if tag == constants.SET_AGENT:
        amount, other, recipient = int(fields.agent_expires_at_ms), fields.agent_index, fields.agent
    elif tag == constants.SET_LEVERAGE:
        amount = fields.initial_ppm
    return containers.Request(
        account=fields.account,
        slot=fields.slot,
        sequence=int(fields.sequence),
        created_at=int(fields.created_at_ms),
        expires_at=int(fields.expires_at_ms),
        amount=amount,
        other=other,
        recipient=bytes(recipient),
        first_slot=fields.first_slot,
        last_slot=fields.last_slot,
    )


def sized_request(tag: int, request: containers.Request) -> containers.Request:
    """The request, if every field fits its signed type; CallError if not."""
    wide = request.amount >> 48 if tag == constants.SET_AGENT else 0
    if wide or request.sequence >> 48 or request.created_at >> 48 or request.expires_at >> 48:
        raise CallError(INVALID_PARAMS, "A field is wider than its signed type.")
    return request


def _text_numbers(value: Any) -> Any:
    """Numbers that JavaScript would round, as decimal strings."""
    if isinstance(value, dict):
        return {name: _text_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_text_numbers(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and value >= 2**53:
        return str(value)
    return value
