"""Commands run in this process, which has everything imported."""

import json
from collections.abc import Awaitable, Callable, Iterator

import pytest
import structlog
import trio
from click.testing import CliRunner, Result

from prover.cli import running
from prover.cli.main import cli

Ended = Callable[..., Awaitable[tuple[int, list[dict[str, object]], str]]]


def run(*arguments: str, environment: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, env=environment)


@pytest.fixture
def quietly(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ended]:
    """The same in this process, which has everything imported: in a thread, where no signal is heard."""

    async def deaf(scope: trio.CancelScope, *, task_status: "trio.TaskStatus[None]") -> None:
        task_status.started()

    async def ran(*arguments: str) -> tuple[int, list[dict[str, object]], str]:
        done = await trio.to_thread.run_sync(lambda: run(*arguments))
        assert isinstance(done.exception, SystemExit | None), done.exception
        return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    monkeypatch.setattr(running, "_watch_signals", deaf)
    yield ran
    structlog.reset_defaults()
