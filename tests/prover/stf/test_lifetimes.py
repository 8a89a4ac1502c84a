"""How long an order may live: a day, ten seconds if immediate, thirty days for a stop that can only reduce."""

from typing import Any

import pytest

from prover.stf import codes as c
from prover.stf import constants
from tests.twins import venue

STOP: dict[str, Any] = {"reduce_only": 1, "trigger": constants.TRIGGER_AT_OR_BELOW, "trigger_price": 500_000}


@pytest.mark.parametrize(
    ("fields", "lifetime"),
    [
        ({}, constants.ORDER_LIFETIME),
        ({"reduce_only": 1}, constants.ORDER_LIFETIME),
        (STOP | {"reduce_only": 0}, constants.ORDER_LIFETIME),
        ({"time_in_force": constants.IMMEDIATE_OR_CANCEL}, constants.IMMEDIATE_LIFETIME),
        (STOP | {"reduce_only": 0, "time_in_force": constants.FILL_OR_KILL}, constants.IMMEDIATE_LIFETIME),
        (STOP, constants.STOP_LIFETIME),
        (STOP | {"time_in_force": constants.IMMEDIATE_OR_CANCEL}, constants.STOP_LIFETIME),
        (STOP | {"trigger": constants.TRIGGER_AT_OR_ABOVE}, constants.STOP_LIFETIME),
    ],
)
def test_to_the_millisecond(fields: dict[str, Any], lifetime: int) -> None:
    state = venue.build_state(accounts={17: venue.account(venue.OWNERS[1])})
    for late, code in ((0, c.OK), (1, c.LIFETIME)):
        order = venue.order(17, expires_at=venue.NOW + lifetime + late, **fields)
        assert venue.run(state, venue.signed_order(order, venue.KEYS[1])).codes == (code,)
