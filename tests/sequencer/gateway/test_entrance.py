"""The gateway's port under programs that are broken, hostile or lost, against a real node."""

import json
from typing import Any

import httpx
import msgpack
import pytest
import trio

from l1_bridge.hashing import keccak
from prover.signing.signatures import sign
from prover.stf.signatures import HALF_ORDER
from sequencer.api.rpc.errors import INTERNAL
from sequencer.client.clock import wall_clock_ms
from sequencer.client.socket import connected
from sequencer.gateway import refusals, shapes, streams
from sequencer.gateway.exchange import MOST_ORDERS
from sequencer.gateway.nonces import AHEAD_MS
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.gateway.conftest import SIGNER, SIGNER_KEY, World, running_gateway

pytestmark = pytest.mark.slow

ORDER = {"a": 0, "b": True, "p": "50000", "s": "0.002", "r": False, "t": {"limit": {"tif": "Gtc"}}}
_DOMAIN = keccak(
    keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    + keccak(b"Exchange")
    + keccak(b"1")
    + (1337).to_bytes(32, "big")
    + bytes(32)
)


def signed(action: dict[str, Any], key: bytes = SIGNER_KEY, source: bytes = b"b", nonce: int | None = None) -> Any:
    """An action as a program posts it."""
    nonce = wall_clock_ms() if nonce is None else nonce
    identity = keccak(msgpack.packb(action) + nonce.to_bytes(8, "big") + b"\x00")
    agent = keccak(keccak(b"Agent(string source,bytes32 connectionId)") + keccak(source) + identity)
    compact = sign(key, keccak(b"\x19\x01" + _DOMAIN + agent))
    parity_and_s = int.from_bytes(compact[32:], "big")
    s = parity_and_s & (1 << 255) - 1
    assert s <= HALF_ORDER
    signature = {"r": hex(int.from_bytes(compact[:32], "big")), "s": hex(s), "v": 27 + (parity_and_s >> 255)}
    return {"action": action, "nonce": nonce, "signature": signature, "vaultAddress": None}


def order(**changes: Any) -> dict[str, Any]:
    """An action of one order."""
    return {"type": "order", "orders": [{**ORDER, **changes}], "grouping": "na"}


def refused(world: World, payload: Any) -> str:
    """Why an action is refused whole; nothing of it was done."""
    answer = world.post("/exchange", payload)
    assert answer["status"] == "err", answer
    assert world.info("openOrders", user=SIGNER) == []
    assert isinstance(answer["response"], str)
    return str(answer["response"])


def test_a_message_that_was_seen_is_not_done_again(world: World) -> None:
    placed = signed(order())
    (status,) = world.post("/exchange", placed)["response"]["data"]["statuses"]
    cancel = signed({"type": "cancel", "cancels": [{"a": 0, "o": status["resting"]["oid"]}]})
    assert world.post("/exchange", cancel)["response"]["data"]["statuses"] == ["success"]
    assert "used already" in refused(world, placed)
    assert "used already" in refused(world, cancel)


def test_a_wrong_byte_is_answered_with_the_address_that_it_leads_to(world: World) -> None:
    changed = signed(order())
    changed["action"]["orders"][0]["s"] = "0.003"
    told = refused(world, changed)
    assert told.startswith("User or API Wallet 0x")
    assert "the action's hash 0x" in told


def test_a_stranger_and_a_signature_for_the_mainnet_are_refused(world: World) -> None:
    stranger = refused(world, signed(order(), keccak(b"a stranger")))
    assert stranger.startswith("User or API Wallet 0x")
    assert 'source "a"' in refused(world, signed(order(), source=b"a"))


def test_nonces_are_of_this_time(world: World) -> None:
    assert "older" in refused(world, signed(order(), nonce=1))
    assert "ahead" in refused(world, signed(order(), nonce=wall_clock_ms() + AHEAD_MS + 3_600_000))


