"""The stored results, and the plots drawn from them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from plots import draw, newest

RESULTS = Path(__file__).parents[2] / "benchmarks/results"


def comparison(label, parameters):
    candidates = [
        {"name": name, "median_sec": sec, "peak_bytes": sec * 1e9, "items_per_sec": 1 / sec}
        for name, sec in (("literal", 3.0), ("sagan", 1.0))
    ]
    return {"label": label, "parameters": parameters, "candidates": candidates}


def write_result(folder, case, comparisons):
    facts = {"threads": 2, "cpu": "some", "torch": "2", "date": "2026-01-01"}
    content = {"case": case, "environment": facts, "comparisons": comparisons}
    (folder / f"{case}-2026-01-01-some-2t.json").write_text(json.dumps(content))


def test_each_case_with_results_is_drawn(tmp_path):
    attention = [
        comparison(f"x {form} C=64", {"channels": 64, "n": n, "batch": 2})
        for form in ("article", "paper")
        for n in (64, 256)
    ]
    step = [
        comparison("x", {"preset": "article", "side": side, "batch": batch})
        for side, batch in ((64, 64), (64, 16), (32, 16))
    ]
    assert draw(tmp_path, tmp_path) == []
    write_result(tmp_path, "step", step)
    assert [path.name for path in draw(tmp_path, tmp_path)] == ["speed-step.png"]
    write_result(tmp_path, "attention", attention)
    paths = draw(tmp_path, tmp_path)
    assert [path.name for path in paths] == ["speed-attention.png", "speed-step.png"]
    for path in paths:
        picture = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
        for colour in ((0x9A, 0x63, 0x24), (0x00, 0x66, 0xAA)):  # both candidates are there
            assert (picture == colour).all(1).sum() > 50


def test_kept_results_say_when_and_on_what():
    files = sorted(RESULTS.glob("*.json"))
    assert files
    for path in files:
        content = json.loads(path.read_text())
        facts = content["environment"]
        assert path.name.startswith(f"{content['case']}-{facts['date']}-"), path
        assert facts["cpu"]
        assert facts["torch"]
        assert facts["rounds"] >= 3, path
        assert not facts["quick"], path


def test_the_newest_result_is_taken(tmp_path):
    for date in ("2026-01-09", "2026-10-01", "2025-12-31"):
        (tmp_path / f"step-{date}-cpu-2t.json").write_text(json.dumps({"date": date}))
    (tmp_path / "step-2027-01-01-cpu-1t.json").write_text("{}")
    assert newest(tmp_path, "step") == {"date": "2026-10-01"}
    assert newest(tmp_path, "attention") is None
