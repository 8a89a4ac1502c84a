"""Which opcodes shipped code can ever run, whatever the compiler was asked for.

The EVM starts at the first byte, falls through, or jumps to a JUMPDEST that a sweep from the first byte meets outside
of pushed data. So what the same sweep finds behind none of them is data: a table of selectors, or immutables.
"""

from functools import cache
from typing import Final

from vyper.evm.opcodes import get_opcodes

ENDS: Final = frozenset(("STOP", "JUMP", "RETURN", "REVERT", "INVALID", "SELFDESTRUCT"))
_ARITHMETIC: Final = (
    *("ADD", "MUL", "SUB", "DIV", "SDIV", "MOD", "SMOD", "ADDMOD", "MULMOD", "EXP", "SIGNEXTEND", "SHA3"),
    *("LT", "GT", "SLT", "SGT", "EQ", "ISZERO", "AND", "OR", "XOR", "NOT", "BYTE", "SHL", "SHR", "SAR"),
)
_MOVES: Final = (
    *("CALLDATALOAD", "CALLDATASIZE", "CALLDATACOPY", "CODESIZE", "CODECOPY", "RETURNDATASIZE", "RETURNDATACOPY"),
    *("POP", "PUSH", "PUSH0", "DUP", "SWAP", "MLOAD", "MSTORE", "MSTORE8", "MCOPY", "MSIZE"),
)
# Stack, memory, call data, jumps, arithmetic, one's own code, and ending.
COMPUTES: Final = frozenset((*_ARITHMETIC, *_MOVES, *ENDS, "JUMPI", "JUMPDEST", "PC")) - {"SELFDESTRUCT"}


@cache
def _names() -> dict[int, str]:
    named = {entry[0]: name for name, entry in get_opcodes().items() if entry[0] is not None}
    return (
        named
        | {0x60 + i: "PUSH" for i in range(32)}
        | {0x80 + i: "DUP" for i in range(16)}
        | {0x90 + i: "SWAP" for i in range(16)}
    )


def run_by(code: bytes) -> set[str]:
    """Names of the opcodes that this code may run; a byte that is no opcode ends a run, as INVALID does."""
    found = set()
    at, runs = 0, True
    while at < len(code):
        name = _names().get(code[at], "INVALID")
        runs = runs or name == "JUMPDEST"
        if runs:
            found.add(name)
            runs = name not in ENDS
        at += code[at] - 0x5E if name == "PUSH" else 1
    return found


def beyond_computing(code: bytes) -> set[str]:
    """Of these, what reads or changes anything outside of the call."""
    return run_by(code) - COMPUTES
