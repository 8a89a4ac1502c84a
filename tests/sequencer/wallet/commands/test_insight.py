"""How shocks are read and an account's risk is shown."""

from io import StringIO

import msgspec
import pytest
from rich.console import Console

from prover.stf import constants, encoding
from sequencer.schema.accounts import AccountView, AgentView, BuyingPower, Maturing, Outlook, PositionView
from sequencer.schema.answers import PostMortemView, Sequenced, Status
from sequencer.wallet.commands.fields import account_fields, outlook_fields, posted_fields
from sequencer.wallet.commands.grid import Grid
from sequencer.wallet.commands.insight import _basis_points, post_mortem_text
from sequencer.wallet.commands.tables import (
    account_table,
    change_table,
    posted_text,
    status_text,
)
from sequencer.wallet.errors import BadInput
from sequencer.wallet.trust import ListedMarket, ProvenAccount
from sequencer.wallet.units import move_text, percent_text, times_text
from tests.sequencer.answers import answer

GRID = Grid([ListedMarket(0, "BTC", 5, 100, 450, 50_000)])


@pytest.mark.parametrize(
    ("text", "basis_points"),
    [("-10", -1_000), ("25.5", 2_550), ("+0.01%", 1), ("-99.99", -9_999), ("1000", 100_000), (" 3 ", 300)],
)
def test_a_shock_is_read_in_percent(text: str, basis_points: int) -> None:
    assert _basis_points(text) == basis_points


@pytest.mark.parametrize("text", ["", "-", "x", "1.234", "1e2", "-100", "1000.01", "१", "1.२", "0x5", "5-"])
def test_a_shock_that_is_none_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput):
        _basis_points(text)


def test_fractions_are_shown_rounded_up_and_never_as_nothing() -> None:
    assert [percent_text(ppm) for ppm in (0, 1, 999_999, 1_000_000, 1_000_001, None)] == [
        "0.00%", "0.01%", "100.00%", "100.00%", "100.01%", "no equity",
    ]  # fmt: skip
    assert [times_text(ppm) for ppm in (0, 1, 12_345_678, None)] == ["0.00x", "0.01x", "12.35x", "no equity"]
    assert [move_text(*move) for move in ((0, -1), (483, -1), (12_000, 1), (None, 1))] == [
        "-0.00%", "-4.83%", "+120.00%", "never",
    ]  # fmt: skip


def account(size: int = 300, call: int = 0, liquidation: int | None = 571_000, rank: int | None = None) -> AccountView:
    """An account of one BTC position."""
    held = answer(
        PositionView, market="BTC", size_lots=size, deleveraging_rank=rank, liquidation_price_ticks=liquidation
    )
    return answer(
        AccountView,
        account=17,
        collateral_micros=5,
        equity_micros=5,
        initial_micros=2,
        maintenance_micros=1,
        free_collateral_micros=3,
        withdrawable_micros=0,
        positions=[held] if size else [],
        margin_ratio_ppm=912_800,
        leverage_ppm=16_745_155,
        fall_bp=483,
        margin_call_percent=call,
        buying_power=[BuyingPower("BTC", 12, 100_000)],
        finality="sequenced",
    )


def shown(renderable: object) -> str:
    """What a wide terminal shows."""
    console = Console(width=200, file=StringIO())
    console.print(renderable)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_pool_is_shown_with_its_call_and_its_liquidation() -> None:
    text = shown(account_table(account(call=90), GRID))
    for part in ("91.28%  MARGIN CALL at 90%", "-4.83% or never", "16.75x", "57100", "0.00012", "1 "):
        assert part in text
    assert "MARGIN CALL" not in shown(account_table(account(), GRID))
    assert "none" in shown(account_table(account(liquidation=None, rank=4_711), GRID))
    assert "4711" in shown(account_table(account(rank=4_711), GRID))


