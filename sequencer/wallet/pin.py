"""Which rollup a wallet directory is for: the one that it first used, until its user names another."""

import os
from pathlib import Path
from typing import Final

import msgspec

from l1_bridge.addresses import AddressError, checksum_address, parse_address
from sequencer.wallet.errors import WalletError, WrongChain
from sequencer.wallet.trust import Venue

# In the wallet directory.
PIN_FILE: Final = "rollup.json"
_MAX_PIN_BYTES: Final = 4_096


class Pinned(msgspec.Struct, frozen=True):
    """One rollup: an address may stand on many chains, a chain id on many devnets, and be deployed to again by a fork.

    `genesis_root` is that of its first batch.
    """

    chain_id: int
    genesis_block_hash: str
    rollup: str
    genesis_root: str


def pinned(chain_id: int, genesis_block_hash: bytes, rollup: bytes, genesis_root: bytes) -> Pinned:
    """As it stands in the file."""
    return Pinned(chain_id, "0x" + genesis_block_hash.hex(), checksum_address(rollup), "0x" + genesis_root.hex())


def pin_of(venue: Venue) -> Pinned:
    """The one that a venue is."""
    location = venue.location
    return pinned(location.chain_id, location.genesis_block_hash, location.rollup, location.genesis_root)


class RollupPin:
    """The rollup that a wallet directory first used, in a file of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def admit(self, venue: Venue, is_named: bool) -> bool:
        """Whether this is the first use, which pins the rollup; WrongChain for another one that nobody named."""
        met = pin_of(venue)
        known = self.known()
        if known is None and self._keep(met):
            return True
        known = known or self.known()
        assert known is not None, "it is there, or was just found to be"
        if known != met and not is_named:
            raise WrongChain(
                f"this wallet is pinned to {_words(known)}, but node and L1 are of {_words(met)}: name it with "
                f"--rollup-address {met.rollup} if you mean it, every time, or pin it in another --wallet-dir, where "
                "--keystore with a file's path brings the same key along (the pin is in "
                f"{self.path}; remove it if the first rollup is gone for good)"
            )
        return False

    def known(self) -> Pinned | None:
        """What was pinned, None before the first use; WalletError for a file that does not say."""
        try:
            with self.path.open("rb") as file:
                known = msgspec.json.decode(file.read(_MAX_PIN_BYTES), type=Pinned)
            parse_address(known.rollup)
            return known
        except FileNotFoundError:
            return None
        except OSError as error:
            raise WalletError(f"{self.path} cannot be read: {error.strerror}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, AddressError):
            # Taking it for a first use would let whoever damages the file choose the rollup.
            raise WalletError(
                f"{self.path} does not say which rollup this wallet is for: remove it to pin the next one"
            ) from None

    def _keep(self, met: Pinned) -> bool:
        """Writes the pin; False where another process did in between."""
        temporary = self.path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary.write_bytes(msgspec.json.encode(met) + b"\n")
            temporary.chmod(0o600)
            try:
                # A link is made whole or not at all, and never over another file.
                os.link(temporary, self.path)
            finally:
                temporary.unlink()
        except FileExistsError:
            return False
        except OSError as error:
            raise WalletError(f"{self.path} cannot be written: {error.strerror}") from None
        return True


def _words(pinned: Pinned) -> str:
    genesis = f"L1 genesis block {pinned.genesis_block_hash[:10]}..., first root {pinned.genesis_root[:10]}..."
    return f"rollup {pinned.rollup} on chain {pinned.chain_id} ({genesis})"


def introduction(venue: Venue, pin: RollupPin) -> list[str]:
    """Whom a wallet trusts with a rollup, for its first use."""
    signers = ", ".join(checksum_address(signer) for signer in venue.oracle_signers)
    return [
        f"first use of rollup {checksum_address(venue.rollup)} on chain {venue.chain_id}, L1 genesis block "
        f"0x{venue.location.genesis_block_hash.hex()}: pinned in {pin.path}",
        f"its operator is {checksum_address(venue.operator)}",
        f"its prices need {venue.oracle_quorum} of {len(venue.oracle_signers)} oracle signers: {signers}",
        f"a batch is final {venue.window_seconds} s after it was posted",
    ]
