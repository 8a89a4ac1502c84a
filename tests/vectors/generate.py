"""Golden vectors of the law, made anew from fixed seeds: enough to check another reading of it without running ours.

Bytes are hex without a prefix, integers are JSON numbers or, above 2^53, decimal strings. A law case is one chunk: the
witness carries commitment, globals, leaf payloads and multiproof of its pre-state (PROTOCOL.md, Witness).
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from l1_bridge.hashing import keccak
from prover.signing import operations
from prover.signing.recover import CURVE_ORDER, recover_fast
from prover.signing.reports import tick_digest
from prover.signing.signatures import order_digest, request_digest
from prover.signing.typed_data import SIGNED
from prover.stf import codes, constants, containers, encoding, margin, markets, merkle, signatures
from tests.twins import venue
from tests.vectors import law_table
from tests.vectors.reading import Given, decided

HERE: Final = Path(__file__).parent
SEED: Final = 20_261_122
_AMOUNT_BITS: Final = {
    constants.WITHDRAW: 64,
    constants.TRANSFER: 64,
    constants.SET_AGENT: 48,
    constants.SET_LEVERAGE: 24,
}


def number(value: int) -> int | str:
    """JSON readers lose digits beyond 2^53."""
    return value if -(2**53) < value < 2**53 else str(value)


def plain(value: Any) -> Any:
    """A container as JSON."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return number(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    return [plain(item) for item in value]


def law() -> dict[str, Any]:
    """The cases that `tests.vectors.picking` chose, as both twins decide them."""
    return law_of(held())


def held() -> list[Given]:
    """The chunks that the law's file has."""
    cases = json.loads((HERE / "law.json").read_text())["cases"]
    return [Given(case["name"], bytes.fromhex(case["body"]), bytes.fromhex(case["witness"])) for case in cases]


def law_of(chosen: Sequence[Given]) -> dict[str, Any]:
    """The file of these cases."""
    cases = [decided(venue.DOMAIN, given) for given in chosen]
    for case in cases:
        before, body, witness = (bytes.fromhex(case[part]) for part in ("pre_root", "body", "witness"))
        root, codes = venue.referee().trace(venue.DOMAIN, before, body, witness)
        assert (list(codes), root.hex()) == (case["codes"], case["post_root"]), case["name"]
    return {"domain": venue.DOMAIN.hex(), "law_version": constants.LAW_VERSION, "cases": cases}


def pairs_of(case: dict[str, Any]) -> set[tuple[int, int]]:
    """The (operation, code) pairs that a law case shows."""
    return set(zip(venue.tags_of(bytes.fromhex(case["body"])), case["codes"], strict=True))


