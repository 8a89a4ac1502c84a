"""Everything a stranger may throw at a running node: an error with a stable code each, and the node as it was."""

import json
import random
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
import trio

from prover.signing.signatures import address_of, order_digest, request_digest, sign
from prover.signing.typed_data import SIGNED, domain_separator, signed_fields
from prover.state.genesis import DEVNET_POSTING_FEE_MICROS
from prover.stf import codes, constants, containers, signatures
from sequencer.client.clock import wall_clock_ms
from sequencer.devnet.signing_account import SigningAccount
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import Client, Node, funded, node_inside
from tests.sequencer.node_world import BUY, DOLLAR, IOC, SELL, key, order, request

CURVE_ORDER: Final = 2 * signatures.HALF_ORDER + 1
PARSE_ERROR, INVALID_REQUEST, NO_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602


def law(code: int) -> tuple[int, str]:
    """Code and name of a rule of the law in the API."""
    return -33_000 - code, codes.SENTENCE[code][0]


class Venue:
    """A node with two funded traders and a price, and what they send."""

    def __init__(self, node: Node, accounts: list[int]) -> None:
        self.node = node
        self.client: Client = node.client
        self.accounts = accounts
        # Requests of the first account that a chunk holds.
        self.posted = 0
        self.price: int = self.client.call("catenary_markets")[0]["price_ticks"]

    def order(self, trader: int = 0, price_shift: int = 0, **changes: Any) -> containers.Order:
        return order(wall_clock_ms(), self.accounts[trader], BUY, self.price + price_shift, **changes)

    def signed(self, given: containers.Order, trader: int = 0, domain: bytes | None = None) -> dict[str, Any]:
        digest = order_digest(domain or self.node.domain, given)
        signature = sign(key(trader), digest)
        return {"order": signed_fields(constants.ORDER, given), "signature": "0x" + signature.hex()}

    def request(self, tag: int, trader: int = 0, domain: bytes | None = None, **changes: Any) -> dict[str, Any]:
        given = request(wall_clock_ms(), self.accounts[trader], **changes)
        signature = sign(key(trader), request_digest(domain or self.node.domain, tag, given))
        fields = {
            name: "0x" + value.hex() if isinstance(value, bytes) else value
            for name, value in signed_fields(tag, given).items()
        }
        return {"request": fields, "signature": "0x" + signature.hex()}

    def post(self, method: str, params: dict[str, Any]) -> Any:
        """What a good request of the first account comes to: it costs its posting fee."""
        result = self.client.call(method, **params)
        self.posted += 1
        return result

    def state(self) -> list[Any]:
        """What no refused call may change."""
        return [self._account(index) for index in self.accounts] + [self.client.call("catenary_book", market="BTC")]

    def _account(self, index: int) -> Any:
        seen = self.client.call("catenary_account", account=index)
        # Ticks go on all the time, and move the root without anybody's doing.
        return {name: seen[name] for name in ("owner", "floor", "collateral_micros", "positions", "open_orders")}


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    with node_inside(tmp_path_factory.mktemp("node")) as node:
        traders = [SigningAccount(key(index), node.domain, wall_clock_ms) for index in range(2)]
        trio.run(funded, node, traders, 1_000 * DOLLAR)
        yield Venue(node, [trader.account for trader in traders])


@pytest.fixture(autouse=True)
def unchanged(venue: Venue) -> Iterator[None]:
    """Around every test: the state before and after differs by the fees of what was posted, and the node is ready."""
    before, posted = venue.state(), venue.posted
    yield
    fees = (venue.posted - posted) * DEVNET_POSTING_FEE_MICROS
    first = before[0] | {"collateral_micros": str(int(before[0]["collateral_micros"]) - fees)}
    assert venue.state() == [first, *before[1:]]
    assert venue.client.status()["ready"] is True


