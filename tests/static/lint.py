"""Rules over the Vyper compiler's own tree of every source: what no contract does, and what only listed places do.

A source is parsed and no more, so that all of them take two seconds. What is exempt stands in docs/contracts.md with
its reason, and a line there that nothing needs any more is a finding too.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

from vyper import ast
from vyper.builtins.functions import DISPATCH_TABLE, STMT_DISPATCH_TABLE

from l1_bridge.contracts.compile import COMPILER

ROOT: Final = Path(__file__).parents[2]
ROOMS: Final = ("l1_bridge", "prover")
LAW: Final = "prover"

# What each asks stands in docs/contracts.md.
RULES: Final = frozenset(("text", "plain", "loops", "reasons", "state", "locks", "alone", "answers", "ether", "exempt"))

# Builtins that compute or encode, revert where a value does not fit, and touch nothing else.
HARMLESS: Final = frozenset(
    (
        "abi_encode",
        "abs",
        "concat",
        "convert",
        "empty",
        "keccak256",
        "len",
        "max",
        "max_value",
        "method_id",
        "min",
        "slice",
    )
)
# What the bridge may read anywhere; the law may read nothing of the chain.
CHAIN_READ_BY_BRIDGE: Final = frozenset(("msg.sender", "msg.value", "block.timestamp", "chain.id"))
WORD_LENGTH: Final = 32
SKIPS_A_CHECK: Final = "skip_contract_check"
NO_LOG: Final = "a change without a log"
WRITE_AFTER_CALL: Final = "a write after a call"
CHAIN: Final = frozenset(("msg", "block", "tx", "chain"))
OF_AN_ADDRESS: Final = frozenset(("balance", "codehash", "codesize", "is_contract"))
# Keywords of raw_call that neither hand over storage nor swallow a failure.
PLAIN_RAW_CALL: Final = frozenset(("value", "max_outsize"))


class Use(NamedTuple):
    """Something that only listed places may do: `place` is MODULE.FUNCTION."""

    place: str
    what: str


class Finding(NamedTuple):
    """A rule that a place breaks."""

    rule: str
    place: str
    what: str


class Access(NamedTuple):
    """Who may call an external function, as its text has it."""

    held_by: str
    is_payable: bool
    is_locked: bool


class Module:
    """A parsed source, and its functions by name."""

    def __init__(self, name: str, text: str, is_law: bool) -> None:
        self.name = name
        self.text = text
        self.is_law = is_law
        self.tree = ast.parse_to_ast(text)
        self.functions: dict[str, ast.FunctionDef] = {
            each.name: each for each in self.tree.get_children(ast.FunctionDef)
        }

    def place(self, node: Any) -> str:
        """MODULE.FUNCTION around a node; the module alone outside of functions."""
        function = node if isinstance(node, ast.FunctionDef) else node.get_ancestor(ast.FunctionDef)
        return self.name if function is None else f"{self.name}.{function.name}"

    def every(self, *kinds: type) -> list[Any]:
        """All nodes of some kinds."""
        return list(self.tree.get_descendants(kinds))

    @cached_property
    def reached(self) -> dict[str, set[str]]:
        """Functions of this module that a function calls, itself and theirs included."""
        direct = {
            name: {node.func.attr for node in function.get_descendants(ast.Call) if _is_of_self(node.func)}
            & set(self.functions)
            for name, function in self.functions.items()
        }
        found = {}
        for name in direct:
            seen, waiting = {name}, [name]
            while waiting:
                fresh = direct[waiting.pop()] - seen
                seen |= fresh
                waiting += fresh
            found[name] = seen
        return found

    def nodes_reached(self, name: str, *kinds: type) -> list[Any]:
        """Nodes of some kinds in a function and in whatever of this module it calls."""
        return [node for each in sorted(self.reached[name]) for node in self.functions[each].get_descendants(kinds)]


def shipped() -> list[Module]:
    """Every source of the repository that ends in bytecode, interfaces included."""
    paths = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.vy*"))]
    return [Module(path.stem, path.read_bytes().decode(), path.relative_to(ROOT).parts[0] == LAW) for path in paths]


def decorators(function: ast.FunctionDef) -> set[str]:
    """Names of a function's decorators."""
    return {each.id for each in function.decorator_list if isinstance(each, ast.Name)}


def is_external(function: ast.FunctionDef) -> bool:
    """Whether others may call it."""
    return "external" in decorators(function)


def changes_nothing(function: ast.FunctionDef) -> bool:
    """Whether the compiler holds it to reading."""
    return bool(decorators(function) & {"pure", "view"})


