# pragma version 0.4.3
"""
@title A token whose transfers return nothing
"""

balanceOf: public(HashMap[address, uint256])


@external
def mint(recipient: address, amount: uint256):
    self.balanceOf[recipient] += amount


@external
def transfer(to: address, amount: uint256):
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[to] += amount


@external
def transferFrom(owner: address, to: address, amount: uint256):
    self.balanceOf[owner] -= amount
    self.balanceOf[to] += amount
