"""Curves and TensorBoard: what becomes of a log, and that drawing never stops training."""

import ast
import sys
from pathlib import Path

import pytest
from PIL import Image

from sagan.config import NetworkConfig, RunConfig, Runtime, TrainingConfig
from sagan.runs.log import read_records
from sagan.runs.run import Run
from sagan.training import curves as curves_module
from sagan.training import train
from sagan.training import trainer as trainer_module
from sagan.training.curves import CurveDrawer, _kept, _panels, draw_curves

pytestmark = pytest.mark.usefixtures("drawn")

CONFIG = RunConfig(
    network=NetworkConfig(
        resolution=8, channels=1, latent_dim=8, g_width=4, d_width=8, g_attention=(8,)
    ),
    training=TrainingConfig(images=64, batch_size=16, log_every=16, snapshot_every=32),
)


def log(steps=40, **extra):
    records = [{"kind": "start", "step": 0, "images": 0}]
    for step in range(1, steps + 1):
        head = {"step": step, "images": 64 * step}
        losses = {"d_loss": 2 / step, "g_loss": 0.1, "real_logits": 1.0, "fake_logits": -1.0}
        records.append({"kind": "train", **head, **losses, "images_per_sec": 500.0, **extra})
        if step % 10 == 0:
            layer = {"network": "G", "layer": "a", "size_px": 8, "gamma": 0.1 * step}
            numbers = {"entropy": 2.0, "distance": 3.0, "far_mass": 0.5}
            records.append({"kind": "attention", **head, "layers": [{**layer, **numbers}]})
            vital = {"near_duplicates": 0.0, "spread": 1.0, "sigmas": {"G a": 1.0, "D b": 2.0}}
            records.append({"kind": "check", **head, **vital})
    return records


def score(step, value, alarms=()):
    head = {"kind": "score", "step": step, "images": 64 * step, "alarms": list(alarms)}
    return {**head, "metric": "fd:pixel", "better": "lower", "value": value}


def titles(records):
    return [title for title, _ in _panels([_kept(r) for r in records])]


def test_each_kind_of_record_has_its_panel_and_what_is_not_there_has_none(tmp_path):
    assert titles(log(5)) == ["loss", "mean logits", "images per second"]
    with_scores = [*log(), score(10, 2.0), score(20, None)]
    assert titles(with_scores) == [
        "loss",
        "mean logits",
        "fd:pixel, lower is better",
        "gamma of attention",
        "entropy of attention, nats",
        "distance of attention, px",
        "fixed samples (real ones: spread 1)",
        "largest singular value",
        "images per second",
    ]
    assert "augmentation's probability" not in titles(log(augment_p=0.5))
    changing = log()
    for i, record in enumerate(changing):
        record["augment_p"] = i / 100
    assert "augmentation's probability" in titles(changing)
    draw_curves(tmp_path / "none.png", [])
    assert list(tmp_path.iterdir()) == []


def test_the_picture_has_a_cell_for_each_panel(tmp_path):
    draw_curves(tmp_path / "few.png", log(5))
    draw_curves(tmp_path / "many.png", log())
    with Image.open(tmp_path / "few.png") as few, Image.open(tmp_path / "many.png") as many:
        assert few.size == (1380, 270)
        assert many.size == (1380, 810)
    assert {p.name for p in tmp_path.iterdir()} == {"few.png", "many.png"}


def test_curves_hold_the_logs_numbers_and_long_ones_are_averaged():
    (_, ((name, images, values), _)), *_ = _panels(log(40))
    assert name == "D"
    assert images[:2] == [64, 128]
    assert values[:2] == [2.0, 1.0]
    (_, ((_, images, values), _)), *_ = _panels(log(2500))
    assert len(values) == len(images) == 834
    assert values[0] == pytest.approx((2 + 1 + 2 / 3) / 3)


class Axis:
    def __init__(self):
        self.stars = []

    def plot(self, x, y, *_, label, **__):
        self.stars.append((x, y, label))

    def legend(self, **_):
        pass


