"""What the operator of a signer chose."""

from pathlib import Path

import msgspec


class HttpPrice(msgspec.Struct, frozen=True):
    """Where a price stands: a URL, the path to it in the JSON answer, and the path to its time if it has one."""

    url: str
    price_path: tuple[str, ...]
    time_path: tuple[str, ...] = ()


def parse_http_price(text: str) -> HttpPrice:
    """URL#price.path or URL#price.path,time.path; list items by their index. ValueError for anything else."""
    url, mark, paths = text.partition("#")
    price_path, _, time_path = paths.partition(",")
    if not (url.startswith(("https://", "http://")) and mark and price_path):
        raise ValueError("it is URL#path.to.price or URL#path.to.price,path.to.time")
    return HttpPrice(url, tuple(price_path.split(".")), tuple(time_path.split(".")) if time_path else ())


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """All options of the command, by their parameters' names; maps are by market name."""

    node_url: tuple[str, ...]
    signer_index: int | None
    keystore: Path | None
    password_file: Path | None
    rollup_address: bytes | None
    chain_id: int | None
    market: tuple[tuple[str, int], ...]
    source: str
    seed: int
    jumps_per_hour: float
    jump_ppm: int
    noise_ppm: int
    start_price: dict[str, float]
    series: dict[str, Path]
    beta: dict[str, float]
    beta_noise_ppm: int
    speed: float
    play_from_ms: int | None
    http_price: dict[str, tuple[HttpPrice, ...]]
    min_sources: int | None
    max_spread_ppm: int
    max_age: float
    max_move_ppm: int
    confirmations: int
    missing_seconds: float
    impact_dollars: int
    premium_cap_ppb: int
    ticks: int | None
    is_drill: bool
    l1_rpc_url: str
    json: bool
    log_level: str
