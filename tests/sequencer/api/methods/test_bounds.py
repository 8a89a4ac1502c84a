"""What a node says that may be asked of it is what it holds its callers to."""

from typing import Any

import httpx
import msgspec
import pytest

from sequencer.api.methods.bounds import Bounds
from sequencer.api.rpc.handlers import register
from sequencer.api.rpc.limits import Limits
from sequencer.engine import order_book
from sequencer.schema.answers import LimitsView, Tokens
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.api.conftest import Running, Start
from tests.sequencer.api.transport.test_http import call_bytes

pytestmark = pytest.mark.trio

BOOK = order_book.Limits(orders=1_000, orders_of_account=3, micros_of_place=7)


async def test_what_is_left_goes_down_by_what_was_asked(start: Start) -> None:
    limits = Limits(start_tokens=40, connection_rate=1e-9, address_rate=1e-9, address_burst=100, batch_calls=7)
    node: Running = await start(limits, clock=lambda: 0.0)
    register(node.venue.registry, Bounds(limits, BOOK))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{node.port}", timeout=PATIENCE_SECONDS) as client:

        async def told() -> LimitsView:
            answer: Any = (await client.post("/", content=call_bytes("catenary_limits"))).json()
            return msgspec.convert(answer["result"], LimitsView)

        first = await told()
        assert first.connection == Tokens(39, 0, limits.connection_burst)
        assert first.address == Tokens(60, 0, 100)
        await client.post("/", content=call_bytes("echo", [1]))
        assert (await told()).connection.left == 37
        assert (first.batch_calls, first.body_bytes) == (7, limits.body_bytes)
        assert (first.venue.account_orders, first.venue.place_micros, first.venue.book_orders) == (3, 7, 1_000)


async def test_a_batch_past_what_is_told_is_refused_and_one_of_it_is_taken(start: Start) -> None:
    limits = Limits(batch_calls=7)
    node: Running = await start(limits)
    one = call_bytes("echo", [1])
    for count, is_taken in ((7, True), (8, False)):
        answer: Any = (await node.post(b"[" + b",".join([one] * count) + b"]")).json()
        assert isinstance(answer, list) == is_taken
    assert answer["error"]["data"] == {"name": "BATCH_TOO_LARGE", "most": 7}