# Bytes.


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", PARSE_ERROR),
        (b"\x00\xff\xfe garbage", PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"catenary_stat', PARSE_ERROR),
        (b"[" * 5_000, PARSE_ERROR),
        (b"null", INVALID_REQUEST),
        (b"[]", INVALID_REQUEST),
        (b'{"jsonrpc":"1.0","id":1,"method":"catenary_status"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"catenary_unknown","params":{}}', NO_METHOD),
        (b'{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[]}', NO_METHOD),
        (b'{"jsonrpc":"2.0","id":1,"method":"catenary_status","params":"x"}', INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"catenary_status","params":{"x":1}}', INVALID_PARAMS),
        (b'{"jsonrpc":"2.0","id":1,"method":"catenary_account","params":{}}', INVALID_PARAMS),
        (b'"' + b"a" * 1_000_001 + b'"', -32001),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_bytes_that_are_no_call(venue: Venue, body: bytes, code: int) -> None:
    answer = venue.client.post(body)
    assert answer["error"]["code"] == code
    assert answer["error"]["message"]


def test_random_bytes_and_random_edits_of_a_good_call(venue: Venue) -> None:
    seed = 20
    print(f"seed {seed}")
    chance = random.Random(seed)
    good = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "catenary_order", "params": venue.signed(venue.order(size=1))}
    ).encode()
    for _ in range(300):
        body = bytearray(good if chance.random() < 0.8 else chance.randbytes(chance.randrange(1, 200)))
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(body))
            edit = chance.randrange(3)
            if edit == 0:
                body[place] = chance.randrange(256)
            elif edit == 1:
                del body[place:]
            else:
                body[place:place] = chance.choice((b"-1", b"null", b"[]", b"1e400", b'"', b"{}", b"9" * 30))
            if not body:
                body = bytearray(b" ")
        answer = venue.client.post(bytes(body))
        assert isinstance(answer["error"]["code"], int), body
        # INTERNAL would be a defect of ours.
        assert answer["error"]["code"] != -32603, body


# Types.

WRONG: Final[list[Any]] = [
    -1,
    2**24,
    2**64,
    2**256,
    -(2**63),
    1.5,
    1e300,
    "1x",
    "-1",
    " 1",
    "",
    None,
    True,
    [],
    {},
    "0x01",
]


@pytest.mark.parametrize("field", [name for _, name, _ in SIGNED[constants.ORDER][1]])
def test_every_field_of_an_order_with_every_wrong_value(venue: Venue, field: str) -> None:
    for wrong in WRONG:
        params = venue.signed(venue.order(size=1))
        if wrong is True and field in ("post_only", "reduce_only"):
            continue
        params["order"][field] = wrong
        code, name, _ = venue.client.refused("catenary_order", **params)
        wide = isinstance(wrong, int) and not isinstance(wrong, bool) and 0 <= wrong < 2**64
        is_law = code <= -33_001
        assert code == INVALID_PARAMS or (wide and is_law), (field, wrong, code, name)


@pytest.mark.parametrize("missing", ["order", "signature"])
def test_what_is_missing(venue: Venue, missing: str) -> None:
    params = venue.signed(venue.order())
    del params[missing]
    assert venue.client.refused("catenary_order", **params)[0] == INVALID_PARAMS
    params = venue.signed(venue.order())
    del params["order"]["sequence"]
    assert venue.client.refused("catenary_order", **params)[0] == INVALID_PARAMS


