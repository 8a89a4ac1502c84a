"""What the shipped page asks of a node in a visit: `python -m tests.browser.recording [FILE]` writes it anew.

Somebody with a position looks at a market, types an order, looks at the trades, at the pool and at the rollup, and
comes back. A line a call: milliseconds since the first one, and the call as it went out. `tests.benchmarks.pages` sends
them again, without a browser.
"""

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from playwright.sync_api import Browser, WebSocket

from prover.stf.constants import BUY
from sequencer.client.clock import wall_clock_ms
from tests.benchmarks.pages import RECORDED
from tests.browser.chromium import browsing, tab
from tests.browser.conftest import USUAL
from tests.browser.pictures import show
from tests.browser.played import Played
from tests.sequencer.node_process import Node, node_inside, some_l1

_LOOKS_MS: Final = 6_000


def visit(browser: Browser, node: Node, looks_ms: int = _LOOKS_MS) -> list[tuple[int, dict[str, Any]]]:
    """One, and what its page sent. looks_ms: how long each view is looked at."""
    trader = Played(node, 2_000)
    trader.take(0, BUY, 200_000)
    sent: list[tuple[float, int, dict[str, Any]]] = []
    with tab(browser, node.url) as found:

        def hear(socket: WebSocket) -> None:
            socket.on("framesent", lambda text: sent.append((time.monotonic(), wall_clock_ms(), json.loads(text))))

        page = found.page
        page.on("websocket", hear)
        trader.enter(found)
        show(found, "trade/BTC")
        page.wait_for_timeout(looks_ms)
        page.get_by_role("button", name="Oracle", exact=True).click()
        size = page.get_by_role("textbox", name="Size", exact=True)
        for digit in "0.012":
            size.press(digit)
        page.wait_for_timeout(looks_ms)
        page.get_by_label("Prices of").select_option("trades")
        page.get_by_role("tab", name="Trades", exact=True).click()
        page.wait_for_timeout(looks_ms)
        for view in ("pool", "rollup", "trade/BTC"):
            show(found, view)
            page.wait_for_timeout(looks_ms)
    owner = next(call["params"]["owner"] for _, _, call in sent if "owner" in call["params"])
    began = sent[0][0]
    return [(round((at - began) * 1_000), anybodys(call, trader.account, owner, now_ms)) for at, now_ms, call in sent]


def anybodys(value: Any, account: int, owner: str, now_ms: int, name: str = "") -> Any:
    """A call whose account, owner and times are whose and when it is sent."""
    match value:
        case dict():
            return {key: anybodys(one, account, owner, now_ms, key) for key, one in value.items()}
        case int() if name == "account" and value == account:
            return "$account"
        case int() if name.endswith("_at_ms"):
            return f"$now+{value - now_ms}"
        case str():
            return {owner: "$owner", f"account:{account}": "account:$account"}.get(value, value)
    return value


def main() -> None:
    """Writes the file."""
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else RECORDED
    with TemporaryDirectory() as place, some_l1(Path(place) / "l1") as l1:
        flags = ("--l1-rpc-url", l1.url, "--deploy", "--page-l1-url", l1.url)
        with node_inside(Path(place) / "node", *flags, usual=USUAL) as node, browsing() as browser:
            lines = [json.dumps(line, separators=(",", ":")) for line in visit(browser, node)]
    file.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
