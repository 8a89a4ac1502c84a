"""A node that keeps accounts private: what it tells to whom, and what shows no key."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from l1_bridge.addresses import checksum_address
from prover.signing.access import access_digest
from prover.signing.signatures import sign
from prover.signing.typed_data import domain_separator
from prover.stf import constants
from sequencer.api.methods.privacy import CHALLENGE_MS, FAMILIES, MOST_ACCOUNTS
from sequencer.api.rpc.errors import PRIVATE, CallError
from sequencer.api.rpc.jsonrpc import JSON, Call, Codec, Push, Registry, Session
from sequencer.api.rpc.limits import Limits, TokenBucket
from sequencer.api.rpc.metrics import ApiMetrics
from sequencer.api.rpc.subscriptions import Feeds
from sequencer.schema.subscriptions import Subscribe
from sequencer.schema.writing import to_json, to_wire
from tests.sequencer.desk import Desk, travelled
from tests.sequencer.node_world import (
    BUY,
    DOLLAR,
    DOMAIN,
    FIRST,
    PRICES,
    SELL,
    key,
    owner,
    request,
    signed_request,
    tick,
)

pytestmark = pytest.mark.trio
ORDER_ID = f"0x{FIRST:06x}01{7:012x}"
OF_ONE = {"account": FIRST}
TRANSFER = {"kind": "transfer", "account": FIRST, "to_account": FIRST + 1, "amount_micros": str(DOLLAR)}
ASKED: dict[str, dict[str, Any]] = {
    "catenary_account": OF_ONE,
    "catenary_openOrders": OF_ONE,
    "catenary_voided": OF_ONE,
    "catenary_explain": OF_ONE,
    "catenary_contribution": OF_ONE,
    "catenary_fills": OF_ONE,
    "catenary_fundingPayments": OF_ONE,
    "catenary_transfers": OF_ONE,
    "catenary_equity": OF_ONE,
    "catenary_orderHistory": OF_ONE,
    "catenary_preview": {"operation": TRANSFER},
    "catenary_previewDeposit": {**OF_ONE, "amount_micros": str(DOLLAR)},
    "catenary_typedData": {"operation": TRANSFER},
    "catenary_order": {"order_id": ORDER_ID},
}
# What names an account and is told to anybody: it is on L1, or as good as there, or signed by the account's own key.
PUBLIC = {
    "catenary_access",
    "catenary_deposits",
    "catenary_proof",
    "catenary_withdrawals",
    "catenary_postMortems",
    "catenary_queue",
}  # fmt: skip


class Connection:
    """A WebSocket that asks."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.is_expelled = False
        self.session = Session(TokenBucket(1, 1_000, lambda: 0.0), cast(Any, self), TokenBucket(1, 9, lambda: 0.0))
        self.call = cast(Call, SimpleNamespace(session=self.session, codec=JSON, after_answer=[], release=lambda: None))

    def push(self, message: Push, codec: Codec, place: object) -> None:
        """What is told is not looked at."""

    def expel(self) -> None:
        self.is_expelled = True
        self.session.close()

    async def ask(self, name: str, **params: Any) -> Any:
        method = self.desk.registry.find(name)
        return travelled(method.result, await method.handler(method.bind(JSON, to_json(to_wire(params))), self.call))

    async def refused(self, name: str, **params: Any) -> tuple[str, dict[str, Any]]:
        with pytest.raises(CallError) as refusal:
            await self.ask(name, **params)
        return refusal.value.error.name, refusal.value.data

    async def challenge(self) -> tuple[bytes, int]:
        given = await self.ask("catenary_challenge")
        return bytes.fromhex(given["challenge"][2:]), given["expires_at_ms"]

    async def show(self, trader: int, account: int = FIRST, host: str = "localhost") -> Any:
        digest = access_digest(DOMAIN, account, host, *await self.challenge())
        return await self.ask("catenary_access", account=account, host=host, signature=sign(key(trader), digest))


@pytest.fixture
def private(desk: Desk) -> Desk:
    """A venue whose node keeps accounts private and is called venue.example, too."""
    desk.methods.keep_private(frozenset({"venue.example"}))
    desk.registry = Registry()
    desk.methods.register(desk.registry, Limits())
    return desk


