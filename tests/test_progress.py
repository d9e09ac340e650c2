"""The progress line."""

from sagan import progress
from sagan.progress import Meter


def test_progress_says_rate_and_time_left(capsys, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    meter = Meter(1000, 200)
    clock[0] += 20
    meter.advance(400, lambda rate: 600 / rate, "note")
    assert meter.rate == 10
    assert "400 of 1,000 images · 10/s · 0:01:00 left · note" in capsys.readouterr().err
    meter.close()


def test_silent_when_not_enabled(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    meter = Meter(10, 0, enabled=False)
    clock[0] += 60
    meter.advance(5, lambda _: 1 / 0, "")
    meter.say("something")
    assert capsys.readouterr() == ("", "")
