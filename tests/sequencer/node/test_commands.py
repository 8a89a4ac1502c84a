"""`catenary node`: each flag means one choice of the operator, and what is out of bounds is refused."""

import json
import re
from pathlib import Path

import click
import msgspec
import pytest
import trio
from click.testing import CliRunner

from prover.cli.main import cli
from prover.cli.running import EXIT_DATADIR, EXIT_L1, CommandFailed
from prover.state.store import StoreUnavailable
from sequencer.dashboard.page import why_none
from sequencer.l1.poster import Overdue, Poster
from sequencer.l1.preflight import PreflightPolicy
from sequencer.node.commands import NodeOptions, config_of, node, page_line, serve
from sequencer.node.config import DatadirUnusable, L1Unusable, NodeConfig
from sequencer.sequencing.bookkeeping import kept_of
from sequencer.sequencing.journal import JournalFailed
from tests.patience import PATIENCE_SECONDS
from tests.prover.challenger.runs import Recorder
from tests.sequencer.node_process import own_logging, some_l1


def chosen(*flags: str) -> NodeConfig:
    """What the operator chose with these."""
    with node.make_context("node", list(flags)) as context:
        return config_of(NodeOptions(**context.params))


def test_without_flags_it_is_the_usual_venue() -> None:
    config = chosen("--verifiers", "0")
    datadir = Path("~/.catenary/node").expanduser()
    assert config == NodeConfig(datadir=datadir, monitor_port=9546, preflight_workers=1, kept_history=kept_of(()))
    assert config.is_l1_embedded


def test_each_flag_is_one_choice() -> None:
    usual = chosen("--verifiers", "0")
    address = "0x" + "22" * 20
    for flags, changes in (
        (("--datadir", "/somewhere"), {"datadir": Path("/somewhere")}),
        (("--port", "0"), {"port": 0, "monitor_port": 0}),
        (("--port", "7000"), {"port": 7_000, "monitor_port": 7_001}),
        (("--monitor-port", "7"), {"monitor_port": 7}),
        (
            ("--allow-host", "Venue.example", "--allow-host", "10.0.0.1"),
            {"api_hosts": frozenset({"venue.example", "10.0.0.1"})},
        ),
        (
            ("--allow-origin", "https://Page.example:443", "--allow-origin", "http://page.example:8080"),
            {"api_origins": frozenset({"https://page.example", "http://page.example:8080"})},
        ),
        (("--l1-rpc-url", "http://l1"), {"l1_rpc_url": "http://l1"}),
        (("--l1-port", "1"), {"l1_port": 1}),
        (("--rollup-address", address), {"rollup_address": b"\x22" * 20}),
        (("--deploy",), {"is_deploy_allowed": True}),
        (("--take-seat",), {"is_seat_wanted": True}),
        (("--soft-from", "http://venue"), {"soft_from": "http://venue"}),
        (("--window", "31"), {"window_seconds": 31}),
        (("--governor", address), {"governor": b"\x22" * 20}),
        (("--governance-delay", "31"), {"governance_delay_seconds": 31}),
        (("--posting-fee-micros", "1000000"), {"posting_fee_micros": 1_000_000}),
        (("--grace-ms", "3600000"), {"grace_ms": 3_600_000}),
        (("--maker-fee-ppm", "0"), {"maker_fee_ppm": 0}),
        (("--taker-fee-ppm", "65535"), {"taker_fee_ppm": 65_535}),
        (("--minimum-notional-micros", "7"), {"minimum_notional_micros": 7}),
        (("--bond-gwei", "7"), {"bond_wei": 7 * 10**9}),
        (("--entry-fee-gwei", "0"), {"entry_fee_wei": 0}),
        (("--minimum-deposit-micros", "7"), {"minimum_deposit_micros": 7}),
        (("--seal-seconds", "2"), {"seal_seconds": 2.0}),
        (("--post-interval", "2"), {"post_seconds": 2.0}),
        (("--oracle-seed", "7"), {"oracle_seed": 7}),
        (("--no-oracle",), {"is_oracle_simulated": False}),
        (("--no-maker",), {"is_maker_running": False}),
        (("--preflight-workers", "2"), {"preflight_workers": 2}),
        (("--preflight-percent", "7"), {"preflight": PreflightPolicy(7)}),
        (("--preflight-seconds", "3"), {"preflight": PreflightPolicy(seconds_of_batch=3.0)}),
        (("--development-key", "3"), {"development_key": 3}),
        (("--keep-history", "fills=7:8"), {"kept_history": kept_of(("fills=7:8",))}),
        (("--equity-seconds", "0"), {"sample_seconds": 0}),
    ):
        assert chosen("--verifiers", "0", *flags) == msgspec.structs.replace(usual, **changes), flags


