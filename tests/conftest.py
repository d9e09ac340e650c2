"""What every test shares: one thread, fixed draws, and property tests that repeat exactly."""

import pytest
import torch
from faults import rows
from hypothesis import settings

torch.set_num_threads(1)

settings.register_profile("sagan", derandomize=True, database=None, deadline=None)
settings.load_profile("sagan")


@pytest.fixture(autouse=True)
def fixed_draws() -> None:
    """Give each test the same global random numbers, alone or among others."""
    torch.manual_seed(0)


def pytest_collection_modifyitems(items):
    """Let each test's report carry the rows of the fault matrix that it covers."""
    for item in items:
        covered = [row for mark in item.iter_markers("fault") for row in mark.args]
        if covered:
            assert {*covered} <= {*rows.NAMES}, f"{item.nodeid} is of no row"
            item.user_properties.append(("faults", covered))


def _fault_outcomes(config):
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    categories = "passed", "failed", "error", "skipped"
    return rows.outcomes((c, report) for c in categories for report in reporter.stats.get(c, ()))


def _is_fault_matrix(config):
    return config.option.markexpr == "fault" and not hasattr(config, "workerinput")


def pytest_sessionfinish(session):
    """Of `./dev faults`: a row without a test fails the whole."""
    if _is_fault_matrix(session.config) and not session.exitstatus:
        words = {word for word, _ in _fault_outcomes(session.config).values()}
        session.exitstatus = int(bool(words & {"failed", "missing"}))


def pytest_terminal_summary(terminalreporter, config):
    """Of `./dev faults`: a line a row."""
    if _is_fault_matrix(config):
        terminalreporter.section("fault matrix")
        for line in rows.table(_fault_outcomes(config)):
            terminalreporter.line(line)
