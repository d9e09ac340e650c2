"""Lengths of time as `--time` takes them, and the table of plans."""

import math

import pytest

from sagan.config.duration import in_words, parse_duration
from sagan.config.plans import RECORD_FIELDS, reached, records, shares_of


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


def test_a_plan_is_told_the_record_that_is_nearest_in_images():
    for record in records():  # some took equally long with other sizes
        assert reached(record["sizes"], record["images"]) == record
        assert reached(record["sizes"], record["images"] + 1) == record
    of_32_px = [r["images"] for r in records() if r["sizes"] == [8, 16, 32]]
    assert reached((8, 16, 32), 3 * max(of_32_px)) is None
    assert reached((8, 16, 32), min(of_32_px) // 3) is None
    assert reached((8, 32), of_32_px[0]) is None


def test_records_are_whole():
    for record in records():
        assert set(record) == set(RECORD_FIELDS)
        assert len(record["sizes"]) == len(record["shares"])
        assert record["sizes"][-1] == record["px"]
