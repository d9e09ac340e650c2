"""`sagan import`: what it takes and makes, and that everything goes on from it."""

import json
import shutil

import numpy as np
import pytest
import torch
from command_line import sagan as command
from peer_checkpoint import peer_files, peer_state

import sagan
from sagan.config import NetworkConfig
from sagan.files import sha256_of_file
from sagan.nn import SpectralNorm, power_iteration
from sagan.peers import import_run
from sagan.peers.recognise import _is_average
from sagan.runs.run import Run, find_checkpoint

SMALL = ("biggan", "32px")  # 10 classes, G at width 8


def state(network, peer=SMALL[0], name=SMALL[1]):
    return peer_state(peer, name, network)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A folder with G.pth, D.pth and G_ema.pth of the small network."""
    folder = tmp_path_factory.mktemp("biggan")
    torch.save(state("G"), folder / "G.pth")
    torch.save(state("D"), folder / "D.pth")
    average = {key: value * 0.9 for key, value in state("G").items()}
    torch.save(average, folder / "G_ema.pth")
    return folder


def test_the_peer_is_told_or_named_and_files_come_in_any_order(checkpoint, tmp_path, capfd):
    G, D, average = (checkpoint / f"{name}.pth" for name in ("G", "D", "G_ema"))
    for i, files in enumerate([(G, D), (D, average, G), ("biggan", average, D, G)]):
        assert command("import", *files, "--out", tmp_path / f"run{i}") == 0
        said = capfd.readouterr().err
        assert "biggan, 32 px, 10 classes, attention in G at 16 px" in said
        assert ("averaged" in said) == (i > 0)
    raw = find_checkpoint(tmp_path / "run1", verify_files=None).tensors("generator")
    kept = find_checkpoint(tmp_path / "run1", verify_files=None).tensors("ema")
    assert torch.equal(kept["to_image.layer.weight"], raw["to_image.layer.weight"] * 0.9)
    alone = find_checkpoint(tmp_path / "run0", verify_files=None).tensors("ema")
    assert all(torch.equal(alone[key], raw[key]) for key in raw)
    config = Run(tmp_path / "run1").config()
    assert config.data.class_names == tuple("0123456789")
    assert (config.training.ema_decay, config.training.ema_start) == (0.999, 0)
    assert Run(tmp_path / "run0").config().training.ema_decay == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run0", "run1", "run2"]


def test_widths_of_a_known_table_are_said_by_their_base(checkpoint, tmp_path):
    network = import_run(
        [checkpoint / "G.pth", checkpoint / "D.pth"], tmp_path / "r"
    ).config.network
    expected = NetworkConfig(
        resolution=32,
        classes=10,
        g_width=8,
        d_width=16,  # theirs counts 4 x 8
        g_attention=(16,),
        spectral_eps=1e-8,
    )
    assert network == expected


def test_raw_weights_and_vectors_are_the_files_own(checkpoint, tmp_path):
    """One power step from u0 gives our u; from there training takes the next."""
    import_run([checkpoint / "G.pth", checkpoint / "D.pth"], tmp_path / "run")
    ours = find_checkpoint(tmp_path / "run", verify_files=None).tensors("discriminator")
    theirs = state("D")
    assert torch.equal(ours["blocks.1.conv1.layer.weight"], theirs["blocks.1.0.conv1.weight"])
    layer = SpectralNorm(torch.nn.Conv2d(32, 32, 3))
    layer.layer.weight.data.copy_(theirs["blocks.1.0.conv1.weight"])
    layer.u.copy_(theirs["blocks.1.0.conv1.u0"][0])
    power_iteration(layer)
    torch.testing.assert_close(ours["blocks.1.conv1.u"], layer.u, atol=1e-6, rtol=0)
    torch.testing.assert_close(ours["blocks.1.conv1.v"], layer.v, atol=1e-6, rtol=0)


@pytest.mark.parametrize("wrap", ["module", "state_dict", "old", "half"])
def test_the_usual_wrappings_change_nothing(checkpoint, tmp_path, wrap):
    G = state("G")
    if wrap == "module":
        G = {f"module.{key}": value for key, value in G.items()}
    if wrap == "state_dict":
        G = {"state_dict": G, "epoch": 3}
    if wrap == "half":
        G = {key: value.double() for key, value in G.items()}
    torch.save(G, tmp_path / "G.pth", _use_new_zipfile_serialization=wrap != "old")
    import_run([tmp_path / "G.pth"], tmp_path / "run")
    import_run([checkpoint / "G.pth"], tmp_path / "plain")
    found, plain = (
        find_checkpoint(tmp_path / r, verify_files=None).tensors("generator")
        for r in ("run", "plain")
    )
    assert all(torch.equal(found[key], plain[key]) for key in plain)


def test_without_a_discriminator_it_samples_and_explains_and_is_not_trained(
    checkpoint, tmp_path, capfd
):
    run = tmp_path / "run"
    assert command("import", checkpoint / "G.pth", "--out", run) == 0
    assert "not trained" in capfd.readouterr().err
    assert command("sample", run, "--num", 4, "--classes", "3,7", "--out", tmp_path / "s.png") == 0
    assert command("explain", run, "--num", 1, "--out", tmp_path / "why") == 0
    assert (tmp_path / "why/attention-g.png").stat().st_size > 1000
    assert not (tmp_path / "why/attention-d.png").exists()
    capfd.readouterr()
    before = sorted(p.name for p in run.rglob("*"))
    assert command("train", run, "--data", "digits") == 2
    said = capfd.readouterr().err
    assert "imported without a discriminator" in said
    assert said.count("\n") == 1
    assert sorted(p.name for p in run.rglob("*")) == before


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Twenty pictures in ten classes, and in fewer, by the number of classes."""
    monkeypatch.setenv("SAGAN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for classes in (1, 2, 4, 10):
        images = draw.integers(0, 256, (20, 32, 32, 3), np.uint8)
        np.savez(folder / f"{classes}.npz", images=images, labels=np.arange(20) % classes)
    return folder


def test_two_files_of_one_name_are_both_recorded(checkpoint, tmp_path):
    files = [tmp_path / letter / "model.pth" for letter in "GD"]
    for file, name in zip(files, ("G.pth", "D.pth"), strict=True):
        file.parent.mkdir()
        shutil.copy(checkpoint / name, file)
    run = import_run(files, tmp_path / "run").run
    recorded = run.checkpoint(verify_files=()).manifest["imported"]["files"]
    assert recorded == {str(file): sha256_of_file(file) for file in files}


OPTIONS = ("--batch-size", 2, "--device", "cpu", "--seed", 5)


def test_training_goes_on_from_an_imported_run(checkpoint, pictures, tmp_path, capfd):
    run = tmp_path / "run"
    files = [checkpoint / f"{name}.pth" for name in ("G", "G_ema", "D")]
    assert command("import", *files, "--out", run) == 0
    first = find_checkpoint(run, verify_files=None).tensors("generator")[
        "blocks.1.conv1.layer.weight"
    ]
    assert command("train", run, "--images", 10) == 2
    assert "name them with --data" in capfd.readouterr().err
    ten = pictures / "10.npz"
    images = ("--data", ten, "--images", 4, "--d-steps", 1)
    assert command("train", run, *images, *OPTIONS, "--augment", "cutout") == 0
    checkpoint_after = find_checkpoint(run, verify_files=None)
    assert checkpoint_after.step == 2
    moved = checkpoint_after.tensors("generator")["blocks.1.conv1.layer.weight"] - first
    assert 0 < moved.abs().max() < 0.01  # a few steps of Adam from where it was
    config = Run(run).config()
    assert config.data.source == str(ten)
    assert config.data.fingerprint
    assert command("train", run, "--images", 6) == 0  # goes on as any run
    assert find_checkpoint(run, verify_files=None).step == 3
    assert command("train", run, "--data", "digits") == 2
    kinds = [json.loads(line)["kind"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert kinds[0] == "import"


def narrowed(content):
    """An eighth of each width; heykeetae's code makes 64 only, which takes long to train."""
    shapes = ((key, value, value.shape) for key, value in content.items())
    return {
        key: value[tuple(slice(n if n % 8 else n // 8) for n in shape)].clone()
        for key, value, shape in shapes
    }


def finite(tensors):
    return all(t.isfinite().all() for t in tensors.values() if t.is_floating_point())


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        ("heykeetae", "64px-z100"),
        ("biggan", "32px-thin"),
        ("studiogan", "32px"),
        pytest.param("studiogan", "legacy-32px-unconditional", marks=pytest.mark.slow),
        ("mimicry", "sagan-32px-odd"),
        ("mmgen", "32px-in-place"),
    ],
)
def test_training_goes_on_from_every_peers_networks(tmp_path, peer, name, pictures, capfd):
    run, files = tmp_path / "run", peer_files(peer, name, tmp_path)
    if peer == "heykeetae":
        for file in files:
            torch.save(narrowed(torch.load(file)), file)
    network = import_run(files, run).config.network
    before = find_checkpoint(run, verify_files=None)
    data = pictures / f"{network.classes or 2}.npz"
    conditional = [] if network.classes else ["--unconditional"]
    steps = ("--images", 4, "--d-steps", 1, "--batch-size", 2, "--device", "cpu")
    assert command("train", run, "--data", data, *conditional, *steps) == 0, capfd.readouterr().err
    after = find_checkpoint(run, verify_files=None)
    assert after.step == 2
    for part in ("generator", "discriminator"):
        old, new = before.tensors(part), after.tensors(part)
        assert finite(new)
        weights = [key for key in old if key.endswith(("layer.weight", "gain.weight"))]
        assert all(0 < (new[key] - old[key]).abs().max() < 0.01 for key in weights)
        for key in (key for key in old if key.endswith(".u")):
            assert new[key].norm() == pytest.approx(1, abs=1e-4)
            if old[key].numel() > 1:  # two power steps from where it was, on other weights
                assert abs(torch.dot(new[key], old[key])) > 0.3, key


def test_an_imported_run_with_classes_is_sampled_scored_and_explained(
    tmp_path, pictures, capfd, monkeypatch
):
    run = tmp_path / "run"
    assert command("import", *peer_files("studiogan", "32px", tmp_path), "--out", run) == 0
    assert command("sample", run, "--num", 4, "--classes", "3,7", "--out", tmp_path / "s") == 0
    assert len(list((tmp_path / "s").rglob("*.png"))) == 4
    capfd.readouterr()
    score = ("--data", pictures / "10.npz", "--metrics", "fd", "--features", "pixel", "--num", 20)
    assert command("evaluate", run, *score, "--device", "cpu") == 0
    assert json.loads(capfd.readouterr().out)["fd:pixel"]["value"] > 0
    assert command("explain", run, "--num", 1, "--out", tmp_path / "why") == 0
    for letter in "gd":
        assert (tmp_path / f"why/attention-{letter}.png").stat().st_size > 1000


def test_summed_statistics_are_averaged_and_others_taken_as_they_are(tmp_path):
    """BigGAN-PyTorch's `mybn`: parity with its own code is of sums of two, by the counter."""
    found = {}
    for count in (0.0, 2.0):
        G = {
            key: torch.tensor([count]) if key.endswith("accumulation_counter") else value
            for key, value in state("G", "biggan", "64px-mybn").items()
        }
        torch.save(G, tmp_path / "G.pth")
        import_run([tmp_path / "G.pth"], tmp_path / f"run{count}")
        found[count] = find_checkpoint(tmp_path / f"run{count}", verify_files=None).tensors(
            "generator"
        )
        theirs = G["output_layer.0.bn.stored_var"] / max(1, count)
        torch.testing.assert_close(found[count]["norm.running_var"], theirs)
    theirs = state("G", "biggan", "64px-mybn")["blocks.0.0.bn1.bn.stored_mean"]
    assert torch.equal(found[0.0]["blocks.0.norm1.norm.norm.running_mean"], theirs)


def test_norms_over_several_devices_are_read_as_those_of_one(checkpoint, tmp_path):
    """BigGAN-PyTorch's `cross_replica`: other names, and the formula of its training."""
    names = {"stored_mean": "bn.running_mean", "stored_var": "bn.running_var"}
    G = {}
    for key, value in state("G").items():
        stem, _, last = key.rpartition(".")
        G[f"{stem}.{names.get(last, last)}"] = value
        if last == "stored_mean":
            G[f"{stem}.bn.num_batches_tracked"] = torch.tensor(7)
    torch.save(G, tmp_path / "G.pth")
    import_run([tmp_path / "G.pth"], tmp_path / "run")
    import_run([checkpoint / "G.pth"], tmp_path / "plain")
    found, plain = (
        find_checkpoint(tmp_path / r, verify_files=None).tensors("generator")
        for r in ("run", "plain")
    )
    assert found.keys() == plain.keys()
    assert all(torch.equal(found[key], plain[key]) for key in plain if "num_batches" not in key)
    assert found["norm.num_batches_tracked"] == 7


def test_what_the_file_tells_of_itself_goes_before_what_is_taken_as_published(tmp_path):
    files = peer_files("mmgen", "128px-as-biggan", tmp_path)
    told = import_run(files, tmp_path / "told").config.network
    assert (told.norm_eps, told.spectral_eps) == (1e-5, 1e-8)
    content = torch.load(files[0])
    torch.save({"state_dict": content["state_dict"]}, files[0])
    assumed = import_run(files, tmp_path / "assumed").config.network
    assert (assumed.norm_eps, assumed.spectral_eps) == (1e-4, 1e-12)


def test_other_networks_than_the_imported_are_refused(checkpoint, pictures, tmp_path, capfd):
    run = tmp_path / "run"
    assert command("import", checkpoint / "G.pth", checkpoint / "D.pth", "--out", run) == 0
    capfd.readouterr()
    for option, said in (
        (("--data", pictures / "10.npz", "--g-width", 16), "network.g_width: 8 -> 16"),
        (("--data", pictures / "10.npz", "--unconditional"), "network.classes: 10 -> 0"),
        (("--data", pictures / "2.npz"), "network.classes: 10 -> 2"),
    ):
        assert command("train", run, *option, *OPTIONS) == 2
        err = capfd.readouterr().err
        assert said in err
        assert err.count("\n") == 1
    assert Run(run).config().data.source == ""


def test_a_folder_that_is_there_stays_as_it_is(checkpoint, tmp_path, capfd):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/mine.txt").write_text("mine")
    assert command("import", checkpoint / "G.pth", "--out", tmp_path / "run") == 2
    assert "exists already" in capfd.readouterr().err
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_a_write_that_fails_leaves_nothing(checkpoint, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sagan.runs.checkpoint.write_durably", full)
    with pytest.raises(OSError, match="No space"):
        import_run([checkpoint / "G.pth"], tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_files_converted_from_studiogan_are_rgb_by_their_name(tmp_path):
    G, D = state("G", "mmgen", "32px"), state("D", "mmgen", "32px")
    both = {f"generator.{k}": v for k, v in G.items()}
    both |= {f"discriminator.{k}": v for k, v in D.items()}
    found = {}
    for name in ("iter_9", "sagan_32_cifar10_convert-studio-rgb_2021"):
        torch.save({"state_dict": both}, tmp_path / f"{name}.pth")
        made = import_run([tmp_path / f"{name}.pth"], tmp_path / name[:4])
        weight = find_checkpoint(made.run.path, verify_files=None).tensors("generator")[
            "to_image.layer.weight"
        ]
        found[made.config.network.d_shortcut_relu] = weight
    assert torch.equal(found[True], G["to_rgb.conv.weight_orig"])
    assert torch.equal(found[False], found[True].flip(0))


def test_the_imported_generator_opens_as_any_other(checkpoint, tmp_path):
    import_run([checkpoint / "G.pth"], tmp_path / "run")
    images = sagan.sample(sagan.load(tmp_path / "run"), 3, classes=[3], seed=0)
    assert images.shape == (3, 3, 32, 32)


@pytest.mark.parametrize(
    ("name", "average"),
    [
        ("G_ema.pth", True),
        ("model=G_ema-best-weights-step=9.pth", True),
        ("EMA.pth", True),
        ("gen-ema2.pth", True),
        ("female_G.pth", False),
        ("cinema_G.pth", False),
        ("G.pth", False),
    ],
)
def test_the_averaged_generator_is_told_by_ema_as_a_word(name, average):
    assert _is_average(name) == average
