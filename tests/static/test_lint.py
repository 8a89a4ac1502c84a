"""What no contract does: the shipped sources break no rule, and each rule is broken by a source that deserves it."""

import pytest

from l1_bridge.contracts.artifact import load_artifact
from l1_bridge.contracts.compile import ROOT, deployable_contracts
from tests.static import lint
from tests.static.lint import Access, Module, Use

HEAD = "# pragma version 0.4.3\n"


@pytest.fixture(scope="module")
def shipped() -> list[Module]:
    """Every source, parsed once."""
    return lint.shipped()


def broken(text: str, is_law: bool = False, head: str = HEAD) -> set[tuple[str, str]]:
    """(rule, place) of what a source breaks."""
    return {(each.rule, each.place) for each in lint.findings(Module("M", head + text, is_law))}


def test_every_contract_and_every_module_of_the_law_is_read(shipped: list[Module]) -> None:
    assert {source.stem for source, _ in deployable_contracts(ROOT)} <= {module.name for module in shipped}
    assert {"replay", "rescue", "merkle", "margin"} <= {module.name for module in shipped if module.is_law}
    assert not next(module for module in shipped if module.name == "RollupBridge").is_law


def test_the_shipped_sources_break_no_rule(shipped: list[Module]) -> None:
    assert [each for module in shipped for each in lint.findings(module)] == []


def test_what_is_exempt_is_listed_and_what_is_listed_is_needed(shipped: list[Module]) -> None:
    assert lint.unlisted(shipped, lint.listed()) == []
    assert all(reason.strip() for reason in lint.listed().values())
    rows = [what for _, kinds, _ in lint.table("Exempt places") for what in lint.named(kinds)]
    assert len(rows) == len(lint.listed()), "listed twice"


def test_the_document_lists_the_rules() -> None:
    assert {lint.named(rule)[0] for rule, _ in lint.table("Rules")} == set(lint.RULES)


def test_every_function_that_may_change_something_says_who_may_call_it(shipped: list[Module]) -> None:
    found = {(module.name, name): rule for module in shipped for name, rule in lint.access(module).items()}

    assert lint.access_table() == found
    # What the compiler exports is what stands in the sources: no function comes from elsewhere.
    exported = {
        (compiled.name, entry["name"])
        for _, artifact in deployable_contracts(ROOT)
        for compiled in [load_artifact(artifact)]
        for entry in compiled.abi
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
    }
    assert exported == set(found)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("claim", "@nonreentrant\n"),
        ("announce", '    assert msg.sender == PARAMETERS.governor, "NOT_GOVERNOR"\n'),
        ("take_seat", '    assert msg.value == PARAMETERS.bond_wei, "BOND_AMOUNT"\n'),
    ],
)
def test_a_line_that_is_taken_out_of_the_bridge_is_missed(shipped: list[Module], name: str, line: str) -> None:
    whole = next(module for module in shipped if module.name == "RollupBridge")
    start = whole.text.index(f"\ndef {name}(")
    # A decorator stands above, everything else below.
    at = whole.text.rindex(line, 0, start + 1) if line.startswith("@") else whole.text.index(line, start)
    torn = Module(whole.name, whole.text[:at] + whole.text[at + len(line) :], is_law=False)

    found = list(lint.findings(torn))
    listed = {function: rule for (contract, function), rule in lint.access_table().items() if contract == whole.name}
    assert found or lint.access(torn) != listed


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("text", "# \u00e9\n"),
        ("text", "# a\x0cb\n"),
        ("text", "# a\u2028b\n"),
        ("plain", "@external\ndef f(a: bool) -> uint256:\n    return 1 if a else 2\n"),
        ("plain", "@external\ndef f():\n    raise 'x'\n"),
        ("plain", "@external\ndef __default__():\n    pass\n"),
        ("plain", "@external\n@nonreentrant\ndef f(a: address):\n    raw_call(a, b'', is_delegate_call=True)\n"),
        (
            "plain",
            "@external\n@nonreentrant\ndef f(a: address):\n    x: bool = raw_call(a, b'', revert_on_failure=False)\n",
        ),
        ("loops", "@external\ndef f(a: DynArray[uint256, 3]):\n    for x: uint256 in a:\n        pass\n"),
        ("loops", "@external\ndef f(n: uint256):\n    for x: uint256 in range(n, bound=n):\n        pass\n"),
        ("reasons", "@external\ndef f(a: bool):\n    assert a\n"),
        ("reasons", f"@external\ndef f(a: bool):\n    assert a, '{'x' * 33}'\n"),
        ("locks", "@external\ndef f():\n    self.g()\n\n@internal\ndef g():\n    send(msg.sender, 1)\n"),
        ("answers", "@external\n@nonreentrant\ndef f(a: address):\n    extcall IERC20(a).transfer(a, 1)\n"),
        ("ether", "@external\n@payable\ndef f():\n    pass\n"),
        ("ether", "@external\n@payable\ndef f():\n    assert msg.value >= 1, 'FEE'\n"),
        (
            "alone",
            "x: uint256\n@external\ndef f():\n    y: uint256 = self.g() + 1\n"
            "@internal\ndef g() -> uint256:\n    self.x = 1\n    return 1\n",
        ),
    ],
)
def test_a_source_that_breaks_a_rule_is_found(rule: str, text: str) -> None:
    assert rule in {found for found, _ in broken(text)}


