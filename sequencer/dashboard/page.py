"""The page as it is served: one document, and files that a browser keeps for ever under a name that changes with them.

Nothing is read before somebody asks for the page, and then in a thread: a node that nobody looks at pays nothing.
"""

import base64
import gzip
import hashlib
import html
import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import trio

from sequencer.api.transport.http import Answer
from sequencer.api.transport.http import Page as Served
from sequencer.dashboard.libraries import LIBRARIES, SPECIFIERS

STATIC: Final = Path(__file__).parent / "static"
_TEXT: Final = "text/plain; charset=utf-8"
_FOREVER: Final = (("cache-control", "public, max-age=31536000, immutable"), ("content-encoding", "gzip"))
# Until venue.js says which colours this browser has chosen.
_BY_DAYLIGHT: Final = ' media="(prefers-color-scheme: light)"'
# A comment for documents that has its lines for itself.
_NOTES: Final = re.compile(r"^[ \t]*/\*\*(?!/)(?:(?!\*/).)*\*/[ \t]*$", re.DOTALL | re.MULTILINE)
_BARE: Final = (
    "The page's libraries are not installed: `make run` in a clone of the project brings them by npm, and so does a "
    "wheel. The node itself needs none of them.\n"
)


def why_none(libraries: Path = LIBRARIES) -> str:
    """Why no page can be served; empty where one can."""
    is_whole = (libraries / "preact").is_dir()
    return "" if is_whole else "its libraries are not installed, `make run` in a clone brings them by npm"


class Place(msgspec.Struct, frozen=True):
    """What the page is told of its surroundings. l1_url, challenger_url: that a browser may ask; empty: none.

    Never the operator's own L1 URL, which may hold a secret.
    """

    l1_url: str = ""
    challenger_url: str = ""
    is_devnet: bool = False


class _Bundle(msgspec.Struct, frozen=True):
    """All files, packed; `base` is the folder that they are served under."""

    base: str
    document: bytes
    policy: str
    files: Mapping[str, Answer]


class Page:
    """Answers the page's paths. `pages` goes to the server; every path below /page/ is of one set of files."""

    def __init__(self, place: Place, static: Path = STATIC, libraries: Path = LIBRARIES) -> None:
        self._place = place
        self._folders = {"": static, "libraries/": libraries}
        self._bundle: _Bundle | None = None
        self._reading = trio.Lock()

    @property
    def pages(self) -> dict[str, Served]:
        """By path."""
        return {"/": self._document, "/page/": self._file}

    async def _document(self, path: str) -> Answer:
        if why_none(self._folders["libraries/"]):
            return Answer(503, _TEXT, _BARE.encode())
        bundle = await self._read()
        headers = (
            ("content-security-policy", bundle.policy),
            ("content-encoding", "gzip"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
        )
        return Answer(200, "text/html; charset=utf-8", bundle.document, headers)

    async def _file(self, path: str) -> Answer:
        found = (await self._read()).files.get(path)
        return found or Answer(404, _TEXT, b"No such file of the page; load it again.\n")

    async def _read(self) -> _Bundle:
        async with self._reading:
            if self._bundle is None:
                self._bundle = await trio.to_thread.run_sync(_bundled, self._folders, self._place)
            return self._bundle


def _bundled(folders: Mapping[str, Path], place: Place) -> _Bundle:
    """Reads, names and packs every file."""
    read = {
        prefix + path.relative_to(folder).as_posix(): _terse(path)
        for prefix, folder in folders.items()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in (".js", ".css", ".svg")
    }
    digest = hashlib.sha256()
    for name, content in read.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    base = f"/page/{digest.hexdigest()[:16]}/"
    files = {
        base + name: Answer(200, _type_of(name), gzip.compress(content, 9, mtime=0), _FOREVER)
        for name, content in read.items()
    }
    imports = {specifier: f"{base}libraries/{target}" for specifier, target in SPECIFIERS.items()}
    import_map = msgspec.json.encode({"imports": imports}).decode()
    document = (folders[""] / "index.html").read_text()
    own = [name for name in read if name.endswith(".js") and not name.startswith("libraries/")]
    first = [f'<link rel="modulepreload" href="{base}{name}">' for name in own]
    styles = [
        f'<link rel="stylesheet" href="{base}{name}"{_BY_DAYLIGHT if name.endswith("/light.css") else ""}>'
        for name in read
        if name.endswith(".css")
    ]
    for mark, text in {
        "%BASE%": base,
        "%PLACE%": html.escape(msgspec.json.encode(place).decode()),
        "%IMPORT_MAP%": import_map,
        "%STYLES%": "\n".join(styles),
        "%MODULES%": "\n".join(first),
    }.items():
        document = document.replace(mark, text)
    packed = gzip.compress(document.encode(), 9, mtime=0)
    return _Bundle(base, packed, _policy(import_map, place), files)


def _terse(path: Path) -> bytes:
    """A file as it is sent: of a module without what is written for its reader. Lines keep their numbers, and what has
    to travel with a library (`/*!`) stays."""
    if path.suffix != ".js":
        return path.read_bytes()
    return _NOTES.sub(lambda note: "\n" * note[0].count("\n"), path.read_text()).encode()


def _policy(import_map: str, place: Place) -> str:
    """Nothing but this node and L1; the import map is the one inline script."""
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    beyond = " ".join(_origin(url) for url in (place.l1_url, place.challenger_url) if url)
    rules = {
        "default-src": "'none'",
        "script-src": f"'self' 'sha256-{digest}'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": f"'self' {beyond}".strip(),
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _origin(url: str) -> str:
    """All of a host: with a path a policy would allow that path alone."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def _type_of(name: str) -> str:
    kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
    return f"{kind}; charset=utf-8"
