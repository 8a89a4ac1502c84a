"""The trio edge to a node's JSON-RPC over HTTP: typed answers, refusals as exceptions; used by wallet and demo."""

import itertools
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

import httpx
import msgspec
import trio

from sequencer.wallet.errors import NodeUnreachable, Rejected

_ANSWER_LIMIT_BYTES: Final = 16 << 20
# JavaScript readers lose digits above this, so larger numbers travel as text.
_MAX_NUMBER: Final = 2**53
_METHOD_OF_KIND: Final = {
    "cancel_all": "catenary_cancelAll",
    "set_agent": "catenary_setAgent",
    "set_leverage": "catenary_setLeverage",
}

Fields = Mapping[str, Any]


class Sequenced(msgspec.Struct, frozen=True):
    """How far the node itself has come; `queue_count` is how many L1 queue entries it has applied."""

    chunk: int
    operations: int
    timestamp_ms: int
    queue_count: int


class Posted(msgspec.Struct, frozen=True):
    """How far L1 has come, by the node's word only."""

    batch: int
    chunks: int = 0
    root: str = ""


class FinalBatch(msgspec.Struct, frozen=True):
    """The newest batch past its window, by the node's word only."""

    batch: int


class Status(msgspec.Struct, frozen=True):
    """catenary_status."""

    chain_id: int
    rollup_address: str
    referee_address: str
    token_address: str
    law_version: int
    state_root: str
    sequenced: Sequenced
    posted: Posted
    final: FinalBatch
    now_ms: int
    ready: bool
    l1_block: int = 0
    grace_until_ms: int = 0


class MarketView(msgspec.Struct, frozen=True):
    """One entry of catenary_markets."""

    index: int
    name: str
    size_decimals: int
    price_decimals: int
    price_ticks: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    premium_ppm: int = 0
    open_interest_lots: int = 0
    tick_time_ms: int = 0
    band_ppm: int = 0


class PositionView(msgspec.Struct, frozen=True):
    """One position of catenary_account; micro-dollars. deleveraging_rank: 1 would be first, None is not in profit."""

    market: int | str
    size_lots: int
    cost_micros: int
    deleveraging_rank: int | None
    value_micros: int = 0
    pending_funding_micros: int = 0
    unrealised_micros: int = 0
    price_ticks: int = 0
    initial_micros: int = 0
    maintenance_micros: int = 0
    liquidation_price_ticks: int | None = None


class BuyingPower(msgspec.Struct, frozen=True):
    """What could be bought and sold now in one market, at the oracle price."""

    market: int | str
    buy_lots: int
    sell_lots: int


class SlotHint(msgspec.Struct, frozen=True):
    """The slot that the node would take next, and the smallest sequence that is still valid there."""

    slot: int
    sequence: int


class OpenOrder(msgspec.Struct, frozen=True):
    """An order that the node holds."""

    market: int | str
    side: int | str
    size_lots: int
    limit_price_ticks: int
    slot: int
    sequence: int
    filled_lots: int = 0
    reduce_only: bool = False
    expires_at_ms: int = 0


class Maturing(msgspec.Struct, frozen=True):
    """Profit that may not leave before a time."""

    amount_micros: int
    settles_at_ms: int


class AgentView(msgspec.Struct, frozen=True):
    """Who else may sign orders and cancels, in which slots, until when; a range from slot 0 covers cancel-all."""

    address: str
    expires_at_ms: int
    first_slot: int
    last_slot: int


class Outlook(msgspec.Struct, frozen=True):
    """An account valued, as it is or as it would be; micro-dollars, all by the node's word.

    initial_ppm: the owner's own bound, 0 for none. finality: "sequenced", or "preview" for what is only imagined.
    """

    account: int
    owner: str
    collateral_micros: int
    equity_micros: int
    initial_micros: int
    maintenance_micros: int
    free_collateral_micros: int
    withdrawable_micros: int
    positions: list[PositionView]
    margin_call_percent: int
    buying_power: list[BuyingPower]
    finality: str
    floor: int = 0
    margin_usage_ppm: int | None = None
    margin_ratio_ppm: int | None = None
    leverage_ppm: int | None = None
    fall_bp: int | None = None
    rise_bp: int | None = None
    settled_micros: int = 0
    maturing: list[Maturing] = []
    initial_ppm: int = 0
    agents: list[AgentView | None] = []


class AccountView(Outlook, frozen=True):
    """catenary_account: with its orders, and where the next one would go."""

    slots_hint: SlotHint | None = None
    open_orders: list[OpenOrder] = []


