"""Isolated accounts as the wallet opens, closes and resumes them, against a venue of a few numbers."""

import functools
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from l1_bridge.client.client import L1Client
from prover.stf import codes, constants
from sequencer.client.client import Fields, NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.client.delivery import Placing
from sequencer.client.errors import NodeUnreachable, Rejected
from sequencer.schema.accounts import AccountView, Maturing, OpenOrder, Outlook, PositionView, Preview
from sequencer.schema.answers import MarketView, OrderResult, RequestResult
from sequencer.schema.params import UnsignedOperation
from sequencer.wallet.bridge import Bridge
from sequencer.wallet.commands.isolated import accounts, close_account, closing_terms, open_account
from sequencer.wallet.drafts import OrderTerms
from sequencer.wallet.errors import BadInput, NotGenuine, NotYet
from sequencer.wallet.record import KeptReceipt, Signed
from sequencer.wallet.trust import ListedMarket
from sequencer.wallet.wallet import Wallet
from tests.sequencer.answers import answer
from tests.sequencer.wallet.test_typed_data import VENUE
from tests.sequencer.wallet.test_wallet import KEY, NOW, TrustingWallet

DOLLAR = 1_000_000
BTC = VENUE.markets[0]
PRICE = 600_000
CROSS, ISOLATED = 17, 18
FEE = VENUE.posting_fee_micros
LATER = Maturing(5 * DOLLAR, NOW + 3_600_000)
# What arrives of a hundred dollars.
WHOLE = 100 * DOLLAR - FEE


def account_view(account: int, settled: int, **changes: Any) -> AccountView:
    """An account with settled money only."""
    names = ("settled", "collateral", "equity", "free_collateral", "withdrawable")
    money = dict.fromkeys((f"{name}_micros" for name in names), settled)
    return answer(AccountView, **{"account": account, "owner": "0x" + KEY.address.hex(), **money, **changes})


def listed(ticks: int) -> MarketView:
    """Bitcoin at a price."""
    fees = {"maker_fee_ppm": 100, "taker_fee_ppm": 450, "band_ppm": 50_000}
    of_now = {"price_ticks": ticks, "tick_time_ms": wall_clock_ms()}
    return answer(MarketView, name="BTC", size_decimals=5, price_decimals=1, **of_now, **fees)