@pytest.mark.parametrize(
    "flags",
    [
        ("--port", "65536"),
        ("--seal-seconds", "5.1"),
        ("--post-interval", "0"),
        ("--window", "0"),
        ("--posting-fee-micros", "0"),
        ("--posting-fee-micros", "1000001"),
        ("--grace-ms", "3600001"),
        ("--maker-fee-ppm", "65536"),
        ("--taker-fee-ppm", "65536"),
        ("--minimum-notional-micros", "-1"),
        ("--bond-gwei", "0"),
        ("--entry-fee-gwei", "-1"),
        ("--minimum-deposit-micros", "0"),
        ("--verifiers", "257"),
        ("--rollup-address", "0x22"),
        ("--development-key", "10"),
        ("--nothing",),
        ("--allow-host", "*"),
        ("--allow-host", "venue.example:443"),
        ("--allow-host", "https://venue.example"),
        ("--allow-origin", "*"),
        ("--allow-origin", "null"),
        ("--allow-origin", "page.example"),
        ("--allow-origin", "https://page.example/"),
        ("--allow-origin", "https://me@page.example"),
        ("--allow-origin", "https://page.example:65536"),
        ("--allow-origin", "ftp://page.example"),
    ],
    ids=" ".join,
)
def test_what_is_out_of_bounds_is_a_usage_error(flags: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError) as refused:
        chosen(*flags)
    assert flags[0] in refused.value.format_message()


def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *flags: str) -> dict[str, tuple[str, str]]:
    """Value and source of each option, as --print-config tells them."""
    file = tmp_path / "node.toml"
    file.write_text('[common]\nport = 7\n[node]\nseal-seconds = 2.5\nl1-rpc-url = "https://u:p@l1.example/v2/KEY"\n')
    monkeypatch.setenv("CATENARY_NODE_L1_PORT", "8")
    result = CliRunner().invoke(cli, ["node", "--json", "--config", str(file), "--print-config", *flags])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return {line["option"]: (line["value"], line["source"]) for line in lines}


def test_it_says_each_value_and_where_it_is_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = told(tmp_path, monkeypatch, "--window", "31", "--rollup-address", "0x" + "22" * 20)
    assert found["--window"] == ("31", "flag")
    assert found["--rollup-address"] == ("0x" + "22" * 20, "flag")
    assert found["--l1-port"] == ("8", "environment")
    assert (found["--port"], found["--seal-seconds"]) == (("7", "file"), ("2.5", "file"))
    assert found["--verifiers"][1] == "default"
    assert set(found) == {
        max(option.opts, key=len) for option in node.params if option.name not in ("print_config", "config")
    }


def test_a_stream_is_shown_by_who_follows_alone() -> None:
    result = CliRunner().invoke(cli, ["node", "--json", "--soft-from", "http://venue"])
    assert (result.exit_code, "--follow" in result.stdout + result.stderr) == (2, True)


def test_it_says_where_the_page_is_or_why_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1:9545"
    monkeypatch.setattr("sequencer.dashboard.page.why_none", lambda: "")
    assert page_line(True, url) == "The page: http://127.0.0.1:9545/"
    assert page_line(False, url) == "No page is served: --no-page says so."
    monkeypatch.setattr("sequencer.dashboard.page.why_none", lambda: why_none(tmp_path))
    assert page_line(True, url).startswith("No page is served: its libraries are not installed")