class Fill(msgspec.Struct, frozen=True):
    """One fill of an order that was just submitted."""

    price_ticks: int
    size_lots: int
    fee_micros: int = 0


class OrderResult(msgspec.Struct, frozen=True):
    """catenary_order."""

    status: str
    filled_lots: int = 0
    fills: list[Fill] = []
    order_id: str = ""
    reason: str = ""


class Preview(msgspec.Struct, frozen=True):
    """catenary_preview: an account before and after what was not sent; `code` and `refusal` are the law's.

    margin_call_percent of each state: what the next tick would tell of it at the same prices.
    """

    code: int
    refusal: str
    status: str
    filled_lots: int
    remaining_lots: int
    fees_micros: int
    before: Outlook
    after: Outlook
    finality: str
    fills: list[Fill] = []
    if_filled: Outlook | None = None
    other_before: Outlook | None = None
    other_after: Outlook | None = None


class Explained(msgspec.Struct, frozen=True):
    """One number of an account: value = formula over inputs."""

    name: str
    value: int | None
    unit: str
    formula: str
    inputs: dict[str, int | list[int]]


class Explanation(msgspec.Struct, frozen=True):
    """catenary_explain."""

    account: int
    numbers: list[Explained]


class Leg(msgspec.Struct, frozen=True):
    """What one position adds to the pool and takes from it."""

    market: int | str
    size_lots: int
    to_equity_micros: int
    maintenance_micros: int
    to_free_micros: int
    to_room_micros: int
    share_ppm: int | None
    margin_ratio_without_ppm: int | None


class Reduced(msgspec.Struct, frozen=True):
    """A position that a shock would have reduced by this many lots at least."""

    market: int | str
    lots: int
    lost_micros: int


class Shocked(msgspec.Struct, frozen=True):
    """An account after a shock."""

    shock_bp: int
    market: int | str | None
    equity_micros: int
    margin_ratio_ppm: int | None
    liquidated: list[Reduced]
    deficit_micros: int


class Saved(msgspec.Struct, frozen=True):
    """Collateral needed together, and by the same positions in accounts of their own."""

    together_micros: int
    isolated_micros: int
    saved_micros: int


class Contribution(msgspec.Struct, frozen=True):
    """catenary_contribution."""

    account: int
    equity_micros: int
    legs: list[Leg]
    saved: Saved
    shocked: Shocked


class PostMortemView(msgspec.Struct, frozen=True):
    """One rescue of catenary_postMortems: the prices that decided it, what was paid, an account before and after.

    counted_at: whether before and after are at the "judged_prices" or at those of the "last_tick".
    """

    number: int
    kind: str
    account: int
    market: int | str
    lots: int
    quote_micros: int
    price_ticks: int
    oracle_price_ticks: int
    previous_price_ticks: int
    judged_price_ticks: int
    zero_price_ticks: int | None
    tick_time_ms: int
    signers: list[int]
    judged_equity_micros: int
    judged_maintenance_micros: int
    counted_at: str
    equity_before_micros: int
    initial_before_micros: int
    maintenance_before_micros: int
    equity_after_micros: int
    initial_after_micros: int
    maintenance_after_micros: int
    one_lot_less_equity_micros: int | None
    one_lot_less_initial_micros: int | None
    fee_micros: int
    paid_by_fund_micros: int
    counterparty: int


class RequestResult(msgspec.Struct, frozen=True):
    """catenary_cancel, cancelAll, withdraw, transfer, setAgent and setLeverage."""

    chunk: int
    operation_index: int
    withdrawal_index: int | None = None
    account_opened: int | None = None


class TypedData(msgspec.Struct, frozen=True):
    """catenary_typedData."""

    typed_data: dict[str, Any]
    digest: str
    operation: dict[str, Any]


class AccountProof(msgspec.Struct, frozen=True):
    """catenary_proof: bytes as 0x text; `commitment` is nine words in the order of the state root."""

    batch: int
    leaf: str
    path: list[str]
    commitment: list[str]


class EntryView(msgspec.Struct, frozen=True):
    """What a queue entry came to, of catenary_queue."""

    code: int
    name: str
    done: bool
    withdrawal: int | None = None


class QueueView(msgspec.Struct, frozen=True):
    """catenary_queue, as far as an entry's sender asks."""

    entries: list[EntryView]


class GlobalsProof(msgspec.Struct, frozen=True):
    """catenary_globals: bytes as 0x text; `commitment` is ten words in the order of the state root."""

    batch: int
    globals: str
    commitment: list[str]


class WithdrawalView(msgspec.Struct, frozen=True):
    """One entry of catenary_withdrawals, by the node's word."""

    index: int
    recipient: str
    amount_micros: int
    batch: int | None = None
    finality: str = "sequenced"