class SmallVenue(NodeClient):
    """Accounts as views; orders close as much of a position as there is liquidity for."""

    def __init__(self, *views: AccountView) -> None:
        super().__init__("http://node")
        self.views = {view.account: view for view in views}
        self.liquidity = 10**9
        self.sent: list[tuple[str, Fields]] = []
        self.refuses: dict[str, str] = {}
        self.previewed: list[int | None] = []
        self.beside: list[dict[str, Any]] = []

    async def accounts(self, owner: bytes) -> list[int]:
        return sorted(self.views) if owner == KEY.address else []

    async def account(self, account: int) -> AccountView:
        return self.views[account]

    async def markets(self) -> list[MarketView]:
        return [listed(PRICE)]

    def change(self, account: int, **changes: Any) -> None:
        """Replaces fields of an account."""
        self.views[account] = msgspec.structs.replace(self.views[account], **changes)

    def pay(self, account: int, amount: int) -> None:
        """Adds settled money, or takes the youngest first."""
        maturing = sum(step.amount_micros for step in self.views[account].maturing)
        left = max(0, maturing + min(amount, 0))
        settled = self.views[account].settled_micros + amount + maturing - left
        self.change(account, settled_micros=settled, withdrawable_micros=settled, collateral_micros=settled + left)
        self.change(account, maturing=[Maturing(left, LATER.settles_at_ms)] if left else [])

    def note(self, kind: str, fields: Fields) -> None:
        """Keeps what was sent, or refuses it as told to."""
        self.sent.append((kind, fields))
        if kind in self.refuses:
            raise Rejected(-33_000, self.refuses[kind], "no")

    async def orders(self, signed: Sequence[Placing]) -> list[OrderResult | Rejected]:
        ((order, _, beside),) = signed
        self.beside.append(dict(beside))
        try:
            self.note("order", order)
        except Rejected as refusal:
            return [refusal]
        account = order["account"]
        if not order["reduce_only"]:
            return [answer(OrderResult, status="resting")]
        (held,) = self.views[account].positions
        filled = min(self.liquidity, abs(held.size_lots), order["size_lots"])
        left = (abs(held.size_lots) - filled) * (1 if held.size_lots > 0 else -1)
        self.change(account, positions=[msgspec.structs.replace(held, size_lots=left)] if left else [])
        return [answer(OrderResult, status="filled" if left == 0 else "expired", filled_lots=filled)]

    async def preview(self, operation: Fields, opened_with_micros: int | None = None) -> Preview:
        self.previewed.append(opened_with_micros)
        outlook = answer(Outlook)
        unsigned = UnsignedOperation("order", operation["account"])
        is_refused = "preview" in self.refuses
        told: dict[str, Any] = {"status": "filled"}
        if is_refused:
            told = {"refusal": self.refuses["preview"], "status": "refused", "code": codes.TAKER_MARGIN}
            told["largest_size_lots"] = 1_234
        return answer(Preview, before=outlook, after=outlook, operation=unsigned, **told)

    async def request(self, kind: str, request: Fields, signature: bytes) -> RequestResult:
        self.note(kind, request)
        opened = None
        if kind == "cancel_all":
            self.change(request["account"], open_orders=[])
        else:
            assert kind == "transfer"
            self.pay(request["account"], -request["amount_micros"] - FEE)
            if request["to_account"] == constants.NEW_ACCOUNT:
                opened = max(self.views) + 1
                self.views[opened] = account_view(opened, request["amount_micros"] - constants.CREATION_FEE)
            else:
                self.pay(request["to_account"], request["amount_micros"])
        return answer(RequestResult, account_opened=opened)

    def kinds(self) -> list[str]:
        """What was sent, in order."""
        return [kind for kind, _ in self.sent]


class BelievingBridge(Bridge):
    """A contract whose seat gives its word on every soft cancel."""

    async def word_on(self, *given: Any) -> KeptReceipt:
        return answer(KeptReceipt)


class BelievingWallet(TrustingWallet):
    """A wallet whose receipts have tests of their own."""

    @functools.cached_property
    def bridge(self) -> Bridge:
        options = self._options
        return BelievingBridge(self.node, self._l1, self.verified, self.address, self._key, options, self._directory)


def run(directory: Path, node: SmallVenue, action: Callable[[Wallet], Awaitable[Any]]) -> Any:
    """The outcome of an action of the owner's wallet."""

    async def main() -> Any:
        return await action(BelievingWallet(node, L1Client("http://l1"), KEY.address, directory, key=KEY))

    # An answer that does not come is waited for, in no time.
    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def close(directory: Path, node: SmallVenue, most_ppm: int | None = None) -> tuple[dict[str, Any], list[Any]]:
    """What closing the isolated account says to programs and to people."""
    shown: list[Any] = []
    fields = run(directory, node, lambda wallet: close_account(wallet, ISOLATED, CROSS, most_ppm, shown))
    return fields, shown


def holding(size_lots: int, **changes: Any) -> SmallVenue:
    """A cross account and an isolated one with a position, an order and 100 dollars."""
    isolated = account_view(
        ISOLATED,
        100 * DOLLAR,
        positions=[answer(PositionView, market="BTC", size_lots=size_lots)],
        open_orders=[answer(OpenOrder, market="BTC", slot=1)],
        **changes,
    )
    return SmallVenue(account_view(CROSS, 1_000 * DOLLAR), isolated)


