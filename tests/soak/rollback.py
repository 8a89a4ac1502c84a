"""What a lie costs to undo: the same gas whether nothing follows it or a hundred thousand batches do."""

from collections.abc import Mapping
from random import Random
from typing import Any, Final

from tests.l1_bridge.evm import compile_stub
from tests.l1_bridge.simulation import rollback_gas, rollback_gas_in_a_block

FEW: Final = (0, 1, 300)


def violations(gas: Mapping[int, int]) -> list[str]:
    """One line for each number of followers that costs another gas than none."""
    alone = gas[0]
    return [
        f"{used} gas with {followers} followers, {alone} with none" for followers, used in gas.items() if used != alone
    ]


def run(followers: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Gas of the proof by number of batches after the lie: a few, a random number, and `followers`."""
    referee = compile_stub("StubReferee")
    counts = sorted({*FEW, Random(seed).randrange(followers + 1), followers})
    gas = {count: rollback_gas(count, referee) for count in counts}
    in_a_block = {count: rollback_gas_in_a_block(count, referee) for count in FEW}
    broken = violations(gas) + violations(in_a_block)
    summary = {
        "followers": followers,
        "gas": gas[0],
        "gas_by_followers": gas,
        "gas_in_a_block": in_a_block[0],
        "violations": len(broken),
    }
    return summary, broken