def words(node: Any) -> str:
    """A node's text on one line."""
    return " ".join(node.node_source_code.split())


def _is_of_self(node: Any) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def _builtin(node: Any) -> str:
    """The builtin that a call is of; empty for a struct, an event, an interface or a function of ours."""
    name = getattr(node.func, "id", "")
    return name if name in DISPATCH_TABLE or name in STMT_DISPATCH_TABLE else ""


def _calls_out(node: Any) -> bool:
    return isinstance(node, ast.ExtCall) or (
        isinstance(node, ast.Call) and (_builtin(node) in ("raw_call", "send") or _builtin(node).startswith("create"))
    )


def uses(module: Module) -> set[Use]:
    """What of a module only listed places may do."""
    found = set()
    for node in module.every(ast.Call):
        name = _builtin(node)
        if name and name not in HARMLESS:
            found.add(Use(module.place(node), name))
    for node in module.every(ast.ExtCall, ast.StaticCall):
        called = node.value.func
        found.add(Use(module.place(node), f"{words(called.value).partition('(')[0]}.{called.attr}"))
        if any(each.arg == SKIPS_A_CHECK for each in node.value.keywords):
            found.add(Use(module.place(node), SKIPS_A_CHECK))
    free = frozenset() if module.is_law else CHAIN_READ_BY_BRIDGE
    for node in module.every(ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id in CHAIN:
            name = f"{node.value.id}.{node.attr}"
            if name not in free:
                found.add(Use(module.place(node), name))
        elif node.attr in OF_AN_ADDRESS:
            found.add(Use(module.place(node), node.attr))
    if module.is_law:
        found |= {Use(module.place(node), "assert") for node in module.every(ast.Assert)}
    found |= {
        Use(f"{module.name}.{name}", NO_LOG) for name in access(module) if not module.nodes_reached(name, ast.Log)
    }
    return found | {Use(module.place(node), WRITE_AFTER_CALL) for node in _late_writes(module)}


def access(module: Module) -> dict[str, Access]:
    """External functions of a module that may change something, and what their text asks of a caller."""
    return {
        name: Access(_held_by(module, name), "payable" in decorators(function), "nonreentrant" in decorators(function))
        for name, function in module.functions.items()
        if is_external(function) and not changes_nothing(function)
    }


def _held_by(module: Module, name: str) -> str:
    """The other side of `msg.sender ==` in an assert that always runs; several are joined, none is the empty text."""
    found = []
    for node in module.nodes_reached(name, ast.Assert):
        conjuncts = [node.test]
        while conjuncts:
            part = conjuncts.pop()
            if isinstance(part, ast.BoolOp) and isinstance(part.op, ast.And):
                conjuncts += part.values
            elif isinstance(part, ast.Compare) and isinstance(part.op, ast.Eq):
                sides = [words(part.left), words(part.right)]
                if "msg.sender" in sides and not node.get_ancestor((ast.If, ast.For)):
                    sides.remove("msg.sender")
                    found += sides
    return ", ".join(sorted(set(found)))


def findings(module: Module) -> Iterator[Finding]:
    """What of a module breaks a rule that knows no exemption."""
    yield from _text(module)
    yield from _plain(module)
    yield from _loops(module)
    for node in module.every(ast.Assert):
        if not isinstance(node.msg, ast.Str) or not 0 < len(node.msg.value) <= WORD_LENGTH:
            yield Finding("reasons", module.place(node), words(node.test))
    for node in module.every(ast.Call, ast.ExtCall):
        if (_calls_out(node) or _writes(module, node)) and not _stands_alone(node):
            yield Finding("alone", module.place(node), words(node))
    if module.is_law:
        yield from _state(module)
    for name, function in module.functions.items():
        if is_external(function):
            yield from _external(module, name, function)


def _text(module: Module) -> Iterator[Finding]:
    strange = sorted({character for character in module.text if not (" " <= character <= "~" or character == "\n")})
    if strange:
        yield Finding("text", module.name, repr("".join(strange)))
    if not module.text.startswith(f"# pragma version {COMPILER}\n"):
        yield Finding("text", module.name, "no exact version")


def _plain(module: Module) -> Iterator[Finding]:
    for node in module.every(ast.IfExp, ast.Decimal, ast.Raise):
        yield Finding("plain", module.place(node), type(node).__name__)
    if "__default__" in module.functions:
        yield Finding("plain", module.name, "__default__")
    for node in module.every(ast.Call):
        options = {each.arg for each in node.keywords}
        if _builtin(node) == "raw_call" and not options <= PLAIN_RAW_CALL:
            yield Finding("plain", module.place(node), f"raw_call {sorted(options - PLAIN_RAW_CALL)}")


def _is_constant(node: Any) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return isinstance(node, ast.Int) or (bool(name) and name == name.upper())


def _loops(module: Module) -> Iterator[Finding]:
    for node in module.every(ast.For):
        over = node.iter
        is_range = isinstance(over, ast.Call) and getattr(over.func, "id", "") == "range"
        if not is_range:
            yield Finding("loops", module.place(node), words(over))
            continue
        bounds = [each.value for each in over.keywords if each.arg == "bound"]
        if not all(map(_is_constant, bounds or over.args)):
            yield Finding("loops", module.place(node), words(over))


def _state(module: Module) -> Iterator[Finding]:
    for node in module.tree.get_children(ast.VariableDecl):
        if not (node.is_constant or node.is_immutable):
            yield Finding("state", module.name, node.target.id)
    for name, function in module.functions.items():
        if name != "__init__" and not changes_nothing(function):
            yield Finding("state", f"{module.name}.{name}", "may write")


def _stands_alone(node: Any) -> bool:
    """Whether nothing else is evaluated beside a call, but its own arguments."""
    around = node.get_ancestor()
    return isinstance(around, (ast.Expr, ast.Assert, ast.Return, ast.Assign, ast.AnnAssign))


def _external(module: Module, name: str, function: ast.FunctionDef) -> Iterator[Finding]:
    place = f"{module.name}.{name}"
    calls = [node for node in module.nodes_reached(name, ast.ExtCall, ast.Call) if _calls_out(node)]
    if calls and "nonreentrant" not in decorators(function):
        yield Finding("locks", place, words(calls[0]))
    for node in calls:
        if isinstance(node, ast.ExtCall) and not node.get_ancestor(ast.Assert):
            yield Finding("answers", place, words(node))
    if "payable" in decorators(function) and not _asserts_what_came(module, name):
        yield Finding("ether", place, "msg.value")


def _asserts_what_came(module: Module, name: str) -> bool:
    return any(
        isinstance(node.test, ast.Compare)
        and isinstance(node.test.op, ast.Eq)
        and "msg.value" in (words(node.test.left), words(node.test.right))
        for node in module.nodes_reached(name, ast.Assert)
    )


def _late_writes(module: Module) -> Iterator[Any]:
    """Statements that write storage after the first call that leaves their function."""
    for function in module.functions.values():
        left = [_at(node) for node in function.get_descendants((ast.ExtCall, ast.Call)) if _calls_out(node)]
        for node in function.get_descendants((ast.Assign, ast.AugAssign, ast.Call)):
            if left and _at(node) > min(left) and _writes(module, node):
                yield node


def _at(node: Any) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _writes(module: Module, node: Any) -> bool:
    """Whether a statement writes storage, or calls a function of this module that does."""
    if isinstance(node, ast.ExtCall):
        return False
    if isinstance(node, ast.Call):
        if getattr(node.func, "attr", "") in ("append", "pop"):
            return words(node.func).startswith("self.")
        if not _is_of_self(node.func) or node.func.attr not in module.functions:
            return False
        written = module.nodes_reached(node.func.attr, ast.Assign, ast.AugAssign)
        return any(_writes(module, each) for each in written)
    return words(node.target).startswith("self.")


def unlisted(modules: list[Module], listed: Mapping[Use, str]) -> list[Finding]:
    """Uses in places that are not listed, and listed places that no longer need it."""
    found = set().union(*map(uses, modules))
    fresh = [Finding("exempt", use.place, use.what) for use in sorted(found - set(listed))]
    return fresh + [Finding("exempt", use.place, f"{use.what}: not used") for use in sorted(set(listed) - found)]


# What docs/contracts.md says


DOCUMENT: Final = ROOT / "docs" / "contracts.md"


def table(title: str) -> list[list[str]]:
    """Cells of the rows of the one table under a heading of docs/contracts.md."""
    section = DOCUMENT.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    assert {len(row) for row in rows} == {len(rows[0])}, title
    return rows[1:]


def named(cell: str) -> list[str]:
    """What stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def listed() -> dict[Use, str]:
    """Exempt uses and their reasons."""
    return {Use(named(place)[0], what): why for place, kinds, why in table("Exempt places") for what in named(kinds)}


def access_table() -> dict[tuple[str, str], Access]:
    """Who may call what: (contract, function) to its rule."""
    return {
        (named(contract)[0], function): Access(", ".join(named(held_by)), ether != "no", lock == "yes")
        for contract, functions, _, held_by, ether, lock in table("Who may call what")
        for function in named(functions)
    }
