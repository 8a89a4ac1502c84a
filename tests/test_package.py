"""What is published: a source distribution that can be tested, and a wheel that works outside this repository."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest

from tests.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[1]
PACKAGES = ("l1_bridge", "prover", "sequencer")
# What tools leave beside the sources; nothing of it is published.
LEFT_BY_TOOLS = {"node_modules", "__pycache__", "build", "dist"}
SUPPORTED = ("3.11", "3.12")
# Where `make setup` puts the dependencies for the other supported Python, if there is one on the machine.
OTHER = Path(sys.prefix) / "other" / "bin" / "python"
IN_MARKDOWN = re.compile(r"\]\(([^)\s]+)[^)]*\)|^\[[^\]]+\]:\s*(\S+)|(?:href|src)=\"([^\"]+)\"", re.MULTILINE)


def sources(directory: Path) -> set[str]:
    """Every file below a directory that people wrote, by its path from the root."""
    found = set()
    for folder, names, files in os.walk(directory):
        hidden = {name for name in names if name.startswith(".") and name != ".ci"}
        names[:] = sorted({name for name in names if not name.endswith(".egg-info")} - LEFT_BY_TOOLS - hidden)
        found |= {str((Path(folder) / name).relative_to(ROOT)) for name in files if not name.startswith(".")}
    return found


def relative_links(markdown: str) -> list[str]:
    """Targets that lead nowhere on an index: neither an address nor a place in the same text."""
    targets = [target for match in IN_MARKDOWN.findall(markdown) for target in match if target]
    return [target for target in targets if not re.match(r"(https?:|mailto:|#)", target)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the source distribution, unpacked in `source`, and the wheel that was built from that."""
    directory = tmp_path_factory.mktemp("built")
    copy = directory / "copy"
    for name in sources(ROOT):
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    _build(copy, "sdist", directory)
    (archive,) = directory.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(directory / "unpacked", filter="data")
    (unpacked,) = (directory / "unpacked").iterdir()
    unpacked.rename(directory / "source")
    _build(directory / "source", "wheel", directory)
    return directory


