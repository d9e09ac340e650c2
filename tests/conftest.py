"""What every test shares: one thread, fixed draws, and property tests that repeat exactly."""

import pytest
import torch
from faults import rows
from hypothesis import settings

from sagan.training import curves

torch.set_num_threads(1)

settings.register_profile("sagan", derandomize=True, database=None, deadline=None)
settings.load_profile("sagan")


@pytest.fixture(autouse=True)
def fixed_draws() -> None:
    """Give each test the same global random numbers, alone or among others."""
    torch.manual_seed(0)


_DRAW_CURVES = curves.draw_curves


@pytest.fixture(scope="session", autouse=True)
def undrawn():
    """Leave out the curves, which would take half the time of a run of a few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "draw_curves", lambda *_: None)
        yield


@pytest.fixture
def drawn(monkeypatch):
    """With the curves all the same."""
    monkeypatch.setattr(curves, "draw_curves", _DRAW_CURVES)


@pytest.fixture
def counted(record_property):
    """Takes numbers by the names in `rows.FIGURES`, once a test; `./dev faults` adds them up."""

    def note(numbers: dict[str, int]) -> None:
        assert {*numbers} <= {*rows.FIGURES, *rows.FIGURES.values()}
        record_property("counted", numbers)

    return note


def pytest_collection_modifyitems(items):
    """Let each test's report carry the rows of the fault matrix that it covers."""
    for item in items:
        covered = [row for mark in item.iter_markers("fault") for row in mark.args]
        if covered:
            assert {*covered} <= {*rows.NAMES}, f"{item.nodeid} is of no row"
            item.user_properties.append(("faults", covered))


def _reports(config):
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    categories = "passed", "failed", "error", "skipped"
    return [(c, report) for c in categories for report in reporter.stats.get(c, ())]


def _is_fault_matrix(config):
    return config.option.markexpr == "fault" and not hasattr(config, "workerinput")


def pytest_sessionfinish(session):
    """Of `./dev faults`: a row without a test fails the whole."""
    if _is_fault_matrix(session.config) and not session.exitstatus:
        words = {word for word, _ in rows.outcomes(_reports(session.config)).values()}
        session.exitstatus = int(bool(words & {"failed", "missing"}))


def pytest_terminal_summary(terminalreporter, config):
    """Of `./dev faults`: a line a row, then the figures."""
    if _is_fault_matrix(config):
        terminalreporter.section("fault matrix")
        reports = _reports(config)
        for line in (*rows.table(rows.outcomes(reports)), *rows.figures(reports)):
            terminalreporter.line(line)