def test_too_wide_fields_are_refused_and_never_cut_off(venue: Venue) -> None:
    for field, bits in (
        ("size_lots", 56),
        ("limit_price_ticks", 48),
        ("sequence", 48),
        ("created_at_ms", 48),
        ("expires_at_ms", 48),
        ("trigger_price_ticks", 48),
        ("max_fee_ppm", 16),
        ("max_posting_fee_micros", 24),
    ):
        params = venue.signed(venue.order())
        params["order"][field] += 2**bits
        assert venue.client.refused("catenary_order", **params)[0] == INVALID_PARAMS, field
    for field, bits in (("sequence", 48), ("created_at_ms", 48), ("expires_at_ms", 48), ("slot", 8), ("account", 24)):
        params = venue.request(constants.WITHDRAW, amount=DOLLAR, recipient=b"\x01" * 20)
        params["request"][field] += 2**bits
        assert venue.client.refused("catenary_withdraw", **params)[0] == INVALID_PARAMS, field


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("catenary_account", {"account": -1}),
        ("catenary_account", {"account": 2**24}),
        ("catenary_accounts", {"owner": "0x12"}),
        ("catenary_accounts", {"owner": "zz"}),
        ("catenary_book", {"market": "BTC", "levels": 0}),
        ("catenary_book", {"market": "BTC", "levels": 10_000}),
        ("catenary_book", {"market": None}),
        ("catenary_fills", {"account": 17, "limit": 100_000}),
        ("catenary_withdrawals", {}),
        ("catenary_withdrawalProof", {"index": 10**9}),
        ("catenary_withdrawalProof", {"index": -1}),
        ("catenary_batches", {"limit": 0}),
        ("catenary_faucet", {"address": "0x"}),
        ("catenary_typedData", {"operation": {}}),
        ("catenary_typedData", {"operation": []}),
        ("catenary_typedData", {"operation": {"kind": []}}),
        ("catenary_typedData", {"operation": {"kind": {}}}),
        ("catenary_typedData", {"operation": {"kind": "steal", "account": 17}}),
        ("catenary_typedData", {"operation": {"kind": "cancel", "account": "17"}}),
        ("catenary_typedData", {"operation": {"kind": "cancel", "account": 17, "created_at_ms": []}}),
        ("catenary_typedData", {"operation": {"kind": "cancel", "account": 17, "created_at_ms": 2**70}}),
        ("catenary_typedData", {"operation": {"kind": "order", "account": 17}}),
        ("catenary_typedData", {"operation": {"kind": "set_agent", "account": 17, "agent": "0x12"}}),
        ("catenary_typedData", {"operation": {"kind": "set_agent", "account": 17, "agent_index": 256}}),
        ("catenary_typedData", {"operation": {"kind": "set_agent", "account": 17, "last_slot": -1}}),
        ("catenary_typedData", {"operation": {"kind": "set_leverage", "account": 17, "initial_ppm": 2**24}}),
        ("catenary_typedData", {"operation": {"kind": "set_leverage", "account": 17, "leverage": 10}}),
        ("catenary_typedData", {"operation": {"kind": "order", "account": 17, "time_in_force": {}}}),
        ("catenary_orders", {"orders": [{}]}),
        ("catenary_orders", {"orders": [None] * 101}),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_parameters_that_do_not_fit(venue: Venue, method: str, params: dict[str, Any]) -> None:
    assert venue.client.refused(method, **params)[0] == INVALID_PARAMS


def test_an_account_or_market_that_does_not_exist(venue: Venue) -> None:
    assert venue.client.refused("catenary_account", account=9_999)[:2] == law(codes.NO_ACCOUNT)
    assert venue.client.refused("catenary_book", market="DOGE")[:2] == law(codes.NO_MARKET)
    assert venue.client.refused("catenary_book", market=15)[:2] == law(codes.NO_MARKET)


# Signatures.


def test_a_bad_signature_tells_whom_it_recovers_to(venue: Venue) -> None:
    given = venue.order()
    code, name, data = venue.client.refused("catenary_order", **venue.signed(given, trader=1))
    assert (code, name) == law(codes.BAD_SIGNATURE)
    assert data == {
        "recovered": "0x" + address_of(key(1)).hex(),
        "expected_owner": "0x" + address_of(key(0)).hex(),
        "digest": "0x" + order_digest(venue.node.domain, given).hex(),
    }


