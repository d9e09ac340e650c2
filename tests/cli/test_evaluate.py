"""`sagan evaluate` on runs and on images: what it prints, what it keeps, what it refuses."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from command_line import sagan
from PIL import Image

from sagan import evaluate_run
from sagan.data import load_dataset
from sagan.metrics import Reference
from sagan.metrics.features import classifier
from sagan.runs.log import read_records


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tmp_path):
    monkeypatch.setenv("SAGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(classifier, "_STEPS", 20)
    monkeypatch.setattr("sagan.data.sources.bundled._CROPS", 12)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("evaluate") / "run"
    small = ["--g-width", "4", "--d-width", "8", "--batch-size", "32", "--device", "cpu"]
    assert sagan("train", path, *small, "--images", "64") == 0
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two sets of real digits as PNGs, a folder a class; and the first as a flat zip."""
    data = load_dataset("digits", resolution=8)
    path = tmp_path_factory.mktemp("images")
    for name, rows in (("a", range(150)), ("b", range(150, 400))):
        for i in rows:
            folder = path / name / str(data.labels[i])
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(data.images[i, 0]).save(folder / f"{i:04d}.png")
    with zipfile.ZipFile(path / "flat.zip", "w") as archive:
        for file in sorted((path / "a").rglob("*.png")):
            archive.write(file, file.name)
    return path


def pixels(folder):
    """What another program would read."""
    files = sorted(folder.rglob("*.png"))
    return np.stack([np.asarray(Image.open(file), np.float64).ravel() / 255 for file in files])