def signed() -> dict[str, Any]:
    """Signed operations: fields, hashes, signature, bytes; and signatures that recover to nobody or somebody else."""
    rng = random.Random(SEED)
    key = venue.KEYS[1]
    rows: list[dict[str, Any]] = []
    for _ in range(3):
        order = venue.order(
            rng.randrange(17, 2**24),
            market=rng.randrange(16),
            side=rng.randrange(2),
            size=rng.randrange(1, 2**56),
            limit_price=rng.randrange(1, 2**48),
            slot=rng.randrange(1, 256),
            sequence=rng.randrange(2**40),
            time_in_force=rng.randrange(3),
            reduce_only=rng.randrange(2),
            trigger=1,
            trigger_price=rng.randrange(1, 2**48),
            max_fee_ppm=rng.randrange(2**16),
            max_posting_fee=rng.randrange(2**24),
        )
        digest = order_digest(venue.DOMAIN, order)
        signature = venue.sign(key, digest)
        rows.append(
            {
                "operation": "order",
                "fields": plain(order),
                "struct_hash": signatures.order_hash(order).hex(),
                "digest": digest.hex(),
                "signature": signature.hex(),
                "bytes": operations.order_bytes(order, signature).hex(),
            }
        )
    for tag in SIGNED:
        if tag == constants.ORDER:
            continue
        request = venue.request(
            rng.randrange(17, 2**24),
            slot=0 if tag == constants.CANCEL_ALL else 255,
            sequence=rng.randrange(2**40),
            amount=rng.randrange(2 ** _AMOUNT_BITS.get(tag, 0)),
            other=rng.randrange({constants.TRANSFER: 2**24, constants.SET_AGENT: 256}.get(tag, 1)),
            recipient=rng.randbytes(20) if tag in (constants.WITHDRAW, constants.SET_AGENT) else containers.NOBODY,
            first_slot=rng.randrange(256) if tag == constants.SET_AGENT else 0,
            last_slot=rng.randrange(256) if tag == constants.SET_AGENT else 0,
            max_posting_fee=rng.randrange(2**24),
        )
        digest = request_digest(venue.DOMAIN, tag, request)
        signature = venue.sign(key, digest)
        rows.append(
            {
                "operation": law_table.NAMES[tag],
                "fields": plain(request),
                "struct_hash": signatures.request_hash(tag, request).hex(),
                "digest": digest.hex(),
                "signature": signature.hex(),
                "bytes": operations.request_bytes(tag, request, signature).hex(),
            }
        )
    prices = [rng.randrange(1, 2**48) for _ in range(3)] + [0] * 13
    premiums = [rng.randrange(-(2**31), 2**31) for _ in range(3)] + [0] * 13
    digest = tick_digest(venue.DOMAIN, venue.NOW, prices, premiums)
    signature = venue.sign(venue.SIGNER_KEYS[2], digest)
    tick = {
        "time": venue.NOW,
        "prices": plain(prices),
        "premiums": plain(premiums),
        "struct_hash": signatures.tick_hash(venue.NOW, prices, premiums).hex(),
        "digest": digest.hex(),
        "signer_index": 2,
        "signer": venue.SIGNERS[2].hex(),
        "signature": signature.hex(),
        "bytes_of_one_report": operations.tick_bytes(venue.NOW, 3, [(2, prices, premiums, signature)]).hex(),
    }
    return {
        "chain_id": venue.CHAIN_ID,
        "bridge": venue.BRIDGE.hex(),
        "domain": venue.DOMAIN.hex(),
        "private_key": key.hex(),
        "address": venue.OWNERS[1].hex(),
        "operations": rows,
        "tick": tick,
        "recover": recoveries(rng),
    }


def recoveries(rng: random.Random) -> list[dict[str, str]]:
    """(digest, compact signature) -> address; forty zeros where there is nobody."""
    digest = keccak(b"recover me")
    good = venue.sign(venue.KEYS[1], digest)
    r, s, parity = int.from_bytes(good[:32], "big"), int.from_bytes(good[32:], "big") & (2**255 - 1), good[32] >> 7
    tried = [
        ("good", r, s, parity),
        ("other parity", r, s, 1 - parity),
        ("r is zero", 0, s, parity),
        ("s is zero", r, 0, parity),
        ("r is the order", CURVE_ORDER, s, parity),
        ("r above the order", CURVE_ORDER + 1, s, parity),
        ("s is half the order", r, signatures.HALF_ORDER, parity),
        ("s is one more than half the order", r, signatures.HALF_ORDER + 1, parity),
        ("s is 2^255 - 1", r, 2**255 - 1, parity),
        ("r is on no point", 5, s, parity),
        ("ones", 2**256 - 1, 2**255 - 1, 1),
    ]
    tried += [("random", rng.randrange(2**256), rng.randrange(2**254), rng.randrange(2)) for _ in range(4)]
    return [
        {
            "name": name,
            "digest": digest.hex(),
            "signature": (r.to_bytes(32, "big") + (s | parity << 255).to_bytes(32, "big")).hex(),
            "address": signatures.recover(digest, r, s | parity << 255, recover_fast).hex(),
        }
        for name, r, s, parity in tried
    ]


