"""An account's history as a table: exact, in UTC, whole, and over no other file."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from msgspec import structs

from sequencer.schema.answers import DepositsView, DepositView
from sequencer.schema.history import FillsPage, FundingLeg, FundingPaymentView, OwnFillView, TransferView
from sequencer.wallet.commands.grid import Grid
from sequencer.wallet.commands.seen.past import (
    FILLS,
    FUNDING,
    TRANSFERS,
    fill_row,
    funding_row,
    iso,
    pages,
    parse_time,
    plain,
    shown,
    told,
    transfer_row,
    under_way_lines,
    write,
)
from sequencer.wallet.errors import BadInput
from sequencer.wallet.trust import ListedMarket
from sequencer.wallet.wallet import Wallet
from tests.sequencer.answers import answer
from tests.sequencer.wallet.commands.drawn import drawn

GRID = Grid([ListedMarket(0, "BTC", 5, 100, 450, 50_000)])


def named(names: tuple[str, ...], row: list[str]) -> dict[str, str]:
    """A row by its columns."""
    return dict(zip(names, row, strict=True))


def test_a_fill_is_told_in_units_and_dollars_to_the_last_digit() -> None:
    fill = answer(
        OwnFillView, market="BTC", side="sell", role="taker", size_lots=1_234, price_ticks=600_001, fee_micros=-7,
        realised_micros=-1_500_001, position_lots=-50, collateral_micros=2**60, client_id="=1+1",
        order_id="0x" + "1" * 20, time_ms=1_800_000_000_007,
    )  # fmt: skip
    row = named(FILLS, fill_row(fill, GRID))
    assert (row["time_utc"], row["size"], row["price"]) == ("2027-01-15T08:00:00.007Z", "0.01234", "60000.1")
    assert (row["value_usd"], row["fee_usd"], row["realised_profit_usd"]) == ("740.401234", "-0.000007", "-1.500001")
    assert (row["position_after"], row["balance_usd"]) == ("-0.0005", "1152921504606.846976")
    assert row["client_id"] == "'=1+1"
    lied = named(FILLS, fill_row(structs.replace(fill, market="=A1", role="@x"), GRID))
    assert (lied["market"], lied["role"], lied["size"]) == ("'=A1", "'@x", "1234 lots")


def test_funding_and_transfers() -> None:
    leg = FundingLeg(market="BTC", size_lots=1_000, index_before=0, index=5, owed_nanos=5_000)
    payment = answer(FundingPaymentView, paid_micros=1, collateral_micros=10, positions=[leg], sequence=2**60)
    row = named(FUNDING, funding_row(payment, GRID))
    assert (row["paid_usd"], row["positions"]) == ("0.000001", "BTC 0.01: 0.000000000005")
    moved = answer(TransferView, kind="withdrawal", amount_micros=-5_000_000, fee_micros=500, withdrawal=3)
    row = named(TRANSFERS, transfer_row(moved))
    assert (row["amount_usd"], row["fee_usd"], row["withdrawal"], row["other_account"]) == ("-5", "0.0005", "3", "")
    assert named(TRANSFERS, transfer_row(structs.replace(moved, kind="+1")))["kind"] == "'+1"
    lied = structs.replace(payment, positions=[structs.replace(leg, market="=A1")])
    assert named(FUNDING, funding_row(lied, GRID))["positions"].startswith("'=A1")


@pytest.mark.parametrize(
    ("is_final", "needed", "account", "told"),
    [
        (False, 3, None, "under way: $12.50 to a new account, 2 of 3 blocks"),
        (False, None, 17, "under way: $12.50 to account 17, 2 blocks deep, taken once L1 calls it final"),
        (True, None, 17, "under way: $12.50 to account 17, final on L1, taken with what comes next"),
    ],
)
def test_deposits_under_way(is_final: bool, needed: int | None, account: int | None, told: str) -> None:
    deposit = answer(
        DepositView, account=account, amount_micros=12_500_000, l1_block=7, confirmations=2, is_final=is_final
    )
    assert under_way_lines(DepositsView(l1_block=8, confirmations_needed=needed, deposits=[deposit])) == [told]


def test_pages_are_read_to_their_end_and_a_list_without_end_is_left() -> None:
    asked: list[dict[str, Any]] = []

    async def ask(account: int, **span: Any) -> FillsPage:
        asked.append(span)
        return FillsPage(fills=[], older="1-1" if len(asked) < 3 else "", newer="")

    async def endless(account: int, **span: Any) -> FillsPage:
        asked.append(span)
        return FillsPage(fills=[], older=f"{len(asked):x}-1", newer="")

    assert len(trio.run(pages, ask, 17, {"from_ms": 5})) == 2
    assert asked == [{"before": before, "limit": 500, "from_ms": 5} for before in ("", "1-1")]
    with pytest.raises(BadInput, match="no end"):
        trio.run(pages, endless, 17, {})


def test_days_and_times_are_in_utc() -> None:
    assert parse_time("2026-01-01") == parse_time("2026-01-01T00:00:00Z") == 1_767_225_600_000
    assert parse_time("2026-01-01T01:00:00+01:00") == 1_767_225_600_000
    assert parse_time("2026-01-01T00:00:00.007999") == 1_767_225_600_007
    for wrong in ("", "yesterday", "2026-13-01", "1969-01-01", "0001-01-01T00:00:00+23:00"):
        with pytest.raises(BadInput):
            parse_time(wrong)
    with pytest.raises(BadInput):
        iso(2**62)


def test_a_file_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "fills.csv"
    write(path, ("a", "b"), [["1", 'x,"y"\n']])
    with path.open(newline="") as file:
        assert list(csv.reader(file)) == [["a", "b"], ["1", 'x,"y"\n']]
    with pytest.raises(BadInput, match="there already"):
        write(path, ("a",), [])
    with pytest.raises(BadInput, match="cannot be written"):
        write(tmp_path / "none" / "fills.csv", ("a",), [])
    assert [plain(text) for text in ("mine", "-x", "@x", "")] == ["mine", "'-x", "'@x", ""]


def test_people_are_shown_the_newest_without_a_cut_number() -> None:
    fill = answer(
        OwnFillView, market="BTC", side="sell", role="taker", size_lots=123_456, price_ticks=600_001,
        fee_micros=333_456, realised_micros=-1_500_001, time_ms=1_800_000_000_007,
    )  # fmt: skip
    text = drawn(*shown("fills", FILLS, [fill_row(fill, GRID)]), width=80)
    for part in ("2027-01-15 08:00", "BTC", "sell", "taker", "1.23456", "60000.1", "0.333456", "-1.500001", "--csv"):
        assert part in text, part
    moved = answer(TransferView, kind="withdrawal", amount_micros=-5_000_000, fee_micros=500, withdrawal=3)
    assert "withdrawal" in drawn(*shown("transfers", TRANSFERS, [transfer_row(moved)]), width=80)
    assert shown("funding", FUNDING, []) == ["no funding yet (the node's word)"]


def test_for_people_one_page_is_asked_for_and_for_a_file_all() -> None:
    asked: list[dict[str, Any]] = []

    class Node:
        """One page, and one before it."""

        async def fills(self, account: int, **span: Any) -> FillsPage:
            asked.append(span)
            return answer(FillsPage, fills=[answer(OwnFillView, market="BTC")], older="" if span.get("before") else "1")

        funding_payments = transfers = fills

    wallet = cast(Wallet, SimpleNamespace(node=Node()))

    async def rows(is_whole: bool) -> int:
        names, found = await told(wallet, "fills", 17, GRID, {"from_ms": 5}, is_whole=is_whole)
        assert names == FILLS
        return len(found)

    assert (trio.run(rows, False), asked) == (1, [{"limit": 20, "from_ms": 5}])
    assert (trio.run(rows, True), [span.get("before") for span in asked]) == (2, [None, "", "1"])
