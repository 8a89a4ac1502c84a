"""How an account is shown to programs: exact, and nothing that nobody knows."""

import msgspec

from sequencer.wallet.commands.fields import account_fields, outlook_fields
from tests.sequencer.wallet.commands.test_tables import GRID, account


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