@pytest.mark.parametrize("name", ASKED)
async def test_what_is_an_accounts_alone_is_told_to_who_shows_its_key(private: Desk, name: str) -> None:
    connection = Connection(private)
    assert await connection.refused(name, **ASKED[name]) == ("PRIVATE", OF_ONE)
    assert (await connection.show(0))["signer"] == "0x" + owner(0).hex()
    if name == "catenary_order":
        assert (await connection.refused(name, **ASKED[name]))[0] == "UNKNOWN_ORDER"
    else:
        await connection.ask(name, **ASKED[name])
    # Of another account, of one that is not there, and on another connection, nothing is told.
    assert (await Connection(private).refused(name, **ASKED[name]))[0] == "PRIVATE"
    for other in (FIRST + 1, FIRST + 1_000):
        changed = {
            "account": {**ASKED[name], "account": other},
            "operation": {"operation": {**TRANSFER, "account": other}},
            "order_id": {"order_id": f"0x{other:06x}{ORDER_ID[8:]}"},
        }[next(iter(ASKED[name]))]
        assert await connection.refused(name, **changed) == ("PRIVATE", {"account": other})


async def test_every_method_that_names_an_account_is_private_or_known_to_be_public(private: Desk) -> None:
    named = {
        name
        for name, method in private.registry.methods.items()
        if {"account", "operation", "order_id"} & set(method.params.__struct_fields__)
    }
    assert named == set(ASKED) | PUBLIC
    assert {name for name, method in private.registry.methods.items() if PRIVATE in method.errors} == {
        *ASKED,
        "catenary_access",
    }


async def test_where_nothing_is_private_anybody_is_told(desk: Desk) -> None:
    connection = Connection(desk)
    assert (await connection.ask("catenary_account", account=FIRST))["account"] == FIRST
    # A key may be shown all the same, so that a program need not know.
    assert (await connection.show(0))["account"] == FIRST


async def test_fees_and_insurance_are_everybodys_affair(private: Desk) -> None:
    told = await Connection(private).ask("catenary_account", account=constants.insurance_account(0))
    assert told["account"] == constants.insurance_account(0)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "venue.example", "VENUE.example"])
async def test_a_node_knows_its_names(private: Desk, host: str) -> None:
    assert (await Connection(private).show(0, host=host))["account"] == FIRST


async def test_what_was_signed_for_another_nodes_name_shows_nothing(private: Desk) -> None:
    with pytest.raises(CallError, match="name that was signed"):
        await Connection(private).show(0, host="thief.example")


async def test_a_signature_is_good_on_its_connection_and_in_its_time_alone(private: Desk) -> None:
    first, second = Connection(private), Connection(private)
    challenge, ends = await first.challenge()
    given: dict[str, Any] = {"account": FIRST, "host": "localhost"}
    given["signature"] = sign(key(0), access_digest(DOMAIN, FIRST, "localhost", challenge, ends))
    # Replayed on another connection, with a challenge of its own or without one, later, and behind a newer challenge.
    assert (await second.refused("catenary_access", **given))[0] == "PRIVATE"
    await second.challenge()
    assert (await second.refused("catenary_access", **given))[0] == "PRIVATE"
    private.clock.now += CHALLENGE_MS + 1
    assert (await first.refused("catenary_access", **given))[0] == "PRIVATE"
    private.clock.now -= CHALLENGE_MS + 1
    assert (await first.ask("catenary_access", **given))["account"] == FIRST
    await first.challenge()
    assert (await first.refused("catenary_access", **given))[0] == "PRIVATE"


async def test_a_signature_of_another_rollup_or_key_shows_nothing_and_costs(private: Desk) -> None:
    connection = Connection(private)
    for domain, trader in ((domain_separator(1, b"\x01" * 20), 0), (DOMAIN, 1)):
        left = connection.session.bucket.left
        digest = access_digest(domain, FIRST, "localhost", *await connection.challenge())
        name, data = await connection.refused(
            "catenary_access", account=FIRST, host="localhost", signature=sign(key(trader), digest)
        )
        assert (name, data["account"]) == ("PRIVATE", FIRST)
        assert left - connection.session.bucket.left == 100
    assert data["recovered"] == "0x" + owner(1).hex()
    assert checksum_address(owner(1)) != checksum_address(owner(0))