@pytest.mark.parametrize(("size_lots", "side", "worst"), [(300, 1, 570_000), (-300, 0, 630_000)])
def test_closing_cancels_then_reduces_then_moves_everything(
    tmp_path: Path, size_lots: int, side: int, worst: int
) -> None:
    node = holding(size_lots)
    fields, shown = close(tmp_path, node)
    assert node.kinds() == ["cancel_all", "order", "transfer"]
    order = node.sent[1][1]
    assert (order["side"], order["size_lots"], order["limit_price_ticks"]) == (side, 300, worst)
    assert (order["reduce_only"], order["time_in_force"]) == (1, constants.IMMEDIATE_OR_CANCEL)
    assert node.beside == [{"self_trade": "cancel_maker"}]
    transfer = node.sent[2][1]
    assert (transfer["account"], transfer["to_account"], transfer["amount_micros"]) == (ISOLATED, CROSS, WHOLE)
    assert (fields["closed"], fields["moved_micros"], fields["left_micros"]) == (True, str(WHOLE), "0")
    assert any(f"at {worst // 10}" in line for line in shown), "the worst price is stated"
    assert node.views[CROSS].settled_micros == 1_000 * DOLLAR + WHOLE
    # Again: there is nothing left to do, and nothing is done.
    again, shown = close(tmp_path, node)
    assert again["closed"]
    assert node.kinds() == ["cancel_all", "order", "transfer"]
    assert shown == ["account 18 is empty"]


def test_a_position_that_finds_nobody_keeps_its_money(tmp_path: Path) -> None:
    node = holding(300)
    node.liquidity = 100
    with pytest.raises(NotYet, match=r"0\.002 BTC in account 18 .* no money was moved; run again: .*--account 18"):
        close(tmp_path, node)
    assert node.kinds() == ["cancel_all", "order"]
    node.liquidity = 10**9
    fields, _ = close(tmp_path, node)
    assert fields["closed"]
    assert node.sent[3][1]["size_lots"] == 200
    assert node.views[CROSS].settled_micros == 1_000 * DOLLAR + WHOLE


def test_what_matures_moves_too_and_goes_on_maturing(tmp_path: Path) -> None:
    node = holding(300, maturing=[LATER], collateral_micros=105 * DOLLAR)
    fields, shown = close(tmp_path, node)
    assert (fields["closed"], fields["moved_micros"]) == (True, str(WHOLE + 5 * DOLLAR))
    assert shown[-1] == "account 18 is empty"


def test_what_arrives_meanwhile_is_told_and_moved_by_another_run(tmp_path: Path) -> None:
    class LateVenue(SmallVenue):
        """Pays in while the transfer is under way."""

        async def request(self, kind: str, request: Fields, signature: bytes) -> RequestResult:
            answered = await super().request(kind, request, signature)
            if kind == "transfer":
                self.pay(ISOLATED, 7 * DOLLAR)
            return answered

    node = LateVenue(account_view(CROSS, 0), account_view(ISOLATED, 100 * DOLLAR))
    fields, shown = close(tmp_path, node)
    assert (fields["closed"], fields["left_micros"]) == (False, str(7 * DOLLAR))
    assert shown[-1] == "$7.00 of account 18 is left: run again: catenary wallet isolated close --account 18"
    again, _ = close(tmp_path, node)
    assert again["moved_micros"] == str(7 * DOLLAR - FEE)


@pytest.mark.parametrize("step", ["cancel_all", "order", "transfer"])
def test_a_refused_step_is_an_error_and_the_next_run_goes_on(tmp_path: Path, step: str) -> None:
    node = holding(300)
    node.refuses = {step: "GRACE"}
    with pytest.raises(Rejected, match="GRACE"):
        close(tmp_path, node)
    assert node.kinds()[-1] == step
    node.refuses = {}
    fields, _ = close(tmp_path, node)
    assert fields["closed"]
    assert node.views[CROSS].settled_micros == 1_000 * DOLLAR + WHOLE


