"""Where the value of an option comes from: flag, environment, TOML, default; and what is refused in one line."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from prover.cli.main import Commands, cli
from prover.cli.options import config_option, output_options

DOWN = "http://127.0.0.1:1"


def probe() -> click.Group:
    """A command that says what it was given."""

    @click.group(cls=Commands)
    def group() -> None:
        """Root."""

    @group.group()
    def wallet() -> None:
        """Nested."""

    @wallet.command()
    @click.option("--l1-rpc-url", default="http://default")
    @click.option("--lots", "size", type=int, default=1)
    @output_options
    @config_option
    def order(l1_rpc_url: str, size: int, json: bool, log_level: str) -> None:
        """Probe."""
        click.echo(f"{l1_rpc_url} {size} {json} {log_level}")

    return group


def probed(tmp_path: Path, toml: str | None, *arguments: str, **environment: str) -> str:
    config: list[str] = []
    if toml is not None:
        (tmp_path / "node.toml").write_text(toml)
        config = ["--config", str(tmp_path / "node.toml")]
    result = CliRunner().invoke(probe(), ["wallet", "order", *config, *arguments], env=environment)
    return result.output.strip().splitlines()[-1] if result.exit_code else result.output.strip()


def test_flag_beats_environment_beats_toml_beats_default(tmp_path: Path) -> None:
    toml = '[wallet.order]\nlots = 3\n[common]\nl1-rpc-url = "http://toml"\njson = true\n'
    assert probed(tmp_path, None) == "http://default 1 False info"
    assert probed(tmp_path, toml) == "http://toml 3 True info"
    assert probed(tmp_path, toml, CATENARY_WALLET_ORDER_LOTS="4") == "http://toml 4 True info"
    both = probed(tmp_path, toml, "--lots", "5", CATENARY_WALLET_ORDER_LOTS="4")
    assert both == "http://toml 5 True info"
    # The variable has the option's name, not the parameter's.
    assert probed(tmp_path, toml, CATENARY_WALLET_ORDER_SIZE="4") == "http://toml 3 True info"
    # A command's own table beats the common one; underscores are as good as dashes.
    own = toml.replace("lots = 3", 'l1_rpc_url = "http://own"')
    assert probed(tmp_path, own) == "http://own 1 True info"


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("lots = ", "is not TOML"),
        ("\xff", "is not TOML"),
        ("[wallet.order]\nlot = 3", "[wallet.order] has no option 'lot'"),
        ("[common]\nlots = 3", "[common] has no option 'lots'"),
        ("[wallet]\norder = 3", "order is a table, not a value"),
        ('[wallet.order]\nlots = "many"', "'many' is not a valid integer"),
        ("[wallet.order]\nconfig = 'x'", "has no option 'config'"),
    ],
)
def test_an_unreadable_config_is_one_line(tmp_path: Path, toml: str, sentence: str) -> None:
    (tmp_path / "node.toml").write_bytes(toml.encode("latin-1"))
    result = CliRunner().invoke(probe(), ["wallet", "order", "--config", str(tmp_path / "node.toml")])
    assert result.exit_code == 2
    assert sentence in result.output
    assert "Traceback" not in result.output


def test_a_missing_config_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["verify", "--config", str(tmp_path / "absent.toml")])
    assert result.exit_code == 2
    assert "cannot be read: No such file" in result.output


@pytest.mark.parametrize("address", ["", "0x", "11" * 20, "0x" + "11" * 19, "0x" + "1_" * 20, "0x" + "gg" * 20])
def test_an_address_that_is_none_is_a_usage_error(address: str) -> None:
    result = CliRunner().invoke(cli, ["verify", "--l1-rpc-url", DOWN, "--rollup-address", address])
    assert result.exit_code == 2
    assert "is not an address" in result.output
