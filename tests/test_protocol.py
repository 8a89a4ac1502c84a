"""PROTOCOL.md says what the code does: its tables, its type strings, and every byte of its worked example."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from l1_bridge.codec import batch
from l1_bridge.hashing import keccak
from prover.contracts.referee import LocalReferee
from prover.signing import access, operations, receipts
from prover.signing.recover import recover_fast
from prover.signing.reports import tick_digest
from prover.signing.signatures import address_of, order_digest, request_digest, sign
from prover.signing.typed_data import domain_separator
from prover.state import genesis, multiproof, state, witness
from prover.state.store import MemoryStore
from prover.stf import codes, constants, containers, encoding, margin, markets, signatures
from prover.stf.replay import KINDS, Chunk
from tests.vectors import law_table, writes
from tests.vectors.reading import Given

ROOT: Final = Path(__file__).parent.parent
PROTOCOL: Final = (ROOT / "PROTOCOL.md").read_text() if (ROOT / "PROTOCOL.md").exists() else ""

# The worked example: chunk 1 of a venue with the devnet's markets.
CHAIN_ID: Final = 31337
BRIDGE: Final = b"\x11" * 20
BRIDGE_ID: Final = batch.BridgeId(CHAIN_ID, BRIDGE)
DOMAIN: Final = domain_separator(CHAIN_ID, BRIDGE)
NOW: Final = 1_800_000_000_000
SIGNER_KEYS: Final = [bytes([index]) * 32 for index in range(1, 8)]
OPERATOR_KEY: Final = b"\x0b" * 32
MAKER_KEY: Final = b"\x0c" * 32
TAKER_KEY: Final = b"\x0d" * 32
DEPOSITOR: Final = b"\x55" * 20
RECIPIENT: Final = b"\x66" * 20
OPERATOR: Final = address_of(OPERATOR_KEY)
MAKER: Final = address_of(MAKER_KEY)
TAKER: Final = address_of(TAKER_KEY)

_LIMIT: Final = {"created_at": NOW, "time_in_force": constants.GOOD_TILL_TIME, "market": 0, "unused": 0}
_PLAIN: Final = {"reduce_only": 0, "trigger": constants.NO_TRIGGER, "trigger_price": 0}
MAKER_ORDER: Final = containers.Order(
    account=17,
    side=constants.SELL,
    size=100_000,
    limit_price=600_100,
    slot=1,
    sequence=NOW,
    expires_at=NOW + 3_600_000,
    post_only=1,
    max_fee_ppm=200,
    max_posting_fee=0,
    **_LIMIT,
    **_PLAIN,
)
TAKER_ORDER: Final = containers.Order(
    account=18,
    side=constants.BUY,
    size=60_000,
    limit_price=600_200,
    slot=1,
    sequence=NOW,
    expires_at=NOW + 60_000,
    post_only=0,
    max_fee_ppm=500,
    max_posting_fee=1_000,
    **_LIMIT,
    **_PLAIN,
)
_SOON: Final = {"created_at": NOW, "expires_at": NOW + 300_000, "max_posting_fee": 1_000}
REQUESTS: Final = {
    "withdraw": (
        constants.WITHDRAW,
        containers.Request(account=17, slot=2, sequence=NOW, amount=25_000_000, other=0, recipient=RECIPIENT, **_SOON),
        MAKER_KEY,
    ),
    "transfer": (
        constants.TRANSFER,
        containers.Request(
            account=18, slot=3, sequence=NOW, amount=1_000_000_000, other=19, recipient=bytes(20), **_SOON
        ),
        TAKER_KEY,
    ),
    "cancel": (
        constants.CANCEL,
        containers.Request(account=17, slot=1, sequence=NOW, amount=0, other=0, recipient=bytes(20), **_SOON),
        MAKER_KEY,
    ),
    "cancel_all": (
        constants.CANCEL_ALL,
        containers.Request(account=18, slot=0, sequence=NOW, amount=0, other=0, recipient=bytes(20), **_SOON),
        TAKER_KEY,
    ),
    "set_agent": (
        constants.SET_AGENT,
        containers.Request(
            account=17,
            slot=4,
            sequence=NOW,
            amount=NOW + 86_400_000,
            other=0,
            recipient=RECIPIENT,
            first_slot=0,
            last_slot=100,
            **_SOON,
        ),
        MAKER_KEY,
    ),
    "set_leverage": (
        constants.SET_LEVERAGE,
        containers.Request(account=17, slot=5, sequence=NOW, amount=100_000, **_SOON),
        MAKER_KEY,
    ),
}


# What the table of codes says in a word where all of them come to a code.
GROUPS: Final = {
    "every request": ("withdraw", "transfer", "cancel", "set_agent", "set_leverage", "cancel_all"),
    "every rescue": ("liquidate", "take_over", "deleverage", "unwind"),
    "every entry": tuple(law_table.NAMES[tag] for tag in sorted(KINDS) if tag >= constants.FORCED_RESCUE),
}


def _deposit(owner: bytes, account: int, amount: int) -> bytes:
    return operations.deposit_bytes(containers.Deposit(DEPOSITOR, owner, account, amount))


def _order(order: containers.Order, key: bytes) -> bytes:
    return operations.order_bytes(order, sign(key, order_digest(DOMAIN, order)))


def _request(tag: int, request: containers.Request, key: bytes) -> bytes:
    signature = sign(key, request_digest(DOMAIN, tag, request))
    return operations.request_bytes(tag, request, signature)


def _tick() -> bytes:
    reports = []
    for index, key in enumerate(SIGNER_KEYS[:5]):
        prices = [600_000 + 10 * index, 300_000 - index, 1_500_000 + 100 * index] + [0] * 13
        premiums = [100_000 - 10_000 * index, -50_000, 20_000 + 1_000 * index] + [0] * 13
        signature = sign(key, tick_digest(DOMAIN, NOW, prices, premiums))
        reports.append((index, prices, premiums, signature))
    return operations.tick_bytes(NOW, 3, reports)


@cache
def example_operations() -> list[tuple[str, bytes]]:
    """The operations of the worked example's chunk, by the name of their block in PROTOCOL.md, in order."""
    requests = [(name, _request(*signed)) for name, signed in REQUESTS.items()]
    return [
        ("deposit", _deposit(MAKER, constants.NEW_ACCOUNT, 50_000_000_000)),
        ("deposit taker", _deposit(TAKER, constants.NEW_ACCOUNT, 50_000_000_000)),
        ("deposit second account", _deposit(TAKER, constants.NEW_ACCOUNT, 5_000_000)),
        ("deposit refunded", _deposit(TAKER, 17, 7_000_000)),
        ("tick", _tick()),
        ("order", _order(MAKER_ORDER, MAKER_KEY)),
        ("order taker", _order(TAKER_ORDER, TAKER_KEY)),
        ("fill", operations.fill_bytes(0, 1, 60_000)),
        *requests,
        ("malformed", b"\x18"),
    ]


