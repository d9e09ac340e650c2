"""The table that `./dev faults` prints says what happened."""

from types import SimpleNamespace

from faults.rows import FIGURES, NAMES, figures, outcomes, table


def report(*rows, longrepr=None):
    return SimpleNamespace(user_properties=[("faults", rows)], nodeid="a test", longrepr=longrepr)


def test_a_row_passes_only_if_all_its_tests_do():
    passed = [("passed", report(row)) for row in NAMES if row != 9]
    skip = report(32, longrepr=("file", 1, "Skipped: no namespace"))
    found = outcomes([*passed, ("failed", report(1)), ("error", report(2, 3)), ("skipped", skip)])
    words = {row: word for row, (word, _) in found.items() if word != "passed"}
    assert words == {1: "failed", 2: "failed", 3: "failed", 9: "missing", 32: "skipped"}
    lines = list(table(found))
    assert len(lines) == len(NAMES) + 1
    assert "1 of 2 tests: Skipped: no namespace" in lines[31]
    assert lines[-1] == "29 of 34"


def test_what_tests_have_counted_is_added_up():
    (tried, came_of_it), *_ = FIGURES.items()

    def counting(n, m):
        return SimpleNamespace(user_properties=[("counted", {tried: n, came_of_it: m})])

    lines = list(figures([("passed", counting(1_000, 1)), ("failed", counting(500, 0))]))
    assert lines == [f"{tried}: 1,500; {came_of_it}: 1"]


def test_the_rows_are_34():
    assert list(NAMES) == list(range(1, 35))
