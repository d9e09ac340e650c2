"""The log and the progress line."""

from sagan import progress
from sagan.progress import Meter
from sagan.runs.log import append_records, read_records


def test_records_come_back_in_order_and_a_torn_line_is_left_out(tmp_path):
    path = tmp_path / "log.jsonl"
    append_records(path, {"step": 1}, {"step": 2, "name": "γ"})
    append_records(path, {"step": 3})
    with open(path, "a") as file:
        file.write('{"step": 4')
    assert list(read_records(path)) == [{"step": 1}, {"step": 2, "name": "γ"}, {"step": 3}]


def test_a_missing_log_is_empty(tmp_path):
    assert list(read_records(tmp_path / "none")) == []


def test_progress_says_rate_and_time_left(capsys, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    meter = Meter(1000, 200)
    clock[0] += 20
    meter.advance(400, "note")
    assert meter.rate == 10
    assert "400 of 1,000 images · 10/s · 60 s left · note" in capsys.readouterr().err
    meter.close()


def test_silent_when_not_enabled(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    meter = Meter(10, 0, enabled=False)
    clock[0] += 60
    meter.advance(5, "")
    meter.say("something")
    assert capsys.readouterr() == ("", "")