@cache
def example_chunk() -> tuple[state.State, Chunk, bytes, dict[str, bytes]]:
    """The state after the example's chunk, the chunk, its body, and the hashes on the way."""
    opened = genesis.genesis_bytes(OPERATOR, [address_of(key) for key in SIGNER_KEYS], 5)
    venue = state.create(MemoryStore(), DOMAIN, opened)
    found = {
        "domain separator": DOMAIN,
        "genesis globals_hash": venue.commitment.globals_hash,
        "genesis fee account leaf": venue.tree.leaf(0),
        "genesis tree_root": venue.commitment.tree_root,
        "genesis state root": venue.root,
        "genesis batch hash": batch.genesis_hash(BRIDGE_ID, opened, venue.root),
    }
    body = NOW.to_bytes(6, "big") + b"".join(operation for _, operation in example_operations())
    chunk = venue.chunk(recover_fast)
    chunk.run(body)
    proof = witness.build(venue.tree, chunk)
    leaves = sorted([index << 8 for index in chunk.loaded_accounts] + list(chunk.loaded_slots))
    found["multiproof"] = multiproof.prove(venue.tree, leaves)
    pre_root = venue.root
    post_root = venue.seal(chunk)
    assert LocalReferee().trace(DOMAIN, pre_root, body, proof) == (post_root, tuple(chunk.operation_codes))
    header = batch.Header(1, found["genesis batch hash"], 0, OPERATOR)
    withdrawals = [
        batch.Withdrawal(0, DEPOSITOR, 7_000_000).leaf(),
        batch.Withdrawal(1, RECIPIENT, 25_000_000).leaf(),
    ]
    found |= {
        "maker order hash": signatures.order_hash(MAKER_ORDER),
        "maker order digest": order_digest(DOMAIN, MAKER_ORDER),
        "withdraw hash": signatures.request_hash(*REQUESTS["withdraw"][:2]),
        "withdraw digest": request_digest(DOMAIN, *REQUESTS["withdraw"][:2]),
        "transfer digest": request_digest(DOMAIN, *REQUESTS["transfer"][:2]),
        "cancel digest": request_digest(DOMAIN, *REQUESTS["cancel"][:2]),
        "cancel_all digest": request_digest(DOMAIN, *REQUESTS["cancel_all"][:2]),
        "set_agent digest": request_digest(DOMAIN, *REQUESTS["set_agent"][:2]),
        "set_leverage digest": request_digest(DOMAIN, *REQUESTS["set_leverage"][:2]),
        "body hash": keccak(body),
        "queue_hash": venue.commitment.queue_hash,
        "withdrawal leaf 0": withdrawals[0],
        "withdrawal leaf 1": withdrawals[1],
        "withdrawals_root": venue.commitment.withdrawals_root,
        "leaf of account 0": venue.tree.leaf(0),
        "leaf of account 17": venue.tree.leaf(17 << 8),
        "leaf of account 18": venue.tree.leaf(18 << 8),
        "leaf of account 19": venue.tree.leaf(19 << 8),
        "leaf of slot 1 of account 17": venue.tree.leaf(17 << 8 | 1),
        "leaf of slot 1 of account 18": venue.tree.leaf(18 << 8 | 1),
        "tree_root": venue.commitment.tree_root,
        "globals_hash": venue.commitment.globals_hash,
        "state root": post_root,
        "witness hash": keccak(proof),
        "batch hash": batch.batch_hash(BRIDGE_ID, header, [(keccak(body), post_root)]),
    }
    assert batch.WithdrawalTree(withdrawals).root == venue.commitment.withdrawals_root
    found["position word"] = encoding.position_word(venue.account(17).positions[0])
    return venue, chunk, body, found


