"""How deep a process may recurse does not depend on what it imported."""

import subprocess
import sys

import pytest

from l1_bridge.recursion import DEPTH, recursion_bounded, recursion_limit_kept


def test_the_limit_comes_back_also_from_a_failure() -> None:
    limit = sys.getrecursionlimit()

    def greedy(is_failing: bool) -> None:
        with recursion_limit_kept():
            sys.setrecursionlimit(limit + 1_000)
            if is_failing:
                raise ImportError

    greedy(False)
    assert sys.getrecursionlimit() == limit
    with pytest.raises(ImportError):
        greedy(True)
    assert sys.getrecursionlimit() == limit


def test_a_parser_recurses_no_deeper_than_python_by_itself_would() -> None:
    limit = sys.getrecursionlimit()
    try:
        for raised in (DEPTH + 50_000, DEPTH):
            sys.setrecursionlimit(raised)
            with recursion_bounded():
                assert sys.getrecursionlimit() == DEPTH
            assert sys.getrecursionlimit() == raised
            with pytest.raises(ValueError, match="inside"), recursion_bounded():
                raise ValueError("inside")
            assert sys.getrecursionlimit() == raised
    finally:
        sys.setrecursionlimit(limit)


def test_a_process_whose_limit_was_raised_outlives_a_hundred_kilobytes_of_brackets() -> None:
    program = (
        "import sys; sys.setrecursionlimit(10**9)\n"
        "from sequencer.api.rpc.errors import CallError\n"
        "from sequencer.api.rpc.jsonrpc import JSON\n"
        "for body in (b'[' * 10**6, b'{\"a\":' * 10**5, b'{\"params\":' + b'[' * 10**6):\n"
        "    try:\n"
        "        JSON.decode(body)\n"
        "    except CallError as error:\n"
        "        print(error.error.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["PARSE_ERROR"] * 3), done.stderr[-300:]
