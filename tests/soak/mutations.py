"""Single faults of a text of the law, in either twin: both are tokens of nearly the same language.

What says nothing to a machine (comments, docstrings, imports, annotations, decorators, assertions) is left alone, and
so is what decides nothing whatever it says: a value that the next statement replaces, more bits than a word has, what
refuses by raising, and functions that no replay of a chunk comes to.
"""

import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

_OPERATORS: Final = {
    "<": ("<=", "comparison"),
    "<=": ("<", "comparison"),
    ">": (">=", "comparison"),
    ">=": (">", "comparison"),
    "==": ("!=", "comparison"),
    "!=": ("==", "comparison"),
    "+": ("-", "arithmetic"),
    "-": ("+", "arithmetic"),
    "*": ("//", "arithmetic"),
    "//": ("*", "arithmetic"),
    "+=": ("-=", "arithmetic"),
    "-=": ("+=", "arithmetic"),
}
_WORDS: Final = {"and": "or", "or": "and"}
# Another function, another row, the other of two prices.
_NAMES: Final = {
    "function": (
        ("min", "max"),
        ("floor_div", "ceil_div"),
        ("unsafe_add", "unsafe_sub"),
        ("unsafe_mul", "unsafe_div"),
        ("BUY", "SELL"),
    ),
    "row": (
        ("maker", "taker"),
        ("account", "other"),
        ("seller", "buyer"),
        ("source", "target"),
        ("older", "fresh"),
        ("settled", "fresh"),
        ("maker_fee_ppm", "taker_fee_ppm"),
        ("initial", "maintenance"),
        ("initial_ppm", "maintenance_ppm"),
        ("interest_lower", "interest_upper"),
        ("size", "cost"),
        ("before", "after"),
    ),
    "price": (("price", "previous_price"), ("oracle", "limit"), ("lower", "upper"), ("quote", "oracle")),
}
_OTHER_NAMES: Final = {
    name: (other, kind) for kind, pairs in _NAMES.items() for pair in pairs for name, other in (pair, pair[::-1])
}
_GUARD: Final = re.compile(r"^( *)(if|elif) (?!False)(.+):(?: *#.*)?$")
_EQUALITY: Final = re.compile(r"^[\w.]+ == [\w.]+$")
_REFUSAL: Final = re.compile(r"code=codes\.(?!OK)|^ *return codes\.(?!OK)|^ *refused: ")
# A variable of the module that is no constant; a field of a container.
_DECLARED: Final = (re.compile(r"^\w+: (?!Final|constant)"), re.compile(r"^    \w+: [\w\[\]., ]+$"))
# A field that ends with the word: more bits of it are the same.
_LAST_BITS: Final = re.compile(r"\bbits\((?:[^()]|\([^()]*\))+, (\d+), (\d+)\)")
_WORD_BITS: Final = 256
_DEFAULT: Final = re.compile(r"^( *)(\w+): [\w.\[\]]+ = [^(]+$")
_ASSIGNED: Final = re.compile(r"^( *)([\w., ]+) = ")
# Ways in of the engine, and what writes a witness: the former's twin is `apply`, `encodings.json` shows the latter.
UNREPLAYED: Final = ("admit", "book_fill", "account_payload_head", "account_payload", "slot_payload", "no_account")
_SILENT: Final = ("@", "import ", "from ", "assert ", "def ", "struct ", "class ")


class Mutant(NamedTuple):
    """One fault: the file below `prover/stf`, the place (a line from 1), what it said and says, and the whole text.

    function: the innermost one around it, if any; nth: of those that say the same in it.
    """

    file: str
    function: str
    line: int
    kind: str
    was: str
    now: str
    text: str
    nth: int = 1

    @property
    def key(self) -> str:
        """What tells it from all others, wherever its lines move to."""
        place = f"{self.file} {self.function}" + (f" ({self.nth})" if self.nth > 1 else "")
        return f"{place} | {self.was} | {self.now}"


def mutants_of(file: str, source: str) -> Iterator[Mutant]:
    """Every single fault of a text."""
    known: Counter[str] = Counter()
    for mutant in _mutants_of(file, source):
        known[mutant.key] += 1
        yield mutant._replace(nth=known[mutant.key])


def _mutants_of(file: str, source: str) -> Iterator[Mutant]:
    lines = source.splitlines(keepends=True)
    spoken, known = _spoken(lines) - _unreplayed(lines) - _replaced(lines), _known(lines)
    for line, start, end, replacement, kind in [*_tokens(source), *_guards(lines)]:
        is_known = kind not in _NAMES or replacement in known[line]
        # What comes with a refusal is dropped.
        is_read = kind == "guard" or not _REFUSAL.search(lines[line - 1])
        if line in spoken and is_known and is_read:
            was = lines[line - 1]
            now = was[:start] + replacement + was[end:]
            yield _mutant(file, lines, line, kind, [now])
    for line in sorted(spoken):
        swapped = _swapped(lines, line)
        if swapped:
            yield _mutant(file, lines, line, "order", swapped)


def _mutant(file: str, lines: list[str], line: int, kind: str, put: list[str]) -> Mutant:
    was = lines[line - 1 : line - 1 + len(put)]
    text = "".join([*lines[: line - 1], *put, *lines[line - 1 + len(put) :]])
    said, says = (" ; ".join(each.strip() for each in part) for part in (was, put))
    return Mutant(file, _function(lines, line), line, kind, said, says, text)