def _settled(size: int, owed_index: int) -> tuple[int, int]:
    """Payment and dust of an account with one position whose index moved by so much."""
    positions = [encoding.pack(size, 0, 0)] + [containers.EMPTY] * 15
    risk = containers.Risk([1] * 16, [owed_index] + [0] * 15, [constants.PPM] * 16, [constants.PPM] * 16)
    account, dust = margin.settle(risk, msgspec.structs.replace(encoding.no_account(), positions=positions), NOW)
    return -margin.collateral(account), dust


# An interest of 12_500, a damping of 62_500 and a cap of 500_000 ppb an hour.
TERMS: Final = encoding.funding_terms(500_000, 12_500, 62_500)
ROUNDING: Final = {
    "floor_div(7, 2)": margin.floor_div(7, 2),
    "floor_div(-7, 2)": margin.floor_div(-7, 2),
    "ceil_div(7, 2)": margin.ceil_div(7, 2),
    "ceil_div(-7, 2)": margin.ceil_div(-7, 2),
    "payment of a long of 3 lots, index up by 400_000_000": _settled(3, 400_000_000)[0],
    "its dust": _settled(3, 400_000_000)[1],
    "payment of a short of 3 lots, index up by 400_000_000": _settled(-3, 400_000_000)[0],
    "its dust, too": _settled(-3, 400_000_000)[1],
    "rate of a premium of 80_000": markets.funding_rate(TERMS, 80_000),
    "rate of a premium of 70_000": markets.funding_rate(TERMS, 70_000),
    "rate of a premium of -50_001": markets.funding_rate(TERMS, -50_001),
    "rate of a premium of -700_000": markets.funding_rate(TERMS, -700_000),
    "accrued(0, 12_500, 600_020, 5_000)": markets.accrued(0, 12_500, 600_020, 5_000),
    "accrued(0, -500_000, 299_999, 5_000)": markets.accrued(0, -500_000, 299_999, 5_000),
    "accrued(10, 1_000, 7, 86_400_000)": markets.accrued(10, 1_000, 7, 86_400_000),
    "requirement of 1 lot at 600_020 ticks, 12_000 ppm": margin.requirement(600_020, 1, 12_000),
    "fee of 3 lots at 600_100 ticks, 450 ppm": margin.ceil_div(3 * 600_100 * 450, constants.PPM),
}


