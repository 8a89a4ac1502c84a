"""The page as the node serves it: named by its content, packed, and allowed nothing beyond this node and L1."""

import base64
import gzip
import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from sequencer.api.transport.http import Answer
from sequencer.dashboard.libraries import LIBRARIES, SPECIFIERS
from sequencer.dashboard.page import STATIC, Page, Place
from tests.patience import PATIENCE_SECONDS

PLACE = Place("http://127.0.0.1:8545", "http://127.0.0.1:9700/of/it", is_devnet=True)
# Of everything that a first visit loads, as it travels.
MOST_BYTES = 350_000
needs_libraries = pytest.mark.skipif(not LIBRARIES.is_dir(), reason="the page's libraries are not installed: no npm")


def asked(page: Page, path: str) -> Answer:
    """What a browser gets."""
    answer: Callable[[str], Any] = page.pages["/" if path == "/" else "/page/"]
    return trio.run(answer, path)


def unpacked(answer: Answer) -> str:
    """As the browser reads it."""
    assert ("content-encoding", "gzip") in answer.headers
    return gzip.decompress(answer.body).decode()


@pytest.fixture
def small(tmp_path: Path) -> Callable[[str], Page]:
    """A page of two files, with a library."""
    static, libraries = tmp_path / "static", tmp_path / "libraries"
    (static / "style").mkdir(parents=True)
    (libraries / "preact").mkdir(parents=True)
    (libraries / "preact" / "preact.js").write_text("export const h = 1;\n")
    (libraries / "preact" / "LICENSE").write_text("MIT\n")
    (static / "style" / "base.css").write_text("body { color: red }\n")
    (static / "index.html").write_text((STATIC / "index.html").read_text())

    def page(program: str, place: Place = PLACE) -> Page:
        (static / "app.js").write_text(program)
        return Page(place, static, libraries)

    return page


def test_files_are_named_by_what_is_in_them(small: Callable[[str], Page]) -> None:
    first, second = (unpacked(asked(small(text), "/")) for text in ("let a = 1;\n", "let a = 2;\n"))
    bases = [re.findall(r'src="(/page/[0-9a-f]{16}/)app.js"', text) for text in (first, second)]
    assert bases[0] != bases[1]
    page = small("let a = 2;\n")
    (base,) = bases[1]
    program = asked(page, f"{base}app.js")
    assert (program.status, program.content_type) == (200, "text/javascript; charset=utf-8")
    assert ("cache-control", "public, max-age=31536000, immutable") in program.headers
    assert unpacked(program) == "let a = 2;\n"
    assert asked(page, f"{base}style/base.css").content_type == "text/css; charset=utf-8"
    # An older one's name is nobody's, and no path leads out of the two folders.
    for path in (f"{bases[0][0]}app.js", f"{base}../page.py", f"{base}libraries/preact/LICENSE", f"{base}index.html"):
        assert asked(page, path).status == 404


def test_what_is_written_for_readers_does_not_travel_and_code_does(small: Callable[[str], Page]) -> None:
    code = "/** @type {x} */ let b = 2; /* c */\nlet a = `/** no */`; /** b */ let c = 1; // d\n"
    page = small("/** For\n * readers. */\n/*! MIT */\n  /** One. @param {x} a */\n" + code)
    (base,) = re.findall(r'src="(/page/[0-9a-f]{16}/)app.js"', unpacked(asked(page, "/")))
    sent = unpacked(asked(page, f"{base}app.js"))
    assert sent == "\n\n/*! MIT */\n\n" + code


def test_the_document_allows_this_node_and_l1_alone(small: Callable[[str], Page]) -> None:
    answer = asked(small("let a = 1;\n"), "/")
    document = unpacked(answer)
    policy = dict(rule.split(" ", 1) for rule in dict(answer.headers)["content-security-policy"].split("; "))
    (import_map,) = re.findall(r'<script type="importmap">(.*?)</script>', document)
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == f"'self' 'sha256-{digest}'"
    assert policy["style-src"] == "'self'"
    assert policy["connect-src"] == "'self' http://127.0.0.1:8545 http://127.0.0.1:9700"
    assert set(msgspec.json.decode(import_map)["imports"]) == set(SPECIFIERS)
    # One inline script, no inline style, nothing from elsewhere.
    assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", document) == ['<script type="importmap">']
    assert " style=" not in document
    assert re.findall(r"(?:src|href)=\"(?!/page/)", document) == []
    assert "%" not in re.sub(r"[^%]*(?=%)|(?<=%)[^%]*$", "", document).replace("%%", "")


def test_a_place_is_text_whatever_it_says(small: Callable[..., Page]) -> None:
    document = unpacked(asked(small("1;\n", Place('"><script>alert(1)</script>')), "/"))
    assert "<script>alert" not in document


def test_without_its_libraries_the_page_says_what_is_missing(tmp_path: Path) -> None:
    answer = asked(Page(PLACE, STATIC, tmp_path / "none"), "/")
    assert (answer.status, "npm" in answer.body.decode()) == (503, True)


@needs_libraries
def test_a_first_visit_is_small() -> None:
    page = Page(PLACE)
    document = asked(page, "/")
    (base,) = re.findall(r'src="(/page/[0-9a-f]{16}/)app.js"', unpacked(document))
    bundle = page._bundle
    assert bundle is not None
    assert sum(len(answer.body) for answer in bundle.files.values()) + len(document.body) < MOST_BYTES
    assert all(path.startswith(base) for path in bundle.files)


@needs_libraries
@pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")
def test_what_is_sent_is_still_javascript(tmp_path: Path) -> None:
    page = Page(PLACE)
    asked(page, "/")
    assert page._bundle is not None
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for place, (path, answer) in enumerate(page._bundle.files.items()):
        if path.endswith(".js") and "lightweight" not in path:
            (tmp_path / f"{place}.js").write_text(unpacked(answer))
    names = sorted(path.name for path in tmp_path.glob("*.js"))
    text = "".join(
        f"await import('./{name}').catch((e) => {{ if (e instanceof SyntaxError) throw e; }});" for name in names
    )
    (tmp_path / "all.js").write_text(text)
    subprocess.run(["node", "all.js"], cwd=tmp_path, check=True, timeout=PATIENCE_SECONDS)


@needs_libraries
def test_whatever_a_module_imports_is_served() -> None:
    page = Page(PLACE)
    asked(page, "/")
    bundle = page._bundle
    assert bundle is not None
    names = {path.removeprefix(bundle.base) for path in bundle.files}
    for name in (name for name in names if name.endswith(".js")):
        text = re.sub(r"/\*.*?\*/|^\s*//.*$", "", unpacked(bundle.files[bundle.base + name]), flags=re.DOTALL | re.M)
        for imported in re.findall(r"(?:^|[;}\s])(?:import|export)\b[^;'\"]*?\bfrom\s*['\"]([^'\"]+)['\"]", text):
            assert target(name, imported) in names, f"{name} imports {imported}"


def target(name: str, imported: str) -> str:
    """The file that an import of a module means."""
    if imported.startswith("."):
        parts = name.split("/")[:-1]
        for word in imported.split("/"):
            if word == "..":
                parts.pop()
            elif word != ".":
                parts.append(word)
        return "/".join(parts)
    longest = max(
        (key for key in SPECIFIERS if imported == key or (key[-1] == "/" and imported.startswith(key))), key=len
    )
    return f"libraries/{SPECIFIERS[longest]}{imported.removeprefix(longest)}"