@pytest.mark.parametrize(
    ("values", "star"),
    [
        ([3.0, 1.0, 2.0], (1.28, 1.0, "best: 1")),
        ([None, 3.0, 2.0], (1.92, 2.0, "best: 2")),
        ([None, None, None], None),
    ],
)
def test_the_best_score_has_the_star(values, star):
    records = [score(10 * (i + 1), value) for i, value in enumerate(values)]
    records.append(score(40, 0.5, alarms=["collapse"]))
    axis = Axis()
    curves_module._mark_best([axis], [("fd:pixel, lower is better", [])], records, 1000)
    assert axis.stars == ([] if star is None else [pytest.approx(star)])


def test_a_layer_of_a_run_that_grows_is_one_curve():
    records = []
    for images, sides in ((64, [8]), (128, [16, 8]), (192, [16, 8])):
        layers = [
            {"network": "D", "layer": f"attention.{i}", "size_px": px, "gamma": px + images / 1e3}
            for i, px in enumerate(sides)
        ]
        records.append({"kind": "attention", "step": 1, "images": images, "layers": layers})
    ((title, curves),) = _panels(records)
    assert title == "gamma of attention"
    assert curves == [
        ("D attention.1, 8 px", [64, 128, 192], [8.064, 8.128, 8.192]),
        ("D attention.0, 16 px", [128, 192], [16.128, 16.192]),
    ]


def test_drawing_takes_a_two_hundredth_of_the_time_at_most(tmp_path, monkeypatch):
    now_sec = [0.0]
    drawn_at = []

    def draws(*_):
        drawn_at.append(now_sec[0])
        now_sec[0] += 2.0

    monkeypatch.setattr(curves_module, "draw_curves", draws)
    drawer = CurveDrawer(tmp_path / "c.png", clock=lambda: now_sec[0])
    while now_sec[0] < 4000:
        drawer.draw(list)
        now_sec[0] += 1.0
    assert 5 <= len(drawn_at) <= 10
    assert drawn_at[0] >= 100
    assert drawer.draw(list, now=True)
    assert not drawer.draw(list)


def test_a_picture_that_cannot_be_drawn_stops_nothing(tmp_path, digits, monkeypatch, capsys):
    def fails(*_):
        raise RuntimeError("no font")

    monkeypatch.setattr(curves_module, "draw_curves", fails)
    assert train(CONFIG, Run(tmp_path), digits, runtime=Runtime(device="cpu")).images == 64
    assert "curves.png could not be drawn: no font" in capsys.readouterr().err


def events(folder):
    """What TensorBoard reads of a folder: the values by tag and step, and the images' steps."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder))
    read.Reload()
    values = {tag: {e.step: e.value for e in read.Scalars(tag)} for tag in read.Tags()["scalars"]}
    return values, [e.step for e in read.Images("samples")]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorBoard's own
def test_tensorboard_shows_the_log(tmp_path, digits, monkeypatch):
    monkeypatch.setattr(curves_module, "draw_curves", lambda *_: None)
    runtime = Runtime(device="cpu", tensorboard=True)
    stop_at = [3]
    monkeypatch.setattr(
        trainer_module.Trainer, "_asked_to_stop", lambda self, _: self.state.step == stop_at[0]
    )
    for _ in range(2):  # stopped after 3 steps, then gone on with
        train(CONFIG, Run(tmp_path), digits, runtime=runtime, progress=False)
        stop_at[0] = 0
    records = list(read_records(tmp_path / "log.jsonl"))
    values, grids = events(tmp_path / "tensorboard")
    for record in records:
        if record["kind"] == "train":
            shown = values["train/d_loss"][record["images"]]
            assert shown == pytest.approx(record["d_loss"], rel=1e-6)
    assert sorted(values["train/d_loss"]) == [16, 32, 48, 64]
    assert sorted(values["attention gamma/G attention.0"]) == grids == [32, 64]
    assert set(values["check/spread"]) == {32, 64}
    assert "largest singular value/D linear" in values


def test_without_tensorboard_there_is_one_clear_line_and_nothing_written(
    tmp_path, digits, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    runtime = Runtime(device="cpu", tensorboard=True)
    with pytest.raises(ValueError, match=r"pip install 'sagan\[log\]'"):
        train(CONFIG, Run(tmp_path / "run"), digits, runtime=runtime)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["curves", "tensorboard"])
def test_what_draws_is_imported_only_when_drawing(name):
    tree = ast.parse((Path(curves_module.__file__).parent / f"{name}.py").read_text())
    at_once = [ast.unparse(n) for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    assert at_once
    assert not [line for line in at_once if "matplotlib" in line or "tensorboard" in line]
