"""Lengths of time as `--time` takes them, and the table of plans."""

import math

import pytest

from sagan.config.duration import in_words, parse_duration
from sagan.config.plans import RECORD_FIELDS, records, shares_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("4h", 14_400), ("1.5h", 5400), ("2d", 172_800), (" .5H ", 1800)],
)
def test_lengths_of_time_are_read(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("30", "", "0s", "0.0h", "-5m", "inf", "infs", "nan", "nanh", "1e3s", "30 min", "m"),
        *("1h30m", "9" * 400 + "d", "٣0m", "1_0s"),
    ],
)
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="is not a length of time: a number above 0") as error:
        parse_duration(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("seconds", [90, 1800, 5400, 14_400, 36_000, 172_800])
def test_what_is_said_is_what_was_asked_for(seconds):
    number, unit = in_words(seconds).split()
    assert parse_duration(number + unit[0]) == seconds


@pytest.mark.parametrize(
    "sizes", [(32,), (8, 16), (8, 16, 32), (8, 16, 32, 64), (16, 64), (8,) * 6]
)
def test_shares_are_of_the_whole(sizes):
    shares = shares_of(sizes)
    assert len(shares) == len(sizes)
    assert math.isclose(sum(shares), 1)
    assert [*shares] == sorted(shares)


def test_records_are_whole():
    for record in records():
        assert set(record) == set(RECORD_FIELDS)
        assert len(record["sizes"]) == len(record["shares"])
        assert record["sizes"][-1] == record["px"]
