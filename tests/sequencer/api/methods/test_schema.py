"""The document is the truth: it says something of everything, and every real answer and message is as it says."""

import copy
from importlib.metadata import version
from typing import Any

import msgspec
import pytest
import structlog
from prometheus_client import CollectorRegistry

from prover.signing import typed_data
from prover.stf import constants, containers
from sequencer.api.methods.feeds.channels import CHANNELS
from sequencer.api.methods.reports import Reports
from sequencer.api.rpc.errors import CallError
from sequencer.api.rpc.handlers import register
from sequencer.api.rpc.limits import MOST_PARAMS_BYTES
from sequencer.api.transport.port import ApiConfig, Surroundings
from sequencer.api.transport.server import Server
from sequencer.dashboard.wire import TARGET, declarations
from sequencer.engine.records import VoidedOperation
from sequencer.schema.accounts import VoidedView
from sequencer.schema.answers import AccountProof, FaucetPayment, GlobalsProof, WithdrawalProof
from sequencer.views.books import voided_view
from tests.sequencer.answers import answer
from tests.sequencer.api.json_schema import misfits, untyped
from tests.sequencer.api.methods.test_rescues import fall
from tests.sequencer.desk import Desk, travelled
from tests.sequencer.node_world import (
    BRIDGE,
    BUY,
    CHAIN_ID,
    DOLLAR,
    DOMAIN,
    FIRST,
    PRICES,
    RECIPIENT,
    SELL,
    START,
    key,
    leave,
    order,
    owner,
    request,
    signed_order,
    signed_request,
)

pytestmark = pytest.mark.trio
PRICE = PRICES[0]
# Sent over a WebSocket only; what they answer is tested where there is one.
STREAMED = {
    "catenary_subscribe",
    "catenary_unsubscribe",
    "catenary_cancelOnDisconnect",
    "catenary_challenge",
    "catenary_access",
}
# What needs an L1: held to the schema by an answer that is made up.
WITH_L1: dict[str, msgspec.Struct] = {
    "catenary_faucet": FaucetPayment(1, 10**18, "0x" + "ab" * 32),
    "catenary_proof": answer(AccountProof, leaf="0x", path=["0x" + "00" * 32]),
    "catenary_globals": answer(GlobalsProof, globals="0x0102", commitment=["0x" + "01" * 32]),
    "catenary_withdrawalProof": answer(WithdrawalProof, recipient="0x" + "00" * 20, amount_micros=2**60),
}


class Whole:
    """All methods of a node and its document, asked without a socket; every answer is held to its schema."""

    def __init__(self, here: Desk) -> None:
        self.desk = here
        register(here.registry, Reports(here.venue, DOMAIN, here.clock, is_taking=True, is_simulated=True))
        log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[])
        self.server = Server(
            ApiConfig(), here.registry, metrics=CollectorRegistry(), epoch="run", surroundings=Surroundings(log=log)
        )
        self.server.feeds.declare(*CHANNELS)
        self.answered: set[str] = set()
        self.document: dict[str, Any] = {}

    async def read(self) -> None:
        """The document as rpc.discover answers it."""
        self.document = await self.desk.ask("rpc.discover")
        self.results = {method["name"]: method["result"]["schema"] for method in self.document["methods"]}
        self.hold("rpc.discover", self.document)

    def hold(self, name: str, told: Any) -> None:
        """Holds an answer to what the document says of its method."""
        assert misfits(self.results[name], told, self.document["components"]["schemas"]) == [], name
        self.answered.add(name)

    async def ask(self, name: str, **params: Any) -> Any:
        """An answer that is as the document says."""
        told = await self.desk.ask(name, **params)
        self.hold(name, told)
        return told


@pytest.fixture
async def whole(desk: Any) -> Whole:
    found = Whole(desk)
    await found.read()
    return found


async def test_every_parameter_result_and_message_has_a_type(whole: Whole) -> None:
    assert untyped(whole.document) == []
    assert whole.document["info"]["version"] == version("catenary")
    assert all(0 < method["x-params-bytes"] <= MOST_PARAMS_BYTES for method in whole.document["methods"])
    # The count is of something: a bare object is seen wherever it stands.
    worse = copy.deepcopy(whole.document)
    worse["methods"][0]["result"]["schema"] = {"type": "object"}
    worse["methods"][1]["result"]["schema"] = {"type": "array", "items": {"type": "object"}}
    worse["x-channels"][0]["message"] = {}
    worse["components"]["schemas"]["Status"]["properties"]["final"] = {"anyOf": [{"type": "array"}, {"type": "null"}]}
    assert len(untyped(worse)) == 4