def test_two_folders_score_as_plain_numpy_says(folders, capfd):
    names = "fd,kid,nn1,cas"
    code = sagan("evaluate", folders / "a", "--data", folders / "b", "--metrics", names,
                 "--features", "pixel", "--device", "cpu")  # fmt: skip
    out, err = capfd.readouterr()
    assert code == 0
    said = json.loads(out)
    x, y = pixels(folders / "a"), pixels(folders / "b")
    s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    values, vectors = np.linalg.eigh(t)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    common = np.sqrt(np.linalg.eigvalsh(root @ s @ root).clip(0)).sum()
    fd = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(s) + np.trace(t) - 2 * common
    assert said["fd:pixel"]["value"] == pytest.approx(fd, rel=1e-4)
    xx, yy, xy = ((a @ b.T / 64 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    n, m = len(x), len(y)
    kid = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    assert said["kid:pixel"]["value"] == pytest.approx(kid - 2 * xy.mean(), rel=1e-4)
    assert said["nn1:pixel"]["n_real"] == 150
    assert said["cas"]["n_real"] == 50  # a fifth held out
    assert said["data"] == str(folders / "b")
    assert "fd (features pixel)" in err


def test_nn1_of_two_folders_of_the_same_size(folders, tmp_path, capfd):
    few = tmp_path / "few"
    for file in sorted((folders / "b").rglob("*.png"))[:150]:
        few.mkdir(exist_ok=True)
        shutil.copy(file, few)
    arguments = ["--data", few, "--metrics", "nn1:pixel", "--device", "cpu"]
    assert sagan("evaluate", folders / "flat.zip", *arguments) == 0
    said = json.loads(capfd.readouterr().out)
    both = np.concatenate([pixels(few), pixels(folders / "a")])
    distance = np.square(both[:, None] - both).sum(2)
    np.fill_diagonal(distance, np.inf)
    same = (distance.argmin(1) >= 150) == (np.arange(300) >= 150)
    assert said["nn1:pixel"]["value"] == pytest.approx(same.mean(), rel=1e-4)


def test_a_run_gets_every_offline_metric_and_keeps_its_scores(run, capfd):
    assert sagan("evaluate", run, "--num", "60", "--standing-batches", "2") == 0
    out, err = capfd.readouterr()
    said = json.loads(out)
    names = ["cas", "fd:own", "fd:pixel", "kid:pixel", "precision:pixel", "recall:pixel",
             "density:pixel", "coverage:pixel", "nn1:pixel", "memorisation:pixel",
             "duplicates:pixel"]  # fmt: skip
    assert [key for key in said if isinstance(said[key], dict)] == names
    assert (said["step"], said["weights"], said["standing_batches"]) == (2, "ema", 2)
    assert "no fid, intra-fid and is: the standard Inception weights are needed" in err
    kept = list(read_records(run / "evaluations.jsonl"))
    assert [record["metric"] for record in kept[-11:]] == names
    assert kept[-1]["value"] == said["duplicates:pixel"]["value"]
    (checkpoint,) = (run / "checkpoints").iterdir()
    assert sagan("evaluate", checkpoint, "--num", "60", "--metrics", "fd:pixel") == 0
    assert list(read_records(run / "evaluations.jsonl"))[-1]["metric"] == "fd:pixel"
    again = json.loads(capfd.readouterr().out)["fd:pixel"]["value"]
    assert again != said["fd:pixel"]["value"]  # without standing statistics


def test_from_python_a_run_scores_the_same_and_keeps_it(run, capfd):
    assert sagan("evaluate", run, "--num", "60", "--metrics", "fd:pixel,cas", "--seed", "5") == 0
    said = json.loads(capfd.readouterr().out)
    before = list(read_records(run / "evaluations.jsonl"))
    options = {"num": 60, "metrics": "fd:pixel,cas", "seed": 5}
    evaluation = evaluate_run(str(run), **options)
    for score in (said["fd:pixel"], said["cas"]):
        assert evaluation.scores[score["metric"]].value == score["value"]
    assert evaluation.facts.items() <= said.items()
    after = list(read_records(run / "evaluations.jsonl"))
    assert [record["metric"] for record in after[len(before) :]] == ["fd:pixel", "cas"]
    assert evaluate_run(run, record=False, **options).run == run
    assert list(read_records(run / "evaluations.jsonl")) == after
    assert capfd.readouterr() == ("", "")


def test_scores_do_not_depend_on_the_batch_size(run, capfd):
    values = []
    for size in (7, 64):
        command = ["evaluate", run, "--num", "50", "--metrics", "cas,fd:pixel,nn1:pixel"]
        assert sagan(*command, "--batch-size", size, "--device", "cpu") == 0
        said = json.loads(capfd.readouterr().out)
        values.append([said[key]["value"] for key in ("cas", "fd:pixel", "nn1:pixel")])
    assert values[0] == pytest.approx(values[1], rel=1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["evaluate"], "name a run, or a folder"),
        (["evaluate", "RUN", "--metrics", "fid"], "--features inception:FILE"),
        (["evaluate", "RUN", "--metrics", "fid", "--features", "inception:no.pth"], "no file"),
        (["evaluate", "RUN", "--features", "vgg"], "--features 'vgg' is none of"),
        (["evaluate", "RUN", "--features", "inception"], "is none of own, pixel, inception:FILE"),
        (["evaluate", "RUN", "--num", "1"], "--num must be at least 2"),
        (["evaluate", "RUN", "--num", "3", "--metrics", "kid"], "at least 4 generated images"),
        (["evaluate", "RUN", "--seed", "-1"], "--seed must be at least 0"),
        (["evaluate", "RUN", "--resolution", "16"], "a run has its own"),
        (["evaluate", "RUN", "--metrics", "cas", "--save-stats", "s.npz"], "needs fid among"),
        (
            ["evaluate", "RUN", "--save-stats", f"{__file__}/s.npz"],
            "test_evaluate.py is not a folder",
        ),
        (["evaluate", "A"], "--data is missing"),
        (["evaluate", "A", "--data", "B", "--num", "200"], "there are 150 images"),
        (["evaluate", "A", "--data", "B", "--resolution", "0"], "resolution must be"),
        (["evaluate", "FLAT", "--data", "B", "--metrics", "cas"], "needs the classes"),
        (["evaluate", "A", "--data", "photographs"], "are not those of the images"),
        (["evaluate", "A", "--data", "nowhere"], "unknown data source 'nowhere'"),
        (["evaluate", "RUN", "--data", "STATS"], "weights are needed"),
    ],
)
def test_bad_input_is_one_line(run, folders, tmp_path, capfd, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "stats.npz", mu=np.zeros(2048), sigma=np.eye(2048))
    places = {"RUN": run, "A": folders / "a", "B": folders / "b", "FLAT": folders / "flat.zip",
              "STATS": tmp_path / "stats.npz"}  # fmt: skip
    code = sagan(*[places.get(option, option) for option in options])
    out, err = capfd.readouterr()
    assert code == 2, err
    assert said in err
    assert [line for line in err.splitlines() if line][-1].startswith("sagan: ")
    assert "Traceback" not in err
    assert out == ""


