"""`plan` and `train_run`: what options, preset, data and an existing run become."""

from dataclasses import replace
from pathlib import Path

import pytest

import sagan
from sagan.config import DataConfig, InitConfig, RunConfig, differences
from sagan.config.channels import discriminator_blocks, generator_blocks
from sagan.config.growth import stages_of
from sagan.config.presets import preset
from sagan.runs.run import Run
from sagan.training.planning import DataFacts, plan

TEN = tuple("0123456789")
DIGITS = DataFacts(channels=1, class_names=TEN, fingerprint="f" * 64)
OLD = plan({"seed": 3, "batch_size": 32}, data=DIGITS)
SMALL = {"g_width": 4, "d_width": 8, "batch_size": 32, "device": "cpu", "progress": False}


def test_a_new_run_is_its_preset_its_options_and_its_data():
    config = plan({"preset": "paper", "resolution": 32, "g_attention": "8,16"}, data=DIGITS)
    assert config.preset == "paper"
    assert config.training == preset("paper")[1]
    assert (config.network.resolution, config.network.g_attention) == (32, (8, 16))
    assert (config.network.channels, config.network.classes) == (1, 10)
    assert config.data == DataConfig(class_names=TEN, fingerprint=DIGITS.fingerprint)


@pytest.mark.parametrize("options", [{"unconditional": True}, {"preset": "article"}])
def test_classes_are_left_out(options):
    config = plan(options, data=DIGITS)
    assert (config.network.classes, config.data.class_names) == (0, ())


def test_a_resumed_run_keeps_what_is_not_named():
    assert plan({}, old=OLD) == plan({}, old=OLD, data=DIGITS) == OLD
    longer = plan({"images": 10**6}, old=OLD, data=DIGITS)
    assert differences(OLD, longer) == ["training.images: 112000 -> 1000000"]


def test_what_a_resumed_run_refuses_is_known_before_its_data_are_opened():
    found = differences(OLD, plan({"unconditional": True, "data": "photographs"}, old=OLD))
    assert [line.partition(":")[0] for line in found] == [
        "data.class_names",
        "data.source",
        "network.classes",
    ]


def test_a_fine_tuned_run_takes_over_networks_recipe_and_data():
    init = replace(OLD, init=InitConfig(source="runs/old", sha256="a" * 64))
    config = plan({"seed": 4, "resolution": 16}, init=init, data=DIGITS)
    assert config.network.resolution == 16
    assert config.network.g_channels  # the blocks keep their widths
    assert (config.training.seed, config.training.batch_size) == (4, 32)
    assert config.training.ema_start == 0
    assert config.init == init.init
    other = plan({"preset": "small"}, init=init, data=DIGITS)
    assert other.training == replace(preset("small")[1], ema_start=0)
    for name in ("g_width", "d_width"):
        with pytest.raises(ValueError, match="widths are those of runs/old"):
            plan({name: 8}, init=init)
    with pytest.raises(ValueError, match="runs/old was imported and has no data"):
        plan({}, init=replace(init, data=DataConfig(source="")))


def test_adaptive_augmentation_holds_images_out():
    options = {"augment": "cutout", "augment_p": "adaptive"}
    assert plan(options).training.holdout == 0.1
    assert plan({**options, "holdout": 0.2}).training.holdout == 0.2


@pytest.mark.parametrize(
    ("options", "p", "holdout"),
    [
        ({"augment": "none"}, 1.0, 0.0),
        ({"augment_p": 0.5}, 0.5, 0.0),
        ({"augment_p": 0.5, "holdout": 0.2}, 0.5, 0.2),
    ],
)
def test_fine_tuning_may_leave_adaptive_augmentation_out(options, p, holdout):
    adaptive = plan({"augment": "cutout", "augment_p": "adaptive"}, data=DIGITS)
    init = replace(adaptive, init=InitConfig(source="runs/old", sha256="a" * 64))
    assert plan({}, init=init).training.augment_target > 0
    training = plan(options, init=init).training
    assert (training.augment_p, training.augment_target) == (p, 0.0)
    assert training.holdout == holdout


def test_a_run_is_trained_from_python_and_says_nothing(tmp_path, capfd):
    path = tmp_path / "run"
    result = sagan.train_run(path, data="digits", images=32, seed=None, **SMALL)
    assert (result.path, result.images, result.exit_code) == (path, 32, 0)
    assert sagan.train_run(str(path), images=64, **SMALL).images == 64
    assert Run(path).checkpoint(verify_files=()).step == 2
    with pytest.raises(ValueError, match=r"training\.seed: 0 -> 7"):
        sagan.train_run(path, seed=7, **SMALL)
    assert capfd.readouterr() == ("", "")


def test_a_resumed_run_reads_its_configuration_once_to_plan_and_once_to_check(
    tmp_path, monkeypatch
):
    sagan.train_run(tmp_path, images=32, **SMALL)
    read, found = Path.read_bytes, []
    monkeypatch.setattr(Path, "read_bytes", lambda path: found.append(path.name) or read(path))
    sagan.train_run(tmp_path, images=64, **SMALL)
    assert found.count("config.json") == 2


def test_a_checkpoint_is_not_trained_in_place(tmp_path):
    sagan.train_run(tmp_path, images=32, **SMALL)
    with pytest.raises(ValueError, match="is a checkpoint: name its run's folder"):
        sagan.train_run(tmp_path / "checkpoints/step-00000001", **SMALL)


def test_nothing_is_read_to_plan(monkeypatch):
    monkeypatch.delattr(Path, "read_bytes")
    monkeypatch.setattr("builtins.open", None)
    assert isinstance(plan({}, old=OLD, data=DIGITS), RunConfig)


