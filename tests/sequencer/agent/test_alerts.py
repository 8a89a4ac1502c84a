"""Webhooks are tried again and given up; commands read what happened; who hangs holds nobody up."""

import json
import sys
from pathlib import Path

import httpx
import pytest
import trio
from trio.testing import MockClock

from sequencer.agent.alerts import MOST_WAITING, Alerts
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.trio


async def test_a_webhook_is_tried_again_until_it_answers(autojump_clock: MockClock) -> None:
    heard: list[bytes] = []
    statuses = [500, 503, 200, 200]

    async def answer(request: httpx.Request) -> httpx.Response:
        heard.append(request.content)
        return httpx.Response(statuses.pop(0))

    alerts = Alerts(["http://hook/secret"], [], httpx.MockTransport(answer))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alerts.run)
        alerts.tell("margin_call", level_percent=80)
        alerts.tell("task_over", task="in")
        await trio.sleep(60)
        nursery.cancel_scope.cancel()
    assert [json.loads(body)["event"] for body in heard] == ["margin_call"] * 3 + ["task_over"]


async def test_one_that_never_answers_is_given_up_and_holds_up_no_other(autojump_clock: MockClock) -> None:
    heard: list[str] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        heard.append(request.url.host)
        if request.url.host == "dead":
            await trio.sleep_forever()
        return httpx.Response(204)

    alerts = Alerts(["http://dead", "http://well"], [], httpx.MockTransport(answer))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alerts.run)
        for _ in range(MOST_WAITING + 9):
            alerts.tell("trouble", why="x")
        await trio.sleep(3_600 * 24)
        nursery.cancel_scope.cancel()
    # Nobody heard more than what waits at most, and five times is enough for one that says nothing.
    assert heard.count("well") == MOST_WAITING
    assert heard.count("dead") == 5 * MOST_WAITING


async def test_a_command_reads_what_happened(tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = f"import sys; open({str(told)!r}, 'a').write(sys.stdin.read())"
    alerts = Alerts([], [[sys.executable, "-c", program], ["/no/such/program"]])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(alerts.run)
        alerts.tell("margin_call", level_percent=80)
        with trio.fail_after(PATIENCE_SECONDS):
            while not told.exists() or not told.read_text().endswith("\n"):
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert json.loads(told.read_text()) == {"event": "margin_call", "level_percent": 80}
