"""Attention over training, from a log: current, older than query dependence, and cut short."""

import json

from sagan.explain.history import draw_history, read_history


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


def test_no_log_is_no_history(tmp_path):
    assert read_history(tmp_path / "log.jsonl") == {}


def test_the_plot_has_a_panel_for_each_number_that_was_logged(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_args, **_options: drawn.append(figure))
    log = write(tmp_path / "log.jsonl", record(64, -0.1), record(128, 0.25))
    draw_history(tmp_path / "history.png", read_history(log))
    (figure,) = drawn
    assert len(figure.axes) == 2  # gamma and entropy
    (line,) = figure.axes[0].get_lines()[:1]
    assert line.get_xydata().tolist() == [[64, -0.1], [128, 0.25]]