@pytest.mark.parametrize(
    ("chain_id", "bridge"), [(1, None), (31_337, b"\x22" * 20)], ids=["another chain", "another rollup"]
)
def test_what_was_signed_for_another_venue(venue: Venue, chain_id: int, bridge: bytes | None) -> None:
    domain = domain_separator(chain_id, bridge or venue.node.rollup)
    order_error = venue.client.refused("catenary_order", **venue.signed(venue.order(), domain=domain))
    params = venue.request(constants.WITHDRAW, domain=domain, amount=DOLLAR, recipient=b"\x01" * 20)
    for code, name, data in (order_error, venue.client.refused("catenary_withdraw", **params)):
        assert (code, name) == law(codes.BAD_SIGNATURE)
        assert set(data) == {"recovered", "expected_owner", "digest"}
        assert data["recovered"] != data["expected_owner"]


@pytest.mark.parametrize("size", [0, 1, 63, 66, 130])
def test_signatures_of_a_wrong_length(venue: Venue, size: int) -> None:
    params = venue.signed(venue.order()) | {"signature": "0x" + "11" * size}
    code, name, data = venue.client.refused("catenary_order", **params)
    assert (code, name) == law(codes.BAD_SIGNATURE)
    assert set(data) == {"recovered", "expected_owner", "digest"}


def long_form(compact: bytes) -> tuple[int, int, int]:
    """r, s, v of a compact signature."""
    word = int.from_bytes(compact[32:], "big")
    return int.from_bytes(compact[:32], "big"), word & (2**255 - 1), 27 + (word >> 255)


def joined(r: int, s: int, v: int) -> str:
    return "0x" + r.to_bytes(32, "big").hex() + s.to_bytes(32, "big").hex() + f"{v:02x}"


def test_the_malleable_twin_and_broken_points(venue: Venue) -> None:
    params = venue.signed(venue.order())
    r, s, v = long_form(bytes.fromhex(params["signature"][2:]))
    high = CURVE_ORDER - s
    compact_high = "0x" + (r.to_bytes(32, "big") + (high | (28 - v) << 255).to_bytes(32, "big")).hex()
    for bad in (
        joined(r, high, 55 - v),
        compact_high if high < 2**255 else joined(r, high, v),
        joined(0, s, v),
        joined(r, 0, v),
        joined(CURVE_ORDER, s, v),
        joined(r, s, 29),
        joined(r, s, 2),
        "0x" + "00" * 64,
        "0x" + "ff" * 64,
    ):
        code, name, data = venue.client.refused("catenary_order", **params | {"signature": bad})
        assert (code, name) == law(codes.BAD_SIGNATURE), bad
        assert set(data) == {"recovered", "expected_owner", "digest"}
    assert venue.client.refused("catenary_order", **params | {"signature": "0xzz"})[0] == INVALID_PARAMS


def test_both_forms_of_a_good_signature_are_taken(venue: Venue) -> None:
    for form in ("64", "65 with 27", "65 with 0"):
        given = venue.order(price_shift=-1_000)
        params = venue.signed(given)
        r, s, v = long_form(bytes.fromhex(params["signature"][2:]))
        if form != "64":
            params["signature"] = joined(r, s, v if form == "65 with 27" else v - 27)
        assert venue.client.call("catenary_order", **params)["status"] == "resting"
        venue.post("catenary_cancel", venue.request(constants.CANCEL, slot=1, sequence=given.sequence))


