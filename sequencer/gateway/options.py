"""What the operator of a gateway chose."""

from pathlib import Path

import msgspec


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """All options of the command, by their parameters' names. signer: address, account and the agent's keystore."""

    node_url: str
    l1_rpc_url: str
    rollup_address: bytes | None
    wallet_dir: Path
    signer: tuple[tuple[bytes, int, str], ...]
    password_file: Path | None
    port: int
    good_till: str
    allow_host: tuple[str, ...]
    json: bool
    log_level: str
