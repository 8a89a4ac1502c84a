"""What can go wrong in a wallet: one line, one name, one stable exit status (3: missing or wrong L1, as elsewhere)."""

from sequencer.client.errors import ClientError


class WalletError(ClientError):
    """The wallet's own; what the node says or does not say is a ClientError beside it."""


class BadInput(WalletError):
    """A number off the grid, an address with a typing error, an option that contradicts another."""

    status = 2
    name = "BAD_INPUT"


class L1Unreachable(WalletError):
    """No answer from the L1 node."""

    status = 3
    name = "L1_UNREACHABLE"


class WrongChain(WalletError):
    """Node and L1 are of different chains, or the rollup is not the one that was asked for."""

    status = 3
    name = "WRONG_CHAIN"


class NotGenuine(WalletError):
    """What stands on L1 is not the shipped code, or the node says something else than L1."""

    status = 3
    name = "NOT_GENUINE"


class L1Refused(WalletError):
    """A contract or the L1 node said no to a transaction."""

    status = 15
    name = "L1_REFUSED"


class InsufficientFunds(WalletError):
    """Too few dollars or too little ether on L1."""

    status = 16
    name = "INSUFFICIENT_FUNDS"


class WrongPassword(WalletError):
    """The password does not open the keystore, or none was given."""

    status = 17
    name = "WRONG_PASSWORD"


class KeystoreMissing(WalletError):
    """There is no keystore at that place, or it is not one."""

    status = 18
    name = "KEYSTORE_MISSING"


class KeystoreExists(WalletError):
    """A new key would overwrite another one."""

    status = 19
    name = "KEYSTORE_EXISTS"


class NotYet(WalletError):
    """What was waited for has not happened: a booking, a post, finality. Asking again later may help."""

    status = 20
    name = "NOT_YET"


class QueueOverdue(WalletError):
    """The bridge is frozen, or its queue waits for longer than it may: what is deposited now may be lost."""

    status = 23
    name = "QUEUE_OVERDUE"


class BrokenReceipt(WalletError):
    """The sequencer's word on a soft cancel is missing, is not its own, or was not kept."""

    status = 22
    name = "BROKEN_RECEIPT"


class BadProof(WalletError):
    """A proof does not lead to the root that the bridge keeps: the node's word and L1 contradict each other."""

    status = 21
    name = "BAD_PROOF"