def test_what_may_leave_and_when_stands_beside_who_may_trade() -> None:
    now = 1_800_000_000_000
    agent = AgentView("0x" + "ab" * 20, now, 100, 110)
    seen = msgspec.structs.replace(
        account(),
        settled_micros=4_000_000,
        maturing=[Maturing(1_000_000, now), Maturing(2_500_000, now + 14_400_000)],
        initial_ppm=333_334,
        agents=[None, agent],
    )
    text = shown(account_table(seen, GRID))
    for part in (
        "$4.00",
        "$1.00 at 2027-01-15 08:00:00 UTC; $2.50 at 2027-01-15 12:00:00 UTC",
        "at most 3.00x",
        "who else may trade",
        "0x" + "ab" * 20,
        "100 to 110",
    ):
        assert part in text
    fields = account_fields(seen, None, GRID)
    assert fields["settled_micros"] == "4000000"
    assert fields["maturing"][1] == {"amount_micros": "2500000", "settles_at_ms": now + 14_400_000}
    assert fields["own_initial_ppm"] == 333_334
    assert fields["agents"] == [None, msgspec.to_builtins(agent)]
    plain = shown(account_table(account(), GRID))
    assert "who else may trade" not in plain
    assert [line.split("│")[2].strip() for line in plain.splitlines() if "maturing" in line] == ["none"]


def test_what_is_posted_names_agents_that_a_node_might_hide() -> None:
    now = 1_800_000_000_000
    row = msgspec.structs.replace(
        encoding.no_account(),
        owner=b"\x01" * 20,
        settled=3,
        older=4,
        fresh=5,
        epoch=now // constants.EPOCH - 1,
        agents=[0, encoding.agent_word(b"\xab" * 20, now, 0, 255)],
    )
    proven = ProvenAccount(7, row, now)
    fields = posted_fields(proven, GRID)
    # Matured up to the batch's own time.
    assert (fields["collateral_micros"], fields["settled_micros"]) == ("12", "7")
    assert [agent.lower() for agent in fields["agents"]] == ["0x" + "ab" * 20]
    assert "agents: 0xab" in posted_text(proven, GRID).lower()
    assert "agents: none" in posted_text(ProvenAccount(7, encoding.no_account(), now), GRID)


def test_a_grace_is_shown_while_it_lasts() -> None:
    now = 1_800_000_000_000
    status = answer(Status, sequenced=Sequenced(1, 2, now, 0), now_ms=now, ready=True)
    assert "GRACE" not in status_text(status)
    lasting = status_text(msgspec.structs.replace(status, grace_until_ms=now + 1_000))
    assert "GRACE: no risk grows and no money leaves until 2027-01-15 08:00:01 UTC" in lasting
    assert "GRACE" not in status_text(msgspec.structs.replace(status, grace_until_ms=now))


def test_a_change_has_a_column_for_each_state() -> None:
    states: list[tuple[str, Outlook]] = [
        ("before", account(0)),
        ("after", account(300, rank=7)),
        ("if filled", account(500, call=70, liquidation=None)),
    ]
    poorer = msgspec.structs.replace(states[2][1], buying_power=[BuyingPower("BTC", 0, 200_000)])

    def cells_of(*shown_states: tuple[str, Outlook]) -> dict[str, list[str]]:
        text = shown(change_table([*shown_states], GRID))
        assert "account 17, a preview" in text
        rows = [[cell.strip() for cell in line.split("│")] for line in text.splitlines() if line.startswith("│")]
        return {row[1]: row[2:-1] for row in rows}

    cells = cells_of(*states[:2], ("if filled", poorer))
    assert cells["BTC size"] == ["0", "0.003", "0.005"]
    assert cells["BTC liquidation price"] == ["-", "57100", "none"]
    assert cells["BTC rank"] == ["-", "7", "none"]
    assert cells["BTC could buy"] == ["0.00012", "0.00012", "0"]
    assert cells["BTC could sell"] == ["1", "1", "2"]
    assert cells["margin ratio"] == ["91.28%", "91.28%", "91.28%  MARGIN CALL at 70%"]
    # A market that the node tells of in one state only.
    unlisted = msgspec.structs.replace(poorer, buying_power=[])
    assert cells_of(("before", unlisted), ("after", poorer))["BTC could sell"] == ["-", "2"]
    assert "BTC could sell" not in cells_of(("after", unlisted))


