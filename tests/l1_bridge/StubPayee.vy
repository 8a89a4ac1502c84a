# pragma version 0.4.3
"""
@title Somebody on L1 who is a contract: acts with as much gas as it is told, and takes, refuses or answers ether
"""

TAKES: constant(uint256) = 0
REFUSES: constant(uint256) = 1
ANSWERS: constant(uint256) = 2
BURNS: constant(uint256) = 3

mood: public(uint256)
target: address
payload: Bytes[65536]
answered: public(bool)
succeeded: public(bool)
failure: public(Bytes[128])


@external
@payable
def act(target: address, payload: Bytes[131072], gas_limit: uint256):
    """
    @notice Calls the target as this contract, with all ether that came along and at most so much gas
    """
    raw_call(target, payload, gas=gas_limit, value=msg.value)


@external
def set_mood(mood: uint256, target: address, payload: Bytes[65536]):
    """
    @notice What happens when ether comes: it is taken, refused, answered by a call, or all gas is burned
    """
    self.mood = mood
    self.target = target
    self.payload = payload


@external
@payable
def __default__():
    if self.mood == REFUSES:
        raise "REFUSED"
    if self.mood == BURNS:
        burned: bytes32 = empty(bytes32)
        for i: uint256 in range(10_000_000):
            burned = keccak256(burned)
    if self.mood == ANSWERS:
        self.answered = True
        self.succeeded, self.failure = raw_call(self.target, self.payload, max_outsize=128, revert_on_failure=False)
