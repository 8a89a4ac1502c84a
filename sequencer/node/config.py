"""What the operator chose, and the errors by which a start says that it does not go together."""

import os
from collections.abc import Mapping
from errno import EACCES, EDQUOT, EFBIG, EMFILE, ENFILE, ENOSPC, EPERM, EROFS
from pathlib import Path
from typing import Final

import msgspec

from l1_bridge.client.errors import L1Timeout, L1Unavailable
from l1_bridge.client.keys import Signer
from l1_bridge.client.options import DEFAULT_OPTIONS
from prover.contracts.deployment import DEVNET_PARAMETERS
from prover.state.genesis import DEVNET_GRACE_MS, DEVNET_MARKETS
from prover.stf import containers
from sequencer.history.records import Kept
from sequencer.l1.preflight import PreflightPolicy


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator chose. `l1_rpc_url` empty: an embedded L1 starts in the datadir."""

    datadir: Path
    port: int = 9545
    # Beside this machine's: names that requests may come for, as through a proxy, and origins of pages that may ask.
    api_hosts: frozenset[str] = frozenset()
    api_origins: frozenset[str] = frozenset()
    # Whether what is an account's alone is told to its owner and agents only.
    is_private: bool = False
    # Where health, readiness and metrics are told beside the API's port too; None: nowhere.
    monitor_port: int | None = None
    # Whether the page is served on the API's port; an L1 that any browser may ask, and a challenger's URL for it.
    has_page: bool = True
    page_l1_url: str = ""
    challenger_url: str = ""
    l1_rpc_url: str = ""
    l1_port: int = 8545
    rollup_address: bytes = b""
    is_deploy_allowed: bool = False
    operator: Signer | None = None
    development_key: int = 0
    is_maker_running: bool = True
    is_oracle_simulated: bool = True
    oracle_seed: int = 0
    seal_seconds: float = 1.0
    post_seconds: float = 5.0
    # Per gas, of whatever the node sends; above it L1 is waited for.
    max_fee_wei: int = DEFAULT_OPTIONS.max_fee_wei
    window_seconds: int = 30
    governor: bytes = containers.NOBODY
    governance_delay_seconds: int = 30
    # Of a rollup that is deployed. posting_fee_micros: None is a devnet's, and on any other chain nobody's choice.
    posting_fee_micros: int | None = None
    grace_ms: int = DEVNET_GRACE_MS
    maker_fee_ppm: int = DEVNET_MARKETS[0].maker_fee_ppm
    taker_fee_ppm: int = DEVNET_MARKETS[0].taker_fee_ppm
    minimum_notional_micros: int = DEVNET_MARKETS[0].minimum_notional_micros
    bond_wei: int = DEVNET_PARAMETERS.bond_wei
    entry_fee_wei: int = DEVNET_PARAMETERS.entry_fee_wei
    minimum_deposit_micros: int = DEVNET_PARAMETERS.minimum_deposit_micros
    is_posting: bool = True
    # Without the seat: what L1 holds is shown, and nothing is taken.
    is_following: bool = False
    # Of a node that follows: whose stream it shows beside, marked as not posted; empty: nobody's.
    soft_from: str = ""
    # Whether a bond is put up for an open seat; a rollup that nobody ever served is taken by whoever deployed it.
    is_seat_wanted: bool = False
    # Behind the newest final chunk so many keep their witnesses: a devnet's L1 may be taken back behind a short window.
    kept_witnesses: int = 1_024
    # Signature workers; 0 checks signatures in the node's own process.
    verifiers: int = 0

    # Pre-flight workers; 0 asks the referee in the node's own process. How much is asked is the operator's policy.
    preflight_workers: int = 0
    preflight: PreflightPolicy = PreflightPolicy()
    # How much of each kind of history is kept, where it is not the kind's own measure.
    kept_history: Mapping[str, Kept] = {}
    # How often an account that holds positions is valued for its curve of equity; 0: never.
    sample_seconds: int = 900

    @property
    def is_l1_embedded(self) -> bool:
        """Whether the L1 lives and ends with this node."""
        return not self.l1_rpc_url


WRITABLE: Final = "The node's user has to own the datadir and all that is in it, and the disk needs room."
_OF_THE_DISK: Final = (EACCES, EPERM, EROFS, ENOSPC, EDQUOT, EFBIG, EMFILE, ENFILE)


def is_of_the_disk(error: Exception) -> bool:
    """Whether room or permission is missing, and nothing is damaged: by its number, or by what a store says of it."""
    cause = error.__cause__ or error
    said = f"{error} {cause}"
    return getattr(cause, "errno", None) in _OF_THE_DISK or any(os.strerror(code) in said for code in _OF_THE_DISK)


class CannotStart(Exception):
    """One sentence for the operator, and a non-zero exit: what was asked for does not go together."""


class L1Unusable(CannotStart):
    """There is no L1, or not the right one, or not the right contracts on it."""


class L1Away(L1Unusable):
    """L1 does not answer now: later it may, and may be the right one."""


def unusable(sentence: str, error: Exception) -> L1Unusable:
    """The error to raise for what went wrong with L1: L1Away where asking again may help."""
    kind = L1Away if isinstance(error, L1Unavailable | L1Timeout) else L1Unusable
    return kind(f"{sentence}: {error}")


class DatadirUnusable(CannotStart):
    """The datadir is in use, damaged, or belongs to another rollup."""
