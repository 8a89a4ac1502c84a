"""How an account is shown to people: in dollars and units, and every state in a column of its own."""

from pathlib import Path

import msgspec
import pytest

from prover.stf import constants, encoding
from sequencer.schema.accounts import AccountView, AgentView, BuyingPower, Maturing, OpenOrder, Outlook, PositionView
from sequencer.schema.answers import Sequenced, Status
from sequencer.wallet.commands.fields import account_fields, posted_fields
from sequencer.wallet.commands.grid import Grid
from sequencer.wallet.commands.running import Report, Settings, show, wrapped
from sequencer.wallet.commands.tables import (
    account_table,
    change_table,
    held_tables,
    posted_text,
    status_text,
)
from sequencer.wallet.trust import ListedMarket, ProvenAccount
from tests.sequencer.answers import answer
from tests.sequencer.wallet.commands.drawn import drawn

GRID = Grid([ListedMarket(0, "BTC", 5, 100, 450, 50_000)])


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


def test_the_pool_is_shown_with_its_call_and_its_liquidation() -> None:
    text = drawn(account_table(account(call=90), GRID))
    for part in ("91.28%  MARGIN CALL at 90%", "-4.83%", "16.75x", "57100", "0.00012", "1 "):
        assert part in text
    assert "MARGIN CALL" not in drawn(account_table(account(), GRID))
    assert "none" in drawn(account_table(account(liquidation=None, rank=4_711), GRID))
    assert "4711" in drawn(account_table(account(rank=4_711), GRID))


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
    text = drawn(account_table(seen, GRID))
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
    plain = drawn(account_table(account(), GRID))
    assert "who else may trade" not in plain
    assert [line.split()[-1] for line in plain.splitlines() if "maturing" in line] == ["none"]


@pytest.mark.parametrize("width", [80, 120])
def test_no_number_is_cut_in_a_narrow_terminal(width: int) -> None:
    order = answer(OpenOrder, market="BTC", side="sell", size_lots=2_000, slot=200, limit_price_ticks=522_000)
    stop = msgspec.structs.replace(
        order, reduce_only=True, trigger=constants.TRIGGER_AT_OR_BELOW, trigger_price_ticks=580_000, status="armed"
    )
    target = msgspec.structs.replace(
        stop, trigger=constants.TRIGGER_AT_OR_ABOVE, post_only=True, reduce_only=False, status="dormant"
    )
    held = answer(
        PositionView, market="BTC", size_lots=-501_234, value_micros=-2_989_712_345, unrealised_micros=-871_245_678,
        pending_funding_micros=-85, maintenance_micros=35_876_520, liquidation_price_ticks=1_234_567,
        deleveraging_rank=None,
    )  # fmt: skip
    view = msgspec.structs.replace(account(), positions=[held], open_orders=[order, stop, target])
    text = drawn(*held_tables(view, GRID), width=width)
    for part in (
        "-5.01234",
        "-$2,989.71",
        "-$871.25",
        "-$0.000085",
        "$35.88",
        "123456.7",
        "52200",
        "at or below 58000",
    ):
        assert part in text, part
    if width == 120:
        assert "post only, after its entry, at or above 58000" in text


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
    proven = ProvenAccount(7, row, now, 0, 0)
    fields = posted_fields(proven, GRID)
    # No more than is proven: by which clock the rest has matured the leaf does not say.
    assert (fields["collateral_micros"], fields["settled_micros"]) == ("12", "3")
    assert [agent.lower() for agent in fields["agents"]] == ["0x" + "ab" * 20]
    assert "agents: 0xab" in posted_text(proven, GRID).lower()
    assert "agents: none" in posted_text(ProvenAccount(7, encoding.no_account(), now, 0, 0), GRID)


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
        text = drawn(change_table([*shown_states], GRID))
        assert "account 17, a preview" in text
        rows = [[cell.strip() for cell in line.split("│")] for line in text.splitlines() if line.startswith("│")]
        return {row[1]: row[2:-1] for row in rows}

    cells = cells_of(*states[:2], ("if filled", poorer))
    assert cells["BTC size"] == ["0", "0.003", "0.005"]
    assert cells["BTC liquidation price"] == ["-", "57100", "none: not by this price alone"]
    assert cells["BTC rank"] == ["-", "7", "none"]
    assert cells["BTC could buy"] == ["0.00012", "0.00012", "0"]
    assert cells["BTC could sell"] == ["1", "1", "2"]
    assert cells["margin ratio"] == ["91.28%", "91.28%", "91.28%  MARGIN CALL at 70%"]
    # A market that the node tells of in one state only.
    unlisted = msgspec.structs.replace(poorer, buying_power=[])
    assert cells_of(("before", unlisted), ("after", poorer))["BTC could sell"] == ["-", "2"]
    assert "BTC could sell" not in cells_of(("after", unlisted))


def test_a_name_is_neither_markup_nor_a_picture(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings("", "", None, "", Path(), None, 0.0, as_json=False)
    grid = Grid([ListedMarket(0, "[red]:x:", 5, 100, 450, 50_000)])
    view = msgspec.structs.replace(account(0), buying_power=[BuyingPower("[red]:x:", 12, 100_000)])
    show(settings, Report({}, [account_table(view, grid)]))
    assert "[red]:x:" in capsys.readouterr().out


def test_lines_break_between_words_and_go_on_further_in() -> None:
    text = "one line\n   before: equity $1,880.497116, maintenance $2,299.063771\n\n0x" + "a" * 40
    assert wrapped(text, 40).split("\n") == [
        "one line",
        "   before: equity $1,880.497116,",
        "     maintenance $2,299.063771",
        "",
        "0x" + "a" * 40,
    ]
    assert wrapped(text, 120) == text
