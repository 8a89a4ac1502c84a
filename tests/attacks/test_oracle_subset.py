"""Attack C5, the choice among reports: what a sequencer gains by picking its five of seven, and what liars gain."""

from functools import partial
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from prover.signing import signatures
from prover.signing.reports import Report, assembled, signed_report
from prover.stf import codes, markets
from sequencer.devnet.prices import DEVNET_QUORUM, devnet_signer_keys
from tests.sequencer.node_world import DOMAIN, PRICES, START, World

KEYS = devnet_signer_keys()
# Honest signers see 60,000 dollars, five dollars apart from each other; the liars sign any price.
HONEST = [599_900, 599_950, 600_000, 600_050, 600_100]
DOUBLE, NOTHING = 1_200_000, 1


def reports(btc_prices: list[int]) -> list[Report]:
    """Seven signers' reports that differ in the price of BTC."""
    return [
        signed_report(
            DOMAIN, partial(signatures.sign, KEYS[index]), START, index, [price, *PRICES[1:]], [price % 1_000, 0, 0]
        )
        for index, price in enumerate(btc_prices)
    ]


def sequenced_price(chosen: list[Report]) -> int:
    """The oracle price of BTC after a tick of these reports, by the law."""
    world = World()
    assert world.process(assembled(chosen)).code == codes.OK
    return int(world.engine.globals.risk.price[0])


def reachable(btc_prices: list[int]) -> list[int]:
    """The prices that a sequencer can reach by choosing five of the seven, by the law's median."""
    found = set()
    for chosen in combinations(range(7), DEVNET_QUORUM):
        found.add(markets.median([btc_prices[index] for index in chosen] + [0, 0], DEVNET_QUORUM))
    return sorted(found)


def test_with_seven_honest_signers_the_choice_moves_the_price_by_one_place_each_way() -> None:
    prices = [599_850, *HONEST, 600_150]
    # The fourth of seven is the median of all; leaving out the two lowest or highest moves it by one place.
    assert reachable(prices) == [599_950, 600_000, 600_050]
    chosen = reports(prices)
    assert sequenced_price(chosen[:5]) == 599_950
    assert sequenced_price(chosen[1:6]) == 600_000
    assert sequenced_price(chosen[2:]) == 600_050


def test_with_two_liars_on_its_side_the_choice_ends_at_an_honest_price() -> None:
    above = reachable([*HONEST, DOUBLE, DOUBLE])
    below = reachable([NOTHING, NOTHING, *HONEST])
    assert (above[0], above[-1]) == (HONEST[2], HONEST[-1])
    assert (below[0], below[-1]) == (HONEST[0], HONEST[2])
    # By the law itself: the best subsets for the liars, and the best without them.
    lying = reports([*HONEST, DOUBLE, DOUBLE])
    assert sequenced_price([lying[2], lying[3], lying[4], lying[5], lying[6]]) == HONEST[-1]
    assert sequenced_price(lying[:5]) == HONEST[2]


def test_rule_off_three_of_five_would_hand_the_price_to_two_liars() -> None:
    # k = 3 with f = 2 breaks k >= 2f + 1: the median of one honest and two lying reports is a lie.
    prices = [*HONEST[:3], DOUBLE, DOUBLE]
    taken = {markets.median([prices[index] for index in chosen] + [0] * 4, 3) for chosen in combinations(range(5), 3)}
    assert DOUBLE in taken


def test_three_liars_are_one_too_many() -> None:
    # The bound is sharp: what the README asks one to trust is that no three of the seven lie together.
    assert reachable([*HONEST[:4], DOUBLE, DOUBLE, DOUBLE])[-1] == DOUBLE


PRICE = st.integers(1, 2**48 - 1)


@given(
    honest=st.lists(PRICE, min_size=5, max_size=5),
    lies=st.lists(PRICE, min_size=2, max_size=2),
    order=st.permutations(range(7)),
    chosen=st.sampled_from(list(combinations(range(7), DEVNET_QUORUM))),
)
@settings(max_examples=400)
def test_the_median_stays_between_the_honest_whoever_lies_and_whoever_chooses(
    honest: list[int], lies: list[int], order: list[int], chosen: tuple[int, ...]
) -> None:
    placed = [(honest + lies)[place] for place in order]
    median = markets.median([placed[index] for index in chosen] + [0, 0], DEVNET_QUORUM)
    assert min(honest) <= median <= max(honest)


@given(
    honest=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=5, max_size=5),
    lies=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=2, max_size=2),
    order=st.permutations(range(7)),
    chosen=st.sampled_from(list(combinations(range(7), DEVNET_QUORUM))),
)
@settings(max_examples=400)
def test_the_same_holds_of_premiums(
    honest: list[int], lies: list[int], order: list[int], chosen: tuple[int, ...]
) -> None:
    placed = [(honest + lies)[place] for place in order]
    median = markets.median([placed[index] for index in chosen] + [0, 0], DEVNET_QUORUM)
    assert min(honest) <= median <= max(honest)