# What the law refuses.


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"created_at": 1_000}, codes.EXPIRED),
        ({"expires_at": 2**47}, codes.LIFETIME),
        ({"sequence": 2**47}, codes.SEQUENCE_AHEAD),
        ({"size": 1}, codes.TOO_SMALL),
        ({"size": 0}, codes.NOT_CANONICAL),
        ({"limit_price": 0}, codes.NOT_CANONICAL),
        ({"slot": 0}, codes.NOT_CANONICAL),
        ({"time_in_force": 3}, codes.NOT_CANONICAL),
        ({"trigger": 3, "trigger_price": 1}, codes.NOT_CANONICAL),
        ({"trigger_price": 1}, codes.NOT_CANONICAL),
        ({"post_only": 1, "time_in_force": IOC}, codes.NOT_CANONICAL),
        ({"market": 9}, codes.NO_MARKET),
        ({"reduce_only": 1}, codes.REDUCE_ONLY),
        ({"max_fee_ppm": 0}, codes.FEE_ABOVE_MAXIMUM),
        ({"max_posting_fee": 0}, codes.FEE_ABOVE_MAXIMUM),
        ({"size": 10**9}, codes.TAKER_MARGIN),
        ({"size": 2**56 - 1, "limit_price": 2**48 - 1}, codes.TAKER_MARGIN),
    ],
    ids=lambda value: json.dumps(value),
)
def test_orders_that_break_a_rule(venue: Venue, changes: dict[str, int], code: int) -> None:
    others = {name: value for name, value in changes.items() if name != "limit_price"}
    limit = changes.get("limit_price", venue.price)
    given = order(wall_clock_ms(), venue.accounts[0], BUY, limit, **others)
    assert venue.client.refused("catenary_order", **venue.signed(given))[:2] == law(code)


def test_orders_from_the_future(venue: Venue) -> None:
    given = venue.order(created_at=wall_clock_ms() + 60_000)
    assert venue.client.refused("catenary_order", **venue.signed(given))[:2] == law(codes.NOT_YET)


def test_orders_from_before_the_seat_was_taken(venue: Venue) -> None:
    now = wall_clock_ms()
    given = venue.order(created_at=now - 30 * 60_000, expires_at=now + 60_000)
    answer = venue.client.answer("catenary_order", **venue.signed(given))
    assert answer["error"]["code"] == law(codes.CANCELLED)[0]
    assert "before this node's seat was taken" in answer["error"]["message"]


def test_the_largest_size_is_told_to_people_and_programs(venue: Venue) -> None:
    error = venue.client.answer("catenary_order", **venue.signed(venue.order(size=10**9)))["error"]
    most = int(error["data"]["largest_size_lots"])
    assert most > 0
    assert f"{most} lots are the largest size" in error["message"]


def test_a_replayed_order(venue: Venue) -> None:
    given = venue.order(price_shift=-1_000, slot=4)
    params = venue.signed(given)
    first = venue.client.call("catenary_order", **params)
    assert venue.client.call("catenary_order", **params) == first
    cancel = venue.request(constants.CANCEL, slot=4, sequence=given.sequence)
    venue.post("catenary_cancel", cancel)
    assert venue.client.call("catenary_order", **params)["status"] == "cancelled"
    assert venue.client.refused("catenary_cancel", **cancel)[:2] == law(codes.USED)
    immediate = venue.signed(venue.order(price_shift=-1_000, slot=5, time_in_force=IOC))
    done = venue.client.call("catenary_order", **immediate)
    assert done["status"] == "expired"
    assert venue.client.call("catenary_order", **immediate) == done


def test_withdrawals_that_break_a_rule(venue: Venue) -> None:
    good: dict[str, Any] = {"amount": DOLLAR, "recipient": b"\x01" * 20}
    for changes, code in (
        ({"amount": 10**12}, codes.COLLATERAL),
        ({"amount": 2**64 - 1}, codes.COLLATERAL),
        ({"amount": 0}, codes.ZERO_AMOUNT),
        ({"recipient": bytes(20)}, codes.NO_RECIPIENT),
        ({"created_at": 1_000}, codes.EXPIRED),
        ({"expires_at": 2**47}, codes.LIFETIME),
        ({"slot": 0}, codes.NOT_CANONICAL),
    ):
        params = venue.request(constants.WITHDRAW, **{**good, **changes})
        assert venue.client.refused("catenary_withdraw", **params)[:2] == law(code), changes
    for wrong in (-1, "-1", "1e6", 1.5, None, 2**64, str(2**64)):
        params = venue.request(constants.WITHDRAW, **good)
        params["request"]["amount_micros"] = wrong
        assert venue.client.refused("catenary_withdraw", **params)[0] == INVALID_PARAMS, wrong
    params = venue.request(constants.WITHDRAW, **good)
    params["request"]["recipient"] = "0x" + "01" * 19
    assert venue.client.refused("catenary_withdraw", **params)[0] == INVALID_PARAMS
    # A withdrawal is no cancel: each method signs its own type.
    params = venue.request(constants.WITHDRAW, **good)
    assert venue.client.refused("catenary_transfer", **params)[:2] in (
        law(codes.BAD_SIGNATURE),
        law(codes.NOT_OWNER),
    )