def _function(lines: list[str], number: int) -> str:
    """The name of the function around a line."""
    indent = len(lines[number - 1]) - len(lines[number - 1].lstrip(" "))
    for line in lines[number - 1 :: -1]:
        found = re.match(r"( *)def (\w+)\(", line)
        if found and len(found[1]) < indent:
            return found[2]
        # The end of a signature is no statement of the module, but what stands there else is.
        if not found and line.strip() and not line.startswith((" ", ")")):
            return ""
    return ""


def _spoken(lines: list[str]) -> set[int]:
    """Numbers of the lines that decide something: inside functions, and constants."""
    silent: set[int] = set()
    inside, depth = False, 0
    for number, line in enumerate(lines, 1):
        text = line.strip()
        quotes = text.count('"""')
        if inside or quotes:
            silent.add(number)
            inside = inside ^ (quotes % 2 == 1)
            continue
        # A signature over several lines is one.
        if depth or text.startswith("def "):
            depth += text.count("(") - text.count(")")
            silent.add(number)
            continue
        if text.startswith(_SILENT) or any(kind.match(line) for kind in _DECLARED):
            silent.add(number)
    return set(range(1, len(lines) + 1)) - silent


def _unreplayed(lines: list[str]) -> set[int]:
    """Numbers of the lines of functions that no replay comes to."""
    found: set[int] = set()
    inside = ""
    for number, line in enumerate(lines, 1):
        started = re.match(r"( *)def (\w+)\(", line)
        if started:
            inside = started[1] + " " if started[2] in UNREPLAYED else ""
        elif line.strip() and not line.startswith((inside, inside[:-1] + ")")):
            inside = ""
        if inside:
            found.add(number)
    return found


def _statement(lines: list[str], number: int) -> str:
    """The statement that begins in a line, over as many as it has."""
    text = lines[number - 1]
    for line in lines[number:]:
        if text.count("(") == text.count(")"):
            break
        text += line
    return text


def _replaced(lines: list[str]) -> set[int]:
    """Numbers of the lines that only declare: the next statement says the value."""
    found: set[int] = set()
    declared: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        default, assigned = _DEFAULT.match(line), _ASSIGNED.match(line)
        if default:
            declared[default[1] + default[2]] = number
            continue
        if assigned:
            names = {assigned[1] + name.strip() for name in assigned[2].split(",")}
            read = set(re.findall(r"\w+", _statement(lines, number)[assigned.end() :]))
            found |= {declared[name] for name in names & declared.keys() if name.strip() not in read}
        declared = {}
    return found


def _known(lines: list[str]) -> dict[int, set[str]]:
    """Line -> names that its function uses: another would be no fault of the law but of its text."""
    known: dict[int, set[str]] = {}
    names: set[str] = set()
    for number, line in enumerate(lines, 1):
        if re.match(r" *def |\w", line):
            names = set()
        names |= set(re.findall(r"\w+", line))
        known[number] = names
    return known


def _tokens(source: str) -> Iterator[tuple[int, int, int, str, str]]:
    """Line, first and last column, what stands there instead, kind."""
    previous = None
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        row, start, end = token.start[0], token.start[1], token.end[1]
        if token.type == tokenize.OP and token.string in _OPERATORS:
            is_sign = token.string == "-" and (previous is None or previous.string in (*"([,=<>+*/-", "==", "return"))
            replacement, kind = _OPERATORS[token.string]
            yield row, start, end, "" if is_sign else replacement, kind
        elif token.type == tokenize.NAME and token.string in _WORDS:
            yield row, start, end, _WORDS[token.string], "boolean"
        elif token.type == tokenize.NAME and token.string == "not":
            yield row, start, end + 1, "", "boolean"
        elif token.type == tokenize.NAME and token.string in _OTHER_NAMES:
            replacement, kind = _OTHER_NAMES[token.string]
            yield row, start, end, replacement, kind
        elif token.type == tokenize.NUMBER and re.fullmatch(r"[\d_]+", token.string):
            if any(
                int(bits[1]) + int(bits[2]) == _WORD_BITS and bits.start(2) == start
                for bits in _LAST_BITS.finditer(lines[row - 1])
            ):
                previous = token
                continue
            yield row, start, end, str(int(token.string) + 1), "constant"
        if token.type not in (tokenize.NL, tokenize.COMMENT):
            previous = token


def _guards(lines: list[str]) -> Iterator[tuple[int, int, int, str, str]]:
    """Conditions of one line that never hold."""
    for number, line in enumerate(lines, 1):
        found = _GUARD.match(line.rstrip("\n"))
        raises = lines[number : number + 1] and lines[number].strip().startswith("raise ")
        if found and not raises:
            yield number, found.start(3), found.end(3), "False", "guard"


def _swapped(lines: list[str], line: int) -> list[str] | None:
    """Two checks, each a condition and a return, in the other order."""
    four = lines[line - 1 : line + 3]
    if len(four) < 4:
        return None
    first, second = _GUARD.match(four[0].rstrip("\n")), _GUARD.match(four[2].rstrip("\n"))
    is_pair = (
        first is not None
        and second is not None
        and first[1] == second[1]
        and (first[2], second[2]) == ("if", "if")
        and all(each.strip().startswith("return ") for each in (four[1], four[3]))
        and four[1] != four[3]
        # Of two that never hold at once the order says nothing.
        and not (_EQUALITY.match(first[3]) and _EQUALITY.match(second[3]))
    )
    return [four[2], four[3], four[0], four[1]] if is_pair else None
