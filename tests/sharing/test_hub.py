"""Shared generators: folders in the hub's layout, and a local hub to push to and load from."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch
from command_line import sagan as command
from hub_server import serve_hub
from huggingface_hub import ModelCard, PyTorchModelHubMixin, constants

import sagan
from sagan import files
from sagan.config import DataConfig, NetworkConfig, RunConfig, TrainingConfig
from sagan.evaluation.candidates import open_generated
from sagan.exchange.open_exported import open_generator
from sagan.models import build_generator
from sagan.models.dcgan import DCGANGenerator
from sagan.models.resnet import ResNetGenerator
from sagan.runs.run import Run
from sagan.sharing import hub
from sagan.sharing.facts import Facts

CLASSES = ("cat", "dog / puppy", "eel")
NETWORKS = {
    "resnet": NetworkConfig(
        resolution=8, classes=3, latent_dim=16, g_attention=(8,), g_channels=(16, 8)
    ),
    "dcgan": NetworkConfig(family="dcgan", resolution=32, g_width=8, g_attention=(16,)),
}
LAYOUT = {"config.json", "model.safetensors", "README.md"}


def made_run(path, family):
    """A run that was trained on data at a private place."""
    network = NETWORKS[family]
    names = CLASSES if network.classes else ()
    data = DataConfig(source="/home/me/secret project/pets", class_names=names)
    config = RunConfig(network=network, data=data, training=TrainingConfig(batch_size=7))
    run = Run(path / "my-pets")
    run.write_config(config)
    state = build_generator(network, seed=1).state_dict()
    for name, value in state.items():
        if "gamma" in name or name.endswith("bias.weight"):
            value.normal_(generator=torch.Generator().manual_seed(0))
    run.save(9, {"ema": state}, config=config, keep=1, facts={"images": 63})
    return run.path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("hub"), "resnet")


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    """Its shared folder."""
    path = tmp_path_factory.mktemp("shared") / "mine"
    sagan.load(run).save_pretrained(path)
    return path


@pytest.fixture(scope="module", params=NETWORKS)
def either(request, tmp_path_factory):
    """A run of each family."""
    return made_run(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture
def served(monkeypatch, tmp_path):
    with serve_hub(monkeypatch, tmp_path / "cache") as server:
        yield server


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def images(generator):
    return sagan.sample(generator, 6, seed=3)


def refused(path, said):
    """That loading ends in one line that says so, the same on the command line."""
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        sagan.load(path)
    assert "\n" not in str(error.value)


def test_a_folder_is_the_runs_generator_with_all_that_is_known_of_it(either, tmp_path):
    run, folder = either, tmp_path / "mine"
    sagan.load(run).save_pretrained(folder)
    assert {file.name for file in folder.iterdir()} == LAYOUT
    ours, theirs = open_generator(run), open_generator(folder)
    assert torch.equal(images(ours.generator), images(theirs.generator))
    assert ours.facts.config.data.source == "/home/me/secret project/pets"
    assert theirs.facts == ours.facts.published()
    assert theirs.config.data.source == "pets"
    assert theirs.facts.step == 9
    assert images(sagan.load(folder, fold=True)).float().std() > 1
    with pytest.raises(ValueError, match="averaged weights only"):
        sagan.load(folder, weights="raw")
    refused(folder / "model.safetensors", f"open the folder, {folder}")


def test_nothing_private_is_in_any_file(folder):
    for name, content in contents(folder).items():
        for private in (b"/home", b"secret", os.getcwd().encode()):
            assert private not in content, name
    assert b'"source": "pets"' in (folder / "config.json").read_bytes()
    assert b"| data | pets |" in (folder / "README.md").read_bytes()


def test_a_folder_of_a_folder_is_the_same(folder, tmp_path):
    sagan.load(folder).save_pretrained(tmp_path / "mine")
    assert contents(tmp_path / "mine") == contents(folder)


def test_the_hubs_own_reader_finds_the_cards_metadata(folder):
    card = ModelCard.load(folder / "README.md")
    assert card.data.library_name == "sagan"
    assert card.data.pipeline_tag == "unconditional-image-generation"
    assert "self-attention" in card.data.tags
    assert card.data.license is None  # for the owner to choose
    assert "| batch | 7 |" in card.text


def test_what_is_in_the_folder_already_stays(run, tmp_path):
    (tmp_path / "README.md").write_text("licence: mine")
    (tmp_path / "notes.txt").write_text("notes")
    sagan.load(run).save_pretrained(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {*LAYOUT, "notes.txt"}
    assert (tmp_path / "README.md").read_text() == "licence: mine"


def test_a_failed_write_leaves_the_old_folder_whole(run, folder, tmp_path, monkeypatch):
    path = tmp_path / "mine"
    shutil.copytree(folder, path)
    before = contents(path)
    write, written = files.write_durably, []

    def full_disk(file, content):
        write(file, content[:10])
        written.append(file)
        if len(written) == 2:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_durably", full_disk)
    for target in (path, tmp_path / "new"):
        written.clear()
        with pytest.raises(OSError, match="No space"):
            sagan.load(run).save_pretrained(target)
        assert len(written) == 2
    assert contents(path) == before
    assert not (tmp_path / "new").exists()


def test_runs_and_folded_generators_are_not_written_over_or_passed_on(run, tmp_path):
    generator = sagan.load(run)
    before = (run / "config.json").read_bytes()
    checkpoint = next((run / "checkpoints").iterdir())
    for target, said in (
        (run, "is a run's folder"),
        (checkpoint, "is a run's folder"),
        (run / "config.json", "is a file"),
    ):
        with pytest.raises(ValueError, match=said):
            generator.save_pretrained(target)
    assert (run / "config.json").read_bytes() == before
    with pytest.raises(ValueError, match="open it without fold"):
        sagan.load(run, fold=True).save_pretrained(tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b'{"port": 8080}'),
        ("config.json", b"no JSON"),
        ("model.safetensors", b"theirs"),
        ("samples.png", b"theirs"),
    ],
)
def test_files_that_others_wrote_are_not_written_over(run, tmp_path, capfd, name, content):
    (tmp_path / name).write_bytes(content)
    assert command("export", run, "--format", "folder", "--out", tmp_path) == 2
    err = capfd.readouterr().err
    assert f"{tmp_path / name} is there already, in a folder that sagan did not write" in err
    assert err.count("\n") == 1
    if name != "samples.png":  # which is the command's alone
        with pytest.raises(ValueError, match="sagan did not write"):
            sagan.load(run).save_pretrained(tmp_path)
    assert contents(tmp_path) == {name: content}


def mixed(config):
    """The mixin's class of one of our networks."""
    if config.family == "dcgan":

        class Theirs(PyTorchModelHubMixin, DCGANGenerator):
            pass

    else:

        class Theirs(PyTorchModelHubMixin, ResNetGenerator):
            pass

    return Theirs