def sample_accounts(rng: random.Random) -> list[containers.Account]:
    """Accounts from none to the bounds of every field."""
    size, cost, index = constants.SIZE_BOUND - 1, constants.COST_BOUND - 1, constants.FUNDING_BOUND - 1
    position = venue.position
    return [
        encoding.no_account(),
        venue.account(venue.OWNERS[1], 0),
        venue.account(venue.OWNERS[1], -1, {3: position(1, -1, -1)}, floor=2**48),
        venue.account(venue.OWNERS[2], constants.COLLATERAL_BOUND - 1, {0: position(size, cost, index)}),
        venue.account(venue.OWNERS[2], 1 - constants.COLLATERAL_BOUND, {15: position(-size, -cost, -index)}),
        venue.account(
            venue.OWNERS[3],
            rng.randrange(10**12),
            {m: position(rng.randrange(-(10**9), 10**9), rng.randrange(-(10**15), 10**15), 7) for m in range(16)},
        ),
        venue.account(
            venue.OWNERS[4],
            5,
            older=rng.randrange(10**12),
            fresh=constants.COLLATERAL_BOUND - 1,
            epoch=2**32 - 1,
            initial_ppm=constants.PPM,
            agents=[
                encoding.agent_word(venue.OWNERS[5], 2**48 - 1, 0, 255),
                encoding.agent_word(venue.OWNERS[6], venue.NOW, 7, 9),
            ],
        ),
    ]


def encodings() -> dict[str, Any]:
    """Payloads, words and hashes of what the tree and the root are made of."""
    rng = random.Random(SEED + 1)
    frontier = [containers.NO_HASH] * constants.WITHDRAWAL_LEVELS
    appended: list[dict[str, Any]] = []
    for index in range(9):
        recipient, amount = rng.randbytes(20), rng.randrange(2**64)
        leaf = encoding.withdrawal_hash(index, recipient, amount)
        frontier = merkle.append(frontier, index, leaf)
        appended.append(
            {
                "index": index,
                "recipient": recipient.hex(),
                "amount": number(amount),
                "leaf": leaf.hex(),
                "root": merkle.frontier_root(frontier, index + 1).hex(),
            }
        )
    globals = venue.globals_of(frontier=frontier, withdrawal_count=9)
    slots = [encoding.no_slot(), containers.Slot(1, 0), containers.Slot(0, 1), containers.Slot(2**56 - 1, 2**64 - 1)]
    deposit = containers.Deposit(venue.DEPOSITOR, venue.OWNERS[1], constants.NEW_ACCOUNT, 2**64 - 1)
    return {
        "accounts": [
            {
                "account": plain(account),
                "payload": encoding.account_payload(account).hex(),
                "leaf_hash": encoding.account_hash(account).hex(),
                "position_words": [encoding.position_word(row).hex() for row in account.positions],
            }
            for account in sample_accounts(rng)
        ],
        "slots": [
            {
                "slot": plain(slot),
                "payload": encoding.slot_payload(slot).hex(),
                "leaf_hash": encoding.slot_hash(slot).hex(),
            }
            for slot in slots
        ],
        "withdrawals": appended,
        "deposit": {"fields": plain(deposit), "bytes": operations.deposit_bytes(deposit).hex()},
        "globals": {
            "fields": plain(globals),
            "bytes": encoding.globals_bytes(globals).hex(),
            "hash": encoding.globals_hash(globals).hex(),
        },
        "queue": queue_chain(operations.deposit_bytes(deposit)),
    }


def queue_chain(entry: bytes) -> dict[str, Any]:
    """The hash chain of the L1 queue over the same entry three times."""
    digest = bytes(32)
    chain: list[str] = []
    for _ in range(3):
        digest = keccak(digest + keccak(entry))
        chain.append(digest.hex())
    return {"entry": entry.hex(), "hashes": chain}