async def test_a_value_of_another_shape_does_not_fit() -> None:
    components = {"Leg": {"type": "object", "properties": {"lots": {"type": "integer"}}, "required": ["lots"]}}
    schema = {"type": "array", "items": {"anyOf": [{"$ref": "#/components/schemas/Leg"}, {"type": "null"}]}}
    assert misfits(schema, [{"lots": 1}, None], components) == []
    for wrong in ([{"lots": "1"}], [{}], [{"lots": 1, "more": 2}], [{"lots": True}], {}, [1]):
        assert misfits(schema, wrong, components) != []


def fields_of(tag: int, message: containers.Order | containers.Request) -> dict[str, Any]:
    """A message as it is submitted."""
    fields: dict[str, Any] = typed_data.typed_data(tag, message, CHAIN_ID, BRIDGE)["message"]
    return fields


async def ask_all(whole: Whole) -> None:
    """Every question that needs no signature and no L1."""
    await whole.ask("catenary_limits")
    for account in range(1, FIRST + 4):
        if account == 1 or account >= FIRST:
            await whole.ask("catenary_account", account=account)
            await whole.ask("catenary_explain", account=account)
            await whole.ask("catenary_contribution", account=account, shock_bp=-1_500)
            await whole.ask("catenary_openOrders", account=account)
            for name in ("fills", "fundingPayments", "transfers", "equity", "orderHistory"):
                await whole.ask(f"catenary_{name}", account=account)
            await whole.ask("catenary_withdrawals", account=account)
            await whole.ask("catenary_deposits", account=account)
    await whole.ask("catenary_contribution", account=FIRST, shock_bp=1_500, market="BTC")
    for name in ("status", "markets", "queue", "batches", "postMortems", "reports"):
        await whole.ask(f"catenary_{name}")
    await whole.ask("catenary_accounts", owner=owner(0))
    await whole.ask("catenary_movePrice", market="BTC", ppm=-3_000)
    await whole.ask("catenary_book", market="BTC")
    await whole.ask("catenary_statistics")
    for name in ("trades", "fundingRates"):
        await whole.ask(f"catenary_{name}", market="BTC")
    for source in ("trades", "oracle"):
        await whole.ask("catenary_candles", market="BTC", interval="1m", source=source)
    for side in ("long", "short"):
        await whole.ask("catenary_deleveragingRanking", market="BTC", side=side)
    buy = {"kind": "order", "account": FIRST + 3, "market": 0, "side": 0, "size_lots": 500, "limit_price_ticks": PRICE}
    give = {"kind": "transfer", "account": FIRST, "to_account": constants.NEW_ACCOUNT, "amount_micros": 50 * DOLLAR}
    await whole.ask("catenary_previewDeposit", account=FIRST, amount_micros=DOLLAR)
    for operation in (buy, give):
        await whole.ask("catenary_preview", operation=operation)
        await whole.ask("catenary_typedData", operation=operation)


async def submit_all(whole: Whole) -> None:
    """An order, two in one call of which one is refused, and every kind of request."""
    now = whole.desk.clock.now
    given = order(now, FIRST + 3, SELL, PRICE - 10, 300, slot=3)
    fields = fields_of(constants.ORDER, given)
    await whole.ask("catenary_order", order=fields, signature=signed_order(given, key(3))[-64:])
    given = order(now, FIRST + 3, SELL, PRICE + 10, 300, slot=4)
    signed = [
        {"order": fields_of(constants.ORDER, given), "signature": signed_order(given, key(signer))[-64:]}
        for signer in (3, 2)
    ]
    done, refused = await whole.ask("catenary_orders", orders=signed)
    assert (done.keys(), refused["error"]["data"]["name"]) == ({"result"}, "BAD_SIGNATURE")
    assert (await whole.ask("catenary_order", account=FIRST + 3, slot=4))["events"] != []
    for name, tag, changes in (
        ("withdraw", constants.WITHDRAW, {"amount": 7 * DOLLAR, "recipient": RECIPIENT}),
        ("transfer", constants.TRANSFER, {"amount": 7 * DOLLAR, "other": constants.NEW_ACCOUNT}),
        ("cancel", constants.CANCEL, {"slot": 4}),
        ("setLeverage", constants.SET_LEVERAGE, {"amount": 50_000}),
        ("setAgent", constants.SET_AGENT, {"recipient": owner(50), "amount": now + 1, "first_slot": 2, "last_slot": 9}),
        ("cancelAll", constants.CANCEL_ALL, {"slot": 0}),
    ):
        asked = request(now, FIRST + 3, **{"slot": 200 + tag, **changes})
        signature = signed_request(tag, asked, key(3))[-64:]
        await whole.ask(f"catenary_{name}", request=fields_of(tag, asked), signature=signature)