def test_a_worst_price_lies_within_the_band_and_on_the_near_side() -> None:
    def price(ticks: int, size_lots: int, most_ppm: int | None, band_ppm: int = 50_000) -> int:
        market = ListedMarket(0, "BTC", 5, 100, 450, band_ppm)
        return closing_terms(market, listed(ticks), size_lots, most_ppm, wall_clock_ms()).limit_price

    assert price(PRICE, 1, None) == 570_000
    assert price(PRICE, 1, 1_000) == 599_400
    assert price(PRICE, -1, 1_000) == 600_600
    # Rounded towards the oracle price: the law's band is not exceeded by a fraction of a tick.
    assert (price(10_001, 1, None), price(10_001, -1, None)) == (9_501, 10_501)
    assert price(10, 1, None, band_ppm=1_000_000) == 1
    with pytest.raises(BadInput, match="BTC trades within 5% of the oracle price"):
        price(PRICE, 1, 50_001)
    with pytest.raises(NotYet, match="no oracle price"):
        price(0, 1, None)


FIRST_ORDER = OrderTerms(market=0, side=constants.BUY, size=300, limit_price=PRICE)


def test_an_account_opens_with_its_first_order(tmp_path: Path) -> None:
    node = SmallVenue(account_view(CROSS, 1_000 * DOLLAR))
    report = run(tmp_path, node, lambda wallet: open_account(wallet, BTC, CROSS, 50 * DOLLAR, FIRST_ORDER))
    assert node.kinds() == ["transfer", "order"]
    assert node.sent[0][1]["to_account"] == constants.NEW_ACCOUNT
    assert node.sent[1][1]["account"] == report.fields["account"] == ISOLATED
    assert report.fields["order"]["status"] == "resting"
    assert node.views[ISOLATED].settled_micros == 49 * DOLLAR
    assert "account 18 is open and holds $49.00" in report.shown[1]
    plain = run(tmp_path, node, lambda wallet: open_account(wallet, BTC, CROSS, 50 * DOLLAR, None))
    assert (plain.fields["account"], plain.fields["order"]) == (19, None)


def test_what_would_be_refused_is_not_begun(tmp_path: Path) -> None:
    node = SmallVenue(account_view(CROSS, 1_000 * DOLLAR))
    node.refuses = {"preview": "Free collateral is 49 dollars, and 1234 lots are the largest size that passes."}
    with pytest.raises(
        Rejected, match=r"TAKER_MARGIN: .* 0\.01234 BTC is the largest size that passes\. Account"
    ) as told:
        run(tmp_path, node, lambda wallet: open_account(wallet, BTC, CROSS, 50 * DOLLAR, FIRST_ORDER))
    assert (told.value.rejection, told.value.code) == ("TAKER_MARGIN", -33_000 - codes.TAKER_MARGIN)
    assert (told.value.data["largest_size"], told.value.data["largest_size_lots"]) == ("0.01234", "1234")
    assert node.kinds() == []
    assert node.previewed == [50 * DOLLAR]
    # Without an order there is nothing to try.
    run(tmp_path, node, lambda wallet: open_account(wallet, BTC, CROSS, 50 * DOLLAR, None))
    assert node.previewed == [50 * DOLLAR]


def test_a_refused_transfer_places_no_order_and_a_refused_order_sends_the_money_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = SmallVenue(account_view(CROSS, 1_000 * DOLLAR))
    node.refuses = {"transfer": "COLLATERAL"}
    with pytest.raises(Rejected, match="COLLATERAL"):
        run(tmp_path, node, lambda wallet: open_account(wallet, BTC, CROSS, 50 * DOLLAR, FIRST_ORDER))
    assert node.kinds() == ["transfer"]
    node.refuses = {"order": "TAKER_MARGIN"}
    with pytest.raises(Rejected, match="TAKER_MARGIN") as caught:
        run(tmp_path, node, lambda wallet: open_account(wallet, BTC, CROSS, 50 * DOLLAR, FIRST_ORDER))
    assert caught.value.data["account"] == ISOLATED
    assert node.kinds() == ["transfer", "transfer", "order", "transfer"]
    assert (node.sent[-1][1]["account"], node.sent[-1][1]["to_account"]) == (ISOLATED, CROSS)
    assert caught.value.data["returned_micros"] == str(49 * DOLLAR)
    assert "$49.00 went back to 17" in capsys.readouterr().err


