"""What an operator is told in numbers, and that dashboard, rules, unit and runbook speak of nothing else."""

import json
import re
from pathlib import Path
from typing import Final, cast

import httpx
import pytest
import trio
import trio.testing
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.codec import calls
from sequencer.api.rpc.metrics import ApiMetrics
from sequencer.l1.poster import Poster
from sequencer.node.commands import node
from sequencer.node.metrics import Purse
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import node_inside

ROOT: Final = Path(__file__).parents[3]
OPS: Final = ROOT / "ops"
RUNBOOK: Final = ROOT / "docs" / "operating.md"
# Words of the query language, and of labels, that are no metric.
_METRIC: Final = re.compile(r"\b(?:catenary|process)_\w+|\bup\b")
_SUFFIXES: Final = ("_bucket", "_total", "_sum", "_count")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The metrics of a node that runs, whole."""
    with node_inside(tmp_path_factory.mktemp("metrics") / "node", "--no-maker") as running:
        running.client.status()
        return httpx.get(f"{running.url}/metrics", trust_env=False, verify=False, timeout=PATIENCE_SECONDS).text


def names(text: str) -> set[str]:
    """Metrics by the names under which rules ask for them."""
    families = list(text_string_to_metric_families(text))
    # A counter whose labels nobody has used yet has no sample.
    unused = {family.name + "_total" for family in families if family.type == "counter"}
    return {sample.name for family in families for sample in family.samples} | unused


def asked(expression: str) -> set[str]:
    """The metrics that an expression reads."""
    return set(_METRIC.findall(expression)) - {"up"}


def rules() -> dict[str, str]:
    """Alerts and their expressions."""
    text = (OPS / "alerts.yml").read_text()
    return dict(re.findall(r"- alert: (\w+)\n +expr: (.+)\n", text))


def expressions() -> list[str]:
    """Those of the dashboard's panels."""
    board = json.loads((OPS / "grafana-dashboard.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def test_there_are_enough_of_them_and_each_can_be_read(told: str) -> None:
    own = {name for name in names(told) if name.startswith("catenary_") and not name.startswith("catenary_api_")}
    assert len(own) >= 30
    values = {sample.name: sample.value for family in text_string_to_metric_families(told) for sample in family.samples}
    assert values["catenary_ready"] in (0, 1)
    assert values["catenary_tick_age_seconds"] < 10 * PATIENCE_SECONDS
    assert values["process_resident_memory_bytes"] > 10**7
    assert values["process_open_fds"] > 0
    assert 'catenary_lane_waiting{lane="relief"} 0.0' in told
    assert "catenary_build_info{version=" in told


def test_dashboard_and_rules_ask_for_nothing_that_is_not_told(told: str) -> None:
    known = names(told)
    assert len(rules()) >= 15
    assert len(expressions()) >= 30
    for expression in (*rules().values(), *expressions()):
        assert asked(expression) <= known, expression
        assert asked(expression) or "up{" in expression


def test_what_is_told_is_on_the_dashboard_or_in_a_rule(told: str) -> None:
    """Else nobody looks at it."""
    shown = set().union(*map(asked, (*rules().values(), *expressions())))
    bare = {name for name in shown for suffix in _SUFFIXES if name.endswith(suffix)}
    shown |= {name.removesuffix(suffix) for name in bare for suffix in _SUFFIXES}
    own = {family.name for family in text_string_to_metric_families(told) if family.name.startswith("catenary_")}
    own = {name for name in own if not name.endswith("_created")}
    assert own - shown - {"catenary_build_info", "catenary_tick_time_ms"} == set()


def test_each_alert_has_its_line_in_the_runbook() -> None:
    section = RUNBOOK.read_text().split("## When an alert rings\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| (\w+) \| .{20}", section, re.MULTILINE) == list(rules())


def test_unit_and_container_start_the_node_by_options_that_it_has() -> None:
    options = {name for option in node.params for name in option.opts}
    for file in ("catenary-node.service", "Containerfile"):
        text = (OPS / file).read_text()
        (line,) = [line for line in text.splitlines() if line.startswith(("ExecStart=", "ENTRYPOINT"))]
        used = set(re.findall(r"--[a-z-]+", line))
        assert used
        assert used <= options, file


def test_no_secret_is_in_a_unit_or_on_a_command_line() -> None:
    for path in OPS.iterdir():
        assert not re.search(
            r"(?i)password=[^/\s]|private.?key", path.read_text().replace("LoadCredential=password:", "")
        )


class Silent:
    """An L1 that answers once."""

    operator = b"\x11" * 20

    def __init__(self) -> None:
        self.calls = 0

    async def balance(self, address: bytes) -> int:
        self.calls += 1
        if self.calls > 1:
            raise L1Unavailable("away")
        return 7

    async def seat(self) -> calls.Seat:
        return calls.Seat(self.operator, 1, 0, 0)

    async def bonded(self) -> tuple[int, int]:
        return 15, 5

    async def head_and_owed(self) -> tuple[None, int, calls.QueueEntry]:
        return None, 0, calls.QueueEntry(bytes(32), 1_234, 0)


@pytest.mark.trio
async def test_what_l1_does_not_answer_stays_as_it_was(autojump_clock: trio.testing.MockClock) -> None:
    silent = Silent()
    purse = Purse(cast(L1Client, silent), cast(Poster, silent))
    with trio.move_on_after(100):
        await purse.run()
    assert silent.calls > 1
    assert (purse.balance_wei, purse.holds_seat, purse.asked_at) == (7, 1, trio.current_time() - 100)
    assert (purse.bond_wei, purse.bond_missing_wei, purse.owed_since) == (15, 5, 1_234)


def test_the_apis_own_numbers_can_be_read() -> None:
    collectors = CollectorRegistry()
    ApiMetrics(collectors)
    assert b"catenary_api_incidents_total 0.0" in generate_latest(collectors)
