"""The driver of `benchmarks/pictures`: its clock, its pictures and its table."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from attention_run import make_run

FOLDER = Path(__file__).parents[2] / "benchmarks/pictures"


@pytest.fixture(autouse=True)
def path(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))


@pytest.fixture
def cpu(monkeypatch):
    """CPU time that passes only when told to."""
    now = [100.0]
    monkeypatch.setattr(time, "process_time", lambda: now[0])
    return now


def test_the_clock_saves_at_each_mark_and_leaves_sampling_out(tmp_path, cpu):
    from clock import Clock, Finished

    def sample(num):
        cpu[0] += 1000  # however long it takes
        return np.zeros((num, 2, 2, 1), np.uint8)

    clock = Clock("peer", tmp_path, [2, 1], 3, seed=0, channels=1)
    clock.watch(sample)

    def train():
        for _ in range(1000):
            cpu[0] += 25
            clock.tick(8)

    with pytest.raises(Finished):
        train()
    marks = [json.loads(line) for line in (tmp_path / "peer.jsonl").read_text().splitlines()]
    assert [(m["minutes"], m["cpu_sec"], m["images_shown"]) for m in marks] == [
        (1, 75, 24),
        (2, 125, 40),
    ]
    with np.load(tmp_path / "peer-2m.npz") as arrays:
        assert arrays["images"].shape == (3, 2, 2, 1)


def test_a_peer_goes_on_from_its_last_mark(tmp_path, cpu):
    from clock import Clock, Finished

    def clock_for(minutes, layer):
        clock = Clock("peer", tmp_path, minutes, 1, seed=0, channels=1)
        clock.watch(lambda num: np.zeros((num, 2, 2, 1), np.uint8), layer=layer)
        return clock

    trained = torch.nn.Linear(2, 2)
    first = clock_for([1], trained)
    cpu[0] += 70
    with pytest.raises(Finished):
        first.tick(8)
    with pytest.raises(Finished):  # there is nothing left to do
        clock_for([1], torch.nn.Linear(2, 2))
    fresh = torch.nn.Linear(2, 2)
    later = clock_for([1, 2], fresh)
    assert torch.equal(fresh.weight, trained.weight)
    assert (later.elapsed_sec, later.shown, later.minutes) == (70, 8, [2])


def test_batches_show_every_picture_once_an_epoch():
    from clock import batches

    images = np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1).repeat(2, 1).repeat(2, 2)
    drawn = batches(images, 2, 3)
    epoch = torch.cat([next(drawn) for _ in range(3)])
    assert epoch.shape == (6, 3, 2, 2)
    shown = epoch[:, 0, 0, 0].add(1).mul(127.5).round().int().sort().values
    assert shown.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_dcgan_learns_with_both_networks(tmp_path, monkeypatch, channels):
    import peer_dcgan
    from clock import Clock, Finished

    monkeypatch.setattr(peer_dcgan, "_WIDTH", 4)
    monkeypatch.setattr(peer_dcgan, "_BATCH", 4)
    clock = Clock("dcgan", tmp_path, [0], 5, seed=0, channels=channels)
    before = {}

    def weights(network):  # at first the hinge loss leaves D's last bias alone
        return [p for p in network.parameters() if p.dim() > 1]

    watch = clock.watch

    def watched(sample, **parts):
        before.update({k: [p.clone() for p in weights(parts[k])] for k in ("g", "d")})
        before["parts"] = parts
        watch(sample, **parts)

    clock.watch = watched
    with pytest.raises(Finished):
        peer_dcgan.run(np.full((8, 32, 32, channels), 200, np.uint8), {}, clock)
    for network in ("g", "d"):
        after = weights(before["parts"][network])
        assert all(not torch.equal(a, b) for a, b in zip(before[network], after, strict=True))
    with np.load(tmp_path / "dcgan-0m.npz") as arrays:
        assert arrays["images"].shape == (5, 32, 32, channels)
        assert arrays["images"].dtype == np.uint8


def test_batches_of_colour_keep_each_pixel_s_channels():
    from clock import batches

    images = np.random.default_rng(0).integers(256, size=(1, 4, 4, 3), dtype=np.uint8)
    shown = next(batches(images, 1, 3)).add(1).mul(127.5).round().to(torch.uint8)
    assert np.array_equal(shown[0].permute(1, 2, 0).numpy(), images[0])


def test_the_table_is_by_time_and_distance():
    from score import table

    scores = {"kid:own": 0, "precision:own": 1, "recall:own": 0, "coverage:own": 0}
    rows = [
        {"peer": name, "minutes": minutes, "fd:own": fd, **scores}
        for name, minutes, fd in (("a", 10, 1), ("b", 3, 9), ("c", 3, 8))
    ]
    lines = table([*rows, {"peer": "real", "fd:own": 0.1, "cas": 0.9, **scores}]).splitlines()
    assert [line.split(" | ")[1] for line in lines[2:]] == ["real", "c", "b", "a"]


def test_a_grid_keeps_colours_and_the_place_of_each_picture():
    from score import grid

    images = np.random.default_rng(0).integers(256, size=(32, 2, 2, 3), dtype=np.uint8)
    drawn = grid(images)
    assert drawn.shape == (8, 16, 3)
    assert np.array_equal(drawn[2:4, 6:8], images[8 + 3])
    assert np.array_equal(grid(images[..., :1]), drawn[..., :1])


def test_a_grid_is_drawn_for_each(tmp_path):
    from PIL import Image
    from score import draw

    np.savez(tmp_path / "a.npz", images=np.arange(64, dtype=np.uint8).reshape(64, 1, 1, 1))
    draw({"one": tmp_path / "a.npz", "two": tmp_path / "a.npz"}, tmp_path / "grids.png")
    with Image.open(tmp_path / "grids.png") as sheet:
        assert sheet.width == 2 * (8 + 12)


def test_a_person_judges_pictures_whose_classes_are_hidden(tmp_path):
    from judge import count, draw

    make_run(tmp_path / "run")
    sheet, said = tmp_path / "sheet.png", tmp_path / "said.txt"
    draw(tmp_path / "run", sheet, num=12, order=0)
    hidden = json.loads(sheet.with_suffix(".json").read_text())
    answers = hidden["answers"]
    assert len(answers) == 12
    assert len({*answers}) > 1
    assert {*answers} <= {*hidden["classes"]}
    wrong = next(name for name in hidden["classes"] if name != answers[0])
    said.write_text("\n".join([wrong, *answers[1:]]))
    assert count(sheet, said).endswith("all 11 of 12")
    said.write_text("\n".join(answers[1:]))
    with pytest.raises(SystemExit, match="11 classes for 12"):
        count(sheet, said)
    said.write_text("\n".join(["dragon", *answers[1:]]))
    with pytest.raises(SystemExit, match="dragon, which is no class"):
        count(sheet, said)