def test_quick_grows_from_the_smallest_size():
    config = plan({"preset": "quick"})
    assert [(s.resolution, s.images) for s in config.growth] == [(8, 64_000), (16, 128_000)]
    first, *_ = stages_of(config)
    assert first.config.network == preset("quick", 8)[0]
    assert not plan({"preset": "quick", "resolution": 8}).growth
    assert not plan({"preset": "quick", "grow": "none"}).growth


def test_quick_leaves_no_size_out_on_the_way_to_a_larger_one():
    for px, sizes in ((16, [8]), (32, [8, 16]), (64, [8, 16, 32]), (128, [8, 16, 32, 64])):
        config = plan({"preset": "quick", "resolution": px})
        assert [s.resolution for s in config.growth] == sizes
        assert sum(s.images for s in config.growth) <= config.training.images / 2


def test_a_short_run_spends_half_its_images_at_small_sizes():
    config = plan({"preset": "quick", "images": 48_000})
    assert [s.images for s in config.growth] == [8_000, 16_000]


def test_sizes_share_the_images_unless_told():
    options = {"preset": "small", "resolution": 32, "images": 30_000, "grow": "8,16:5000"}
    config = plan({**options, "g_width": 4, "d_width": 8})
    assert [(s.resolution, s.images) for s in config.growth] == [(8, 10_000), (16, 5_000)]
    # every block is as wide as at 8 px, so that it can be kept
    assert {s.c_out for s in generator_blocks(config.network)} == {16}


def test_the_same_growth_again_resumes_and_more_images_extend():
    options = {"preset": "quick", "grow": "8,16", "images": 60_000}
    old = plan(options)
    assert plan(options, old=old) == old
    longer = plan({**options, "images": 90_000}, old=old)
    assert longer.growth == old.growth
    assert differences(old, longer) == ["training.images: 60000 -> 90000"]
    assert plan({"grow": "8"}, old=old).growth != old.growth


def test_a_fine_tuned_run_can_grow():
    options = {"grow": "16:6400", "resolution": 32, "images": 12_800}
    old = plan({"preset": "digits"})
    config = plan(options, init=replace(old, init=InitConfig(source="runs/demo", sha256="0")))
    assert [s.resolution for s in config.growth] == [16]
    assert config.network.resolution == 32


@pytest.mark.parametrize(
    ("grow", "said"),
    [
        ("8;16", "is not sizes in pixels"),
        ("8:many", "is not sizes in pixels"),
        ("8,8", "names 8 px twice"),
        ("32", "grows from small to large, not through 32, 32 px"),
        ("12", "12 is unknown"),
        ("8:99999999", "all shown at smaller sizes"),
        ("8:0", "shows no image at 8 px"),
    ],
)
def test_bad_growth_is_refused(grow, said):
    with pytest.raises(ValueError, match=said):
        plan({"preset": "quick", "grow": grow})


def test_no_images_at_a_size_are_not_those_that_a_run_has_there():
    with pytest.raises(ValueError, match="shows no image at 8 px"):
        plan({"grow": "8:0,16"}, old=plan({"preset": "quick"}))


@pytest.mark.parametrize("images", [1, 2, 100])
def test_a_run_of_hardly_an_image_does_not_grow(images):
    assert not plan({"preset": "quick", "images": images}).growth


@pytest.mark.parametrize("init", [None, replace(OLD, init=InitConfig(source="old", sha256="0"))])
def test_sizes_from_32_px_have_the_batch_and_rates_that_are_given(init):
    rates = {"batch_size": 16, "g_lr": 3e-5, "d_lr": 7e-5}
    options = {"preset": "quick", "resolution": 64, "grow": "8,32", "images": 640_000}
    eight, thirty_two = plan({**options, **rates}, init=init).growth
    assert (thirty_two.batch_size, thirty_two.g_lr, thirty_two.d_lr) == tuple(rates.values())
    assert (eight.batch_size, eight.g_lr, eight.d_lr) == (16, 1.5e-3, 2e-3)


def test_images_of_a_size_are_not_given_to_a_run_by_time():
    timed = replace(OLD, training=replace(OLD.training, time_sec=60.0))
    init = replace(timed, init=InitConfig(source="runs/old", sha256="0"))
    options = {"grow": "8:6400", "resolution": 16}
    with pytest.raises(ValueError, match="give --grow its sizes alone, or say --images"):
        plan(options, init=init)
    assert plan({**options, "images": 64_000}, init=init).growth[0].images == 6_400
    assert plan({**options, "grow": "8"}, init=init).training.time_sec == 60


@pytest.mark.parametrize("resolution", [8, 16, 128])
def test_a_run_that_grew_refuses_another_size_by_name(tmp_path, resolution):
    old = plan({"preset": "quick", "resolution": 64})
    run = Run(tmp_path)
    run.write_config(old)
    said = rf"other settings \(.*network.resolution: 64 -> {resolution}\).*--init"
    with pytest.raises(ValueError, match=said):
        run.check_continues(plan({"resolution": resolution}, old=old))
    assert plan({"resolution": 64}, old=old) == old


@pytest.mark.parametrize(
    "options",
    [{}, {"grow": "none"}, {"images": 100}, {"grow": "none", "resolution": 64}, {"grow": "16:200"}],
)
def test_widths_count_however_a_preset_that_grows_is_grown(options):
    def widths(**chosen):
        network = plan({"preset": "quick", **options, **chosen}).network
        blocks = *generator_blocks(network), *discriminator_blocks(network)
        return [block.c_out for block in blocks]

    usual = widths()
    assert widths(g_width=12, d_width=32) == usual
    assert widths(g_width=24, d_width=64) == [2 * width for width in usual]
