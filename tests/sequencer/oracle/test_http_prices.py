"""Prices over HTTP: where they stand in an answer, and what is none."""

from typing import Any

import httpx
import pytest
import trio
import trio.testing

from sequencer.oracle.http_prices import USUAL, Agreement, HttpPrices
from sequencer.oracle.options import HttpPrice, parse_http_price
from sequencer.oracle.price_sources import Quote

NOW = 1_800_000_000_000


class Shop:
    """An HTTP source that answers what a test sets."""

    def __init__(self, *urls_and_paths: str, agreement: Agreement = USUAL) -> None:
        self.answers: dict[str, Any] = {}
        self.failures: list[tuple[str, str]] = []
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        wanted = [[parse_http_price(text) for text in of_market.split(" ")] for of_market in urls_and_paths]
        failed = self.failures.append
        self.source = HttpPrices(client, wanted, lambda: NOW, lambda *told: failed(told), 15_000, agreement)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        given = self.answers[request.url.path]
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, httpx.Response) else httpx.Response(200, json=given)

    def quotes(self) -> list[Quote | None]:
        """What the source quotes now."""
        return trio.run(self.source.quotes, NOW)


def test_where_a_price_stands() -> None:
    assert parse_http_price("https://x.example/a?b=c#result.0.price") == HttpPrice(
        "https://x.example/a?b=c", ("result", "0", "price")
    )
    assert parse_http_price("http://x.example#p,data.time").time_path == ("data", "time")
    for wrong in ("", "https://x.example", "https://x.example#", "ftp://x.example#p", "x#p", "file:///etc/passwd#p"):
        with pytest.raises(ValueError, match="URL#path"):
            parse_http_price(wrong)


def test_prices_from_json_as_sources_write_it() -> None:
    shop = Shop("http://x.example/one#result.XBT.c.0", "http://x.example/two#price,time")
    shop.answers = {
        "/one": {"result": {"XBT": {"c": ["60000.5", "0.1"]}}},
        "/two": {"price": 3_000, "time": NOW // 1_000 - 7},
    }
    assert shop.quotes() == [Quote(60_000.5, NOW), Quote(3_000.0, NOW - 7_000)]
    shop.answers["/two"] = {"price": 3_000, "time": "2027-01-15T08:00:00Z"}
    assert shop.quotes()[1] == Quote(3_000.0, NOW)
    # Brackets in a string nest nothing.
    shop.answers["/two"] = {"note": '\\"' + "[" * 100, "price": 3_000, "time": NOW}
    assert shop.quotes()[1] == Quote(3_000.0, NOW)
    # A time of the future makes no price younger.
    shop.answers["/two"] = {"price": 3_000, "time": NOW + 10**9}
    assert shop.quotes()[1] == Quote(3_000.0, NOW)
    assert shop.failures == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"price": 1, "time": NOW - 15_001}, "15001 ms old"),
        ({"price": 0, "time": NOW}, "above 0"),
        ({"price": -1, "time": NOW}, "above 0"),
        ({"price": True, "time": NOW}, "no number"),
        ({"price": None, "time": NOW}, "no number"),
        ({"price": "nan", "time": NOW}, "above 0"),
        ({"price": "1e999", "time": NOW}, "above 0"),
        ({"price": "much", "time": NOW}, "could not convert"),
        ({"price": 1}, "has no time"),
        ({"price": 1, "time": "soon"}, "soon"),
        ([], "has no price"),
        (httpx.Response(200, content=b"<html>"), "not JSON"),
        (httpx.Response(200, content=b"[" * 100_000), "nested deeper than 32"),
        (httpx.Response(200, content=b'{"[": ' * 100_000), "nested deeper than 32"),
        (httpx.Response(200, content=b'["' + b"[" * 100_000), "nested deeper than 32"),
        (httpx.Response(503, json={"price": 1, "time": NOW}), "HTTP status 503"),
        (httpx.Response(302, headers={"location": "http://169.254.169.254/"}), "HTTP status 302"),
        (httpx.Response(200, content=b" " * (1 << 20) + b"{}"), "larger than"),
        (httpx.ConnectError("refused"), "refused"),
    ],
)
def test_what_is_no_price(answer: Any, words: str) -> None:
    shop = Shop("http://x.example/one#price,time")
    shop.answers = {"/one": answer}
    assert shop.quotes() == [None]
    ((url, reason),) = shop.failures
    assert url == "http://x.example/one"
    assert words in reason


def three(agreement: Agreement = USUAL) -> Shop:
    """A market of three sources."""
    return Shop(" ".join(f"http://x.example/{name}#price" for name in "abc"), agreement=agreement)


def test_of_several_sources_the_median_of_those_that_agree() -> None:
    shop = three()
    shop.answers = {"/a": {"price": 1_000}, "/b": {"price": 1_004}, "/c": {"price": 5}}
    assert shop.quotes() == [Quote(1_000.0, NOW)]
    assert shop.failures == [("http://x.example/c", "5 dollars, where others say 1000")]
    shop.answers["/c"] = {"price": 1_010}
    assert shop.quotes() == [Quote(1_004.0, NOW)]
    shop.answers = dict.fromkeys(("/a", "/b", "/c"), httpx.ConnectError("refused"))
    assert shop.quotes() == [None]


def test_of_two_that_differ_by_a_digit_neither_is_a_price() -> None:
    shop = three()
    shop.answers = {"/a": {"price": 60_000.1}, "/b": {"price": 6_000.01}, "/c": httpx.Response(500)}
    assert shop.quotes() == [None]
    shop.answers["/c"] = {"price": 60_000.3}
    assert shop.quotes() == [Quote(60_000.1, NOW)]


@pytest.mark.parametrize(
    ("least", "answering", "is_price"), [(None, 2, True), (None, 1, False), (1, 1, True), (3, 2, False)]
)
def test_so_many_have_to_agree(least: int | None, answering: int, is_price: bool) -> None:
    shop = three(Agreement(least))
    given = [{"price": 10}] * answering + [httpx.Response(500)] * (3 - answering)
    shop.answers = dict(zip(("/a", "/b", "/c"), given, strict=True))
    assert (shop.quotes() != [None]) is is_price


@pytest.mark.parametrize(("price", "is_price"), [(1_010, True), (1_010.01, False), (990, True), (989.99, False)])
def test_they_agree_within_the_spread(price: float, is_price: bool) -> None:
    shop = three(Agreement(3))
    shop.answers = {"/a": {"price": 1_000}, "/b": {"price": 1_000}, "/c": {"price": price}}
    assert (shop.quotes() != [None]) is is_price


def test_a_source_that_hangs_is_left() -> None:
    class Hanging(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await trio.sleep_forever()
            raise AssertionError

    client = httpx.AsyncClient(transport=Hanging())
    failures: list[str] = []
    source = HttpPrices(
        client, [[parse_http_price("http://x.example#p")]], lambda: NOW, lambda url, why: failures.append(why)
    )
    assert trio.run(source.quotes, NOW, clock=trio.testing.MockClock(autojump_threshold=0)) == [None]
    assert failures == ["no answer in 3 s"]
