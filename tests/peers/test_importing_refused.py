"""What `sagan import` refuses: in one line, with exit code 2 and nothing written."""

import pickle
import random
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from canary import Canary
from command_line import sagan as command
from peer_checkpoint import peer_state

from sagan.peers import import_run
from sagan.pth import read_pth


def state(network, peer="biggan", name="32px"):
    """A small network's weights: of 10 classes, G at width 8."""
    return peer_state(peer, name, network)


def without(content, key):
    return {k: v for k, v in content.items() if k != key}


def put(content, key, value):
    return {**content, key: value}


# Pickled: a dictionary in a dictionary, 5000 deep; and one that contains itself.
_DEEP = b"\x80\x02" + b"}X\x01\x00\x00\x00a" * 5000 + b"}" + b"s" * 5000 + b"."
_ITSELF = b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s."


def swapped(name, file, pickled):
    """Write a checkpoint like this file, with another object in it."""
    with zipfile.ZipFile(file) as whole, zipfile.ZipFile(file.with_name(name), "w") as other:
        for entry in whole.infolist():
            content = pickled if entry.filename.endswith("data.pkl") else whole.read(entry)
            other.writestr(entry.filename, content)
    return file.with_name(name)


def bad(folder):
    """What is refused: arguments, and what must be said of them."""

    def file(name, content):
        torch.save(content, folder / name)
        return folder / name

    def stream(name, content):
        torch.save(content, folder / name, _use_new_zipfile_serialization=False)
        return folder / name

    def raw(name, content):
        (folder / name).write_bytes(content)
        return folder / name

    G, D = file("G.pth", state("G")), file("D.pth", state("D"))
    other_size = file("D64.pth", state("D", "biggan", "64px"))
    one_class = file("D1.pth", state("D", "biggan", "32px-without"))
    studio = file("S.pth", {"state_dict": state("D", "studiogan", "32px")})
    mimicry = file("M.pth", {"model_state_dict": state("G", "mimicry", "sagan-32px")})
    half = folder / "half.pth"
    half.write_bytes(G.read_bytes()[: G.stat().st_size // 2])
    (folder / "text.pth").write_text("weights")
    (folder / "nothing.pth").touch()
    with zipfile.ZipFile(folder / "empty.zip", "w"):
        pass
    torch.save({**state("G"), "x": Canary(folder / "ran")}, code := folder / "code.pth")
    with zipfile.ZipFile(folder / "nested.pth", "w") as archive:
        archive.write(code, "archive/data.pkl")
    with tarfile.open(folder / "tar.pth", "w") as archive:
        archive.add(code, "pickle")
    unit = {"encoder.weight": torch.ones(2, 2), "encoder.bias": torch.ones(2)}
    g = state("G")
    wide = torch.ones(40, 32, 3, 3)
    nan = g["linear.bias"] * float("nan")
    one, var, conv = torch.ones(1), "blocks.0.0.bn1.stored_var", "blocks.1.0.conv2.weight"
    packed = torch.zeros(256, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    return [
        ([], "name the checkpoint's files"),
        (["nonsense", G], "nonsense is neither a file nor one of heykeetae, biggan, studiogan"),
        (["biggan"], "name the checkpoint's files"),
        ([folder], "is neither a file"),
        ([D], "D.pth is a discriminator: give the generator's file too"),
        ([G, G], "are both generators; name the averaged one's file with `ema`"),
        ([G, D, D], "are both discriminators"),
        ([G, other_size], "has resolution 32 and"),
        ([G, one_class], "has classes 10 and"),
        ([G, studio], "is of biggan and"),
        ([mimicry, D], "is of mimicry and"),
        (["studiogan", G], "is not a checkpoint of studiogan: it holds blocks.0.0.bn1.bias.weight"),
        (["studiogan", G], "it has no linear0"),
        ([file("unit.pth", unit)], "is not a checkpoint of a known SAGAN: it holds encoder.bias"),
        (
            [file("optim.pth", {"state": {0: {"step": 3}}, "param_groups": []})],
            "no weights by name",
        ),
        ([code], "only weights are read"),
        ([stream("stream.pth", {**g, "x": Canary(folder / "ran")})], "only weights are read"),
        ([raw("raw.pth", pickle.dumps(Canary(folder / "ran"), 2))], "only weights are read"),
        ([raw("inst.pth", b"(S'%s'\nios\nmkdir\n." % bytes(folder / "ran"))], "is not a PyTorch"),
        ([raw("obj.pth", b"(cos\nmkdir\nS'%s'\no." % bytes(folder / "ran"))], "os.mkdir, which"),
        ([swapped("deep.pth", G, _DEEP)], "no weights by name"),
        ([swapped("itself.pth", G, _ITSELF)], "no weights by name"),
        ([folder / "nested.pth"], "is not a PyTorch checkpoint"),
        ([folder / "tar.pth"], "is not a PyTorch checkpoint"),
        ([folder / "nothing.pth"], "is not a PyTorch checkpoint"),
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
        ([file("inf.pth", put(g, "linear.bias", nan.nan_to_num(float("inf"))))], "not finite"),
        ([file("huge.pth", put(g, "linear.bias", one.expand(1 << 40)))], "claims 4,398,0"),
        ([file("meta.pth", put(g, "linear.bias", one.expand(512).to("meta")))], "not a dense t"),
        ([file("sparse.pth", put(g, "linear.bias", one.to_sparse()))], "not a dense t"),
        ([file("packed.pth", put(g, "linear.bias", packed))], "float4_e2m1fn_x2, not a dense"),
        ([file("var.pth", put(g, var, -g[var]))], f"{var} has negative variances"),
        ([file("zero.pth", put(g, conv, 0 * g[conv]))], "conv2 is spectrally normalised with a si"),
        ([file("names.pth", {"\x1b[2Jx" * 99: one})], "it holds ?[2Jx?[2Jx?[2J"),
        ([file("lines.pth", {"a\nb": one})], "it holds a?b\n"),
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


def test_a_file_that_may_not_be_read_is_one_line(tmp_path, capfd, monkeypatch):
    torch.save(state("G"), tmp_path / "G.pth")
    monkeypatch.setattr("os.access", lambda *_: False)  # root may read whatever the mode says
    assert command("import", tmp_path / "G.pth", "--out", tmp_path / "run") == 2
    err = capfd.readouterr().err
    assert "G.pth cannot be read" in err
    assert err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["G.pth"]


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
    monkeypatch.setattr("sagan.peers.recognise.read_pth", lambda path: files[path])
    monkeypatch.setattr("sagan.peers.importing.write_whole", lambda *_: None)
    monkeypatch.setattr("sagan.peers.importing.sha256_of_file", lambda _: "")
    said = []
    for _ in range(25):
        files = {"G": spoil(whole["G"], draw), "D": spoil(whole["D"], draw)}
        try:
            import_run(["G", "D"], tmp_path / "run", peer=peer)
        except ValueError as error:
            said.append(str(error))
    assert len(said) > 12
    assert all(line.startswith(("G", "D")) and "\n" not in line for line in said), said


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