class WithdrawalProof(msgspec.Struct, frozen=True):
    """catenary_withdrawalProof."""

    batch: int
    commitment: list[str]
    proof: list[str]
    recipient: str
    amount_micros: int


class ReportAnswer(msgspec.Struct, frozen=True):
    """catenary_report: "counted", "tick" (it completed the quorum) or "spare" (the tick stands already)."""

    status: str
    received: int
    quorum: int


_Answer = TypeVar("_Answer")


def wire(value: Any) -> Any:
    """A value as it travels in JSON: bytes as 0x text, numbers above 2^53 as decimal text."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _MAX_NUMBER:
        return str(value)
    if isinstance(value, Mapping):
        return {name: wire(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [wire(item) for item in value]
    return value


class NodeClient:
    """JSON-RPC to one node. NodeUnreachable when there is no answer, Rejected when the answer is no.

    Nothing is sent twice by itself: whether an unanswered operation was applied must be asked, not guessed.
    """

    def __init__(
        self, url: str, *, timeout_seconds: float = 30.0, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.url = url
        self._timeout_seconds = timeout_seconds
        self._request_ids = itertools.count(1)
        # Plain HTTP needs no certificate store, which is slow to load; proxies of the environment are not for the node.
        verify: bool | ssl.SSLContext = url.startswith("https:")
        self._http = httpx.AsyncClient(trust_env=False, verify=verify, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def call(self, method: str, **params: Any) -> Any:
        """The plain result of one call by its full name; params by name."""
        request = {"jsonrpc": "2.0", "id": next(self._request_ids), "method": method, "params": wire(params)}
        answer = await self._post(request)
        if not isinstance(answer, dict) or ("result" not in answer and not isinstance(answer.get("error"), dict)):
            raise NodeUnreachable(f"what answers at {self.url} is not a Catenary node")
        error = answer.get("error")
        if error is None:
            return answer["result"]
        raise rejection(error)

    async def _post(self, request: Any) -> Any:
        try:
            with trio.fail_after(self._timeout_seconds):
                return await self._post_once(msgspec.json.encode(request))
        except trio.TooSlowError:
            raise NodeUnreachable(f"the node at {self.url} gave no answer in {self._timeout_seconds:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise NodeUnreachable(f"the node at {self.url} cannot be reached: {reason}") from None

    async def _post_once(self, content: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        body = bytearray()
        async with (
            self._http.stream("POST", self.url, content=content, headers=headers, timeout=None) as response,
            aclosing(cast(AsyncGenerator[bytes, None], response.aiter_bytes())) as pieces,
        ):
            async for piece in pieces:
                body += piece
                if len(body) > _ANSWER_LIMIT_BYTES:
                    raise NodeUnreachable(f"the answer of {self.url} is larger than {_ANSWER_LIMIT_BYTES} bytes")
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            raise NodeUnreachable(
                f"what answers at {self.url} is not a Catenary node (HTTP status {response.status_code})"
            ) from None

    async def _typed(self, kind: type[_Answer], method: str, **params: Any) -> _Answer:
        answer: _Answer = self._convert(await self.call(method, **params), kind, method)
        return answer

    def _convert(self, value: Any, kind: Any, method: str) -> Any:
        try:
            return msgspec.convert(value, kind, strict=False)
        except msgspec.ValidationError as error:
            raise NodeUnreachable(f"the node's answer to {method} does not fit: {error}") from None

    async def status(self) -> Status:
        """Where the node stands."""
        return await self._typed(Status, "catenary_status")

    async def markets(self) -> list[MarketView]:
        """All markets with their prices."""
        return await self._typed(list[MarketView], "catenary_markets")

    async def accounts(self, owner: bytes) -> list[int]:
        """Indexes of the owner's accounts, ascending."""
        return sorted(await self._typed(list[int], "catenary_accounts", owner=owner))

    async def account(self, account: int) -> AccountView:
        """One account as it stands."""
        return await self._typed(AccountView, "catenary_account", account=account)

    async def open_orders(self, account: int) -> list[OpenOrder]:
        """The orders that the node holds for an account."""
        return await self._typed(list[OpenOrder], "catenary_openOrders", account=account)

    async def book(self, market: str | int, levels: int = 10) -> dict[str, Any]:
        """Price levels of one market."""
        return await self._typed(dict[str, Any], "catenary_book", market=market, levels=levels)

    async def fills(self, account: int, limit: int = 50) -> list[dict[str, Any]]:
        """The account's newest fills."""
        return await self._typed(list[dict[str, Any]], "catenary_fills", account=account, limit=limit)

    async def batches(self, limit: int = 20) -> list[dict[str, Any]]:
        """The newest batches by the node's word."""
        return await self._typed(list[dict[str, Any]], "catenary_batches", limit=limit)

    async def typed_data(self, operation: Fields) -> TypedData:
        """What the node says is to be signed; never sign it without building it yourself."""
        return await self._typed(TypedData, "catenary_typedData", operation=operation)

    async def preview(self, operation: Fields) -> Preview:
        """What an order, transfer or withdrawal would come to; nothing is sent."""
        return await self._typed(Preview, "catenary_preview", operation=operation)

    async def explain(self, account: int) -> Explanation:
        """Every number of an account with its formula and inputs."""
        return await self._typed(Explanation, "catenary_explain", account=account)

    async def contribution(self, account: int, shock_bp: int, market: int | None) -> Contribution:
        """What each position does to the pool, and what a shock of all markets or of one would liquidate."""
        return await self._typed(
            Contribution, "catenary_contribution", account=account, shock_bp=shock_bp, market=market
        )

    async def queue_entry(self, index: int) -> EntryView | None:
        """What a queue entry came to; None before it is consumed."""
        told = await self._typed(QueueView, "catenary_queue", index=index)
        return next(iter(told.entries), None)

    async def globals(self) -> GlobalsProof:
        """The globals at the newest posted root."""
        return await self._typed(GlobalsProof, "catenary_globals")

    async def post_mortems(self, account: int, limit: int) -> list[PostMortemView]:
        """The newest rescues in which an account had a part, the newest first."""
        return await self._typed(list[PostMortemView], "catenary_postMortems", account=account, limit=limit)

    async def order(self, order: Fields, signature: bytes) -> OrderResult:
        """Submit one signed order."""
        return await self._typed(OrderResult, "catenary_order", order=order, signature=signature)

    async def orders(self, signed: Sequence[tuple[Fields, bytes]]) -> list[OrderResult | Rejected]:
        """Submit many; an order's refusal stands in its place and harms no other."""
        items = [{"order": order, "signature": signature} for order, signature in signed]
        answers = await self._typed(list[dict[str, Any]], "catenary_orders", orders=items)
        if len(answers) != len(signed):
            raise NodeUnreachable("the node answered another number of orders than were sent")
        return [self._order_or_rejection(answer) for answer in answers]

    def _order_or_rejection(self, answer: dict[str, Any]) -> OrderResult | Rejected:
        error = answer.get("error")
        if isinstance(error, dict):
            return rejection(error)
        result: OrderResult = self._convert(answer.get("result", answer), OrderResult, "catenary_orders")
        return result

    async def request(self, kind: str, request: Fields, signature: bytes) -> RequestResult:
        """Submit a signed request of any kind that is no order."""
        method = _METHOD_OF_KIND.get(kind, f"catenary_{kind}")
        return await self._typed(RequestResult, method, request=request, signature=signature)

    async def withdrawals(self, *, account: int | None = None, recipient: bytes | None = None) -> list[WithdrawalView]:
        """Withdrawals of an account or to a recipient."""
        chosen: dict[str, Any] = {"account": account} if recipient is None else {"recipient": recipient}
        return await self._typed(list[WithdrawalView], "catenary_withdrawals", **chosen)

    async def withdrawal_proof(self, index: int) -> WithdrawalProof:
        """What a claim on L1 needs, once a posted batch holds the withdrawal."""
        return await self._typed(WithdrawalProof, "catenary_withdrawalProof", index=index)

    async def proof(self, account: int) -> AccountProof:
        """The account's membership in the last posted root."""
        return await self._typed(AccountProof, "catenary_proof", account=account)

    async def report(self, report: Fields) -> ReportAnswer:
        """Submit an oracle signer's report."""
        return await self._typed(ReportAnswer, "catenary_report", **report)

    async def reports(self, limit: int = 10) -> list[dict[str, Any]]:
        """What the oracle's signers reported of the newest grid times."""
        return await self._typed(list[dict[str, Any]], "catenary_reports", limit=limit)

    async def faucet(self, address: bytes) -> Any:
        """Play dollars and a little ether; devnets only."""
        return await self.call("catenary_faucet", address=address)


def rejection(error: Mapping[str, Any]) -> Rejected:
    """A JSON-RPC error object as the exception that it means."""
    code = error.get("code")
    found = error.get("data")
    data: dict[str, Any] = dict(found) if isinstance(found, dict) else {}
    sentence = str(error.get("message", "the node gave no reason"))
    return Rejected(code if isinstance(code, int) else -32603, str(data.pop("name", "ERROR")), sentence, data)