@pytest.mark.parametrize(
    "text",
    [
        "@external\ndef f(a: bool):\n    assert a, 'A'\n",
        "N: constant(uint256) = 3\n@external\ndef f(n: uint8):\n    for x: uint8 in range(n, bound=N):\n        n\n",
        "@external\n@nonreentrant\ndef f(a: address):\n    assert extcall IERC20(a).transfer(a, 1), 'TOKEN'\n",
        "@external\n@payable\ndef f():\n    self.g()\n@internal\ndef g():\n    assert msg.value == 1, 'FEE'\n",
    ],
)
def test_a_source_that_keeps_the_rules_is_left_alone(text: str) -> None:
    assert broken(text) == set()


def test_a_source_of_another_compiler_is_found() -> None:
    assert broken("", head="# pragma version ^0.4.3\n") == {("text", "M")}
    assert broken("", head="") == {("text", "M")}
    assert broken("", head="\ufeff" + HEAD) == {("text", "M")}


def test_a_law_that_keeps_something_is_found() -> None:
    assert broken("x: uint256\n", is_law=True) == {("state", "M")}
    assert broken("@internal\ndef f():\n    pass\n", is_law=True) == {("state", "M.f")}
    assert broken("X: immutable(uint256)\nY: constant(uint256) = 1\n", is_law=True) == set()


def test_uses_that_need_a_line() -> None:
    text = """
x: uint256

@external
@nonreentrant
def f(a: address) -> uint256:
    send(a, 1)
    self.x = unsafe_add(block.number, msg.gas)
    return staticcall IERC20(a).balanceOf(self, skip_contract_check=True) + self.balance

@internal
def g():
    self.x = 1
    assert msg.sender == tx.origin, "A"
"""
    assert lint.uses(Module("M", HEAD + text, is_law=False)) == {
        Use("M.f", "send"),
        Use("M.f", "unsafe_add"),
        Use("M.f", "block.number"),
        Use("M.f", "msg.gas"),
        Use("M.f", "IERC20.balanceOf"),
        Use("M.f", lint.SKIPS_A_CHECK),
        Use("M.f", "balance"),
        Use("M.f", lint.WRITE_AFTER_CALL),
        Use("M.f", lint.NO_LOG),
        Use("M.g", "tx.origin"),
    }
    # The law may not even ask who calls.
    assert {use.what for use in lint.uses(Module("M", HEAD + text, is_law=True)) if use.place == "M.g"} == {
        "msg.sender",
        "tx.origin",
        "assert",
    }


def test_a_line_that_nothing_needs_is_found() -> None:
    module = Module("M", HEAD, is_law=False)
    assert [each.what for each in lint.unlisted([module], {Use("M.f", "send"): "gone"})] == ["send: not used"]


def test_an_access_rule_counts_only_where_it_always_runs() -> None:
    text = """
owner: address

@external
def held():
    assert True and msg.sender == self.owner, "OWNER"

@external
def held_below():
    self._check()

@external
@payable
@nonreentrant
def open_(a: bool):
    assert msg.value == 1, "FEE"
    if a:
        assert msg.sender == self.owner, "OWNER"

@external
def either(a: bool):
    assert a or msg.sender == self.owner, "OWNER"

@external
@view
def reads():
    pass

@internal
def _check():
    assert self.owner == msg.sender, "OWNER"
"""
    assert lint.access(Module("M", HEAD + text, is_law=False)) == {
        "held": Access("self.owner", False, False),
        "held_below": Access("self.owner", False, False),
        "open_": Access("", True, True),
        "either": Access("", False, False),
    }