@pytest.mark.slow
def test_the_self_test_prints_a_table(capfd, monkeypatch):
    monkeypatch.setattr("sagan.metrics.selftest.SPLITS", 2)
    assert sagan("evaluate", "--selftest") == 0
    out, err = capfd.readouterr()
    said = json.loads(out)
    assert set(said["z"]) >= {"a class dropped", "blur"}
    assert said["n"] == 898
    rows = [line.split() for line in err.splitlines()]
    assert {"fd:pixel", "coverage", "cas"} <= {row[0] for row in rows if row}


def test_a_run_s_classes_are_as_frequent_as_the_real_ones(run, tmp_path, monkeypatch):
    digits = load_dataset("digits", resolution=8)
    rows = np.concatenate(
        [np.flatnonzero(digits.labels == k)[: 100 if k == 3 else 20] for k in range(10)]
    )
    for i in rows:
        folder = tmp_path / "uneven" / str(digits.labels[i])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.images[i, 0]).save(folder / f"{i:04d}.png")
    scored = []
    score = Reference.score

    def watched(self, batches, labels=None):
        scored.append(np.bincount(labels).tolist())
        return score(self, batches, labels)

    monkeypatch.setattr(Reference, "score", watched)
    data = str(tmp_path / "uneven")
    evaluate_run(run, data=data, metrics="fd:pixel", num=56, record=False)
    assert scored == [[4, 4, 4, 20, 4, 4, 4, 4, 4, 4]]


def test_standing_statistics_do_not_depend_on_how_many_are_made_at_once(run):
    options = {"metrics": "fd:pixel", "num": 40, "standing_batches": 2, "record": False}
    values = [
        evaluate_run(run, batch_size=size, device="cpu", **options).scores["fd:pixel"].value
        for size in (4, 32)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-4)


def test_other_classes_matter_only_to_metrics_of_classes(folders, tmp_path, capfd):
    renamed = tmp_path / "renamed"
    shutil.copytree(folders / "b", renamed)
    for folder in list(renamed.iterdir()):
        folder.rename(renamed / f"digit-{folder.name}")
    data = ["--data", renamed, "--device", "cpu", "--metrics"]
    assert sagan("evaluate", folders / "a", *data, "fd:pixel") == 0
    assert sagan("evaluate", folders / "a", *data, "fd:pixel,cas") == 2
    assert "are not those of the images" in capfd.readouterr().err


def test_pictures_that_lost_their_colour_are_scored_in_colour(tmp_path, capfd):
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (100, 4, 4, 3), np.uint8)
    np.save(tmp_path / "colour.npy", colour)
    luma = np.asarray([Image.fromarray(picture).convert("L") for picture in colour])
    for name, array in (("grey", luma), ("three", luma[..., None].repeat(3, 3))):
        np.save(tmp_path / f"{name}.npy", array)
    found = {}
    for name in ("grey", "three", "colour"):
        options = ["--data", tmp_path / "colour.npy", "--metrics", "fd:pixel"]
        assert sagan("evaluate", tmp_path / f"{name}.npy", *options) == 0
        found[name] = json.loads(capfd.readouterr().out)["fd:pixel"]
        assert found[name]["protocol"]["dimensions"] == 48
    assert found["grey"]["value"] == pytest.approx(found["three"]["value"], rel=1e-6)
    assert found["grey"]["value"] > 1 > found["colour"]["value"]


def test_one_class_is_scored_without_metrics_of_classes(folders, tmp_path, capfd):
    for name in ("a", "b"):
        shutil.copytree(folders / name / "3", tmp_path / name / "three")
        shutil.copytree(folders / name / "5", tmp_path / name / "three", dirs_exist_ok=True)
    code = sagan("evaluate", tmp_path / "a", "--data", tmp_path / "b", "--device", "cpu")
    out, err = capfd.readouterr()
    assert code == 0
    assert "no cas" in err.replace("intra-fid and cas", "cas")
    assert "cas" not in json.loads(out)