async def test_without_a_websocket_nothing_is_shown(private: Desk) -> None:
    connection = Connection(private)
    connection.session.subscriber = None
    assert (await connection.refused("catenary_challenge"))[0] == "NOT_STREAMING"
    given = {"account": FIRST, "host": "localhost", "signature": bytes(64)}
    assert (await connection.refused("catenary_access", **given))[0] == "NOT_STREAMING"


async def test_one_connection_shows_keys_of_so_many_accounts(private: Desk) -> None:
    connection = Connection(private)
    connection.session.shown = dict.fromkeys(range(MOST_ACCOUNTS), b"")
    challenge = await connection.challenge()
    signature = sign(key(0), access_digest(DOMAIN, 9_999, "localhost", *challenge))
    given = {"account": 9_999, "host": "localhost", "signature": signature}
    assert await connection.refused("catenary_access", **given) == ("TOO_MANY_SUBSCRIPTIONS", {"most": MOST_ACCOUNTS})


async def granted(desk: Desk, agent: int, until: int) -> None:
    """The first trader's word for an agent, until a time; 0 dismisses him."""
    terms = {"amount": until, "recipient": owner(agent), "last_slot": 9} if until else {}
    word = request(desk.clock.now, FIRST, slot=250, **terms)
    outcome = await desk.venue.submit(signed_request(constants.SET_AGENT, word, key(0)))
    assert outcome.code == 0, outcome


async def test_an_agent_sees_as_long_as_he_is_one(private: Desk) -> None:
    connection = Connection(private)
    await granted(private, 5, private.clock.now + 60_000)
    await connection.show(5)
    await connection.ask("catenary_account", account=FIRST)
    private.clock.now += 60_001
    assert (await connection.refused("catenary_account", account=FIRST))[0] == "PRIVATE"


async def test_channels_are_told_to_who_shows_a_key_and_end_with_it(private: Desk) -> None:
    feeds = Feeds("run", Limits(), ApiMetrics(CollectorRegistry()))
    private.methods._channels._markets_open = 0
    private.methods.open_feeds(feeds)
    connection = Connection(private)
    for family in FAMILIES:
        with pytest.raises(CallError) as refusal:
            await feeds.subscribe(Subscribe(f"{family}{FIRST}"), connection.call)
        assert (refusal.value.error, refusal.value.data) == (PRIVATE, OF_ONE)
    assert (await feeds.subscribe(Subscribe("book:BTC"), connection.call)).channel == "book:BTC"
    await granted(private, 5, private.clock.now + constants.HOUR)
    await connection.show(5)
    mine = Connection(private)
    await mine.show(0)
    for family in FAMILIES:
        for each in (connection, mine):
            assert (await feeds.subscribe(Subscribe(f"{family}{FIRST}"), each.call)).snapshot is not None
    private.clock.now += 1
    await granted(private, 5, 0)
    private.clock.now += 2 * constants.TICK_STEP - private.clock.now % constants.TICK_STEP
    await private.venue.submit(tick(private.clock.now))
    assert (connection.is_expelled, mine.is_expelled) == (True, False)
    assert connection.session.leave_by_channel == {}


NAMELESS = {"maker": None, "taker": None, "maker_order_id": "", "taker_order_id": ""}


async def test_a_trade_names_nobody_and_its_own_accounts_are_told(private: Desk) -> None:
    """On two connections: a stranger's, and one that has shown a key."""
    stranger, mine = Connection(private), Connection(private)
    await mine.show(0)
    await private.order(0, SELL, PRICES[0], 300)
    await private.order(1, BUY, PRICES[0], 300)
    told = [data for channel, data in private.channels.told if channel == "trades:BTC"]
    snapshot = private.channels.opened["trades:BTC"]()
    asked = [(await each.ask("catenary_trades", market="BTC"))["trades"] for each in (stranger, mine)]
    assert told == snapshot == asked[0] == asked[1]
    (fill,) = told
    assert (fill["size_lots"], fill["taker_side"], fill["is_rescue"]) == (300, "buy", False)
    assert {name: fill[name] for name in NAMELESS} == NAMELESS
    # No number or name of an account stands anywhere in it.
    assert not {FIRST, FIRST + 1} & {value for name, value in fill.items() if name not in ("chunk", "operation_index")}
    (own,) = (await mine.ask("catenary_fills", **OF_ONE))["fills"]
    assert (own["counterparty"], own["chunk"], own["operation_index"]) == (
        FIRST + 1,
        fill["chunk"],
        fill["operation_index"],
    )
    assert (await stranger.refused("catenary_fills", **OF_ONE))[0] == "PRIVATE"


