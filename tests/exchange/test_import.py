"""`sagan import`: what it takes and makes, what it refuses, and that training goes on from it."""

import json
import os
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from peer_weights import weights

import sagan
from sagan.cli import app, run_safely
from sagan.config import NetworkConfig
from sagan.exchange import import_run
from sagan.nn import SpectralNorm, power_iteration
from sagan.pth import read_pth
from sagan.run import Run, find_checkpoint

EXPECTED = Path(__file__).parent / "expected"
SMALL = ("biggan", "32px")  # 10 classes, G at width 8


def shapes(peer, name, network):
    case = json.loads((EXPECTED / f"{peer}.json").read_text())[name]
    return {key: tuple(shape) for key, shape in case[network].items()}


def state(network, peer=SMALL[0], name=SMALL[1]):
    return weights(shapes(peer, name, network))


def command(*arguments):
    """Run the program in this process and give its exit code."""
    return run_safely(
        lambda: app([str(a) for a in arguments], exit_on_error=False, print_error=False)
    )


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
    raw = find_checkpoint(tmp_path / "run1").tensors("generator")
    kept = find_checkpoint(tmp_path / "run1").tensors("ema")
    assert torch.equal(kept["to_image.layer.weight"], raw["to_image.layer.weight"] * 0.9)
    alone = find_checkpoint(tmp_path / "run0").tensors("ema")
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
    ours = find_checkpoint(tmp_path / "run").tensors("discriminator")
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
    found, plain = (find_checkpoint(tmp_path / r).tensors("generator") for r in ("run", "plain"))
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
    """Ten classes of two pictures each, and the first two classes alone."""
    monkeypatch.setenv("SAGAN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for name, classes in (("ten", 10), ("two", 2)):
        images = draw.integers(0, 256, (20, 32, 32, 3), np.uint8)
        np.savez(folder / f"{name}.npz", images=images, labels=np.arange(20) % classes)
    return folder


OPTIONS = ("--batch-size", 2, "--device", "cpu", "--seed", 5)


def test_training_goes_on_from_an_imported_run(checkpoint, pictures, tmp_path, capfd):
    run = tmp_path / "run"
    files = [checkpoint / f"{name}.pth" for name in ("G", "G_ema", "D")]
    assert command("import", *files, "--out", run) == 0
    first = find_checkpoint(run).tensors("generator")["blocks.1.conv1.layer.weight"]
    assert command("train", run, "--images", 10) == 2
    assert "name them with --data" in capfd.readouterr().err
    ten = pictures / "ten.npz"
    images = ("--data", ten, "--images", 4, "--d-steps", 1)
    assert command("train", run, *images, *OPTIONS, "--augment", "cutout") == 0
    checkpoint_after = find_checkpoint(run)
    assert checkpoint_after.step == 2
    moved = checkpoint_after.tensors("generator")["blocks.1.conv1.layer.weight"] - first
    assert 0 < moved.abs().max() < 0.01  # a few steps of Adam from where it was
    config = Run(run).config()
    assert config.data.source == str(ten)
    assert config.data.fingerprint
    assert command("train", run, "--images", 6) == 0  # goes on as any run
    assert find_checkpoint(run).step == 3
    assert command("train", run, "--data", "digits") == 2
    kinds = [json.loads(line)["kind"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert kinds[0] == "import"


def test_other_networks_than_the_imported_are_refused(checkpoint, pictures, tmp_path, capfd):
    run = tmp_path / "run"
    assert command("import", checkpoint / "G.pth", checkpoint / "D.pth", "--out", run) == 0
    capfd.readouterr()
    for option, said in (
        (("--data", pictures / "ten.npz", "--g-width", 16), "network.g_width: 8 -> 16"),
        (("--data", pictures / "ten.npz", "--unconditional"), "network.classes: 10 -> 0"),
        (("--data", pictures / "two.npz"), "network.classes: 10 -> 2"),
    ):
        assert command("train", run, *option, *OPTIONS) == 2
        err = capfd.readouterr().err
        assert said in err
        assert err.count("\n") == 1
    assert Run(run).config().data.source == ""


class Canary:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def without(content, key):
    return {k: v for k, v in content.items() if k != key}


def put(content, key, value):
    return {**content, key: value}


def bad(folder):
    """What is refused: arguments, and what must be said of them."""

    def file(name, content):
        torch.save(content, folder / name)
        return folder / name

    G, D = file("G.pth", state("G")), file("D.pth", state("D"))
    other_size = file("D64.pth", state("D", "biggan", "64px"))
    one_class = file("D1.pth", state("D", "biggan", "32px-without"))
    studio = file("S.pth", {"state_dict": state("D", "studiogan", "32px")})
    mimicry = file("M.pth", {"model_state_dict": state("G", "mimicry", "sagan-32px")})
    half = folder / "half.pth"
    half.write_bytes(G.read_bytes()[: G.stat().st_size // 2])
    (folder / "text.pth").write_text("weights")
    with zipfile.ZipFile(folder / "empty.zip", "w"):
        pass
    unit = {"encoder.weight": torch.ones(2, 2), "encoder.bias": torch.ones(2)}
    g = state("G")
    wide = torch.ones(40, 32, 3, 3)
    nan = g["linear.bias"] * float("nan")
    return [
        ([], "name the checkpoint's files"),
        (["nonsense", G], "nonsense is neither a file nor one of heykeetae, biggan, studiogan"),
        (["biggan"], "name the checkpoint's files"),
        ([folder], "is neither a file"),
        ([D], "D.pth is a discriminator: give the generator's file too"),
        ([G, G], "are both generators; the averaged one is told by `ema` in its file's name"),
        ([G, D, D], "are both discriminators"),
        ([G, other_size], "has resolution 32 and"),
        ([G, one_class], "has classes 10 and"),
        ([G, studio], "is of biggan and"),
        ([mimicry, D], "is of mimicry and"),
        (["studiogan", G], "is no checkpoint of studiogan: it holds blocks.0.0.bn1.bias.weight"),
        (["studiogan", G], "it has no linear0"),
        ([file("unit.pth", unit)], "is no checkpoint of a known SAGAN: it holds encoder.bias"),
        (
            [file("optim.pth", {"state": {0: {"step": 3}}, "param_groups": []})],
            "no weights by name",
        ),
        ([file("code.pth", {**g, "x": Canary(folder / "ran")})], "only weights are read"),
        ([half], "half.pth is not a PyTorch checkpoint, or it is damaged"),
        ([folder / "text.pth"], "is not a PyTorch checkpoint"),
        ([folder / "empty.zip"], "is not a PyTorch checkpoint"),
        ([file("less.pth", without(g, "blocks.1.0.conv2.weight"))], "no blocks.1.0.conv2.weight"),
        ([file("more.pth", put(g, "blocks.1.0.conv3.weight", wide))], "blocks.1.0.conv3.weight"),
        (
            [file("wide.pth", put(g, "blocks.1.0.conv2.weight", wide))],
            "conv2.u0 is 1x32 for a weight of 40x32x3x3",
        ),
        ([file("flat.pth", put(g, "linear.weight", torch.ones(4)))], "linear.weight is 4, not a"),
        ([file("int.pth", put(g, "linear.bias", torch.ones(512).long()))], "torch.int64"),
        ([file("nan.pth", put(g, "linear.bias", nan))], "linear.bias is not finite"),
        ([file("short.pth", put(g, "linear.bias", torch.ones(3)))], "linear.layer.bias is (3,)"),
        ([file("shared.pth", put(g, "shared.weight", torch.ones(3, 3)))], "shared embedding"),
    ]


def test_bad_input_is_one_line_and_writes_nothing(tmp_path, capfd):
    files = tmp_path / "files"
    files.mkdir()
    for arguments, said in bad(files):
        code = command("import", *arguments, "--out", tmp_path / "run")
        out, err = capfd.readouterr()
        assert code == 2, (arguments, err)
        assert said in err
        assert err.count("\n") == 1
        assert err.startswith("sagan: ")
        assert out == ""
        assert [p.name for p in tmp_path.iterdir()] == ["files"], arguments
    assert not (files / "ran").exists()


def spoil(content, draw):
    """Change one weight in some way."""
    key = draw.choice(list(content))
    tensor = content[key]
    how = draw.randrange(8)
    if how == 0:
        return without(content, key)
    if how == 1:
        return put(without(content, key), f"{key}x", tensor)
    changed = [
        lambda: torch.ones([draw.choice([0, 1, 2, 3, 8]) for _ in range(draw.randrange(5))]),
        tensor.flatten,
        tensor.long,
        lambda: tensor[None],
        lambda: tensor.to_sparse() if tensor.ndim else tensor[None],
        lambda: tensor.transpose(0, -1) if tensor.ndim > 1 else tensor.repeat(2),
    ]
    return put(content, key, changed[how - 2]())


@pytest.mark.parametrize(
    ("peer", "name"),
    [("biggan", "32px"), ("studiogan", "32px"), ("mimicry", "cgan-pd-32px"), ("mmgen", "32px")],
)
def test_spoilt_weights_are_refused_in_one_line_or_harmless(monkeypatch, tmp_path, peer, name):
    draw = random.Random(0)
    whole = {network: state(network, peer, name) for network in "GD"}
    files: dict = {}
    monkeypatch.setattr("sagan.exchange.reading.read_pth", lambda path: files[path])
    monkeypatch.setattr("sagan.exchange.importing._write", lambda *_: None)
    monkeypatch.setattr("sagan.exchange.importing._sha256", lambda _: "")
    said = []
    for _ in range(25):
        files = {"G": spoil(whole["G"], draw), "D": spoil(whole["D"], draw)}
        try:
            import_run(["G", "D"], tmp_path / "run", peer=peer)
        except ValueError as error:
            said.append(str(error))
    assert len(said) > 12
    assert all(line.startswith(("G", "D")) and "\n" not in line for line in said), said


def test_a_folder_that_is_there_stays_as_it_is(checkpoint, tmp_path, capfd):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/mine.txt").write_text("mine")
    assert command("import", checkpoint / "G.pth", "--out", tmp_path / "run") == 2
    assert "is there already" in capfd.readouterr().err
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_a_write_that_fails_leaves_nothing(checkpoint, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sagan.checkpoint.write_durably", full)
    with pytest.raises(OSError, match="No space"):
        import_run([checkpoint / "G.pth"], tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_numpy_numbers_beside_the_weights_are_left_out(tmp_path):
    """StudioGAN keeps its best FID as one; reading must neither fail nor build anything."""
    torch.save({"best_fid": np.float64(3.5), "w": torch.ones(2)}, tmp_path / "w.pth")
    found = read_pth(tmp_path / "w.pth")
    assert torch.equal(found["w"], torch.ones(2))
    assert not isinstance(found["best_fid"], float)


def test_numpy_arrays_and_objects_are_still_refused(tmp_path):
    for value in (np.ones(3), np.array([Canary(tmp_path / "ran")], dtype=object)):
        torch.save({"x": value}, tmp_path / "w.pth")
        with pytest.raises(ValueError, match="code or an object"):
            read_pth(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


def test_files_converted_from_studiogan_are_rgb_by_their_name(tmp_path):
    G, D = state("G", "mmgen", "32px"), state("D", "mmgen", "32px")
    both = {f"generator.{k}": v for k, v in G.items()}
    both |= {f"discriminator.{k}": v for k, v in D.items()}
    found = {}
    for name in ("iter_9", "sagan_32_cifar10_convert-studio-rgb_2021"):
        torch.save({"state_dict": both}, tmp_path / f"{name}.pth")
        made = import_run([tmp_path / f"{name}.pth"], tmp_path / name[:4])
        weight = find_checkpoint(made.run.path).tensors("generator")["to_image.layer.weight"]
        found[made.config.network.d_shortcut_relu] = weight
    assert torch.equal(found[True], G["to_rgb.conv.weight_orig"])
    assert torch.equal(found[False], found[True].flip(0))


def test_the_imported_generator_opens_as_any_other(checkpoint, tmp_path):
    import_run([checkpoint / "G.pth"], tmp_path / "run")
    images = sagan.sample(sagan.load(tmp_path / "run"), 3, classes=[3], seed=0)
    assert images.shape == (3, 3, 32, 32)