def test_it_says_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(tmp_path, monkeypatch)["--l1-rpc-url"] == ("https://l1.example/...", "file")


@pytest.mark.trio
async def test_what_was_not_posted_in_time_starts_the_node_again_where_that_may_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command; that a start re-sequences, the tests of that say."""
    post_once, faults, output = Poster.post_once, ["late"], Recorder()

    async def late(self: Poster) -> bool:
        if faults and output.names("ready"):
            raise Overdue(faults.pop())
        return await post_once(self)

    monkeypatch.setattr(Poster, "post_once", late)
    with some_l1(tmp_path / "l1") as l1, own_logging():
        config = NodeConfig(
            datadir=tmp_path / "node",
            port=0,
            l1_rpc_url=l1.url,
            is_deploy_allowed=True,
            is_maker_running=False,
            post_seconds=0.05,
        )
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve, config, output)
                await output.until("restarting")
                while len(output.names("ready")) < 2:
                    await output.heard.wait()
                nursery.cancel_scope.cancel()
    assert [said["event"] for said in output.said] == ["ready", "overdue", "restarting", "ready"]
    assert output.names("overdue")[0]["reason"] == "late"

    async def never_up(*_: object, **__: object) -> None:
        raise Overdue("late again")

    monkeypatch.setattr("sequencer.node.node.run", never_up)
    with pytest.raises(ExceptionGroup) as refused:
        await serve(config, output)
    (failed,) = refused.value.exceptions
    assert isinstance(failed, CommandFailed)
    assert str(failed) == "STOPPED: late again."


@pytest.mark.trio
@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        (JournalFailed("The journal cannot be written: full."), "the disk refuses: .*`catenary datadir check`"),
        (StoreUnavailable("A block fails its checksum."), "the disk refuses: .*`catenary datadir check`"),
        (PermissionError(13, "Permission denied", "known.msgpack"), "the disk refuses: .*'known.msgpack'.* has to own"),
        (DatadirUnusable("It is damaged."), r"^It is damaged\.$"),
    ],
)
async def test_what_the_disk_refuses_ends_in_one_line_that_says_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, sentence: str
) -> None:
    async def refused(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("sequencer.node.node.run", refused)
    with pytest.raises(ExceptionGroup) as ended:
        await serve(NodeConfig(datadir=tmp_path), Recorder())
    (failed,) = ended.value.exceptions
    assert isinstance(failed, CommandFailed)
    assert failed.exit_code == EXIT_DATADIR
    assert re.search(sentence, str(failed))


@pytest.mark.trio
@pytest.mark.parametrize(("l1_rpc_url", "is_named"), [("", True), ("http://l1.invalid", False)])
async def test_an_l1_of_its_own_that_fails_is_brought_back_from_a_back_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, l1_rpc_url: str, is_named: bool
) -> None:
    async def refused(*_: object, **__: object) -> None:
        raise L1Unusable("The L1 does not show the contracts.")

    monkeypatch.setattr("sequencer.node.node.run", refused)
    (tmp_path / "l1").mkdir()
    with pytest.raises(ExceptionGroup) as ended:
        await serve(NodeConfig(datadir=tmp_path, l1_rpc_url=l1_rpc_url), Recorder())
    (failed,) = ended.value.exceptions
    assert isinstance(failed, CommandFailed)
    assert failed.exit_code == EXIT_L1
    assert ("`catenary datadir restore`" in str(failed)) is is_named


@pytest.mark.trio
async def test_an_error_of_no_file_is_a_defect_and_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object, **__: object) -> None:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr("sequencer.node.node.run", refused)
    with pytest.RaisesGroup(pytest.RaisesExc(OSError, match="Bad file"), flatten_subgroups=True):
        await serve(NodeConfig(datadir=tmp_path), Recorder())
