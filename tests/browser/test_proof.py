"""The own account's proof, followed in the browser: it holds, or the step that does not is named."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from l1_bridge.hashing import keccak
from tests.browser.chromium import tab, until
from tests.browser.played import Played
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import Node

INJECTED: Final = Path(__file__).parent / "injected"
RECORD: Final = "0x" + keccak(b"record(uint256)")[:4].hex()
FLIPPED: Final = (
    "const flipped = (text, at) => text.slice(0, at) + (text.at(at) === '0' ? '1' : '0') + text.slice(at + 1);"
)


def has_leaf(venue: Node, account: int) -> bool:
    """Whether a posted batch holds the account."""
    answer = venue.client.answer("catenary_proof", account=account)
    return bool(answer.get("result", {}).get("leaf", "0x") != "0x")


@pytest.fixture
def owner(browser: Browser, venue: Node) -> Iterator[Page]:
    """Somebody with 200 dollars that L1 holds, at the rollup's view."""
    with tab(browser, venue.url) as found:
        played = Played(venue, 200)
        played.enter(found)
        found.page.add_init_script(path=INJECTED / "lied.js")
        found.page.goto("/#/rollup")
        expect(found.page.locator(".connect > button")).to_contain_text("play money")
        until(found.page, lambda: has_leaf(venue, played.account))
        yield found.page


def checked(page: Page) -> str:
    """What the page says of the proof."""
    page.get_by_role("button", name="Check account").click()
    said = page.locator(".proof [role=status] > p").first
    expect(said).to_be_visible()
    return said.inner_text()


def test_it_holds(owner: Page) -> None:
    assert checked(owner) == "✓ All 36 steps hold: L1 commits to this account."
    expect(owner.locator(".proof dl")).to_contain_text("200.00")


def test_it_says_of_which_batch_it_is_how_final_that_is_and_stays_while_others_are_looked_at(owner: Page) -> None:
    checked(owner)
    standing = owner.locator(".proof .standing")
    expect(standing).to_have_text(re.compile(r"^Batch \d+: (posted, final in \d+ s by L1|final)\. Checked "))
    batch = standing.inner_text().partition(":")[0]
    owner.get_by_role("link", name="Pool", exact=True).click()
    expect(owner.locator("h1")).to_contain_text("Pool of account")
    owner.get_by_role("link", name="Rollup", exact=True).click()
    expect(standing).to_contain_text(batch)
    # The window is over some seconds later.
    expect(standing).to_contain_text(f"{batch}: final.")
    expect(standing).to_contain_text("posted since")


LIES: Final = {
    "owner": ("leaf: flipped(proof.leaf, 41)", "✗ Step 1 does not hold: The leaf is of its owner."),
    "money": ("leaf: flipped(proof.leaf, 87)", "✗ Step 35 does not hold: The tree's root stands in the commitment."),
    "sibling": (
        "path: proof.path.with(9, flipped(proof.path[9], 20))",
        "✗ Step 35 does not hold: The tree's root stands in the commitment.",
    ),
    "length": ("path: proof.path.slice(1)", "No proof: the path has 31 siblings, not 32"),
    "commitment": (
        "commitment: proof.commitment.with(8, flipped(proof.commitment[8], 20))",
        "✗ Step 36 does not hold: The commitment opens batch",
    ),
}


@pytest.mark.parametrize("what", LIES)
def test_a_node_that_lies_is_told_by_the_step(owner: Page, what: str) -> None:
    lie, said = LIES[what]
    owner.evaluate(f"() => {{ {FLIPPED} lied.about.catenary_proof = (proof) => ({{ ...proof, {lie} }}); }}")
    assert checked(owner).startswith(said)
    expect(owner.locator(".proof dl")).to_have_count(0)
    # Once it is told the truth, it holds again.
    owner.evaluate("() => { lied.about = {}; }")
    owner.get_by_role("button", name="Check account").click()
    expect(owner.locator(".proof")).to_contain_text("All 36 steps hold")


def test_an_l1_with_another_root_is_told_by_the_step(owner: Page, venue: Node) -> None:
    def other(route: Route) -> None:
        asked = route.request.post_data_json
        answer = httpx.post(venue.l1_url, json=asked, trust_env=False, timeout=PATIENCE_SECONDS).json()
        data = asked["params"][0]["data"] if asked["method"] == "eth_call" else ""
        if data.startswith(RECORD) and int(data[10:], 16) > 0:
            # Of the record's words the third is the root.
            at = 2 + 3 * 64 - 1
            letter = "1" if answer["result"][at] == "0" else "0"
            answer["result"] = answer["result"][:at] + letter + answer["result"][at + 1 :]
        route.fulfill(json=answer, headers={"access-control-allow-origin": "*"})

    owner.route(f"{venue.l1_url}/", other)
    assert checked(owner).startswith("✗ Step 36 does not hold: The commitment opens batch")
    expect(owner.locator(".steps .loss")).to_contain_text("the bridge keeps 0x")
