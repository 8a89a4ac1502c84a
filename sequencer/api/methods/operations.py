"""The methods that take signed operations, each answered once it is durable; and what is to be signed."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error
from l1_bridge.client.keys import development_key
from l1_bridge.contracts.artifact import load_artifact
from prover.contracts.deployment import DEVNET_CHAINS, Deployment
from prover.signing import signatures
from prover.signing.receipts import Receipt, receipt_digest
from prover.signing.signed import SignedOperation, signed_order, signed_request, signer_of
from prover.signing.typed_data import typed_data
from prover.stf import codes, constants, containers
from prover.stf.replay import operation_length
from sequencer.api.methods.drafts import Drafter, order_of, request_of, sized, sized_request, terms_of
from sequencer.api.methods.fates import Fates, asked_of
from sequencer.api.methods.standing import Standing
from sequencer.api.rpc.errors import (
    BACKLOG,
    INVALID_PARAMS,
    LAW_ERRORS,
    NOT_POSTABLE,
    NOT_READY,
    UNKNOWN_ORDER,
    CallError,
    law_error,
)
from sequencer.api.rpc.handlers import method
from sequencer.api.rpc.jsonrpc import Call
from sequencer.api.rpc.limits import BAD_SIGNATURE_TOKENS
from sequencer.engine.effects import Processed, refused
from sequencer.engine.order_book import order_id
from sequencer.engine.placing import check_soft_cancel
from sequencer.engine.records import Terms
from sequencer.schema.answers import (
    AcknowledgementView,
    AnsweredOrder,
    AtEnd,
    FaucetPayment,
    OrderResult,
    ReceiptView,
    RefusedCall,
    RequestResult,
    SigningRequest,
    TypedData,
)
from sequencer.schema.params import (
    MOST_ORDERS,
    BatchItem,
    DisconnectCancels,
    OfOperation,
    OrderCall,
    OrderFields,
    RequestFields,
    ScheduledCancel,
    SignedBatch,
    SignedOrder,
    SignedRequest,
    ToAddress,
)
from sequencer.schema.values import HexBytes, as_hex
from sequencer.sequencing.admission import Untaken
from sequencer.sequencing.sequencer import Sequencer
from sequencer.views.books import fill_view

# An order with all its digits takes 600 bytes, and twice that with a line and an indent for each field.
_ORDER_BYTES: Final = 1_310
_ORDERS_A_TURN: Final = 10
_FAUCET_MICROS: Final = 100_000 * 10**6
_FAUCET_WEI: Final = 10**18
_FAUCET_GAS: Final = 200_000
_FAUCET_KEY: Final = 7
_ERRORS: Final = (*LAW_ERRORS, BACKLOG, NOT_POSTABLE)

# Where a caller's clock and the venue's differ, he is told by how much.
_OF_TIME: Final = (codes.EXPIRED, codes.NOT_YET)


class Operations:
    """The handlers."""

    def __init__(
        self,
        venue: Sequencer,
        drafter: Drafter,
        client: L1Client,
        deployment: Deployment,
        standing: Standing,
        sign: Callable[[bytes], bytes],
        fates: Fates,
    ) -> None:
        self._fates = fates
        self._venue = venue
        self._engine = venue.engine
        self._drafter = drafter
        self._client = client
        self._deployment = deployment
        self._standing = standing
        self._sign = sign

    @method(
        "catenary_order",
        "Submits an order; or, without one, says what became of the order that is named.",
        errors=(*_ERRORS, UNKNOWN_ORDER),
        of_account=asked_of,
    )
    async def order(self, params: OrderCall, call: Call) -> OrderResult:
        """The same signed order again is answered with what it has come to, and nothing is done twice."""
        if params.order is None or params.signature is None:
            found = self._fates.asked(params)
            # What is told here is as good as an answer to the order itself.
            await self._venue.durable()
            return found
        given = _submitted(params, params.order, params.signature)
        signed = self._signed_order(given)
        (outcome,) = await self._submit([signed], call, [terms_of(given)])
        return self._ordered(signed, outcome, given.client_id)

    @method(
        "catenary_orders",
        "Submits orders and soft cancels.",
        errors=(*_ERRORS, UNKNOWN_ORDER),
        params_bytes=MOST_ORDERS * _ORDER_BYTES,
        weigh=lambda params: len(params.orders),
    )
    async def orders(self, params: SignedBatch, call: Call) -> list[AnsweredOrder]:
        """The cancels, then the orders, one behind the other in their order, and durable together."""
        read: list[SignedOperation | CallError] = []
        terms: list[Terms | None] = []
        for place, given in enumerate(params.orders):
            if place % _ORDERS_A_TURN == _ORDERS_A_TURN - 1:
                # Whoever sent one order does not wait until a hundred are hashed.
                await trio.lowlevel.checkpoint()
            try:
                operation, asked = self._read(given, call)
                read.append(operation)
                terms.append(asked)
            except CallError as error:
                read.append(error)
        sent = [signed for signed in read if isinstance(signed, SignedOperation)]
        outcomes = iter(await self._submit(sent, call, terms))
        answers: list[AnsweredOrder] = []
        for place, (given, signed) in enumerate(zip(params.orders, read, strict=True)):
            if place % _ORDERS_A_TURN == _ORDERS_A_TURN - 1:
                # An answer to a bad signature says whom it recovers to.
                await trio.lowlevel.checkpoint()
            try:
                if isinstance(signed, CallError):
                    raise signed
                answers.append(self._answered(given, signed, next(outcomes)))
            except CallError as error:
                answers.append(AnsweredOrder(error=RefusedCall(**error.body())))
        if any(given.cancel is not None for given in params.orders):
            # What is told of cancelled orders may be newer than the batch.
            await self._venue.durable()
        return answers

    def _read(self, given: BatchItem, call: Call) -> tuple[SignedOperation, Terms | None]:
        """One of a batch as it is submitted; CallError where it is not whole, or names another order than it is of."""
        if given.order is not None and given.cancel is None and given.order_id is None:
            order = _submitted(given, given.order, given.signature)
            return self._signed_order(order), terms_of(order)
        if given.cancel is None or given.order is not None:
            raise CallError(INVALID_PARAMS, "Each of a batch has one of order and cancel, and an order no order_id.")
        if given.cancel.max_posting_fee_micros != 0:
            raise CallError(INVALID_PARAMS, "A batch takes soft cancels: max_posting_fee_micros is 0.")
        tag = constants.CANCEL if given.cancel.slot else constants.CANCEL_ALL
        signed = self._signed_request(tag, SignedRequest(given.cancel, given.signature))
        meant = self._meant(given, given.cancel)
        if meant is not None:
            # Whose key may cancel there is found first: a stranger does not hear which names there are.
            signed = self._entrusted(signed, call)
            if self._fates.place(meant)[:2] != (given.cancel.account, given.cancel.slot):
                raise CallError(INVALID_PARAMS, "The cancel is signed for another slot than its order's.")
        return signed, None

    def _meant(self, given: BatchItem, cancel: RequestFields) -> OrderCall | None:
        """The order that a cancel names, as it is asked for; None where it names none."""
        if given.order_id is not None:
            return OrderCall(order_id=given.order_id)
        return OrderCall(account=cancel.account, client_id=given.client_id) if given.client_id else None

    def _answered(self, given: BatchItem, signed: SignedOperation, outcome: Processed | Untaken) -> AnsweredOrder:
        if given.cancel is None:
            return AnsweredOrder(result=self._ordered(signed, outcome, given.client_id))
        done = self._requested(signed, outcome)
        meant = self._meant(given, given.cancel)
        with suppress(CallError):
            return AnsweredOrder(result=None if meant is None else self._fates.asked(meant), cancelled=done)
        # Nothing is known of that order, and its slot is taken up to the cancel all the same.
        return AnsweredOrder(cancelled=done)

    def _signed_order(self, params: SignedOrder) -> SignedOperation:
        order = sized(order_of(params.order))
        digest = signatures.order_digest(self._deployment.domain, order)
        return signed_order(order, digest, self._compact(params.signature, order.account, digest))

    def _ordered(self, signed: SignedOperation, outcome: Processed | Untaken, client: str) -> OrderResult:
        """What is answered to an order; CallError where it was refused."""
        assert isinstance(signed.message, containers.Order)
        if isinstance(outcome, Processed) and outcome.code != codes.OK:
            self._fates.refused(signed.message, client, outcome)
        outcome = self._applied(signed, outcome)
        name = outcome.order or order_id(signed.message)
        met, met_lots = outcome.met
        # Of one that came again: as it was taken, whatever stands beside it now.
        again = outcome.repeated
        own = [fill.maker_fee if fill.maker_order == name else fill.fee - fill.maker_fee for fill in outcome.fills]
        return OrderResult(
            order_id=name,
            client_id=client if again is None else again.client,
            status=outcome.status,
            reason=outcome.refusal,
            filled_lots=outcome.filled,
            remaining_lots=outcome.remaining,
            fees_micros=sum(own) if again is None else again.fees,
            fills=[fill_view(self._engine.globals, fill) for fill in outcome.fills],
            blocking_order_id=met,
            blocking_lots=met_lots,
            events=[],
            untold_events=0 if again is None else again.untold,
            acknowledgement=self._acknowledged(signed),
            finality="sequenced",
        )

    @method("catenary_withdraw", "Submits a Withdraw request.", errors=_ERRORS)
    async def withdraw(self, params: SignedRequest, call: Call) -> RequestResult:
        return await self._request(constants.WITHDRAW, params, call)

    @method("catenary_transfer", "Submits a Transfer request.", errors=_ERRORS)
    async def transfer(self, params: SignedRequest, call: Call) -> RequestResult:
        return await self._request(constants.TRANSFER, params, call)

    @method("catenary_cancel", "Submits a Cancel request.", errors=_ERRORS)
    async def cancel(self, params: SignedRequest, call: Call) -> RequestResult:
        return await self._request(constants.CANCEL, params, call)

    @method("catenary_cancelAll", "Submits a CancelAll request.", errors=_ERRORS)
    async def cancel_all(self, params: SignedRequest, call: Call) -> RequestResult:
        return await self._request(constants.CANCEL_ALL, params, call)

    @method(
        "catenary_scheduleCancel",
        "Sets a dead-man switch: all open orders of the account leave at a time, unless it is set anew before.",
        errors=_ERRORS,
    )
    async def schedule_cancel(self, params: ScheduledCancel, call: Call) -> RequestResult:
        """Signed as a soft CancelAll, which is not done now: there is no receipt."""
        if params.request.max_posting_fee_micros != 0:
            raise CallError(INVALID_PARAMS, "What is scheduled is a soft cancel: max_posting_fee_micros is 0.")
        given = SignedRequest(params.request, params.signature)
        return await self._request(constants.CANCEL_ALL, given, call, Terms(at=params.at_ms))

    @method(
        "catenary_cancelOnDisconnect",
        "Hands in soft cancels for when this WebSocket ends: all open orders of their accounts leave then.",
        errors=_ERRORS,
        weigh=lambda params: max(1, len(params.cancels)),
    )
    async def cancel_on_disconnect(self, params: DisconnectCancels, call: Call) -> AtEnd:
        """In the place of what was handed in before. All of them are checked now, and whether they still may then."""
        if call.session.subscriber is None:
            raise CallError(INVALID_PARAMS, "Only a WebSocket has an end that is waited for.")
        now = self._venue.now_ms()
        handed_in = [self._for_the_end(given, call) for given in params.cancels]
        call.session.at_end = partial(self._disconnected, handed_in, Terms(asked=now)) if handed_in else None
        return AtEnd([one.message.account for one in handed_in])

    def _for_the_end(self, given: SignedRequest, call: Call) -> SignedOperation:
        if given.request.max_posting_fee_micros != 0:
            raise CallError(INVALID_PARAMS, "What is handed in is a soft cancel: max_posting_fee_micros is 0.")
        return self._entrusted(self._signed_request(constants.CANCEL_ALL, given), call)

    def _entrusted(self, signed: SignedOperation, call: Call) -> SignedOperation:
        """A soft cancel with its signer; CallError where he may not cancel there now, whatever there is to cancel."""
        signer = signer_of(signed.digest, signed.operation)
        request, view = signed.message, self._engine.view
        assert isinstance(request, containers.Request)
        now = max(self._venue.now_ms(), view.commitment.timestamp)
        code = check_soft_cancel(view, signed.operation[0], request, signer, now)
        if code == codes.BAD_SIGNATURE:
            call.session.owe(BAD_SIGNATURE_TOKENS)
        self._applied(signed, Processed(code=code, effects=[] if code == codes.OK else [refused(code)], changed=False))
        return msgspec.structs.replace(signed, signer=signer)

    def _disconnected(self, handed_in: list[SignedOperation], terms: Terms) -> None:
        for one in handed_in:
            self._venue.hand_in(one, terms)

    @method("catenary_setAgent", "Submits a SetAgent request.", errors=_ERRORS)
    async def set_agent(self, params: SignedRequest, call: Call) -> RequestResult:
        return await self._request(constants.SET_AGENT, params, call)

    @method("catenary_setLeverage", "Submits a SetLeverage request.", errors=_ERRORS)
    async def set_leverage(self, params: SignedRequest, call: Call) -> RequestResult:
        return await self._request(constants.SET_LEVERAGE, params, call)

    async def _request(self, tag: int, params: SignedRequest, call: Call, terms: Terms | None = None) -> RequestResult:
        signed = self._signed_request(tag, params)
        (sequenced,) = await self._submit([signed], call, [terms])
        return self._requested(signed, sequenced)

    def _signed_request(self, tag: int, params: SignedRequest) -> SignedOperation:
        request = sized_request(tag, request_of(tag, params.request))
        digest = signatures.request_digest(self._deployment.domain, tag, request)
        return signed_request(tag, request, digest, self._compact(params.signature, request.account, digest))

    def _requested(self, signed: SignedOperation, sequenced: Processed | Untaken) -> RequestResult:
        """What is answered to a request; CallError where it was refused."""
        outcome = self._applied(signed, sequenced)
        return RequestResult(
            code=outcome.code,
            chunk=outcome.chunk,
            operation_index=outcome.operation,
            receipt=None if outcome.receipt is None else self._signed_receipt(outcome.receipt),
            withdrawal_index=outcome.withdrawal,
            account_opened=outcome.opened,
            acknowledgement=self._acknowledged(signed),
            finality="sequenced",
        )

    def _acknowledged(self, signed: SignedOperation) -> AcknowledgementView | None:
        """The promise that was made of all that was taken together; hashed and signed here, off the sequencing path."""
        found = self._venue.acknowledgements.of(signed)
        if found is None:
            return None
        group, place = found
        member = group.members[place]
        return AcknowledgementView(
            tag=member.tag,
            account=member.account,
            slot=member.slot,
            sequence=member.sequence,
            filled_lots=member.filled_lots,
            time_ms=member.time_ms,
            place=place,
            path=[as_hex(sibling) for sibling in group.path(place)],
            signature=as_hex(group.signature(self._deployment.domain, self._sign)),
        )

    def _signed_receipt(self, receipt: Receipt) -> ReceiptView:
        return ReceiptView(
            account=receipt.account,
            slot=receipt.slot,
            sequence=receipt.sequence,
            time_ms=receipt.time_ms,
            running_hash=as_hex(receipt.running_hash),
            signature=as_hex(self._sign(receipt_digest(self._deployment.domain, receipt))),
        )

    @method(
        "catenary_typedData",
        "What eth_signTypedData_v4 signs for an operation.",
        of_account=lambda params: params.operation.account,
    )
    async def typed_data(self, params: OfOperation, call: Call) -> TypedData:
        drafted = self._drafter.draft(params.operation)
        domain, bridge = self._deployment.domain, self._deployment.bridge
        if isinstance(drafted.message, containers.Order):
            digest = signatures.order_digest(domain, drafted.message)
        else:
            digest = signatures.request_digest(domain, drafted.tag, drafted.message)
        shown = typed_data(drafted.tag, drafted.message, self._deployment.chain_id, bridge)
        return TypedData(msgspec.convert(shown, SigningRequest), as_hex(digest), drafted.operation)

    @method("catenary_faucet", "Play dollars and a little ether, on devnets.", errors=(NOT_READY,))
    async def faucet(self, params: ToAddress, call: Call) -> FaucetPayment:
        if self._deployment.chain_id not in DEVNET_CHAINS:
            raise CallError(NOT_READY, "There is a faucet on devnets only.")
        call.step_aside()
        token = load_artifact("MockDollar")
        data = token.encode_call("mint", bytes(params.address), _FAUCET_MICROS)
        try:
            # A key of its own: whoever asks for play money must not stand in the poster's way.
            payer = development_key(_FAUCET_KEY)
            receipt = await self._client.send(payer, self._deployment.token, data, gas=_FAUCET_GAS)
            await self._client.send(payer, bytes(params.address), value=_FAUCET_WEI, gas=21_000)
        except L1Error as error:
            raise CallError(NOT_READY, f"The L1 does not pay: {error}") from None
        return FaucetPayment(_FAUCET_MICROS, _FAUCET_WEI, as_hex(receipt.transaction_hash))

    async def _submit(
        self, signed: list[SignedOperation], call: Call, terms: Sequence[Terms | None] = ()
    ) -> list[Processed | Untaken]:
        if not self._standing.is_up:
            raise CallError(NOT_READY)
        assert all(operation_length(one.operation, 0) == len(one.operation) for one in signed)
        outcomes = await self._venue.submit_all(signed, call.release, terms)
        outcomes = [self._or_known(one, outcome) for one, outcome in zip(signed, outcomes, strict=True)]
        if any(isinstance(one, Processed) and one.repeated for one in outcomes):
            # What is told here is as good as an answer to the order itself.
            await self._venue.durable()
        bad = [one for one in outcomes if isinstance(one, Processed) and one.code == codes.BAD_SIGNATURE]
        if bad:
            call.session.owe(len(bad) * BAD_SIGNATURE_TOKENS)
        return outcomes

    def _or_known(self, signed: SignedOperation, outcome: Processed | Untaken) -> Processed | Untaken:
        """What an order that came before has come to, where nothing is taken now."""
        is_closed = isinstance(outcome, Untaken) or outcome.code == codes.QUEUE_ONLY
        if not is_closed or not isinstance(signed.message, containers.Order):
            return outcome
        signer = partial(signer_of, signed.digest, signed.operation)
        known = self._fates.known(signed.operation, signed.message, signer)
        return outcome if known is None else Processed(code=codes.OK, effects=[known], changed=False)

    def _applied(self, signed: SignedOperation, outcome: Processed | Untaken) -> Processed:
        """The outcome of what was applied; CallError where it was refused."""
        if outcome is Untaken.NOT_POSTABLE:
            first, *others = self._standing.why_refused()
            raise CallError(NOT_POSTABLE, first.sentence, data={"reasons": [one.code for one in (first, *others)]})
        if isinstance(outcome, Untaken):
            raise CallError(BACKLOG)
        if outcome.code != codes.OK:
            data: dict[str, Any] = {}
            if outcome.most_lots is not None:
                data = {"largest_size_lots": str(outcome.most_lots)}
            if outcome.code == codes.BAD_SIGNATURE:
                recovered = signer_of(signed.digest, signed.operation)
                data = self._signature_data(recovered, signed.message.account, signed.digest)
            refusal = outcome.refusal
            if outcome.code in _OF_TIME:
                data["venue_time_ms"] = max(self._venue.now_ms(), self._engine.view.commitment.timestamp)
                refusal = f"{refusal} The venue's time is {data['venue_time_ms']}.".lstrip()
            raise CallError(law_error(outcome.code), refusal, data=data)
        return outcome

    def _compact(self, signature: bytes, account: int, digest: bytes) -> bytes:
        try:
            return signatures.compact(bytes(signature))
        except ValueError as error:
            data = self._signature_data(containers.NOBODY, account, digest)
            sentence = f"{str(error)[:1].upper()}{str(error)[1:]}."
            raise CallError(law_error(codes.BAD_SIGNATURE), sentence, data=data) from None

    def _signature_data(self, recovered: bytes, account: int, digest: bytes) -> dict[str, Any]:
        return {
            "recovered": as_hex(recovered),
            "expected_owner": as_hex(self._engine.account(account).owner),
            "digest": as_hex(digest),
        }


def _submitted(given: OrderCall | BatchItem, order: OrderFields, signature: HexBytes) -> SignedOrder:
    """The order of a call, or of one of a batch, with what is asked beside it."""
    return SignedOrder(order, signature, given.client_id, given.self_trade, given.group, given.after, given.replaces)
