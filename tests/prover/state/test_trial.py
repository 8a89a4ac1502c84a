"""What the law would say is what it then says, and asking changes nothing."""

import msgspec

from prover.signing import operations
from prover.state import trial
from prover.state.state import State
from prover.stf import codes, constants, containers, encoding
from prover.stf.replay import Chunk
from tests.attacks.stage import ATTACKER, BITCOIN, POOL, VICTIM, held, stage
from tests.twins import venue

FUND = 100_000


def chunk_of(state: State) -> Chunk:
    chunk = state.chunk(lambda digest, v, r, s: venue.OWNERS[2])
    chunk.open(venue.NOW)
    return chunk


def under_water() -> State:
    """A victim below its close-out requirement, and a fund that may take it over."""
    return stage({VICTIM: held(BITCOIN, 400)}, FUND)


def standing(chunk: Chunk) -> tuple[object, ...]:
    """Everything that an operation could change."""
    return msgspec.json.encode(
        [
            chunk.commitment,
            chunk.globals,
            chunk.accounts,
            chunk.slots,
            chunk.lookups,
            chunk.operation_codes,
            chunk.weight,
        ]
    ), len(chunk.loaded_accounts)


def take_over(lots: int = BITCOIN) -> containers.Rescue:
    return containers.Rescue(0, 0, VICTIM, 0, lots)


def test_a_decided_rescue_is_what_then_happens_and_changes_nothing() -> None:
    chunk = chunk_of(under_water())
    before = standing(chunk)

    rescued = trial.decide_rescue(chunk, constants.TAKE_OVER, take_over())

    assert rescued.code == codes.OK
    assert standing(chunk) == before
    assert chunk.apply(operations.rescue_bytes(constants.TAKE_OVER, take_over())) == codes.OK
    expected = {VICTIM: rescued.account, constants.insurance_account(0): rescued.insurance}
    assert {index: encoding.account_hash(trial.peek_account(chunk, index)) for index in expected} == {
        index: encoding.account_hash(row) for index, row in expected.items()
    }


def test_a_refusal_is_told_as_well() -> None:
    chunk = chunk_of(under_water())
    move = take_over(BITCOIN + 1)

    code = trial.decide_rescue(chunk, constants.TAKE_OVER, move).code

    assert code == codes.OVERFILLED
    assert chunk.apply(operations.rescue_bytes(constants.TAKE_OVER, move)) == code


def test_a_preview_stands_on_the_open_chunk_and_leaves_it_as_it_is() -> None:
    chunk = chunk_of(under_water())
    half = operations.rescue_bytes(constants.TAKE_OVER, take_over(BITCOIN // 2))
    assert chunk.apply(half) == codes.OK
    before = standing(chunk)

    seen = trial.preview(chunk, half)

    assert seen.operation_codes == [codes.OK]
    assert trial.peek_account(seen, VICTIM).positions[0] == containers.EMPTY
    assert standing(chunk) == before
    assert trial.peek_account(chunk, VICTIM).positions[0].size == BITCOIN - BITCOIN // 2


def test_a_peek_asks_the_rows_below_and_needs_no_witness() -> None:
    chunk = chunk_of(under_water())

    assert trial.peek_account(chunk, POOL) is chunk.rows.account(POOL)
    assert trial.peek_slot(chunk, POOL << 8 | 1) == containers.Slot(0, 0)
    assert chunk.lookups == []
    assert list(chunk.accounts) == [constants.FEE_ACCOUNT]


def test_a_trial_goes_on_in_another_chunk_when_one_is_full() -> None:
    state = under_water()
    trying = trial.Trial(state.domain, state.commitment, state.globals, state, lambda digest, v, r, s: bytes(20))
    trying.chunk.open(venue.NOW)
    first = trying.chunk
    one = operations.rescue_bytes(constants.TAKE_OVER, take_over(1))
    count = constants.MAX_ACCOUNT_REFERENCES // 2 + 1

    found = [trying.apply(one) for _ in range(count)]

    assert found == [codes.OK] * count
    assert trying.chunk is not first
    assert len(first.operation_codes) == count - 1
    assert trying.account(VICTIM).positions[0].size == BITCOIN - count
    assert state.account(VICTIM).positions[0].size == BITCOIN


def test_a_trial_above_another_leaves_it_as_it_is() -> None:
    state = under_water()
    below = trial.Trial(state.domain, state.commitment, state.globals, state, lambda digest, v, r, s: bytes(20))
    below.chunk.open(venue.NOW)
    assert below.apply(operations.rescue_bytes(constants.TAKE_OVER, take_over(1))) == codes.OK
    before = standing(below.chunk)

    above = below.above()

    assert above.apply(operations.rescue_bytes(constants.TAKE_OVER, take_over(2))) == codes.OK
    assert [each.account(VICTIM).positions[0].size for each in (above, below)] == [BITCOIN - 3, BITCOIN - 1]
    assert standing(below.chunk) == before


def test_one_side_of_a_fill_has_the_law_s_margin() -> None:
    state = under_water()
    clock = chunk_of(state).clock()
    account = state.account(ATTACKER)

    def code(lots: int) -> int:
        price = state.globals.risk.price[0]
        return trial.one_side(state.globals, clock, account, 0, lots, price, 0).code

    assert code(BITCOIN) == codes.OK
    assert code(1_000 * BITCOIN) == codes.MARGIN


def test_each_market_has_one_insurance_account() -> None:
    indices = [constants.insurance_account(market) for market in range(constants.MARKETS)]

    assert indices == list(range(constants.FEE_ACCOUNT + 1, constants.RESERVED_ACCOUNTS))
    assert [constants.insured_market(index) for index in indices] == list(range(constants.MARKETS))