@pytest.mark.parametrize(
    "action",
    [
        {"type": "order"},
        {"type": "order", "orders": [], "grouping": "na"},
        {"type": "order", "orders": [ORDER] * (MOST_ORDERS + 1), "grouping": "na"},
        {"type": "order", "orders": [{**ORDER, "p": 50_000}], "grouping": "na"},
        {"type": "order", "orders": [{**ORDER, "x": 1}], "grouping": "na"},
        {"type": "order", "orders": [ORDER], "grouping": "other"},
        {"type": "cancel", "cancels": [{"a": 0, "o": "1"}]},
        {"type": "cancelByCloid", "cancels": [{"asset": 0}]},
        {"type": "batchModify", "modifies": [{"oid": [], "order": ORDER}]},
        {"type": "scheduleCancel", "time": -1},
        {"type": "twapOrder", "twap": {}},
        {"type": "x" * 10_000},
    ],
)
def test_an_action_that_is_none_is_refused_in_words(world: World, action: dict[str, Any]) -> None:
    assert len(refused(world, signed(action))) < 2_000


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"a": 99}, "There is no asset 99"),
        ({"a": -1}, "There is no asset -1"),
        ({"p": "0"}, refusals.OFF_TICK),
        ({"p": "NaN"}, refusals.OFF_TICK),
        ({"p": "1" * 20}, refusals.BAD_SIZE),
        ({"s": "9" * 20}, refusals.BAD_SIZE),
        ({"c": "mine"}, "A cloid is"),
        ({"t": {}}, "A limit order is"),
        ({"t": {"trigger": {"isMarket": False, "triggerPx": "0", "tpsl": "sl"}}}, refusals.BAD_TRIGGER),
        ({"t": {"trigger": {"isMarket": False, "triggerPx": "1", "tpsl": "ts"}}}, refusals.BAD_TRIGGER),
    ],
)
def test_an_order_that_cannot_be_signed_harms_no_other(world: World, changes: dict[str, Any], words: str) -> None:
    answer = world.post("/exchange", signed({**order(), "orders": [{**ORDER, **changes}, ORDER]}))
    first, second = answer["response"]["data"]["statuses"]
    assert first["error"].startswith(words)
    cancel = {"type": "cancel", "cancels": [{"a": 0, "o": second["resting"]["oid"]}]}
    assert world.post("/exchange", signed(cancel))["response"]["data"]["statuses"] == ["success"]


def test_a_change_that_is_named_wrongly_harms_no_other(world: World) -> None:
    placed = world.post("/exchange", signed({**order(), "orders": [ORDER, ORDER]}))
    first, second = (status["resting"]["oid"] for status in placed["response"]["data"]["statuses"])
    changes = [{"oid": first, "order": {**ORDER, "c": "mine"}}, {"oid": second, "order": {**ORDER, "p": "50001"}}]
    answer = world.post("/exchange", signed({"type": "batchModify", "modifies": changes}))
    wrong, changed = answer["response"]["data"]["statuses"]
    assert wrong["error"].startswith("A cloid is")
    cancels = [{"a": 0, "o": number} for number in (first, changed["resting"]["oid"])]
    assert world.post("/exchange", signed({"type": "cancel", "cancels": cancels}))["response"]["data"]["statuses"] == [
        "success",
        "success",
    ]


@pytest.mark.parametrize("path", ["/info", "/exchange"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"7",
        b'{"type":',
        b"[" * 10_000,
        b'{"type":"meta","type":"meta"}',
        b"\xff",
        b"1e999",
    ],
)
def test_garbage_is_answered_by_200_and_an_error(world: World, path: str, body: bytes) -> None:
    assert world.post(path, body)["status"] == "err"