def test_the_mixin_opens_our_folder_and_we_open_the_mixins(either, tmp_path, capsys):
    ours, folder = sagan.load(either), tmp_path / "mine"
    ours.save_pretrained(folder)
    theirs = mixed(ours.config).from_pretrained(folder).eval()  # which older ones leave out
    assert torch.equal(images(theirs), images(ours))
    theirs.save_pretrained(tmp_path / "theirs")
    assert "family" in json.loads((tmp_path / "theirs/config.json").read_text())
    back = open_generator(tmp_path / "theirs")
    assert torch.equal(images(back.generator), images(ours))
    assert back.config.network == ours.config
    assert back.facts.weights == ""  # the mixin keeps the network alone
    assert back.facts.class_names == ("0", "1", "2")[: ours.config.classes]
    with pytest.raises(ValueError, match="one set of weights, kind unknown"):
        sagan.load(tmp_path / "theirs", weights="raw")


def test_a_network_of_ones_own_can_be_passed_on(tmp_path):
    generator = build_generator(NETWORKS["resnet"]).eval()
    generator.save_pretrained(tmp_path / "own")
    card = (tmp_path / "own/README.md").read_text()
    assert "## Training" not in card  # nobody knows
    own = json.loads((tmp_path / "own/config.json").read_text())["sagan"]
    assert own == {"version": sagan.__version__}
    assert torch.equal(images(sagan.load(tmp_path / "own")), images(generator))
    data = DataConfig(source="", class_names=CLASSES)
    config = RunConfig(network=generator.config, data=data)
    generator.facts = Facts(config, step=5, weights="raw")
    generator.save_pretrained(tmp_path / "named")
    opened = open_generator(tmp_path / "named", weights="raw")
    assert opened.facts.class_names == CLASSES