def _build(source: Path, what: str, target: Path) -> None:
    program = f"import setuptools.build_meta as build, sys; build.build_{what}(sys.argv[1])"
    outcome = subprocess.run(
        [sys.executable, "-c", program, str(target)],
        cwd=source,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert outcome.returncode == 0, outcome.stderr
    # A pattern of MANIFEST.in that finds nothing, metadata of yesterday's form: said as a warning only.
    assert "Warning" not in outcome.stderr, outcome.stderr


@pytest.fixture(scope="module", params=SUPPORTED)
def installed(built: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel, beside the dependencies that were installed before."""
    interpreter = _interpreter(request.param)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    dependencies = _output([str(interpreter), "-c", where], built).strip()
    environment = tmp_path_factory.mktemp("environment")
    _output([str(interpreter), "-m", "venv", "--without-pip", str(environment)], built)
    python = environment / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    install = ["--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    _output([sys.executable, "-m", "pip", "--python", str(python), *install, str(wheel)], built)
    site = Path(_output([str(python), "-c", where], built).strip())
    # A path in a .pth stands behind the wheel, and the .pth files in it are not read: not the editable install either.
    (site / "dependencies.pth").write_text(dependencies + "\n")
    return environment / "bin"


def _interpreter(version: str) -> Path:
    for interpreter in (Path(sys.executable), OTHER):
        if interpreter.exists():
            said = _output([str(interpreter), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], ROOT)
            if said.strip() == version:
                return interpreter
    pytest.skip(f"the wheel is NOT checked on Python {version}: no environment of it; `make setup` makes one")


def _output(command: list[str], directory: Path, **environment: str) -> str:
    clean = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    outcome = subprocess.run(
        command,
        cwd=directory,
        env={**clean, "HOME": str(directory), **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert outcome.returncode == 0, (command, outcome.stdout, outcome.stderr)
    return outcome.stdout


def metadata(built: Path) -> Message:
    """The wheel's METADATA."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        (name,) = [name for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
        return BytesParser().parsebytes(opened.read(name))


def test_a_text_with_a_relative_link_is_found() -> None:
    held = "[a](https://a.example) [b](#b) [c](C.md) ![d](d/e.png 'd')\n[f]: ./f.md\n<a href=\"g.md\">"
    assert relative_links(held) == ["C.md", "d/e.png", "./f.md", "g.md"]


def test_the_index_shows_a_readme_without_links_to_nowhere(built: Path) -> None:
    shown = metadata(built)
    text = shown.get_payload()
    assert shown["Description-Content-Type"] == "text/markdown"
    assert "cross-margin perpetual futures" in text
    # The one picture: an index that does not have it shows its words instead.
    assert relative_links(text) == ["docs/pictures/pool.png"]


def test_the_metadata_says_licence_authors_and_where_it_runs(built: Path) -> None:
    said = metadata(built)
    assert (said["Name"], said["License-Expression"], said["Author"]) == ("catenary", "MIT", "Catenary contributors")
    assert said.get_all("License-File") == ["LICENSE"]
    assert said["Summary"]
    assert said["Keywords"]
    versions = [f"Programming Language :: Python :: {version}" for version in SUPPORTED]
    assert set(versions) <= set(said.get_all("Classifier"))
    # The licence that the contracts name.
    licences = {
        line.split("@license")[1].strip()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.vy")
        for line in path.read_text().splitlines()
        if "@license" in line
    }
    assert licences == {"MIT"}
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n")
    assert json.loads((ROOT / "package.json").read_text())["license"] == "MIT"


def test_the_source_distribution_holds_every_source_and_nothing_else(built: Path) -> None:
    source = built / "source"
    held = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    made = {name for name in held if name in ("PKG-INFO", "setup.cfg") or ".egg-info/" in name}
    made |= {name for name in held if name.startswith("build/")}
    assert held - made - {".gitignore"} == sources(ROOT)
    assert {"Makefile", "constraints.txt", "PROTOCOL.md", "LICENSE", ".ci/run", "tests/test_package.py"} <= held


def test_the_source_distribution_can_be_tested(built: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/test_protocol.py"]
    assert "passed" in _output([*command, "-v"], built / "source")


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as opened:
        held = {name for name in opened.namelist() if ".dist-info/" not in name}
    expected = {name for package in PACKAGES for name in sources(ROOT / package)}
    assert held == expected
    assert {name for name in held if name.endswith(".vy")}
    assert {name for name in held if "/artifacts/" in name}


def test_the_command_works_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    catenary = str(installed / "catenary")
    shown = _output([catenary, "--help"], tmp_path)
    assert {"node", "wallet", "challenger", "demo"} <= set(shown.split())
    made = json.loads(
        _output([catenary, "wallet", "new", "--light-kdf", "--json"], tmp_path, CATENARY_WALLET_PASSWORD="play")
    )
    assert Path(made["keystore"]).is_relative_to(tmp_path)
    assert json.loads(Path(made["keystore"]).read_text())["version"] == 3


# All modules, and the contracts that they read; only the compiler of contracts is a developer's.
EVERYTHING = """
import importlib, pkgutil
from l1_bridge.contracts.artifact import load_artifact
from prover.contracts.referee import FAMILIES, artifact
for root in ("l1_bridge", "prover", "sequencer"):
    package = importlib.import_module(root)
    for module in pkgutil.walk_packages(package.__path__, root + "."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            assert error.name.partition(".")[0] == "vyper", (module.name, error)
    print(package.__file__)
contracts = [load_artifact("RollupBridge"), *(artifact(name) for name in ("FraudReferee", *FAMILIES))]
assert all(contract.bytecode for contract in contracts)
"""


def test_every_module_and_contract_is_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    shown = _output([str(installed / "python"), "-W", "error", "-c", EVERYTHING], tmp_path)
    places = [Path(line) for line in shown.splitlines()]
    assert len(places) == len(PACKAGES)
    assert all(place.is_relative_to(installed.parent) for place in places)
