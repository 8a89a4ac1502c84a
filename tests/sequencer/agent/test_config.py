"""A configuration is read whole, and what is wrong with one is named."""

from pathlib import Path

import pytest

from sequencer.agent.config import read_config
from sequencer.wallet.errors import BadInput

WHOLE = """
account = 17
keystore = "agent"
journal = "agent.jsonl"
poll_seconds = 2

[[twap]]
name = "in"
market = "BTC"
slot = 10
side = "buy"
size = "1.5"
slices = 30
interval_seconds = 60
slippage = "0.5"

[[keep]]
name = "bid"
market = "ETH"
slot = 11
side = "buy"
size = "2"
price = "2500"

[[trail]]
name = "stop"
market = "BTC"
slot = 12
trail = "3"

[top_up]
from_account = 18
owner_keystore = "owner"
at_percent = 80
amount = "100"
most_a_day = "500"

[alerts]
webhooks = ["https://example.org/hook"]
commands = [["notify-send", "catenary"]]
at_percent = 70
"""


def written(path: Path, text: str) -> Path:
    """A file with that text."""
    (file := path / "agent.toml").write_text(text)
    return file


def test_a_whole_configuration(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, WHOLE))
    assert [(task.name, task.slot) for task in config.tasks] == [("in", 10), ("bid", 11), ("stop", 12)]
    assert (config.keep[0].lifetime_seconds, config.trail[0].step, config.poll_seconds) == (3_600, "0.1", 2)
    assert config.top_up is not None
    assert config.alerts.at_percent == 70


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("slot = 11", "slot = 10", "two tasks have the same slot"),
        ('name = "bid"', 'name = "in"', "two tasks have the same name"),
        ("from_account = 18", "from_account = 17", "takes from another account"),
        ("slot = 12", "slot = 256", "slot"),
        ("slices = 30", "slices = 1", "slices"),
        ("interval_seconds = 60", "interval_seconds = 1", "interval_seconds"),
        ('trail = "3"', 'trial = "3"', "trial"),
        ("account = 17", 'account = "17"', "account"),
        ("account = 17", "account = ", "no configuration"),
        ('[["notify-send", "catenary"]]', "[[]]", "command of alerts is empty"),
        ('hook"]', 'hook", "http://a:b/"]', "webhook 2 of alerts"),
        ("https://example", "ftp://example", "webhook 1 of alerts"),
        ("https://example.org", "https://xn--", "webhook 1 of alerts"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        read_config(written(tmp_path, WHOLE.replace(old, new, 1)))


def test_too_many_tasks_too_large_a_file_and_none(tmp_path: Path) -> None:
    trails = "".join(
        f'[[trail]]\nname = "t{slot}"\nmarket = "BTC"\nslot = {slot}\ntrail = "1"\n' for slot in range(1, 34)
    )
    head = 'account = 17\nkeystore = "agent"\njournal = "j"\n'
    with pytest.raises(BadInput, match="at most 32"):
        read_config(written(tmp_path, head + trails))
    with pytest.raises(BadInput, match="larger than"):
        read_config(written(tmp_path, head + "#" * 262_144))
    with pytest.raises(BadInput, match="cannot be read"):
        read_config(tmp_path / "none.toml")
