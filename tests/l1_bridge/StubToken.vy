# pragma version 0.4.3
"""
@title A token with every bad habit, one at a time
"""

NO_HABIT: constant(uint256) = 0
TAKES_A_FEE: constant(uint256) = 1
RETURNS_FALSE: constant(uint256) = 2
REVERTS: constant(uint256) = 3
CALLS_BACK: constant(uint256) = 4

balanceOf: public(HashMap[address, uint256])
habit: public(uint256)
blocked: public(HashMap[address, bool])
target: address
payload: Bytes[4096]
failure: public(Bytes[128])


@external
def mint(recipient: address, amount: uint256):
    self.balanceOf[recipient] += amount


@external
def approve(spender: address, amount: uint256) -> bool:
    return True


@external
def set_habit(habit: uint256, target: address, payload: Bytes[4096]):
    self.habit = habit
    self.target = target
    self.payload = payload


@external
def refuse(payee: address):
    self.blocked[payee] = True


@external
def transfer(to: address, amount: uint256) -> bool:
    assert not self.blocked[to], "BLOCKED"
    return self._move(msg.sender, to, amount)


@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    return self._move(owner, to, amount)


@internal
def _move(sender: address, receiver: address, amount: uint256) -> bool:
    if self.habit == RETURNS_FALSE:
        return False
    assert self.habit != REVERTS, "REFUSED"
    if self.habit == CALLS_BACK:
        # once: a second round would fail of its own and hide a missing lock
        self.habit = NO_HABIT
        success: bool = False
        answer: Bytes[128] = b""
        success, answer = raw_call(self.target, self.payload, max_outsize=128, revert_on_failure=False)
        assert not success, "CALLED_BACK"
        self.failure = answer
    self.balanceOf[sender] -= amount
    received: uint256 = amount
    if self.habit == TAKES_A_FEE:
        received = amount - amount // 10
    self.balanceOf[receiver] += received
    return True