def ticks() -> dict[str, Any]:
    """Medians of 1 to 7 reports, and funding accrued: rounding, clamps, gap and saturation."""
    rng = random.Random(SEED + 2)
    medians: list[dict[str, Any]] = []
    for count in (1, 3, 5, 7):
        for low, high in ((1, 2**48), (-(2**31), 2**31), (1, 4)):
            reports = [rng.randrange(low, high) for _ in range(count)]
            padded = reports + [0] * (constants.SIGNERS - count)
            medians.append({"reports": plain(reports), "median": number(markets.median(padded, count))})
    bound = constants.FUNDING_BOUND - 1
    inputs = [
        (0, 1, 600_000, 5_000),
        (0, -1, 1, 5_000),
        (0, -1, 600_001, 5_000),
        (5, 500_000, 600_000, 5_000),
        (5, -500_000, 600_000, 5_000),
        (0, 12_500, 600_000, 10**9),
        (bound, 100_000, 600_000, 5_000),
        (bound - 1, 2**31 - 1, 2**48 - 1, 10**9),
        (-bound, -100_000, 600_000, 5_000),
        (1 - bound, -(2**31), 2**48 - 1, 10**9),
        (7, 0, 600_000, 5_000),
    ]
    names = ("funding_index", "rate_ppb", "price", "elapsed")
    premium, interest = (0, 12_499, 75_000, 75_001, -50_000, -50_001, 2**31 - 1, -(2**31)), (0, 12_500, -12_500)
    terms = [(p, i, damping, 500_000) for p in premium for i in interest for damping in (0, 62_500)]
    terms += [(9, 12_500, 62_500, 0), (0, 12_500, 62_500, 12_499), (-(2**31), 0, 125_000, 2**31 - 1)]
    return {
        "medians": medians,
        "rates": [rate_row(*row) for row in terms],
        "accrued": [
            dict(zip(names, map(number, row), strict=True)) | {"result": number(markets.accrued(*row))}
            for row in inputs
        ],
    }


def rate_row(premium_ppb: int, interest_ppb: int, damping_ppb: int, cap_ppb: int) -> dict[str, Any]:
    """One rate of funding."""
    rate = markets.funding_rate(encoding.funding_terms(cap_ppb, interest_ppb, damping_ppb), premium_ppb)
    values = (premium_ppb, interest_ppb, damping_ppb, cap_ppb, rate)
    return dict(zip(("premium", "interest", "damping", "cap", "result"), map(number, values), strict=True))


# interest_lower, interest_upper, fund, price, open_interest, base_ppm
_SCALED: Final = (
    (0, 0, 10**15, 600_000, 1, 20_000),
    (10**12, 3 * 10**12, 10**15, 600_000, 10**6, 20_000),
    (10**12, 3 * 10**12, 10**15, 600_000, 1_666_666, 20_000),
    (10**12, 3 * 10**12, 10**15, 600_000, 1_666_667, 20_000),
    (10**12, 3 * 10**12, 10**15, 600_000, 4_999_999, 50_000),
    (10**12, 3 * 10**12, 10**15, 600_000, 5_000_000, 50_000),
    (10**12, 3 * 10**12, 10**10, 600_000, 600_000, 50_000),
    (10**12, 3 * 10**12, 0, 600_000, 0, 50_000),
    (10**12, 3 * 10**12, -5, 600_000, 1, 50_000),
)


def scaled_market(interest_lower: int, interest_upper: int, fund: int) -> containers.Market:
    """The first devnet market with other bounds."""
    listed = venue.globals_of().markets[0]
    return msgspec.structs.replace(listed, interest_lower=interest_lower, interest_upper=interest_upper, fund=fund)


def scaled_row(lower: int, upper: int, fund: int, price: int, open_interest: int, base_ppm: int) -> dict[str, Any]:
    """One initial fraction of a growing leg."""
    listed = scaled_market(lower, upper, fund)
    return {
        "interest_lower": number(lower),
        "interest_upper": number(upper),
        "fund": number(fund),
        "price": number(price),
        "open_interest": number(open_interest),
        "base_ppm": base_ppm,
        "result": number(margin.scaled_ppm(listed, price, open_interest, base_ppm)),
    }


