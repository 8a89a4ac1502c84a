"""What every test run has: its cost in processor time."""

import pytest

from tests.processor_time import ProcessorTime


def pytest_configure(config: pytest.Config) -> None:
    """Counts from here on."""
    config.pluginmanager.register(ProcessorTime(), "processor_time")
