"""`--no-page`: nothing of the page is served, and nothing of it is loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sequencer.dashboard.libraries import LIBRARIES
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import ROOT

# A node in a process of its own, whose modules are its own too.
LOOK = """
import json, sys
from pathlib import Path
import httpx
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import FAST, node_inside

with node_inside(Path(sys.argv[1]), *sys.argv[2:], usual=FAST) as node:
    usual = {"trust_env": False, "timeout": PATIENCE_SECONDS}
    answers = [httpx.get(node.url + path, **usual) for path in ("/", "/page/0/app.js")]
    told = [[one.status_code, one.headers["content-type"], one.text] for one in answers]
loaded = [name for name in sys.modules if name.startswith("sequencer.dashboard.")]
print(json.dumps({"told": told, "loaded": loaded}))
"""


def seen(directory: Path, *options: str) -> tuple[list[list[object]], list[str]]:
    """Status, kind and text of the page's two paths, and the page's modules that the node has loaded."""
    ended = subprocess.run(
        [sys.executable, "-c", LOOK, str(directory / "node"), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    found = json.loads(ended.stdout)
    return found["told"], found["loaded"]


def test_nothing_is_served_and_nothing_loaded(tmp_path: Path) -> None:
    (document, file), loaded = seen(tmp_path, "--no-page")
    for (status, kind, text), code, name in ((document, 405, "WRONG_METHOD"), (file, 404, "NO_PATH")):
        assert (status, kind) == (code, "application/json")
        assert json.loads(str(text))["error"]["data"]["name"] == name
    assert loaded == []


@pytest.mark.skipif(not LIBRARIES.is_dir(), reason="the page's libraries are not installed: no npm")
def test_otherwise_it_is(tmp_path: Path) -> None:
    (document, file), loaded = seen(tmp_path)
    assert document[:2] == [200, "text/html; charset=utf-8"]
    assert file[:2] == [404, "text/plain; charset=utf-8"]
    assert "sequencer.dashboard.page" in loaded