def hex_blocks() -> dict[str, bytes]:
    """What the hex blocks of PROTOCOL.md must hold."""
    found = {name: operation for name, operation in example_operations() if name != "malformed"}
    return found | forced_examples() | {"multiproof": example_chunk()[3]["multiproof"]}


def forced_examples() -> dict[str, bytes]:
    """Entries of the queue and a step that the worked example has no room for."""

    def owned(tag: int, **fields: int) -> bytes:
        blank = encoding.entry(tag, 0, 0)
        entry = msgspec.structs.replace(blank, account=17, **fields)
        return operations.entry_bytes(tag, MAKER, NOW, operations.entry_payload(tag, entry))

    rescue = operations.forced_rescue_payload(0, 17, operations.ALL_LOTS)
    return {
        "forced rescue": operations.entry_bytes(constants.FORCED_RESCUE, DEPOSITOR, NOW, rescue),
        "forced close": owned(constants.FORCED_CLOSE, amount=60_000, limit=606_000),
        "leave": owned(constants.LEAVE),
        "close step": operations.rescue_bytes(constants.CLOSE_STEP, containers.Rescue(0, 0, 0, 1, 25_000)),
    }


def hash_rows() -> dict[str, bytes]:
    """The hashes of the worked example."""
    return {name: digest for name, digest in example_chunk()[3].items() if name != "multiproof"}


def genesis_words() -> list[tuple[int, str]]:
    """Index and value of every word of the example's genesis globals that is not zero."""
    opened = genesis.genesis_bytes(OPERATOR, [address_of(key) for key in SIGNER_KEYS], 5)
    words = [opened[at : at + 32] for at in range(0, len(opened), 32)]
    return [(index, value.hex().lstrip("0")) for index, value in enumerate(words) if any(value)]


def table(heading: str) -> list[list[str]]:
    """Cells of the first table behind a heading, without its head."""
    text = PROTOCOL.split(f"\n{heading}\n", 1)[1]
    rows: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("|"):
            rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


def law_rows() -> list[list[str]]:
    """The law's table as PROTOCOL.md prints it."""
    consumed = {True: "yes", False: "no", None: "-"}
    return [
        [
            row["operation"],
            str(row["code"]),
            row["name"],
            consumed[row["consumed"]],
            str(row["accounts"]),
            str(row["slots"]),
            str(row["weight_kilogas"]),
            "yes" if row["ends_chunk"] else "no",
        ]
        for row in law_table.rows()
    ]


def code_rows() -> list[list[str]]:
    """The table of codes as PROTOCOL.md prints it."""
    return [
        [str(code), name, sentence, writes.listed(_that_come_to(code), GROUPS)]
        for code, (name, sentence) in codes.SENTENCE.items()
    ]


def _that_come_to(code: int) -> list[str]:
    return [law_table.NAMES[tag] for tag, of_tag in law_table.REACHABLE.items() if code in of_tag]


def operation_rows() -> list[list[str]]:
    """The table of operations: name, tag, length, weight, account and slot references."""
    rows = []
    for tag, kind in sorted(KINDS.items()):
        length = "9 + n * (65 + 10 * m)" if tag == constants.TICK else str(kind.length)
        if tag >= constants.FORCED_RESCUE:
            length = "29 + length"
        rows.append([law_table.NAMES[tag], f"{tag:02x}", length, str(kind.weight), str(kind.accounts), str(kind.slots)])
    return rows


