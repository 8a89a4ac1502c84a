# pragma version 0.4.3
"""
@title A contract that acts on the bridge, so that no transaction input is a call of the bridge
"""


@external
@payable
def forward(target: address, payload: Bytes[65536]):
    """
    @notice Calls the target as this contract, with all ether that came along
    """
    raw_call(target, payload, value=msg.value)