def test_programs_get_exact_numbers() -> None:
    fields = account_fields(account(), None, GRID)
    assert fields["margin_ratio_ppm"] == 912_800
    assert fields["positions"][0]["liquidation_price"] == "57100"
    assert fields["buying_power"] == [{"market": "BTC", "buy": "0.00012", "sell": "1"}]
    # Of what is only imagined nothing is said that nobody knows.
    imagined = outlook_fields(msgspec.structs.replace(account(call=80, rank=3), finality="preview"), GRID)
    assert fields.keys() - imagined.keys() == {"open_orders", "posted"}
    assert (imagined["finality"], imagined["margin_call_percent"]) == ("preview", 80)
    assert imagined["positions"][0]["deleveraging_rank"] == 3


def rescued(**changes: object) -> PostMortemView:
    """A gentle liquidation of 7.00411 bitcoins."""
    found = answer(
        PostMortemView,
        number=3,
        kind="liquidation",
        account=29,
        market="BTC",
        lots=700_411,
        quote_micros=700_411 * 592_907,
        price_ticks=592_907,
        oracle_price_ticks=593_020,
        previous_price_ticks=593_026,
        judged_price_ticks=593_026,
        zero_price_ticks=586_802,
        tick_time_ms=1_800_000_000_000,
        signers=[0, 1, 2, 3, 6],
        judged_equity_micros=9_084_120_000,
        judged_maintenance_micros=10_385_000_000,
        counted_at="judged_prices",
        equity_before_micros=9_084_120_000,
        initial_before_micros=17_308_000_000,
        maintenance_before_micros=10_385_000_000,
        equity_after_micros=8_990_000_000,
        initial_after_micros=8_980_000_000,
        maintenance_after_micros=5_380_000_000,
        one_lot_less_equity_micros=9_000_750_001,
        one_lot_less_initial_micros=9_000_760_000,
        fee_micros=49_000_000,
        paid_by_fund_micros=0,
        counterparty=18,
    )
    return msgspec.structs.replace(found, **changes)


def test_a_post_mortem_is_told_in_dollars_and_units() -> None:
    assert post_mortem_text(rescued(), GRID) == [
        "3. liquidation of 7.00411 BTC of account 29, 2027-01-15 08:00:00 UTC",
        "   judged at $59302.6: oracle $59302, the tick before $59302.6; signed by oracle signers 0, 1, 2, 3, 6",
        "   before: equity $9,084.12, maintenance $10,385.00, initial $17,308.00, at the judged prices",
        "   account 18 took it at $59290.7, $415,278.584777 in all; zero price $58680.2, rounded for the account",
        "   after:  equity $8,990.00, maintenance $5,380.00, initial $8,980.00",
        "   with one lot less, before the fee: equity $9,000.750001, initial $9,000.76",
        "   fee $49.00, to the insurance account",
    ]


def test_a_post_mortem_without_an_order_tells_what_was_paid_by_whom_and_at_which_prices() -> None:
    taken = rescued(
        kind="take_over",
        quote_micros=700_411 * 586_802 - 1,
        price_ticks=586_802,
        judged_equity_micros=6_000_000_000,
        counted_at="last_tick",
        one_lot_less_equity_micros=None,
        one_lot_less_initial_micros=None,
        fee_micros=0,
        paid_by_fund_micros=12_500_000,
        counterparty=1,
    )
    lines = post_mortem_text(taken, GRID)
    assert lines[0].startswith("3. take over of 7.00411 BTC")
    # What the law judged is told apart where it is not what it paid by.
    assert lines[2:5] == [
        "   judged: equity $6,000.00, maintenance $10,385.00",
        "   before: equity $9,084.12, maintenance $10,385.00, initial $17,308.00, at the last tick's prices",
        "   account 1 took it at $58680.2, $411,002.575621 in all; zero price $58680.2, both rounded for the account",
    ]
    assert lines[6:] == ["   the insurance account gave $12.50 beyond the oracle price"]
    unwound = rescued(kind="unwinding", zero_price_ticks=None)
    assert post_mortem_text(unwound, GRID)[3].endswith("at $59290.7, $415,278.584777 in all")
