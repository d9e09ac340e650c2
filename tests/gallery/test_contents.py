"""The trained networks that come with sagan."""

import json
from dataclasses import replace
from pathlib import Path

import make_gallery
import numpy as np
import pytest
import torch
from command_line import sagan

import sagan as package
from sagan.config import READING_RULES
from sagan.gallery import shipped, unpack
from sagan.gallery.contents import stripped
from sagan.runs.run import Run


@pytest.mark.parametrize("one", shipped(), ids=lambda one: one.name)
def test_each_can_be_sampled_explained_and_begun_from(one, tmp_path):
    run = unpack(one.name, tmp_path / "run")
    checkpoint = run.checkpoint(verify_files=())
    checkpoint.verify()
    network = checkpoint.config.network
    assert (network.resolution, checkpoint.config.data.source) == (one.px, "")
    labels = torch.arange(network.classes) if network.classes else None
    count = network.classes or 4
    torch.manual_seed(0)
    images = package.load(run.path)(torch.randn(count, network.latent_dim), labels)
    assert images.shape == (count, network.channels, one.px, one.px)
    assert images.std(0).mean() > 0.1  # not one picture for all
    logits = package.load_discriminator(run.path)(images, labels)
    assert logits.isfinite().all()


@pytest.mark.parametrize("one", shipped(), ids=lambda one: one.name)
def test_each_record_says_how_it_was_made(one):
    assert one.command.startswith("sagan train ")
    assert one.scores
    for text in (one.about, one.evaluated, one.hardware, one.date, one.licence):
        assert text
        assert "\n" not in text


def test_the_list_and_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert sagan("gallery") == 0
    assert "clothes: " in capsys.readouterr().out
    assert sagan("gallery", "clothes") == 0
    assert "sagan sample runs/clothes" in capsys.readouterr().err
    assert sagan("export", "runs/clothes", "--out", "shared") == 0
    card = (tmp_path / "shared" / "README.md").read_text()
    assert "| images seen | unknown |" in card
    assert "| generator steps |" not in card
    assert sagan("gallery", "clothes") == 2
    assert "exists already" in capsys.readouterr().err
    assert sagan("gallery", "nonsense", "--out", "x") == 2
    assert "there is no 'nonsense' in the gallery: clothes" in capsys.readouterr().err
    assert sagan("gallery", "--out", "x") == 2
    (tmp_path / "file").touch()
    assert sagan("gallery", "clothes", "--out", "file/x") == 2
    assert "file/x cannot be made: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*.safetensors")].count("ema.safetensors") == 1


def test_each_can_be_trained_whatever_the_reading_rules_it_was_made_with(tmp_path, monkeypatch):
    one = shipped()[0]
    older = {**one.config, "data": {**one.config["data"], "rules": 1}}
    monkeypatch.setattr("sagan.gallery.contents.shipped", lambda: (replace(one, config=older),))
    run = unpack(one.name, tmp_path / "run")
    pictures = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 1), np.uint8)
    np.savez(tmp_path / "pictures.npz", images=pictures, labels=np.arange(10))
    options = ["--data", tmp_path / "pictures.npz", "--images", "8", "--batch-size", "8"]
    assert sagan("train", run.path, *options, "--device", "cpu") == 0
    assert run.config().data.rules == READING_RULES


def test_damaged_weights_are_named(tmp_path, monkeypatch):
    one = shipped()[0]
    monkeypatch.setattr("sagan.gallery.contents.shipped", lambda: (replace(one, sha256="0"),))
    with pytest.raises(ValueError, match="clothes is damaged: install sagan again"):
        unpack("clothes", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_is_put_in_and_comes_out_the_same(tmp_path, monkeypatch):
    before = unpack("clothes", tmp_path / "run")
    about = {"about": "a", "command": "c", "scores": {}, "evaluated": "e", "hardware": "h"}
    about |= {"date": "d", "licence": "l"}
    (tmp_path / "record.json").write_text(json.dumps(about))
    folder = tmp_path / "gallery"
    folder.mkdir()
    make_gallery.main(before.path, "again", tmp_path / "record.json", folder)
    monkeypatch.setattr("sagan.gallery.contents.files", lambda package: folder)
    after = unpack("again", tmp_path / "after")
    for name in ("ema", "discriminator"):
        old, new = (
            before.checkpoint(verify_files=()).tensors(name),
            after.checkpoint(verify_files=()).tensors(name),
        )
        assert old.keys() == new.keys()
        assert all(torch.equal(old[key], new[key]) for key in old)
    assert stripped(Run(after.path).config()) == stripped(before.config())


def test_all_weights_together_stay_small():
    folder = Path(package.__file__).parent / "gallery"
    assert sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) < 4e6