def changed(content, **changes):
    return json.dumps({**json.loads(content), **changes}).encode()


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.json", b"{", "config.json is not JSON"),
        ("config.json", b"[" * 10**5, "config.json is not JSON"),
        ("config.json", b"[]", "must be an object, not a list"),
        ("config.json", b"{}", "it has nothing in it, and no family"),
        ("config.json", b'{"_class_name": "UNet2DModel"}', "diffusers' UNet2DModel"),
        ("config.json", b'{"model_type": "gpt2"}', "transformers' gpt2"),
        ("config.json", {"hue": 3}, "unknown configuration in network: hue"),
        ("config.json", {"sagan": {"version": "9.1", "new": 1}}, "written by sagan 9.1, read by"),
        ("config.json", {"sagan": 3}, "sagan must be an object, not 3"),
        ("config.json", {"sagan": {"step": "x"}}, "step 'x'"),
        ("config.json", {"resolution": 48}, "choose from 8, 16, 32"),
        ("config.json", {"latent_dim": 9}, "other weights than its configuration says"),
        ("config.json", {"g_width": 10**9, "g_channels": []}, "g_width must be at most 16,384"),
        ("config.json", b" " * (2**22 + 1), "larger than 4,194,304 bytes"),
        ("config.json", None, "it has no config.json; it holds README.md, model.safetensors"),
        ("model.safetensors", None, "it has no model.safetensors; it holds README.md, config.json"),
        ("model.safetensors", b"half", "model.safetensors is not a safetensors file"),
        ("model.safetensors", 0.5, "model.safetensors is damaged"),
        ("model.safetensors", {"a": 3}, "other weights than its configuration says"),
    ],
)
def test_folders_that_are_damaged_or_anothers_are_one_line(
    folder, tmp_path, monkeypatch, capfd, file, content, said
):
    path = tmp_path / "bad"
    shutil.copytree(folder, path)
    whole = (path / file).read_bytes()
    if content is None:
        (path / file).unlink()
    elif isinstance(content, float):
        (path / file).write_bytes(whole[: int(len(whole) * content)])
    elif isinstance(content, dict) and file == "model.safetensors":
        tensors = {name: torch.zeros(size) for name, size in content.items()}
        safetensors.torch.save_file(tensors, path / file)
    else:
        (path / file).write_bytes(
            changed(whole, **content) if isinstance(content, dict) else content
        )
    refused(path, said)
    monkeypatch.chdir(tmp_path)
    assert command("sample", "bad", "--num", "2", "--out", "o.png") == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert [p.name for p in tmp_path.iterdir()] == ["bad"]


def test_a_wrong_number_of_class_names_is_refused():
    config = RunConfig(network=NETWORKS["resnet"], data=DataConfig(class_names=("cat",)))
    with pytest.raises(ValueError, match="1 class names for 3 classes"):
        Facts.from_config(Facts(config, 1, "ema").to_config(), "config.json")


