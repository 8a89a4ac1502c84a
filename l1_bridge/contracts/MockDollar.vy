# pragma version 0.4.3
"""
@title Play dollars with six decimals
@license MIT
@notice An ERC-20 that anybody may mint; it refuses to exist outside devnets
"""

from ethereum.ercs import IERC20

implements: IERC20

name: public(constant(String[32])) = "Mock Dollar"
symbol: public(constant(String[8])) = "mUSD"
decimals: public(constant(uint8)) = 6

totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])


@deploy
def __init__():
    """
    @notice Refuses every chain that is not a devnet: money that anybody can print must not look real
    """
    assert chain.id == 31337 or chain.id == 1337, "NOT_A_DEVNET"


@external
def mint(recipient: address, amount_micros: uint256):
    """
    @notice Prints play money
    @param recipient Who gets it
    @param amount_micros How much, in micro-dollars
    """
    self.totalSupply += amount_micros
    self.balanceOf[recipient] += amount_micros
    log IERC20.Transfer(sender=empty(address), receiver=recipient, value=amount_micros)


@external
def transfer(to: address, amount: uint256) -> bool:
    """
    @notice Moves the caller's money
    @param to Who gets it
    @param amount How much, in micro-dollars
    @return Always True; a lack of money reverts
    """
    self._move(msg.sender, to, amount)
    return True


@external
def transferFrom(owner: address, to: address, amount: uint256) -> bool:
    """
    @notice Moves money of an owner who approved the caller
    @param owner Whose money
    @param to Who gets it
    @param amount How much, in micro-dollars
    @return Always True; a lack of money or of approval reverts
    """
    assert self.allowance[owner][msg.sender] >= amount, "ALLOWANCE"
    self.allowance[owner][msg.sender] -= amount
    self._move(owner, to, amount)
    return True


@external
def approve(spender: address, amount: uint256) -> bool:
    """
    @notice Lets a spender move up to an amount of the caller's money
    @param spender Who may move it
    @param amount How much, in micro-dollars; replaces the earlier approval
    @return Always True
    """
    self.allowance[msg.sender][spender] = amount
    log IERC20.Approval(owner=msg.sender, spender=spender, value=amount)
    return True


@internal
def _move(sender: address, receiver: address, amount: uint256):
    assert receiver != empty(address), "RECEIVER"
    assert self.balanceOf[sender] >= amount, "BALANCE"
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
    log IERC20.Transfer(sender=sender, receiver=receiver, value=amount)