async def test_where_nothing_is_private_a_trade_names_its_accounts(desk: Desk) -> None:
    await desk.order(0, SELL, PRICES[0], 300)
    await desk.order(1, BUY, PRICES[0], 300)
    (fill,) = (await desk.ask("catenary_trades", market="BTC"))["trades"]
    assert (fill["maker"], fill["taker"]) == (FIRST, FIRST + 1)
    assert (fill["maker_order_id"][:8], fill["taker_order_id"][:8]) == (f"0x{FIRST:06x}", f"0x{FIRST + 1:06x}")


async def leveraged(desk: Desk, price: int) -> None:
    """The second trader is long with nine tenths of what he may against two others; then BTC is at `price`."""
    powers = desk.account(FIRST + 1)["buying_power"]
    (most,) = [power["buy_lots"] for power in powers if power["market"] == "BTC"]
    for trader, side, part in ((0, SELL, 4), (2, SELL, 5), (1, BUY, 9)):
        await desk.order(trader, side, PRICES[0], most // 10 * part)
    desk.clock.now += 2 * constants.TICK_STEP - desk.clock.now % constants.TICK_STEP
    await desk.venue.submit(tick(desk.clock.now, (price, *PRICES[1:])))


async def test_a_margin_call_names_nobody_but_on_its_accounts_own_channel(private: Desk) -> None:
    await leveraged(private, PRICES[0] * 995 // 1_000)
    (call,) = [data for channel, data in private.channels.told if channel == "margin_calls"]
    unsaid = dict.fromkeys(("account", "margin_ratio_ppm", "equity_micros", "maintenance_micros"))
    assert call["level_percent"] >= 50
    assert {name: call[name] for name in unsaid} == unsaid
    assert private.channels.opened["margin_calls"]() == [{**call, "previous_percent": call["level_percent"]}]
    # The second trader hears all of it.
    own = [data.get("margin_call") for channel, data in private.channels.told if channel == f"account:{FIRST + 1}"]
    (whole,) = [each for each in own if each is not None]
    assert (whole["account"], whole["level_percent"]) == (FIRST + 1, call["level_percent"])
    assert int(whole["equity_micros"]) > 0


async def test_a_ranking_names_the_accounts_of_who_has_shown_a_key_alone(private: Desk) -> None:
    await leveraged(private, PRICES[0] * 995 // 1_000)
    stranger, mine = Connection(private), Connection(private)
    await mine.show(0)
    asked = {"market": "BTC", "side": "short"}
    seen, own = [await each.ask("catenary_deleveragingRanking", **asked) for each in (stranger, mine)]
    assert [one["account"] for one in seen] == [None, None]
    assert sorted(one["account"] or 0 for one in own) == [0, FIRST]
    assert [{**one, "account": None} for one in own] == seen
    # Nor does an explanation name who stands beside its account.
    told = {each["name"] for each in (await mine.ask("catenary_explain", **OF_ONE))["numbers"]}
    assert "BTC.deleveraging_rank" in told
    assert [name for name in told if "one_place" in name] == []


async def test_a_preview_tells_nothing_of_others(private: Desk) -> None:
    await private.order(1, SELL, PRICES[0], 300)
    connection = Connection(private)
    await connection.show(0)
    order = {"kind": "order", "account": FIRST, "market": 0, "side": BUY, "size_lots": 300}
    seen = await connection.ask("catenary_preview", operation={**order, "limit_price_ticks": PRICES[0]})
    assert [fill["maker"] for fill in seen["fills"]] == [None]
    seen = await connection.ask("catenary_preview", operation=TRANSFER)
    assert (seen["other"], seen["other_before"], seen["other_after"]) == (FIRST + 1, None, None)
    await connection.show(1, FIRST + 1)
    seen = await connection.ask("catenary_preview", operation=TRANSFER)
    assert seen["other_after"]["account"] == FIRST + 1