def test_what_is_pushed_is_loaded_back_the_same(either, served):
    generator = sagan.load(either)
    url = generator.push_to_hub("me/cats", commit_message="first", private=True)
    assert url.startswith(f"{served.address}/me/cats/commit/")
    assert set(served.repositories["me/cats"]["main"]) == {*LAYOUT, ".gitattributes"}
    assert served.private["me/cats"]
    assert b'sagan.load("hub:me/cats")' in served.repositories["me/cats"]["main"]["README.md"]
    served.asked.clear()
    theirs = open_generator("hub:me/cats")
    assert torch.equal(images(theirs.generator), images(generator))
    assert theirs.facts == generator.facts.published()
    assert served.downloads() == ["config.json", "model.safetensors"]  # and nothing else


def test_a_card_that_its_owner_changed_is_not_pushed_over(run, served):
    generator = sagan.load(run)
    generator.push_to_hub("me/cats")
    files = served.repositories["me/cats"]["main"]
    files["README.md"] = b"licence: mine"
    del files["config.json"]
    generator.push_to_hub("me/cats")
    assert files["README.md"] == b"licence: mine"
    assert "config.json" in files


def test_where_to_push_may_have_the_hubs_prefix_but_no_revision(run, served):
    generator = sagan.load(run)
    generator.push_to_hub("hub:me/cats")
    assert b'sagan.load("hub:me/cats")' in served.repositories["me/cats"]["main"]["README.md"]
    with pytest.raises(ValueError, match="me/dogs@v2 names a revision: to push, give hub:me/dogs"):
        generator.push_to_hub("me/dogs@v2")
    assert set(served.repositories) == {"me/cats"}


def test_a_private_push_to_a_public_repository_is_refused(run, served):
    served.put("me/open", {"a.txt": b"a"})
    with pytest.raises(ValueError, match="is already there and public: nothing was pushed"):
        sagan.load(run).push_to_hub("me/open", private=True)
    assert served.repositories["me/open"] == {"main": {"a.txt": b"a"}}


def test_branches_tags_and_commits_are_told_apart(folder, served, tmp_path):
    files = contents(folder)
    served.put("me/cats", {"config.json": b"{}"})
    served.put("me/cats", files, "v1/final")
    refused("hub:me/cats", "it has nothing in it, and no family")
    sagan.load(Path("hub:me/cats@v1/final"))
    sagan.load(folder).push_to_hub("me/cats", branch="v1/final")
    refused("hub:me/cats@v2", "me/cats has no revision 'v2'")
    with pytest.raises(ValueError, match="has no revision 'v2'"):
        sagan.load(folder).push_to_hub("me/cats", branch="v2")


def test_copies_that_are_kept_open_without_the_hub_and_others_say_so(folder, served, monkeypatch):
    served.put("me/cats", contents(folder))
    expected = images(sagan.load("hub:me/cats"))
    served.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert torch.equal(images(sagan.load("hub:me/cats")), expected)
    refused("hub:me/dogs", "HF_HUB_OFFLINE is set; and there is no local copy of its config.json")
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set"):
        sagan.load(folder).push_to_hub("me/cats")
    assert served.asked == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")  # where nobody listens
    monkeypatch.setenv("NO_PROXY", "localhost")  # not a proxy
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it is tried again and again"))
    assert torch.equal(images(sagan.load("hub:me/cats")), expected)
    refused("hub:me/dogs", "cannot be reached (is there a network?); and there is no local copy")
    with pytest.raises(ValueError, match=r"is there a network\?"):
        sagan.load(folder).push_to_hub("me/cats")


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (401, "RepoNotFound", "does not exist on the hub, or is private: check the name, and log"),
        (403, "GatedRepo", "is gated: ask for access on its page, and log in with `hf auth login`"),
        (
            401,
            "",
            "cannot be read with your account (the hub answers 401): log in with `hf auth lo",
        ),
        (418, "", "cannot be accessed now: the hub answers 418"),
    ],
)
def test_what_the_hub_refuses_is_one_line(folder, served, status, code, said):
    served.answers["me/cats"] = (status, code)
    refused("hub:me/cats", said)
    with pytest.raises(ValueError, match=r"me/cats (cannot be|is gated)"):
        sagan.load(folder).push_to_hub("me/cats")