def margins() -> dict[str, Any]:
    """Funding settled, sums, what may be withdrawn, the rule of every change, and the two divisions."""
    rng = random.Random(SEED + 3)
    globals = venue.globals_of()
    globals.risk.funding_index[:3] = [10**12 + 1, -5, 10**9]
    risk = globals.risk
    accounts = [
        venue.account(collateral=1_000 * venue.DOLLAR, positions=dict(enumerate(rows)))
        for rows in (
            [],
            [venue.position(100_000, 60_000 * venue.DOLLAR, 10**12)],
            [venue.position(-100_000, -60_000 * venue.DOLLAR, 10**12)],
            [venue.position(3, 1_800_000, 0), venue.position(-7, -2_100_000, 0), venue.position(1, 0, 10**9)],
        )
    ]
    # Money of every age, one and two epochs behind, an own bound of leverage.
    accounts += [
        msgspec.structs.replace(accounts[3], older=70, fresh=9_000_000, epoch=venue.EPOCH - 1, initial_ppm=100_000),
        msgspec.structs.replace(accounts[1], older=7 * venue.DOLLAR, fresh=11, epoch=venue.EPOCH - 2),
        msgspec.structs.replace(accounts[1], older=70, fresh=9),
    ]
    settled: list[dict[str, Any]] = []
    for account in accounts:
        after, dust = margin.settle(risk, account, venue.NOW)
        settled.append(
            {
                "payload": encoding.account_payload(account).hex(),
                "settled_payload": encoding.account_payload(after).hex(),
                "dust": number(dust),
                "sums": plain(margin.sums(risk, after, constants.MARKETS)),
                "sums_without_market_0": plain(margin.sums(risk, after, 0)),
                "spendable": number(margin.spendable(risk, after, constants.WITHDRAWAL_FLOOR_PPM)),
            }
        )
    changes = [
        (10, 5, 100, 100, 60, 30),
        (10, 5, 100, 49, 60, 30),
        (10, 5, 100, 50, 60, 30),
        (10, -5, 100, 100, 60, 30),
        (10, 11, 100, 100, 60, 66),
        (10, 0, -1, -1, 60, 0),
        (10, 0, -1, 0, 60, 0),
        (10, 5, -100, -50, 60, 30),
        (10, 5, -100, -51, 60, 30),
        (-10, -5, 100, 100, 60, 61),
        (0, 0, 5, 4, 0, 0),
    ]
    fields = ("old_size", "new_size", "before", "after", "maintenance_before", "maintenance_after")
    divisions = [(7, 2), (-7, 2), (-8, 2), (0, 5), (-1, 10**9), (1, 10**9)] + [
        (rng.randrange(-(2**140), 2**140), constants.FUNDING_SCALE) for _ in range(3)
    ]
    return {
        "risk": {name: plain(column) for name, column in msgspec.structs.asdict(risk).items() if name != "debts"},
        "debts": plain(risk.debts),
        "accounts": settled,
        "scaled": [scaled_row(*row) for row in _SCALED],
        "only_reduced": [
            dict(zip(fields, row, strict=True)) | {"result": margin.only_reduced(*row)} for row in changes
        ],
        "divisions": [
            {
                "numerator": number(a),
                "denominator": b,
                "floor": number(margin.floor_div(a, b)),
                "ceil": number(margin.ceil_div(a, b)),
            }
            for a, b in divisions
        ],
        "requirements": [
            {
                "price": number(price),
                "size": number(size),
                "ppm": ppm,
                "result": number(margin.requirement(price, size, ppm)),
            }
            for price, size, ppm in ((600_000, 1, 20_000), (1, 1, 1), (1, -1, 999_999), (2**48 - 1, 1 - 2**56, 10**6))
        ],
    }


def table() -> dict[str, Any]:
    """The law's table and the codes' sentences."""
    return {
        "rows": law_table.rows(),
        "codes": [
            {"code": code, "name": name, "sentence": sentence} for code, (name, sentence) in codes.SENTENCE.items()
        ],
        "chunk": {
            "max_bytes": constants.MAX_CHUNK_BYTES,
            "max_weight_kilogas": constants.MAX_WEIGHT,
            "max_account_references": constants.MAX_ACCOUNT_REFERENCES,
            "max_slot_references": constants.MAX_SLOT_REFERENCES,
        },
    }


FILES: Final = {
    "law.json": law,
    "law_table.json": table,
    "signatures.json": signed,
    "encodings.json": encodings,
    "ticks.json": ticks,
    "margin.json": margins,
}