def test_an_order_without_an_answer_leaves_the_money_where_it_may_be_needed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Silent(SmallVenue):
        """Takes what it is sent and does not answer."""

        async def orders(self, signed: Sequence[Placing]) -> list[OrderResult | Rejected]:
            raise NodeUnreachable("gone")

    node = Silent(account_view(CROSS, 1_000 * DOLLAR))
    with pytest.raises(NodeUnreachable) as caught:
        run(tmp_path, node, lambda wallet: open_account(wallet, BTC, CROSS, 50 * DOLLAR, FIRST_ORDER))
    assert caught.value.data["account"] == ISOLATED
    assert node.kinds() == ["transfer"]
    assert "is not known" in capsys.readouterr().err


@pytest.mark.parametrize("claimed", [CROSS, 19, 20, 3, constants.NEW_ACCOUNT, None])
def test_a_node_cannot_have_the_first_order_signed_for_an_old_account(tmp_path: Path, claimed: int | None) -> None:
    class LyingVenue(SmallVenue):
        """Calls an account new that is not."""

        async def request(self, kind: str, request: Fields, signature: bytes) -> RequestResult:
            honest = await super().request(kind, request, signature)
            return msgspec.structs.replace(honest, account_opened=claimed)

    hidden = account_view(20, 1_000 * DOLLAR)
    node = LyingVenue(account_view(CROSS, 1_000 * DOLLAR), account_view(19, 0), hidden)
    run(tmp_path, node, lambda wallet: wallet.order(FIRST_ORDER, 20))

    async def first_only(owner: bytes) -> list[int]:
        return [CROSS, 19]

    # It may hide an account, but not from who has signed for it.
    node.accounts = first_only  # type: ignore[method-assign]
    with pytest.raises(NotGenuine, match="nothing more is signed"):
        run(tmp_path, node, lambda wallet: open_account(wallet, BTC, CROSS, 50 * DOLLAR, FIRST_ORDER))
    assert node.kinds() == ["order", "transfer"]


def test_what_was_signed_for_another_rollup_makes_no_account_old(tmp_path: Path) -> None:
    node = SmallVenue(account_view(CROSS, 1_000 * DOLLAR))
    signed = Signed("0x01", "order", 1, "0x" + "77" * 20, ISOLATED, 1, 1, NOW, 1, "elsewhere")

    async def action(wallet: Wallet) -> Any:
        with wallet.record.locked():
            wallet.record.append([signed])
        return await open_account(wallet, BTC, CROSS, 50 * DOLLAR, FIRST_ORDER)

    assert run(tmp_path, node, action).fields["account"] == ISOLATED


def test_a_market_that_the_node_leaves_out_cannot_be_closed(tmp_path: Path) -> None:
    node = holding(300)

    async def none() -> list[MarketView]:
        return []

    node.markets = none  # type: ignore[method-assign]
    with pytest.raises(NotYet, match="no price of BTC"):
        close(tmp_path, node)
    assert node.kinds() == ["cancel_all"]


def test_the_cross_account_is_the_first_unless_another_is_named(tmp_path: Path) -> None:
    node = SmallVenue(*(account_view(account, 0) for account in (CROSS, ISOLATED, 20)))

    def chosen(cross: int | None, isolated: int | None) -> int:
        found: int = run(tmp_path, node, lambda wallet: accounts(wallet, cross, isolated))
        return found

    assert chosen(None, None) == chosen(None, 20) == CROSS
    assert chosen(20, ISOLATED) == 20
    for cross, isolated, sentence in (
        (None, CROSS, "is the cross account itself"),
        (20, 20, "is the cross account itself"),
        (None, 19, "account 19 is not yours: you own 17, 18, 20"),
        (19, 18, "account 19 is not yours"),
    ):
        with pytest.raises(BadInput, match=sentence):
            chosen(cross, isolated)
    node.views.clear()
    with pytest.raises(BadInput, match="has no account yet"):
        chosen(None, None)
