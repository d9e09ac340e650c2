"""The command line: what it says of bad input, what it writes, and how it stops."""

import json
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest
from command_line import SMALL, sagan
from PIL import Image

from sagan.cli import app
from sagan.cli.sample import _independent, _interpolation
from sagan.config import DataConfig, NetworkConfig, RunConfig
from sagan.files import write_atomically
from sagan.runs.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "run"
    assert sagan("train", path, *SMALL, "--images", "320", "--snapshot-every", "160") == 0
    return path


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--nonsense"], "nonsense"),
        (
            ["--preset", "nonsense"],
            "choose from digits, quick, quick-few, article, article-quoted, paper, best",
        ),
        (["--data", "nonsense"], "choose from digits, photographs"),
        (["--resolution", "48"], "choose from 8, 16, 32, 64, 128, 256"),
        (["--preset", "article", "--resolution", "8"], "32, 64 and 128 px"),
        (["--g-attention", "32"], "it has 8"),
        (["--d-attention", "32"], "it has 4, 8"),
        (["--g-attention", "x"], "16,32; or none"),
        (["--batch-size", "1199"], "larger than the data (1198 images)"),
        (["--batch-size", "0"], "batch_size must be at least 1"),
        (["--batch-size", "10", "--accumulate", "4"], "4 micro-batches"),
        (["--images", "many"], "images"),
        (["--images", "-5"], "images must be at least 1"),
        (["--seed", "-1"], "seed must be 0 or more"),
        (["--g-lr", "0"], "g_lr must be positive"),
        (["--g-lr", "nan"], "g_lr must be positive"),
        (["--channels", "2"], "choose from 1, 3, 4"),
        (["--loss", "nonsense"], "hinge"),
        (["--devices", "0"], "devices must be at least 1"),
        (["--g-width", "1"], "a larger base width"),
        (["--augment", "colour"], "choose from color, translation, cutout"),
        (["--augment-p", "often"], "neither a number from 0 to 1 nor adaptive"),
        (["--augment-p", "2"], "augment_p must be in [0, 1], not 2.0"),
        (["--metric", "cas"], "--metric needs --evaluate-every"),
        (["--metric", "fid9", "--evaluate-every", "640"], "unknown metric 'fid9'; choose from fid"),
        (["--metric", "prdc", "--evaluate-every", "640"], "prdc gives several"),
        (["--metric", "cas", "--evaluate-every", "640", "--unconditional"], "try fd:pixel"),
        (["--evaluate-every", "-1"], "evaluate_every must be 0 or more, not -1"),
        (["--evaluate-num", "0"], "evaluate_num must be at least 1"),
        (["--rollback", "-1"], "rollback must be 0 or more, not -1"),
        (["--augment-p", "adaptive"], "name the kinds, as color,translation,cutout"),
    ],
)
def test_bad_training_options_are_one_line_and_write_nothing(tmp_path, capfd, options, said):
    code = sagan("train", tmp_path / "run", *options)
    out, err = capfd.readouterr()
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert err.startswith("sagan: ")
    assert out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["sample", "RUN", "--num", "0", "--out", "o"], "--num must be at least 1"),
        (["sample", "RUN", "--num", "4", "--out", "o", "--classes", "cat"], "no class 'cat'"),
        (["sample", "RUN", "--num", "4", "--out", "o", "--classes", "10"], "no class '10'"),
        (["sample", "RUN", "--num", "4", "--out", "o.jpg"], "is neither a .png"),
        (["sample", "RUN", "--num", "4", "--out", "o", "--truncation", "-1"], "truncation"),
        (["sample", "RUN", "--num", "4", "--out", "o", "--truncation", "nan"], "truncation"),
        (["sample", "RUN", "--num", "4", "--out", "o", "--interpolate", "3"], "not two seeds"),
        (["sample", "RUN", "--num", "1", "--out", "o", "--interpolate", "3,4"], "at least 2"),
        (["sample", "RUN", "--num", "4"], "--out"),
        (["sample", "RUN", "--num", "4", "--out", "o", "--interpolate", ""], "shell variable"),
        (["sample", "RUN", "--num", "4", "--out", "o", "--interpolate-classes="], "shell variable"),
        (
            ["sample", "RUN", "--num", "4", "--out", "o", "--interpolate=1,2", "--classes=3,03,3"],
            "names a class twice",
        ),
        (["sample", "nowhere", "--num", "4", "--out", "o"], "does not exist"),
        (["sample", ".", "--num", "4", "--out", "o"], "is not a run folder"),
        (["evaluate", "nowhere"], "does not exist"),
        (["evaluate", "RUN", "--metrics", "fid9"], "choose from fid, intra-fid, is, cas"),
        (["evaluate", "RUN", "--data", "photographs"], "are not the run's"),
        (["nonsense"], "nonsense"),
    ],
)
def test_other_bad_input_is_one_line_and_writes_nothing(
    run, tmp_path, capfd, monkeypatch, options, said
):
    monkeypatch.chdir(tmp_path)
    code = sagan(*[str(run) if o == "RUN" else o for o in options])
    out, err = capfd.readouterr()
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        ["explain", "FILE", "--out", "o"],
        ["explore", "FILE", "--no-open"],
        ["evaluate", "FILE"],
        ["train", "FILE"],
        ["export", "FILE", "--out", "o.onnx"],
        ["import", "FILE", "--out", "o"],
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("name", ["model.onnx", "Model.SafeTensors", "notes.txt"])
def test_a_file_where_a_run_is_needed_is_told_with_what_opens_it(
    tmp_path, capfd, monkeypatch, command, name
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("as it may be")
    assert sagan(*[name if o == "FILE" else o for o in command]) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    if name == "notes.txt":
        assert "model file" not in err
        assert command[0] in ("evaluate", "import") or "is a file, not a run folder" in err
    else:
        assert f"{name} is a model file" in err
        assert "sagan sample and sagan.load open it" in err
    assert [path.name for path in tmp_path.iterdir()] == [name]


def integer_options():
    """Each option that is a whole number: its command, and what else that asks for."""
    for command in ("data check", "data pack", *SURFACE):
        inner = app
        for part in command.split():
            inner = inner[part]
        arguments = inner.assemble_argument_collection(parse_docstring=False)
        for option in (a for a in arguments if a.hint in (int, int | None)):
            asked = [a.name for a in arguments if a.required and a.name.startswith("--")]
            yield command, option.name, [f"{name}=1" for name in asked if name != option.name]


def test_a_whole_number_is_not_made_of_another(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = list(integer_options())
    found = {(command, option) for command, option, _ in options}
    assert {("train", "--devices"), ("sample", "--num"), ("data check", "--channels")} < found
    for command, option, asked in options:
        assert sagan(*command.split(), "here", *asked, f"{option}=1.5") == 2
        said = f"sagan: Invalid value for {option}: 1.5 is not a whole number; see --help\n"
        assert capfd.readouterr().err == said
    assert sagan("sample", "nowhere", "--num", "1_000", "--out", "o") == 2
    assert "nowhere does not exist" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_same_command_again_is_done_at_once_and_a_different_one_refused(run, capfd):
    assert sagan("train", run) == 0
    assert sagan("train", run, "--g-width", "4", "--preset", "digits", "--images", "320") == 0
    capfd.readouterr()
    for option, said in (
        (["--seed", "7"], "training.seed: 0 -> 7"),
        (["--preset", "paper"], "preset: digits -> paper"),
        (["--resolution", "16"], "network.resolution: 8 -> 16"),
        (["--data", "photographs"], "data.source: digits -> photographs"),
        (["--images", "160"], "--images can only grow"),
    ):
        assert sagan("train", run, *option) == 2
        assert said in capfd.readouterr().err


def test_samples_depend_on_seed_and_class_alone(run, tmp_path):
    common = ["sample", run, "--device", "cpu"]
    assert sagan(*common, "--num", "20", "--out", tmp_path / "a") == 0
    assert sagan(*common, "--num", "20", "--out", tmp_path / "b", "--batch-size", "3") == 0
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert len(names) == 20
    assert names[5] == "seed00000005-class2.png"
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    alone = tmp_path / "c"
    assert sagan(*common, "--num", "1", "--seed", "5", "--classes", "2", "--out", alone) == 0
    assert (alone / names[5]).read_bytes() == (tmp_path / "a" / names[5]).read_bytes()
    assert len({(tmp_path / "a" / name).read_bytes() for name in names}) == 20


def test_grids_have_gutters_and_classes_in_rows(run, tmp_path):
    out = tmp_path / "deep" / "grid.png"
    assert sagan("sample", run, "--num", "25", "--classes", "1,8", "--out", out) == 0
    grid = np.asarray(Image.open(out))
    scale = grid.shape[1] // (13 * 10 + 2)
    assert grid.shape[1] >= 640
    assert grid.shape == ((2 * 10 + 2) * scale, (13 * 10 + 2) * scale)
    assert (grid[: 2 * scale] == 128).all()
    assert (grid[:, : 2 * scale] == 128).all()
    last_cell = grid[12 * scale : -2 * scale, -10 * scale : -2 * scale]
    assert (last_cell == 128).all()  # the second class has 12 images


@pytest.mark.parametrize(
    ("classes", "num", "of_their_own"),
    [(10, 10, True), (26, 260, True), (89, 120, False), (89, 2_225, True)],
)
def test_many_classes_of_few_images_each_do_not_make_a_tower(classes, num, of_their_own):
    names = tuple(map(str, range(classes)))
    config = RunConfig(network=NetworkConfig(classes=classes), data=DataConfig(class_names=names))
    plan = _independent(config, num, 0, None, 0.0)
    assert plan.rows == (plan.labels.tolist() if of_their_own else [0] * num)


@pytest.mark.parametrize(
    ("options", "rows", "seeds", "classes"),
    [
        (["--interpolate", "3,7", "--classes", "4,5"], 2, (3, 7), (4, 4)),
        (["--interpolate-classes", "3,7", "--seed", "2"], 1, (2, 2), (3, 7)),
        (["--interpolate", "1,2", "--interpolate-classes", "0,9"], 1, (1, 2), (0, 9)),
    ],
)
def test_interpolations_are_strips_that_end_at_their_ends(
    run, tmp_path, options, rows, seeds, classes
):
    assert sagan("sample", run, "--num", "6", *options, "--out", tmp_path / "strip.png") == 0
    grid = np.asarray(Image.open(tmp_path / "strip.png"))
    scale = grid.shape[1] // (6 * 10 + 2)
    assert grid.shape[0] == (rows * 10 + 2) * scale
    assert sagan("sample", run, "--num", "6", *options, "--out", tmp_path / "s") == 0
    frames = [np.asarray(Image.open(p)).astype(int) for p in sorted((tmp_path / "s").iterdir())]
    steps = [np.abs(b - a).mean() for a, b in pairwise(frames[:6])]
    assert max(steps) < np.abs(frames[5] - frames[0]).mean()  # no step is the whole way
    for frame, seed, label in zip((frames[0], frames[5]), seeds, classes, strict=True):
        one = tmp_path / f"{seed}-{label}"
        sagan("sample", run, "--num", "1", "--seed", seed, "--classes", label, "--out", one)
        (file,) = one.iterdir()
        assert np.abs(np.asarray(Image.open(file)).astype(int) - frame).max() <= 1


def test_truncation_changes_pictures_and_is_repeatable(run, tmp_path):
    for name, t in (("a", "0.5"), ("b", "0.5"), ("c", "0")):
        assert sagan("sample", run, "--num", "4", "--truncation", t, "--out", tmp_path / name) == 0
    a, b, c = ([p.read_bytes() for p in sorted((tmp_path / n).iterdir())] for n in "abc")
    assert a == b
    assert a != c


def test_evaluate_prints_json_with_the_ceiling(run, capfd):
    assert sagan("evaluate", run, "--metrics", "cas") == 0
    score = json.loads(capfd.readouterr().out)["cas"]
    ceiling = score["real_vs_real"]["value"]
    assert 0 <= score["value"] <= ceiling
    assert ceiling > 0.98
    assert len(score["per_class"]) == 10
    assert (score["n_generated"], score["n_real"]) == (1200, 599)


def test_a_damaged_checkpoint_is_one_line(run, tmp_path, capfd):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    for file in copy.glob("checkpoints/*/ema.safetensors"):  # else another would be taken
        file.write_bytes(file.read_bytes()[:-1])
    assert sagan("sample", copy, "--num", "1", "--out", tmp_path / "o.png") == 1
    err = capfd.readouterr().err
    assert "ema.safetensors is damaged" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_stopped_program_saves_and_goes_on_to_the_same_end(tmp_path, number):
    command = [sys.executable, "-m", "sagan", "train", tmp_path / "broken", *SMALL]
    command = [str(c) for c in command] + ["--images", "960", "--log-every", "32"]
    program = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "broken" / "log.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (log.is_file() and "train" in log.read_text()):
        time.sleep(0.05)
    program.send_signal(number)
    _, err = program.communicate(timeout=120)
    assert program.returncode == 128 + number, err
    assert "saved; the same command resumes" in err
    assert "Traceback" not in err
    assert sagan(*command[3:]) == 0
    assert sagan("train", tmp_path / "unbroken", *command[5:]) == 0
    for name in ("generator", "discriminator", "ema", "g_optimizer", "d_optimizer"):
        a, b = (
            (tmp_path / run / "checkpoints/step-00000030" / f"{name}.safetensors").read_bytes()
            for run in ("broken", "unbroken")
        )
        assert a == b, name


def test_help_is_fast_and_loads_no_torch():
    code = (
        "import sys; sys.argv = ['sagan', '--help']\n"
        "from sagan.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'PIL', 'matplotlib', 'sklearn', 'lightning_fabric'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    times = []
    for _ in range(3):
        start = time.monotonic()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        times.append(time.monotonic() - start)
        assert done.returncode == 0
        assert done.stderr.strip() == "[]"
        assert re.search(r"train .*Train a Self-Attention GAN", done.stdout)
    assert min(times) < 1.0  # 0.3 s on a quiet machine; tests run beside others


def test_importing_the_package_loads_no_torch():
    code = "import sys, sagan; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


SURFACE = {  # others rely on it: add to it, never take away
    "train": """data background crop strict preset from-scratch resolution channels unconditional
        no-unconditional grow images time batch-size seed loss g-lr d-lr d-steps accumulate
        diversity mismatch lecam ema-decay g-width d-width g-attention d-attention attention-form
        gamma-start paired-init no-paired-init latent class-input no-class-input beta2 gamma-lr
        ema-start standing-batches
        fake-labels augment augment-p holdout mirror freeze-d init precision log-every
        snapshot-every keep evaluate-every evaluate-num metric rollback tensorboard device devices
        compile channels-last no-channels-last cuda-graphs no-cuda-graphs stop-signal timeout""",
    "sample": """num out classes seed truncation interpolate interpolate-classes weights batch-size
        device""",
    "evaluate": """data metrics features num seed weights standing-batches resolution batch-size
        save-stats device selftest""",
    "compare": "out seed weights device",
    "runs": "verify repair",
    "explain": "out seed classes num points image region device",
    "ablate": """arms seeds metrics num curve-num underpowered quick only until jobs data preset
        resolution images snapshot-every batch-size device unconditional no-unconditional
        fake-labels augment augment-p holdout mirror g-width d-width g-attention d-attention
        attention-form gamma-start paired-init no-paired-init latent class-input no-class-input
        loss g-lr d-lr beta2 gamma-lr d-steps
        accumulate diversity mismatch lecam ema-decay ema-start standing-batches freeze-d
        precision""",
    "explore": "port host token open device",
    "bench": "rounds threads quick out",
    "import": "out",
    "gallery": "out",
    "export": "out format weights attention card push private",
}


@pytest.mark.parametrize("command", SURFACE)
def test_each_command_has_help_for_its_whole_surface_without_torch(command):
    code = (
        f"import sys; sys.argv = ['sagan', '{command}', '--help']\n"
        "from sagan.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    options = set(re.findall(r"^[^a-z]*--([a-z0-9-]+)", done.stdout, flags=re.MULTILINE))
    assert options == set(SURFACE[command].split())


TINY = ["--g-width", "8", "--d-width", "8", "--batch-size", "4"]


def test_own_data_choose_their_preset_and_say_why_once(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sagan.data.sources.bundled._CROPS", 12)
    options = ["train", "--data", "photographs", "--device", "cpu"]
    assert sagan(*options, *TINY, "--resolution", "16", "--grow", "none", "--images", "4") == 0
    said = capfd.readouterr().err
    chosen = "Preset quick-few at 16 px: there is no GPU here, so small sizes come first"
    assert said.count(chosen) == 1
    assert Run(tmp_path / "runs/photographs-quick-few").config().preset == "quick-few"
    assert sagan(*options) == 0  # goes on, at the run's own resolution
    assert "Preset" not in capfd.readouterr().err


def test_with_nothing_but_images_a_cpu_plans_for_an_hour_and_says_so(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sagan.data.sources.bundled._CROPS", 12)
    monkeypatch.setattr("sagan.config.defaults._TIME", {"cpu": "2s"})
    assert sagan("train", "--data", "photographs", "--device", "cpu", *TINY) == 2
    said = capfd.readouterr().err
    assert "for 2s, as --time does not say how long; --resolution 64 is the images' own" in said
    assert "--time 2 s is too short" in said


def test_augmentation_options_reach_the_run(tmp_path):
    options = ["--augment", "cutout,color", "--augment-p", "adaptive", "--mirror"]
    assert sagan("train", tmp_path / "run", *SMALL, "--images", "64", *options) == 0
    training = Run(tmp_path / "run").config().training
    assert (training.augment, training.augment_p) == (("color", "cutout"), 0.0)
    assert (training.augment_target, training.holdout, training.mirror) == (0.5, 0.1, True)
    assert sagan("train", tmp_path / "run", "--images", "128") == 0
    assert sagan("train", tmp_path / "run", "--augment", "none") == 2


def test_evaluation_rollback_and_tensorboard_reach_the_run(tmp_path, capfd):
    options = ["--evaluate-every", "64", "--evaluate-num", "40", "--metric", "kid:pixel"]
    runtime = ["--rollback", "2", "--tensorboard"]
    assert sagan("train", tmp_path / "run", *SMALL, "--images", "64", *options, *runtime) == 0
    training = Run(tmp_path / "run").config().training
    assert (training.evaluate_every, training.evaluate_num) == (64, 40)
    assert training.evaluate_metric == "kid:pixel"
    assert (tmp_path / "run/best").read_text() == "step-00000002\n"
    assert list((tmp_path / "run/tensorboard").iterdir())
    assert sagan("train", tmp_path / "run", "--images", "128") == 0  # the two last are no settings
    assert sagan("train", tmp_path / "run", "--metric", "cas") == 2
    assert "training.evaluate_metric: kid:pixel -> cas" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("folder.png", "--out folder.png is a folder: name a file"),
        ("file", "--out file is a file, not a folder"),
        ("file/inside", "cannot be made: "),
        ("file/inside/grid.png", "cannot be made: "),
        ("RUN", "is a run, which has files of its own"),
        ("RUN/curves.png", "is in a run, which has files of its own"),
        ("RUN/checkpoints", "is in a run, which has files of its own"),
        ("RUN/checkpoints/step-00000010", "is in a run, which has files of its own"),
        ("RUN/checkpoints/step-00000010/ema.png", "is in a run, which has files of its own"),
    ],
)
def test_what_is_there_is_not_written_over(run, tmp_path, monkeypatch, capfd, out, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sagan.sampling.generate", None)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    assert sagan("sample", run, "--num", "4", "--out", out.replace("RUN", str(run))) == 2
    err = capfd.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_folder_of_another_programs_checkpoints_is_no_run(run, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    assert sagan("sample", run, "--num", "1", "--out", tmp_path / "one.png") == 0


def test_the_longest_class_name_is_part_of_a_files_name(tmp_path):
    names = tuple(letter * 300 for letter in ("a", "\u3042"))
    config = RunConfig(network=NetworkConfig(classes=2), data=DataConfig(class_names=names))
    made = _interpolation(config, 2, 0, None, f"0,{10**15}", "0,1", 0.0)
    for name in (*_independent(config, 2, 0, None, 0.0).names, *made.names):
        assert "class0-aaaa" in name or "class1-\u3042" in name
        write_atomically(tmp_path / f"{name}.png", b"")


def test_a_folder_may_have_a_dot_in_its_name(run, tmp_path):
    (tmp_path / "truncated-1.5").mkdir()
    assert sagan("sample", run, "--num", "3", "--out", tmp_path / "truncated-1.5") == 0
    assert len(list((tmp_path / "truncated-1.5").glob("*.png"))) == 3


def test_walks_of_all_classes_count(run, tmp_path, capfd):
    options = ["--num", "100001", "--interpolate", "1,2", "--out", tmp_path / "o"]
    assert sagan("sample", run, *options) == 2
    assert "1,000,010 images, of all classes, are over" in capfd.readouterr().err


def test_digits_go_on_with_their_own_preset_and_not_with_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--data", "digits", "--images", "64", *SMALL]
    assert sagan("train", "--preset", "quick", "--resolution", "8", *options) == 0
    assert sagan("train", *options) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "digits-digits",
        "digits-quick",
    ]