def test_pushing_without_a_token_says_how_to_log_in(folder, served, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(ValueError, match=r"cannot be written with your account .* or set HF_TOKEN"):
        sagan.load(folder).push_to_hub("me/cats")
    assert served.repositories == {}


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (["model_index.json", "unet.safetensors"], "it holds a pipeline of diffusers"),
        (["G.pth", "README.md"], "its weights are a pickle, G.pth, which is not opened here"),
        (["config.json", "pytorch_model.bin"], "has no model.safetensors; its weights are a"),
        (["b.txt", "a.txt"], "it has no config.json; it holds a.txt, b.txt"),
        ([], "it has no config.json; it holds nothing"),
    ],
)
def test_repositories_of_others_say_what_they_hold(folder, served, there, said):
    files = contents(folder)
    served.put("me/cats", {name: files.get(name, b"x") for name in there})
    refused("hub:me/cats", said)
    assert set(served.downloads()) <= {"config.json"}


def test_a_large_config_is_not_downloaded(folder, served):
    served.put("me/cats", {**contents(folder), "config.json": b" " * (2**22 + 1)})
    refused("hub:me/cats", "config.json has 4,194,305 bytes, too many")
    assert served.downloads() == []


def test_a_cut_download_is_one_line_and_the_next_one_is_whole(folder, served, tmp_path):
    served.put("me/cats", contents(folder))
    served.cut.add("model.safetensors")
    refused("hub:me/cats", "was cut short in transfer")
    assert not list(tmp_path.rglob("model.safetensors"))
    assert not list(tmp_path.rglob("*.incomplete"))
    served.cut.clear()
    assert torch.equal(images(sagan.load("hub:me/cats")), images(sagan.load(folder)))


def test_names_and_a_missing_library_are_told(monkeypatch):
    for name in (
        "hub:",
        "hub:cats",
        "hub:me/cats@",
        "hub:me/cats/x",
        "hub:me/c ats",
        "hub:../..",
        "hub:me/.cats",
        "hub:-me/cats",
        "hub:me/cats.",
        "hub:./cats",
    ):
        refused(name, "is not a hub address: hub:OWNER/NAME, or with @REVISION")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    refused("hub:me/cats", "pip install 'sagan[hub]'")


def test_an_error_that_is_not_the_hubs_is_not_hidden(served, monkeypatch, tmp_path):
    def fails(**_):
        raise PermissionError(13, "Permission denied", "cache")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fails)
    with pytest.raises(PermissionError):
        hub.fetch(hub.parse("me/cats"), "config.json")


