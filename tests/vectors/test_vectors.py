"""The golden vectors against both twins, each read from the files alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from prover.signing import operations
from prover.signing.recover import recover_fast, recover_slow
from prover.signing.reports import tick_digest
from prover.signing.signatures import sign
from prover.signing.typed_data import domain_separator
from prover.stf import constants, containers, encoding, margin, markets, merkle, signatures
from tests.twins import venue
from tests.vectors import __main__ as command
from tests.vectors import law_table
from tests.vectors.generate import FILES, pairs_of, scaled_market
from tests.vectors.probe import Probe, plain, probe
from tests.vectors.reading import read

HERE: Final = Path(__file__).parent


def load(name: str) -> Any:
    return json.loads((HERE / f"{name}.json").read_text())


LAW: Final = load("law")
SIGNED: Final = load("signatures")
ENCODINGS: Final = load("encodings")
TICKS: Final = load("ticks")
MARGIN: Final = load("margin")


@pytest.fixture(scope="module")
def bytecode() -> Probe:
    return probe()


@pytest.mark.parametrize("case", LAW["cases"], ids=[case["name"] for case in LAW["cases"]])
def test_a_chunk_comes_to_its_codes_and_root_in_both_twins(case: dict[str, Any]) -> None:
    domain, body = bytes.fromhex(LAW["domain"]), bytes.fromhex(case["body"])
    pre_root, data = bytes.fromhex(case["pre_root"]), bytes.fromhex(case["witness"])

    chunk = read(domain, body, data)

    assert encoding.state_root(chunk.pre_commitment) == pre_root
    assert chunk.operation_codes == case["codes"]
    assert encoding.commitment_bytes(chunk.commitment).hex() == case["post_commitment"]
    assert encoding.state_root(chunk.commitment).hex() == case["post_root"]
    root, codes = venue.referee().trace(domain, pre_root, body, data)
    assert list(codes) == case["codes"]
    assert root.hex() == case["post_root"]


def test_the_law_cases_show_every_pair_of_the_table() -> None:
    shown = set().union(*(pairs_of(case) for case in LAW["cases"]))

    assert shown == law_table.PAIRS
    assert load("law_table")["rows"] == law_table.rows()


@pytest.mark.parametrize("row", SIGNED["operations"], ids=[row["operation"] for row in SIGNED["operations"]])
def test_signed_operations(row: dict[str, Any], bytecode: Probe) -> None:
    tag = {name: tag for tag, name in law_table.NAMES.items()}[row["operation"]]
    fields = {name: int(v) if name != "recipient" else bytes.fromhex(v) for name, v in row["fields"].items()}
    digest, signature = bytes.fromhex(row["digest"]), bytes.fromhex(row["signature"])
    domain = domain_separator(SIGNED["chain_id"], bytes.fromhex(SIGNED["bridge"]))
    assert domain.hex() == SIGNED["domain"]
    if tag == constants.ORDER:
        message: Any = containers.Order(**fields)
        struct_hash, theirs = signatures.order_hash(message), bytecode.call("order_hash", message)
        encoded = operations.order_bytes(message, signature)
    else:
        message = containers.Request(**fields)
        struct_hash = signatures.request_hash(tag, message)
        theirs = bytecode.call("request_hash", tag, message)
        encoded = operations.request_bytes(tag, message, signature)

    assert struct_hash.hex() == theirs.hex() == row["struct_hash"]
    assert signatures.digest(domain, struct_hash) == digest
    assert sign(bytes.fromhex(SIGNED["private_key"]), digest) == signature
    assert encoded.hex() == row["bytes"]


def test_the_signed_tick(bytecode: Probe) -> None:
    tick = SIGNED["tick"]
    prices, premiums = [int(p) for p in tick["prices"]], [int(p) for p in tick["premiums"]]

    assert signatures.tick_hash(tick["time"], prices, premiums).hex() == tick["struct_hash"]
    assert bytecode.call("tick_hash", tick["time"], prices, premiums).hex() == tick["struct_hash"]
    assert tick_digest(bytes.fromhex(SIGNED["domain"]), tick["time"], prices, premiums).hex() == tick["digest"]


@pytest.mark.parametrize("row", SIGNED["recover"], ids=[row["name"] for row in SIGNED["recover"]])
def test_recover(row: dict[str, str], bytecode: Probe) -> None:
    digest, signature = bytes.fromhex(row["digest"]), bytes.fromhex(row["signature"])
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")

    assert signatures.recover(digest, r, s, recover_fast).hex() == row["address"]
    assert signatures.recover(digest, r, s, recover_slow).hex() == row["address"]
    assert bytecode.call("recover", digest, r, s) == "0x" + row["address"]


@pytest.mark.parametrize("row", ENCODINGS["accounts"])
def test_accounts(row: dict[str, Any], bytecode: Probe) -> None:
    account = encoding.account_from_payload(bytes.fromhex(row["payload"]))

    assert encoding.account_payload(account).hex() == row["payload"]
    assert encoding.account_hash(account).hex() == row["leaf_hash"]
    assert bytecode.call("account_hash", account).hex() == row["leaf_hash"]
    for money in ("settled", "older", "fresh"):
        assert getattr(account, money) == int(row["account"][money])
    for position, word in zip(account.positions, row["position_words"], strict=True):
        packed = int(word, 16)
        assert encoding.position_word(encoding.position_from_word(bytes.fromhex(word))).hex() == word
        assert tuple(bytecode.call("unpack", packed)) == (position.size, position.cost, position.funding)
        assert bytecode.call("pack", position.size, position.cost, position.funding) == packed


def test_slots_withdrawals_globals_and_queue(bytecode: Probe) -> None:
    for row in ENCODINGS["slots"]:
        slot = encoding.slot_from_payload(bytes.fromhex(row["payload"]))
        assert slot == containers.Slot(int(row["slot"]["sequence"]), int(row["slot"]["filled"]))
        assert encoding.slot_hash(slot).hex() == bytecode.call("slot_hash", slot).hex() == row["leaf_hash"]
    frontier = [containers.NO_HASH] * constants.WITHDRAWAL_LEVELS
    for row in ENCODINGS["withdrawals"]:
        leaf = encoding.withdrawal_hash(row["index"], bytes.fromhex(row["recipient"]), int(row["amount"]))
        theirs = bytecode.call("withdrawal_hash", row["index"], bytes.fromhex(row["recipient"]), int(row["amount"]))
        assert leaf.hex() == theirs.hex() == row["leaf"]
        on_bytecode = bytecode.call("append", frontier, row["index"], leaf)
        frontier = merkle.append(frontier, row["index"], leaf)
        assert list(on_bytecode) == frontier
        assert merkle.frontier_root(frontier, row["index"] + 1).hex() == row["root"]
        assert bytecode.call("frontier_root", frontier, row["index"] + 1).hex() == row["root"]
    data = bytes.fromhex(ENCODINGS["globals"]["bytes"])
    globals = encoding.globals_from_bytes(data)
    assert encoding.globals_hash(globals).hex() == ENCODINGS["globals"]["hash"]
    # Addresses are plain words to it.
    fields = msgspec.structs.asdict(globals)
    fields["operator"] = int.from_bytes(globals.operator, "big")
    fields["signers"] = [int.from_bytes(signer, "big") for signer in globals.signers]
    assert bytecode.call("globals_hash", tuple(fields.values())).hex() == ENCODINGS["globals"]["hash"]


@pytest.mark.parametrize("row", TICKS["medians"])
def test_medians(row: dict[str, Any], bytecode: Probe) -> None:
    reports = [int(report) for report in row["reports"]]
    padded = reports + [0] * (constants.SIGNERS - len(reports))

    assert sorted(reports)[len(reports) // 2] == int(row["median"])
    assert markets.median(padded, len(reports)) == int(row["median"])
    assert bytecode.call("median", padded, len(reports)) == int(row["median"])


@pytest.mark.parametrize("row", TICKS["accrued"])
def test_funding_accrued(row: dict[str, Any], bytecode: Probe) -> None:
    arguments = [int(row[name]) for name in ("funding_index", "rate_ppb", "price", "elapsed")]

    assert markets.accrued(*arguments) == int(row["result"])
    assert bytecode.call("accrued", *arguments) == int(row["result"])


def test_funding_rates(bytecode: Probe) -> None:
    for row in TICKS["rates"]:
        terms = encoding.funding_terms(*(int(row[name]) for name in ("cap", "interest", "damping")))
        assert markets.funding_rate(terms, int(row["premium"])) == int(row["result"])
        assert bytecode.call("funding_rate", terms, int(row["premium"])) == int(row["result"])


def test_margin(bytecode: Probe) -> None:
    columns = {name: [int(v) for v in column] for name, column in MARGIN["risk"].items()}
    owing = MARGIN["debts"]
    owing = containers.Debts(int(owing["clock"]), [int(factor) for factor in owing["factors"]])
    risk = containers.Risk(**columns, debts=owing)
    for row in MARGIN["accounts"]:
        account = encoding.account_from_payload(bytes.fromhex(row["payload"]))
        settled, dust = margin.settle(risk, account, venue.NOW)
        on_bytecode, dust_on_bytecode = bytecode.call("settle", risk, account, venue.NOW)
        assert encoding.account_payload(settled).hex() == row["settled_payload"]
        assert on_bytecode == tuple(tuple(x) if isinstance(x, list) else x for x in plain(settled))
        assert dust == dust_on_bytecode == int(row["dust"])
        for name, left_out in (("sums", constants.MARKETS), ("sums_without_market_0", 0)):
            expected = tuple(int(value) for value in row[name].values())
            assert msgspec.structs.astuple(margin.sums(risk, settled, left_out)) == expected
            assert tuple(bytecode.call("sums", risk, settled, left_out)) == expected
        assert margin.spendable(risk, settled, constants.WITHDRAWAL_FLOOR_PPM) == int(row["spendable"])
        assert bytecode.call("spendable", risk, settled, constants.WITHDRAWAL_FLOOR_PPM) == int(row["spendable"])
    for row in MARGIN["scaled"]:
        bounds = [int(row[name]) for name in ("interest_lower", "interest_upper", "fund")]
        arguments = [int(row[name]) for name in ("price", "open_interest", "base_ppm")]
        listed = scaled_market(*bounds)
        assert margin.scaled_ppm(listed, *arguments) == int(row["result"])
        assert bytecode.call("scaled_ppm", listed, *arguments) == int(row["result"])
    for row in MARGIN["only_reduced"]:
        arguments = [value for name, value in row.items() if name != "result"]
        assert margin.only_reduced(*arguments) is row["result"]
        assert bytecode.call("only_reduced", *arguments) is row["result"]
    for row in MARGIN["divisions"]:
        numerator, denominator = int(row["numerator"]), row["denominator"]
        assert numerator // denominator == int(row["floor"])
        assert -(-numerator // denominator) == int(row["ceil"])
        assert margin.floor_div(numerator, denominator) == int(row["floor"])
        assert margin.ceil_div(numerator, denominator) == int(row["ceil"])
        assert bytecode.call("floor_div", numerator, denominator) == int(row["floor"])
        assert bytecode.call("ceil_div", numerator, denominator) == int(row["ceil"])
    for row in MARGIN["requirements"]:
        arguments = [int(row[name]) for name in ("price", "size", "ppm")]
        assert margin.requirement(*arguments) == bytecode.call("requirement", *arguments) == int(row["result"])


@pytest.mark.parametrize("name", FILES)
def test_vectors_are_what_the_law_gives(name: str) -> None:
    assert json.dumps(FILES[name](), indent=1) + "\n" == (HERE / name).read_text()


# Every file but the law's cases, which are given.
SAMPLE: Final = """
import json, sys
from tests.vectors.generate import FILES
json.dump({name: make() for name, make in FILES.items() if name != "law.json"}, sys.stdout)
"""


def test_vectors_are_what_the_law_gives_whatever_the_hash_seed() -> None:
    hash_seed = "4242" if os.environ.get("PYTHONHASHSEED") != "4242" else "1"
    done = subprocess.run(
        [sys.executable, "-c", SAMPLE],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    for name, content in json.loads(done.stdout).items():
        assert json.dumps(content, indent=1) + "\n" == (HERE / name).read_text()


@pytest.mark.parametrize(("held", "code"), [("", 0), ("{}", 1)])
def test_a_file_that_differs_is_said(
    held: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "ticks.json").write_text(held or (HERE / "ticks.json").read_text())
    monkeypatch.setattr(command, "FILES", {"ticks.json": FILES["ticks.json"]})
    monkeypatch.setattr(sys, "argv", ["tests.vectors", "--check", "--to", str(tmp_path)])

    assert command.main() == code
    assert ("ticks.json: not what the law gives" in capsys.readouterr().err) is bool(held)
