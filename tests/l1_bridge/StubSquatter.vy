# pragma version 0.4.3
"""
@title A holder of the seat that makes several calls of the bridge in one transaction
"""

struct Move:
    payload: Bytes[4096]
    value_wei: uint256


@external
@payable
def act(target: address, moves: DynArray[Move, 3]):
    """
    @notice All of them, or none
    """
    for move: Move in moves:
        raw_call(target, move.payload, value=move.value_wei)


@external
@payable
def __default__():
    """
    @notice A bond comes home
    """
    pass