async def schedule(whole: Whole) -> None:
    """A dead-man switch, and one that would cost something."""
    asked = request(whole.desk.clock.now, FIRST + 2, slot=0, max_posting_fee=0)
    for given, name in ((asked, ""), (msgspec.structs.replace(asked, max_posting_fee=1), "INVALID_PARAMS")):
        signature = signed_request(constants.CANCEL_ALL, given, key(2))[-64:]
        fields = {"request": fields_of(constants.CANCEL_ALL, given), "signature": signature, "at_ms": 2**47}
        if name:
            with pytest.raises(CallError) as refused:
                await whole.ask("catenary_scheduleCancel", **fields)
            assert refused.value.error.name == name
        else:
            assert (await whole.ask("catenary_scheduleCancel", **fields))["receipt"] is None


async def test_every_answer_is_as_the_document_says(whole: Whole) -> None:
    here = whole.desk
    await here.order(1, SELL, PRICE, 750_000)
    await here.order(0, BUY, PRICE, 750_000)
    await here.order(2, BUY, 593_950, 750_000)
    await ask_all(whole)
    await submit_all(whole)
    await schedule(whole)
    await fall(here, 594_000)
    await here.venue.submit(leave(here.clock.now, FIRST + 1, owner(1)))
    assert await whole.ask("catenary_postMortems") != []
    assert (await whole.ask("catenary_queue"))["entries"] != []
    await ask_all(whole)
    for name, made in WITH_L1.items():
        method = here.registry.find(name)
        whole.hold(name, travelled(method.result, made))
        assert isinstance(made, method.result)
    assert await whole.ask("catenary_voided", account=FIRST) == []
    void = VoidedOperation(constants.ORDER, FIRST, 2, 3, START, 4, START)
    for one in (void, msgspec.structs.replace(void, tag=constants.WITHDRAW, chunk=0)):
        whole.hold("catenary_voided", travelled(list[VoidedView], [voided_view(one)]))
    with pytest.raises(CallError):
        await here.ask("catenary_report", time_ms=0, signer_index=0, prices_ticks=[], premiums_ppb=[], signature="0x")
    whole.answered.add("catenary_report")
    assert whole.answered == here.registry.methods.keys() - STREAMED


async def test_every_message_and_snapshot_is_as_the_document_says(whole: Whole) -> None:
    here, components = whole.desk, whole.document["components"]["schemas"]
    here.channels.told = []
    await here.order(1, SELL, PRICE, 750_000)
    await here.order(0, BUY, PRICE, 750_000)
    await here.order(2, BUY, 593_950, 750_000)
    await fall(here, 594_000)
    here.methods.posted()
    channels = {channel["name"]: channel for channel in whole.document["x-channels"]}
    told = set()
    for name, message in here.channels.told:
        channel = here.channels.of(name).name
        assert misfits(channels[channel]["message"], message, components) == [], name
        told.add(channel)
    assert told == channels.keys()
    keys = {"candles:": "BTC:1m"}
    families = {name: find(keys.get(name, str(FIRST))) for name, find in here.channels.families.items()}
    snapshots = {**here.channels.opened, **families}
    assert {here.channels.of(name).name for name in snapshots} == channels.keys()
    for name, snapshot in snapshots.items():
        assert snapshot is not None
        assert misfits(channels[here.channels.of(name).name]["snapshot"], snapshot(), components) == [], name


async def test_the_page_has_the_types_of_the_document(whole: Whole) -> None:
    assert declarations(whole.document) == TARGET.read_text(), "python -m sequencer.dashboard.wire DOCUMENT"