@pytest.mark.parametrize(
    "question",
    [
        {"type": "l2Book"},
        {"type": "l2Book", "coin": ["BTC"]},
        {"type": "l2Book", "coin": "@1"},
        {"type": "clearinghouseState"},
        {"type": "clearinghouseState", "user": "0x12"},
        {"type": "clearinghouseState", "user": "0x" + "12" * 20},
        {"type": "orderStatus", "user": SIGNER, "oid": -1},
        {"type": "orderStatus", "user": SIGNER, "oid": "x"},
        {"type": "orderStatus", "user": SIGNER},
        {"type": "userFillsByTime", "user": SIGNER, "startTime": "1"},
        {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": ["1m"]}},
        {"type": "meta", "dex": "other"},
        {"type": "x" * 10_000},
    ],
)
def test_a_question_without_an_answer_is_refused_in_words(world: World, question: dict[str, Any]) -> None:
    answer = world.post("/info", question)
    assert answer["status"] == "err"
    assert len(answer["response"]) < 2_000
    assert not answer["response"].startswith(INTERNAL.sentence)


def test_what_programs_ask_at_their_start_is_answered(world: World) -> None:
    assert world.info("perpDexs") == [None]
    assert world.info("spotMetaAndAssetCtxs") == [shapes.spot_meta(), []]
    assert world.info("spotClearinghouseState", user=SIGNER) == {"balances": []}
    assert world.info("userAbstraction", user=SIGNER) == "disabled"
    assert (world.info("userRole", user=SIGNER), world.info("userRole", user="0x12")) == (
        {"role": "user"},
        {"role": "missing"},
    )
    assert world.info("subAccounts", user=SIGNER) is None
    assert world.info("maxBuilderFee", user=SIGNER) == 0
    assert float(world.info("userFees", user=SIGNER)["userCrossRate"]) > 0
    (agent,) = world.info("extraAgents", user=SIGNER)
    assert agent["name"] == "agent 0"
    data = world.info("activeAssetData", user=SIGNER, coin="BTC")
    assert float(data["maxTradeSzs"][0]) > 0
    assert isinstance(world.info("recentTrades", coin="BTC"), list)


def test_a_page_of_a_foreign_site_and_a_body_without_end_are_refused_as_by_the_node(world: World) -> None:
    with httpx.Client(base_url=world.url, trust_env=False, verify=False, timeout=PATIENCE_SECONDS) as client:
        foreign = client.post("/exchange", json={}, headers={"origin": "https://elsewhere.example"})
        assert (foreign.status_code, foreign.json()["code"]) == (403, "FORBIDDEN_ORIGIN")
        named = client.post("/info", json={"type": "meta"}, headers={"host": "elsewhere.example"})
        assert (named.status_code, named.json()["code"]) == (403, "FORBIDDEN_HOST")
        large = client.post("/info", content=b" " * 1_000_001)
        assert (large.status_code, large.json()["code"]) == (413, "TOO_LARGE")
        assert client.post("/", json={}).status_code == 404
        assert client.get("/info").status_code == 405
        assert client.get("/health").json() == {"healthy": True}
        assert "catenary_api_calls" in client.get("/metrics").text


@pytest.fixture
def speak(world: World) -> Any:
    """Messages to one WebSocket, and what is answered to each but for what is told beside."""

    async def said(messages: list[Any]) -> list[Any]:
        answers = []
        with trio.fail_after(PATIENCE_SECONDS):
            async with connected(world.url) as socket:
                for message in messages:
                    await socket.send(message if isinstance(message, str) else json.dumps(message))
                    while True:
                        answer = json.loads(await socket.receive())
                        if answer["channel"] not in streams.KINDS:
                            answers.append(answer)
                            break
        return answers

    return lambda *messages: trio.run(said, list(messages))


def test_the_websocket_answers_whatever_is_said(speak: Any) -> None:
    book = {"type": "l2Book", "coin": "BTC"}
    info = {"type": "info", "payload": {"type": "userRole", "user": SIGNER}}
    answers = speak(
        {"method": "ping"},
        {"method": "subscribe", "subscription": book},
        {"method": "subscribe", "subscription": book},
        {"method": "unsubscribe", "subscription": book},
        {"method": "unsubscribe", "subscription": book},
        {"method": "subscribe", "subscription": {"type": "candle", "coin": "BTC", "interval": "2m"}},
        {"method": "subscribe", "subscription": {"type": "userFills", "user": "0x" + "12" * 20}},
        {"method": "subscribe"},
        {"method": "subscribe", "subscription": {"type": ["l2Book"]}},
        {"method": "post", "id": 7, "request": info},
        {"method": "post", "id": 8, "request": {"type": "action", "payload": signed(order(), keccak(b"a stranger"))}},
        {"method": "post", "id": 9},
        [],
        7,
        "{",
    )
    assert [answer["channel"] for answer in answers[:11]] == [
        "pong",
        "subscriptionResponse",
        "error",
        "subscriptionResponse",
        "error",
        "error",
        "error",
        "error",
        "error",
        "post",
        "post",
    ]
    assert answers[9]["data"] == {
        "id": 7,
        "response": {"type": "info", "payload": {"type": "userRole", "data": {"role": "user"}}},
    }
    assert answers[10]["data"]["response"]["payload"]["status"] == "err"
    assert answers[11]["data"]["response"]["type"] == "error"
    assert not any(INTERNAL.sentence in str(answer["data"]) for answer in answers[1:])
    assert [answer["channel"] for answer in answers[12:]] == ["error"] * 3


def test_a_started_gateway_takes_nothing_of_before(world: World) -> None:
    seen = signed(order())
    password = world.owner.directory.parent / "password"
    options = ("--signer", SIGNER, str(world.account), "agent", "--password-file", str(password))
    with running_gateway(world.owner, *options) as url:
        answer = httpx.post(url + "/exchange", json=seen, trust_env=False, verify=False, timeout=PATIENCE_SECONDS)
        assert "older than this gateway takes" in answer.json()["response"]