def test_a_transfer_to_somebody_else(venue: Venue) -> None:
    params = venue.request(constants.TRANSFER, amount=DOLLAR, other=venue.accounts[1])
    assert venue.client.refused("catenary_transfer", **params)[:2] == law(codes.NOT_OWNER)
    params = venue.request(constants.TRANSFER, amount=DOLLAR, other=venue.accounts[0])
    assert venue.client.refused("catenary_transfer", **params)[:2] == law(codes.SAME_ACCOUNT)


def test_grants_and_bounds_that_break_a_rule(venue: Venue) -> None:
    good: dict[str, Any] = {
        "other": 1,
        "recipient": b"\x01" * 20,
        "amount": wall_clock_ms() + constants.HOUR,
        "first_slot": 1,
        "last_slot": 9,
    }
    for changes, code in (
        ({"slot": 0}, codes.NOT_CANONICAL),
        ({"other": 2}, codes.NOT_CANONICAL),
        ({"first_slot": 10}, codes.NOT_CANONICAL),
        ({"recipient": bytes(20)}, codes.NOT_CANONICAL),
        ({"created_at": 1_000}, codes.EXPIRED),
        ({"expires_at": 2**47}, codes.LIFETIME),
    ):
        params = venue.request(constants.SET_AGENT, **{**good, **changes})
        assert venue.client.refused("catenary_setAgent", **params)[:2] == law(code), changes
    for field, wrong in (
        ("agent_expires_at_ms", 2**48),
        ("agent_index", 256),
        ("first_slot", -1),
        ("last_slot", 256),
        ("agent", "0x" + "01" * 19),
        ("agent", 7),
    ):
        params = venue.request(constants.SET_AGENT, **good)
        params["request"][field] = wrong
        assert venue.client.refused("catenary_setAgent", **params)[0] == INVALID_PARAMS, field
    params = venue.request(constants.SET_LEVERAGE, amount=constants.PPM + 1)
    assert venue.client.refused("catenary_setLeverage", **params)[:2] == law(codes.NOT_CANONICAL)
    params["request"]["initial_ppm"] = 2**24
    assert venue.client.refused("catenary_setLeverage", **params)[0] == INVALID_PARAMS
    # Signed for one method, sent to the other; and by somebody else.
    params = venue.request(constants.SET_LEVERAGE, amount=100_000)
    assert venue.client.refused("catenary_setAgent", **params)[:2] in (
        law(codes.BAD_SIGNATURE),
        law(codes.NOT_CANONICAL),
    )
    params["signature"] = venue.request(constants.SET_LEVERAGE, trader=1, amount=100_000)["signature"]
    code, name, data = venue.client.refused("catenary_setLeverage", **params)
    assert (code, name) == law(codes.BAD_SIGNATURE)
    assert set(data) == {"recovered", "expected_owner", "digest"}
    seen = venue.client.call("catenary_account", account=venue.accounts[0])
    assert (seen["agents"], seen["initial_ppm"]) == ([None, None], 0)


