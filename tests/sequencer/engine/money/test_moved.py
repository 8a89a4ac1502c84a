"""Movements of money are told by the engine as the law books them, and none where it does not."""

from prover.stf import codes, constants, margin
from sequencer.engine.effects import AnyEffect, Moved, Settled
from sequencer.engine.money.moved import moved
from tests.sequencer.node_world import BTC, BUY, DOLLAR, FIRST, PRICES, RECIPIENT, SELL, World, deposit, leave, owner


def told(effects: list[AnyEffect]) -> list[tuple[int, str, int, int, int | None, int | None]]:
    """Account, kind, amount, fee, other end, withdrawal."""
    return [
        (one.account, one.kind, one.amount, one.fee, one.other, one.withdrawal)
        for one in effects
        if isinstance(one, Moved)
    ]


def test_deposits_to_new_and_old_accounts() -> None:
    world = World(1)
    assert told(world.process(deposit(owner(1), 5)).effects) == [(FIRST + 1, "deposit", 5, 0, None, None)]
    assert told(world.process(deposit(owner(1), 6, FIRST + 1)).effects) == [(FIRST + 1, "deposit", 6, 0, None, None)]
    # Of somebody else's account it is sent back.
    assert told(world.process(deposit(owner(1), 6, FIRST)).effects) == []


def test_each_request_with_what_its_bytes_cost() -> None:
    world = World(2)
    fee = world.engine.globals.posting_fee
    made = world.request(constants.TRANSFER, 0, amount=9 * DOLLAR, other=constants.NEW_ACCOUNT)
    opened = made.opened
    assert told(made.effects) == [
        (FIRST, "transfer", -9 * DOLLAR, fee, opened, None),
        (opened, "transfer", 9 * DOLLAR, constants.CREATION_FEE, FIRST, None),
    ]
    made = world.request(constants.WITHDRAW, 0, amount=7, recipient=RECIPIENT, slot=201)
    assert told(made.effects) == [(FIRST, "withdrawal", -7, fee, None, 0)]
    assert told(world.request(constants.CANCEL_ALL, 0, slot=0).effects) == [(FIRST, "fee", 0, fee, None, None)]
    assert told(world.request(constants.CANCEL_ALL, 0, slot=0, max_posting_fee=0).effects) == []
    rows = world.engine.account
    for effect in made.effects:
        if isinstance(effect, Moved):
            assert effect.collateral > margin.collateral(rows(FIRST))


def test_what_a_forced_path_pays_and_what_was_due() -> None:
    world = World(2)
    world.order(0, SELL, PRICES[BTC])
    world.order(1, BUY, PRICES[BTC])
    for _ in range(3):
        world.seal()
        world.tick(premiums=(90_000, 0, 0))
    world.seal()
    made = world.process(leave(world.now, FIRST + 1, owner(1)))
    effects = made.effects
    while world.engine.globals.head_account:
        world.seal()
        effects = [*effects, *world.tick().effects]
    (paid,) = [one for one in told(effects) if one[0] == FIRST + 1]
    assert paid[1] == "withdrawal"
    assert paid[2] < 0
    assert any(isinstance(effect, Settled) and effect.account == FIRST + 1 for effect in effects)


def test_what_the_law_refused_and_what_is_no_request_moves_nothing() -> None:
    world = World(1)
    for tag in (constants.ORDER, constants.FILL, constants.TICK, constants.LIQUIDATE, constants.FORCED_CLOSE):
        assert moved(bytes([tag]) + bytes(200), codes.OK, 0, world.engine.account, 1, 1) == []
    assert moved(bytes([constants.WITHDRAW]) + bytes(200), codes.MARGIN, 0, world.engine.account, 1, 1) == []