def type_hashes() -> dict[str, bytes]:
    """The type hashes by the name of their type."""
    return {
        "EIP712Domain": keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
        "Order": signatures.ORDER_TYPE,
        "Withdraw": signatures.WITHDRAW_TYPE,
        "Transfer": signatures.TRANSFER_TYPE,
        "Cancel": signatures.CANCEL_TYPE,
        "CancelAll": signatures.CANCEL_ALL_TYPE,
        "SetAgent": signatures.SET_AGENT_TYPE,
        "SetLeverage": signatures.SET_LEVERAGE_TYPE,
        "Tick": signatures.TICK_TYPE,
        "Receipt": receipts.RECEIPT_TYPE,
        "Acknowledged": receipts.ACKNOWLEDGED_TYPE,
        "Access": access.ACCESS_TYPE,
    }


def test_the_constants_are_the_laws() -> None:
    law = {name: value for name, value in vars(constants).items() if name.isupper() and isinstance(value, int)}
    assert {row[0]: int(row[1]) for row in table("### Constants of the law")} == law


def test_no_line_is_too_wide_to_be_read() -> None:
    wide = [line for line in PROTOCOL.splitlines() if len(line) > 200]

    # A type string is hashed as it stands.
    assert [line.partition("(")[0] for line in wide] == ["Order", "SetAgent"]


def test_the_codes_are_the_laws() -> None:
    assert table("### Codes") == code_rows()


def test_the_laws_table_is_printed() -> None:
    assert table("### The law's table") == law_rows()


def test_what_each_operation_writes_is_what_the_published_cases_show() -> None:
    law = json.loads((ROOT / "tests" / "vectors" / "law.json").read_text())
    chunks = [Given(case["name"], *map(bytes.fromhex, (case["body"], case["witness"]))) for case in law["cases"]]

    assert table("### Writes") == writes.rows(writes.written(bytes.fromhex(law["domain"]), chunks))


def test_lengths_weights_and_references_are_the_laws() -> None:
    assert table("### Lengths and weights") == operation_rows()


def test_the_type_strings_are_what_is_hashed() -> None:
    stated = dict(re.findall(r"^((?:[A-Z]\w+))(\([^)]*\))$", PROTOCOL, re.M))
    hashed = type_hashes()
    assert {name: keccak((name + fields).encode()) for name, fields in stated.items()} == hashed
    assert {row[0]: row[1] for row in table("### Type hashes")} == {name: d.hex() for name, d in hashed.items()}


def test_every_hex_block_is_the_example() -> None:
    stated = {
        name: bytes.fromhex("".join(text.split()))
        for name, text in re.findall(r"^```hex ([\w ]+)\n(.*?)^```$", PROTOCOL, re.M | re.S)
    }
    assert stated == hex_blocks()


def test_the_worked_example_is_what_both_twins_give() -> None:
    _, chunk, body, _ = example_chunk()
    assert chunk.operation_codes == [codes.OK] * 3 + [codes.REFUNDED] + [codes.OK] * 10 + [codes.MALFORMED]
    assert {row[0]: row[1] for row in table("### Hashes of the example")} == {
        name: digest.hex() for name, digest in hash_rows().items()
    }
    assert f"{len(body):,} bytes" in PROTOCOL


def test_the_examples_genesis_is_printed_word_by_word() -> None:
    assert [(int(row[0]), row[1]) for row in table("### Genesis globals of the example")] == genesis_words()


def test_the_rounding_examples_are_the_laws() -> None:
    assert {row[0]: int(row[1]) for row in table("### Rounding by example")} == ROUNDING


def test_the_domain_is_the_bridges() -> None:
    assert BRIDGE_ID.domain_separator() == DOMAIN


def test_the_empty_account_hash_is_stated() -> None:
    assert keccak(bytes(832)) == encoding.EMPTY_ACCOUNT
    assert encoding.EMPTY_ACCOUNT.hex() in PROTOCOL