def test_an_agent_beyond_its_grant(venue: Venue) -> None:
    """Trader 1 may cancel in slots 5 to 9 of trader 0's account, and nothing else."""
    agent, resting = key(1), venue.order(price_shift=-1_000, slot=4)
    signed = venue.signed(resting)
    grant = {"recipient": address_of(agent), "amount": wall_clock_ms() + constants.HOUR}
    venue.post("catenary_setAgent", venue.request(constants.SET_AGENT, **grant, first_slot=5, last_slot=9))
    assert venue.client.call("catenary_order", **signed)["status"] == "resting"

    def by_agent(tag: int, **changes: Any) -> dict[str, Any]:
        given = request(wall_clock_ms(), venue.accounts[0], **changes)
        digest = request_digest(venue.node.domain, tag, given)
        fields = signed_fields(tag, given)
        return {"request": fields, "signature": "0x" + sign(agent, digest).hex()}

    code, name, _ = venue.client.refused("catenary_cancel", **by_agent(constants.CANCEL, slot=4))
    assert (code, name) == law(codes.AGENT_LIMITS) == (-33_043, "AGENT_LIMITS")
    refused = venue.client.refused("catenary_cancelAll", **by_agent(constants.CANCEL_ALL, slot=0))
    assert refused[:2] == law(codes.AGENT_LIMITS)
    refused = venue.client.refused("catenary_transfer", **by_agent(constants.TRANSFER, amount=DOLLAR, other=18))
    assert refused[:2] == law(codes.BAD_SIGNATURE)
    assert venue.post("catenary_cancel", by_agent(constants.CANCEL, slot=5))["code"] == 0
    venue.post("catenary_cancel", venue.request(constants.CANCEL, slot=4))
    venue.post("catenary_setAgent", venue.request(constants.SET_AGENT, slot=201))
    refused = venue.client.refused("catenary_cancel", **by_agent(constants.CANCEL, slot=6))
    assert refused[:2] == law(codes.BAD_SIGNATURE)


def test_one_bad_order_among_many_harms_no_other(venue: Venue) -> None:
    good = venue.signed(venue.order(price_shift=-1_000, slot=6))
    bad = venue.signed(venue.order(slot=7), trader=1)
    answers = venue.client.call("catenary_orders", orders=[bad, good, bad])
    assert [sorted(answer) for answer in answers] == [["error"], ["result"], ["error"]]
    assert answers[0]["error"]["code"] == law(codes.BAD_SIGNATURE)[0]
    cancel = venue.request(constants.CANCEL, slot=6)
    venue.post("catenary_cancel", cancel)


def test_what_is_not_posted_yet(venue: Venue) -> None:
    assert venue.client.refused("catenary_withdrawalProof", index=0)[0] == INVALID_PARAMS
    refused = venue.client.answer("catenary_proof", account=venue.accounts[0])
    assert "result" in refused or refused["error"]["data"]["name"] == "NOT_READY"


def test_sells_are_no_better(venue: Venue) -> None:
    given = order(wall_clock_ms(), venue.accounts[0], SELL, venue.price, size=10**9)
    assert venue.client.refused("catenary_order", **venue.signed(given))[:2] == law(codes.TAKER_MARGIN)


def test_the_node_describes_every_method(venue: Venue) -> None:
    answer = httpx.get(f"{venue.node.url}/openrpc.json", trust_env=False, verify=False, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 200
    document = answer.json()
    names = {method["name"] for method in document["methods"]}
    assert {"catenary_order", "catenary_typedData", "catenary_withdraw", "catenary_subscribe"} <= names
    assert {"catenary_setAgent", "catenary_setLeverage"} <= names
    fields = document["components"]["schemas"]["RequestFields"]["properties"]
    signed = {name for tag in SIGNED if tag != constants.ORDER for _, name, _ in SIGNED[tag][1]}
    assert set(fields) == signed
    errors = document["components"]["errors"]
    assert {errors[name]["code"] for name in ("GRACE", "AGENT_LIMITS", "ACCOUNTS_FULL")} == {-33_042, -33_043, -33_044}
    assert venue.client.call("rpc.discover") == document
