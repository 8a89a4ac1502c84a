"""Who may be told what is an account's alone: a challenge, signed by its owner or an agent. PROTOCOL.md 5.6."""

from typing import Final

from l1_bridge.hashing import keccak
from prover.stf import containers, encoding, signatures
from prover.stf.words import word

ACCESS_TYPE: Final = keccak(b"Access(uint24 account,string host,bytes32 challenge,uint48 expires_at_ms)")


def access_digest(domain: bytes, account: int, host: str, challenge: bytes, expires_at_ms: int) -> bytes:
    """The 32 bytes that are signed. host: the node's name, by which its caller knows it."""
    fields = word(account) + keccak(host.encode()) + challenge + word(expires_at_ms)
    return signatures.digest(domain, keccak(ACCESS_TYPE + fields))


def may_see(account: containers.Account, signer: bytes, now_ms: int) -> bool:
    """Whether somebody is the owner, or an agent whose time is not over, whichever slots he has."""
    if signer == containers.NOBODY:
        return False
    agents = [packed for packed in account.agents if encoding.bits(packed, 16, 48) >= now_ms]
    return signer == account.owner or signer in [encoding.agent_address(packed) for packed in agents]