def test_the_command_line_writes_pushes_and_samples(run, served, tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("export", run, "--out", "shared") == 0
    said = capfd.readouterr().err
    assert said == "shared: README.md, config.json, model.safetensors, samples.png\n"
    card = Path("shared/README.md").read_text()
    assert "| images seen | 63 |" in card
    assert "](samples.png)" in card
    names = {}
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    exec(code, names)
    assert len(names["images"]) == 16
    Path("shared/README.md").write_text("mine")
    assert command("export", run, "--out", "shared", "--push", "me/cats", "--private") == 0
    _, kept, pushed = capfd.readouterr().err.splitlines()
    assert kept == "shared/README.md existed and was kept"
    assert pushed.endswith(": sagan.load('hub:me/cats') opens it")
    there = served.repositories["me/cats"]["main"]
    assert there["README.md"] == b"mine"
    assert set(there) == {*LAYOUT, "samples.png", ".gitattributes"}
    Path("shared/README.md").write_text("mine, and changed")
    assert command("export", run, "--out", "shared", "--push", "me/cats") == 0
    assert there["README.md"] == b"mine, and changed"
    assert command("export", run, "--push", "me/dogs") == 0
    assert b"hub:me/dogs" in served.repositories["me/dogs"]["main"]["README.md"]
    for source, out in ((run, "a"), ("shared", "b"), ("hub:me/cats", "c"), ("hub:me/dogs", "d")):
        assert command("sample", source, "--num", "3", "--out", out) == 0
    assert contents(Path("a")) == contents(Path("b")) == contents(Path("c")) == contents(Path("d"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["export", "RUN", "--push", "cats"], "cats is not a hub address"),
        (["export", "RUN", "--push", "me/cats@v2"], "me/cats@v2 names a revision"),
        (["export", "RUN", "--push", "me/cats", "--format", "onnx"], "--push takes a folder"),
        (["export", "RUN", "--out", "o", "--private"], "--private needs --push"),
        (["export", "RUN", "--out", "o", "--card", "c.md"], "a folder always has its card"),
        (["export", "RUN", "--out", "o", "--attention"], "--attention is for ONNX files"),
        (["export", "RUN", "--out", "RUN"], "is a run's folder"),
        (["export", "SHARED", "--out", "o"], "is a generator alone: a run's folder is needed"),
        (["explain", "SHARED", "--out", "o"], "is a generator alone"),
        (["explain", "hub:me/cats", "--out", "o"], "is a generator alone"),
        (["explore", "hub:me/cats"], "is a generator alone"),
        (["train", "hub:me/cats", "--images", "64"], "is a generator alone"),
        (["sample", "hub:cats", "--num", "1", "--out", "o"], "is not a hub address"),
        (["evaluate", "hub:cats"], "is not a hub address"),
    ],
)
def test_bad_usage_is_one_line_and_writes_nothing(
    run, folder, tmp_path, monkeypatch, capfd, options, said
):
    monkeypatch.chdir(tmp_path)
    before = sorted(run.rglob("*"))
    names = {"RUN": run, "SHARED": folder}
    assert command(*[names.get(option, option) for option in options]) == 2
    out, err = capfd.readouterr()
    assert said in err
    assert (out, err.count("\n")) == ("", 1)
    assert list(tmp_path.iterdir()) == []
    assert sorted(run.rglob("*")) == before


def test_a_shared_generator_is_evaluated_as_its_run_is(run, served):
    sagan.load(run).push_to_hub("me/cats")
    options = {"weights": "ema", "device": "cpu", "seed": 5, "batch_size": 4, "standing_batches": 0}
    ours, theirs = (open_generated(Path(p), **options) for p in (run, "hub:me/cats"))
    (a, labels), (b, others) = ours.make(6, None), theirs.make(6, None)
    assert torch.equal(torch.cat(list(a)), torch.cat(list(b)))
    assert labels.tolist() == others.tolist()
    assert theirs.class_names == ours.class_names == CLASSES
    assert theirs.facts == {**ours.facts, "run": "hub:me/cats"}
    assert (ours.run, theirs.run) == (run, None)  # where results are kept
    assert theirs.source == "pets"


def test_a_shared_generators_data_are_asked_for_where_they_are_not_here(run, tmp_path, capfd):
    sagan.load(run).save_pretrained(tmp_path / "shared")
    assert command("evaluate", tmp_path / "shared") == 2
    err = capfd.readouterr().err
    assert "--data is missing: this generator was trained on 'pets'" in err
    assert err.count("\n") == 1


def test_folders_need_no_library_of_the_hub(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # importing it would fail
    generator = sagan.load(run)
    generator.save_pretrained(tmp_path / "mine")
    assert torch.equal(images(sagan.load(tmp_path / "mine")), images(generator))
    with pytest.raises(ValueError, match=r"pip install 'sagan\[hub\]'"):
        generator.push_to_hub("me/cats")


def test_both_files_are_of_one_commit_whatever_is_pushed_meanwhile(folder, served, monkeypatch):
    fetch, files = hub.fetch, contents(folder)
    served.put("me/cats", files)
    served.put("me/cats", files, "before")  # a commit that was is there for good

    def pushed_meanwhile(*arguments, **options):
        got = fetch(*arguments, **options)
        served.put("me/cats", {"model.safetensors": b"new"})
        return got

    monkeypatch.setattr(hub, "fetch", pushed_meanwhile)
    assert torch.equal(images(sagan.load("hub:me/cats")), images(sagan.load(folder)))
