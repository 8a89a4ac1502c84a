# pragma version 0.4.3
"""
@title A contract that counts, logs, copies and fails on request: what a client of L1 is tested with
"""

event Counted:
    sender: indexed(address)
    parity: indexed(uint256)
    count: uint256

count: public(uint256)
words: uint256[64]

@external
def increase():
    self.count += 1
    log Counted(sender=msg.sender, parity=self.count % 2, count=self.count)

@external
@view
def copied(text: Bytes[4096]) -> Bytes[4128]:
    return concat(text, empty(bytes32))

@external
@view
def now() -> uint256:
    return block.timestamp

@external
def fail(reason: String[64]):
    self.count += 1
    raise reason

@external
def fill(start: uint256):
    for index: uint256 in range(64):
        self.words[index] = start
