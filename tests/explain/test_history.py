"""Attention over training, from a log: current, older than query dependence, and cut short."""

import json
from pathlib import Path

import pytest

from sagan.explain.history import draw_history, read_history
from sagan.explain.html_report import history_lines


def record(images, gamma, **more):
    layer = {"network": "G", "layer": "attention.0", "size_px": 8, "gamma": gamma, "entropy": 1.5}
    return {"kind": "attention", "step": images, "images": images, "layers": [layer | more]}


def write(path, *records):
    train = {"kind": "train", "step": 1, "images": 64, "d_loss": 2.0}
    path.write_text("".join(json.dumps(r) + "\n" for r in (train, *records)))
    return path


def test_numbers_follow_the_log_and_begin_where_they_begin(tmp_path):
    old, new = record(64, 0.0), record(128, 0.25, query_dependence=0.7)
    log = write(tmp_path / "log.jsonl", old, new)
    with open(log, "a") as file:
        file.write('{"kind": "attention", "images"')  # a crash
    assert read_history(log) == {
        "G attention.0, 8 px": {
            "gamma": ([64, 128], [0.0, 0.25]),
            "entropy": ([64, 128], [1.5, 1.5]),
            "query_dependence": ([128], [0.7]),
        }
    }


def test_layers_are_kept_apart(tmp_path):
    first, second = record(64, 0.1), record(64, 0.2)
    second["layers"][0] |= {"network": "D", "size_px": 4}
    history = read_history(write(tmp_path / "log.jsonl", first, second))
    assert {name: layer["gamma"].values for name, layer in history.items()} == {
        "G attention.0, 8 px": [0.1],
        "D attention.0, 4 px": [0.2],
    }


def test_a_layer_of_a_run_that_grows_keeps_its_course(tmp_path):
    """D gains blocks at the image, so that its layer of 8 px was the first and is the second."""

    def grown(images, *layers):
        sides = [{"layer": f"attention.{i}", "size_px": px} for i, px in enumerate(layers)]
        numbers = {"network": "D", "gamma": images / 64, "entropy": 1.0}
        return {"kind": "attention", "images": images, "layers": [numbers | s for s in sides]}

    log = write(tmp_path / "log.jsonl", grown(64, 8), grown(128, 16, 8), grown(192, 16, 8))
    history = read_history(log)
    assert {name: layer["gamma"] for name, layer in history.items()} == {
        "D attention.1, 8 px": ([64, 128, 192], [1.0, 2.0, 3.0]),
        "D attention.0, 16 px": ([128, 192], [2.0, 3.0]),
    }
    assert [line["key"] for line in history_lines(history)] == ["D attention.1", "D attention.0"]


def test_no_log_is_no_history(tmp_path):
    assert read_history(tmp_path / "log.jsonl") == {}


def test_an_interrupted_plot_leaves_no_half_of_a_file(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    def interrupted(_figure, target, **_options):
        if isinstance(target, Path):
            target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", interrupted)
    history = read_history(write(tmp_path / "log.jsonl", record(64, -0.1), record(128, 0.25)))
    with pytest.raises(KeyboardInterrupt):
        draw_history(tmp_path / "history.png", history)
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_the_plot_has_a_panel_for_each_number_that_was_logged(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    log = write(tmp_path / "log.jsonl", record(64, -0.1), record(128, 0.25))
    draw_history(tmp_path / "history.png", read_history(log))
    (figure,) = drawn
    assert len(figure.axes) == 2  # gamma and entropy
    (line,) = figure.axes[0].get_lines()[:1]
    assert line.get_xydata().tolist() == [[64, -0.1], [128, 0.25]]
