"""What a new trader pastes: a key, play money, a trade, with all that this venue needs and the defaults do not say."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

import msgspec

from l1_bridge.addresses import checksum_address
from l1_bridge.hashing import keccak
from sequencer.wallet.commands.running import DEFAULT_DIRECTORY
from sequencer.wallet.errors import WalletError
from sequencer.wallet.keys import keystore_path
from sequencer.wallet.pin import PIN_FILE, Pinned, RollupPin, pinned

_DEFAULT_URL: Final = "http://127.0.0.1:9545"
_DEFAULT_L1_URL: Final = "http://127.0.0.1:8545"
_DIRECTORY_VARIABLE: Final = "CATENARY_WALLET_DIR"
_KEYSTORE: Final = "default"


class Place(msgspec.Struct, frozen=True):
    """Where a venue answers, and which it is."""

    url: str
    l1_url: str
    chain_id: int
    l1_genesis_hash: bytes
    rollup: bytes
    genesis_root: bytes

    @property
    def pinned(self) -> Pinned:
        """As a wallet directory that used it has it."""
        return pinned(self.chain_id, self.l1_genesis_hash, self.rollup, self.genesis_root)


def wallet_directory() -> Path:
    """Where a wallet in this environment keeps its keys."""
    return Path(os.environ.get(_DIRECTORY_VARIABLE) or DEFAULT_DIRECTORY).expanduser()


def program_name() -> str:
    """How this process was called, to be called so again."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    module = None if spec is None else str(spec.name).removesuffix(".__main__")
    return as_called(sys.argv[0], module, sys.orig_argv[0])


def as_called(program: str, module: str | None, python: str) -> str:
    """The shortest words by which a shell finds the program: `python -m` with a module, a name, a path as typed."""
    if module:
        return f"{shlex.quote(python)} -m {module}"
    path = Path(program)
    if not path.is_file():
        return "catenary"
    found = shutil.which(path.name)
    return path.name if found is not None and os.path.samefile(found, path) else shlex.quote(program)


def hint(program: str, place: Place, directory: Path) -> list[str]:
    """The lines that open a trade with the wallet in `directory`, or with a new one where that is of another venue."""
    lines: list[str] = []
    own = directory
    if _is_of_another(directory, place):
        # One a venue, so that it is found again at the next start.
        tag = keccak(msgspec.json.encode(place.pinned))[:4].hex()
        own = directory.with_name(f"{directory.name}-{tag}")
        lines = [
            "",
            f"The wallet in {_shown(directory)} is of another venue: to use it here, name this one by --rollup-address "
            f"{checksum_address(place.rollup)} instead of --wallet-dir.",
        ]
    in_directory = "" if own == DEFAULT_DIRECTORY.expanduser() else f" --wallet-dir {_shown(own)}"
    here = in_directory
    if place.url != _DEFAULT_URL:
        here += f" --node-url {place.url}"
    if place.l1_url != _DEFAULT_L1_URL:
        here += f" --l1-rpc-url {place.l1_url}"
    wallet = f"{program} wallet"
    title = f"Two lines to a trade with the wallet in {_shown(own)} (in another terminal; it asks for its password):"
    pasted = [
        f"{wallet} deposit --faucet --amount 5000{here}",
        f"{wallet} order --market BTC --side buy --size 0.01 --price 70000 --time-in-force ioc{here}",
    ]
    if not keystore_path(own, _KEYSTORE).exists():
        title = "Three lines to your first trade (in another terminal; the password is for play money):"
        pasted = [f"CATENARY_WALLET_PASSWORD=play {line}" for line in (f"{wallet} new{in_directory}", *pasted)]
    return [title, *(f"  {line}" for line in pasted), *lines]


def _is_of_another(directory: Path, place: Place) -> bool:
    try:
        known = RollupPin(directory / PIN_FILE).known()
    except WalletError:
        # A damaged pin admits no venue before its owner has looked at it.
        return True
    return known is not None and known != place.pinned


def _shown(directory: Path) -> str:
    """For a shell, the home directory by its short name."""
    home = Path.home()
    if directory.is_relative_to(home) and shlex.quote(str(directory)) == str(directory):
        return f"~/{directory.relative_to(home)}"
    return shlex.quote(str(directory))
