"""The plan of an experiment: written before the first run, and never changed.

What is to be found out, by which test, is decided here, before anything is known.
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from sagan.ablation.arms import parse_arms
from sagan.ablation.fairness import LEAST_SEEDS, check_equal, check_seeds, parameters_of
from sagan.ablation.seeds import parse_seeds
from sagan.config import RunConfig, run_config_from_dict, to_dict
from sagan.config.defaults import default_preset
from sagan.config.growth import stages_of
from sagan.data import load_dataset
from sagan.data.load import native_resolution
from sagan.files import parse_json, write_atomically
from sagan.metrics import parse_metrics
from sagan.structure.checkers import CHECKERS, refuse_unreadable
from sagan.training.engine import usable_precision
from sagan.training.options import TrainOptions
from sagan.training.planning import DataFacts
from sagan.training.planning import plan as plan_run
from sagan.training.schedule import Schedule
from sagan.version import __version__

FORMAT = 1
BUSY = 75  # exit code where another process is at a run
LIFT = "lift"  # structure lift, of sets with a checker
REACHED = 0.5  # the lift whose time is compared
_CURVE_POINTS = 20
_REFUSED = {
    "seed": "the seeds are --seeds",
    "init": "every run begins from random weights",
    "from_scratch": "name another folder",
    "time": "all arms are shown as many images: give --images",
    "grow": "runs are at one size",
    "evaluate_every": "snapshots are scored by --metrics",
    "evaluate_num": "snapshots are scored by --metrics",
    "metric": "snapshots are scored by --metrics",
    "rollback": "other random numbers would part the pairs",
    "keep": "every snapshot's averaged generator is kept",
    "paired_init": "arms are always paired",
    "tensorboard": "each run has its log and curves",
}
ANALYSIS = (
    "The unit is the seed: runs of one seed share initial weights, data order and latents, and are "
    "compared with each other. The last averaged weights count, not the best.",
    "Primary: the mean over seeds of the paired difference, by an exact two-sided sign-flip test "
    "at .05, with a bootstrap interval over seeds.",
    "Secondary tests are adjusted by Holm among themselves. All else in the report describes.",
    "A score that the checker refuses (more than 20 % abstained) leaves its seed out of the test "
    "at the end, and is given as it is; in means over the curve it counts as 0.",
    "A lift never reached counts as reached at the end of training.",
)


class Contrast(NamedTuple):
    """One comparison: is `arm` better than `than`?"""

    arm: str
    than: str
    metric: str
    at: Literal["end", "mean", "time"]  # of training; mean of its curve; images until it is reached


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is run, and how it will be judged.

    Args:
        options: of `sagan train`, for all arms.
        arms: each arm's own, by name.
        seeds: how many.
        metrics: of each snapshot; the first decides.
        num, curve_num: images scored at the end, and of each snapshot.
        underpowered: whether fewer seeds than can reach .05 were asked for all the same.
        primary, secondary: the tests.
        configs: each arm's whole configuration, but for the seed.
        parameters: of G and D of each arm.
        first_seed: the number of the first one.
        analysis: the rules, in words.
        made_with: version and commit of the program, and PyTorch's.
    """

    options: dict[str, Any]
    arms: dict[str, dict[str, Any]]
    seeds: int
    metrics: tuple[str, ...]
    num: int
    curve_num: int
    underpowered: bool
    primary: Contrast
    secondary: tuple[Contrast, ...]
    configs: dict[str, dict[str, Any]]
    parameters: dict[str, tuple[int, int]]
    first_seed: int = 0
    analysis: tuple[str, ...] = ANALYSIS
    made_with: dict[str, str] = field(default_factory=dict)

    @property
    def seed_numbers(self) -> range:
        """The seeds."""
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def images(self) -> int:
        """Real images that each run is shown."""
        return int(next(iter(self.configs.values()))["training"]["images"])

    @property
    def data(self) -> str:
        """The source of the real images."""
        return str(self.options["data"])

    def snapshot_steps(self) -> frozenset[int]:
        """The steps of every run's snapshots; a run that was stopped has others besides."""
        config = self.run_config(next(iter(self.arms)), 0)
        schedule = Schedule(stages_of(config))
        return frozenset(s for s in range(1, schedule.last_step + 1) if schedule.snapshot_due(s))

    def run_config(self, arm: str, seed: int) -> RunConfig:
        """The whole configuration of one run."""
        config = run_config_from_dict(self.configs[arm])
        return replace(config, training=replace(config.training, seed=seed))

    def write(self, folder: Path) -> None:
        """Write `plan.json`."""
        content = {"format": FORMAT, **asdict(self)}
        content["primary"] = self.primary._asdict()
        content["secondary"] = [test._asdict() for test in self.secondary]
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "plan.json", (json.dumps(content, indent=1) + "\n").encode())


def read_plan(folder: Path) -> Plan | None:
    """Read a folder's plan; None if it has none."""
    file = folder / "plan.json"
    if not file.is_file():
        return None
    try:
        content = parse_json(file.read_bytes())
        if content.pop("format") != FORMAT:
            raise ValueError("it is of another version")
        content["primary"] = Contrast(**content["primary"])
        content["secondary"] = tuple(Contrast(**test) for test in content["secondary"])
        for name in ("metrics", "analysis"):
            content[name] = tuple(content[name])
        content["parameters"] = {k: (g, d) for k, (g, d) in content["parameters"].items()}
        content.setdefault("first_seed", 0)  # plans of before began there
        return Plan(**{f.name: content[f.name] for f in fields(Plan)})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} cannot be read: {error!r}") from None


def run_folder(out: Path, arm: str, seed: int) -> Path:
    """The folder of one run."""
    return out / "runs" / f"{arm}-{seed}"


def is_done(out: Path, arm: str, seed: int) -> bool:
    """Whether a run is trained and scored."""
    return (run_folder(out, arm, seed) / "done").is_file()


def _fixed(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with what every run of an experiment has."""
    every = options["snapshot_every"]
    return {
        **options,
        "paired_init": True,
        "grow": "none",
        "evaluate_every": 0,
        "keep": options["images"] // every + 2,
    }


def make_plan(
    options: Mapping[str, Any],
    *,
    arms: str | None = None,
    seeds: int | str | None = None,
    metrics: str | None = None,
    num: int | None = None,
    curve_num: int | None = None,
    underpowered: bool = False,
    device: str = "cpu",
    progress: bool = False,
) -> Plan:
    """Settle an experiment; ValueError for what could not be decided by it."""
    for name in options.keys() & _REFUSED.keys():
        raise ValueError(f"--{name.replace('_', '-')} is not an option here: {_REFUSED[name]}")
    chosen = parse_arms(arms or "none,attention,residual")
    numbers = parse_seeds(8 if seeds is None else seeds)
    check_seeds(len(numbers), underpowered)
    num, curve_num = 10_000 if num is None else num, 2_000 if curve_num is None else curve_num
    for name, value in (("num", num), ("curve-num", curve_num)):
        if value < 2:
            raise ValueError(f"--{name} must be at least 2, not {value}")
    source = options.get("data", "twins")
    px = options.get("resolution") or native_resolution(source)
    dataset = load_dataset(
        source,
        resolution=px,
        channels=options.get("channels", 0),
        background=options.get("background", "white"),
        crop=options.get("crop", "center"),
        strict=options.get("strict", False),
        progress=progress,
    )
    facts = DataFacts(dataset.images.shape[1], dataset.class_names, dataset.fingerprint)
    settled = {"data": source, "resolution": px, **options}
    settled.setdefault(
        "preset",
        default_preset(len(dataset), source, device)[0],
    )
    settled = _with_lengths(settled, facts)
    if _config(settled, {}, facts).training.precision == "auto":
        settled["precision"] = usable_precision("auto", device)  # the same on every machine
    configs = {name: _config(settled, own, facts) for name, own in chosen.items()}
    parameters = {name: parameters_of(config.network) for name, config in configs.items()}
    check_equal(configs, parameters)
    named = _metrics(metrics, source, next(iter(configs.values())))
    tests = _tests(list(chosen), named)
    return Plan(
        options=settled,
        arms=chosen,
        seeds=len(numbers),
        first_seed=numbers.start,
        metrics=named,
        num=num,
        curve_num=curve_num,
        underpowered=len(numbers) < LEAST_SEEDS,
        primary=tests[0],
        secondary=tuple(tests[1:]),
        configs={name: to_dict(config) for name, config in configs.items()},
        parameters=parameters,
        made_with={"sagan": __version__, "commit": source_commit(), "torch": torch.__version__},
    )


def _config(options: dict[str, Any], own: dict[str, Any], facts: DataFacts) -> RunConfig:
    given = _fixed(options) | own
    return plan_run(TrainOptions(**given), data=facts)  # type: ignore[typeddict-item]


def _with_lengths(options: dict[str, Any], facts: DataFacts) -> dict[str, Any]:
    """Say how many images a run is shown, and between snapshots."""
    if "images" not in options:
        raise ValueError("how long is each run to be? give --images")
    known = plan_run(TrainOptions(**options), data=facts).training  # type: ignore[typeddict-item]
    step = known.batch_size * known.d_steps
    images = options["images"]
    if known.ema_decay and known.ema_start >= images:
        raise ValueError(
            f"the averaged weights are scored, and averaging would begin at {known.ema_start:,} "
            f"images of {images:,}: give a smaller --ema-start"
        )
    every = max(step, images // _CURVE_POINTS // step * step)
    return {**options, "snapshot_every": options.get("snapshot_every", every)}


def metric_keys(text: str) -> tuple[str, ...]:
    """Name metrics as plans do, each once: `fd` is `fd:own`."""
    names = (part.strip() for part in text.split(","))
    return tuple(dict.fromkeys(n if n == LIFT else parse_metrics(n)[0].key() for n in names))


def _metrics(text: str | None, source: str, config: RunConfig) -> tuple[str, ...]:
    labelled = config.network.classes > 1
    if text is None:
        text = "cas,fd:own" if labelled else "fd:pixel"
        text = LIFT if source in CHECKERS else text
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if LIFT in names:
        if source not in CHECKERS:
            raise ValueError(f"{source} has no checker for lift; sets: {', '.join(CHECKERS)}")
        refuse_unreadable(source, config.network.resolution, config.network.channels)
    for name in names:
        if name == LIFT:
            continue
        (spec,) = parse_metrics(name)
        if spec.features.startswith("inception") or spec.metric.parts:
            raise ValueError(f"{name} cannot be an endpoint here: lift, cas, fd, kid, ... can")
        if spec.metric.labelled and not labelled:
            raise ValueError(f"{name} needs classes, and the runs have none")
    return metric_keys(text)


def _tests(arms: list[str], metrics: tuple[str, ...]) -> list[Contrast]:
    """The primary test and the secondary ones."""
    reference = "none" if "none" in arms else arms[0]
    others = [arm for arm in arms if arm != reference]
    main = "attention" if "attention" in others else others[0]
    first = metrics[0]
    tests = [Contrast(main, reference, first, "end"), Contrast(main, reference, first, "mean")]
    if first == LIFT:
        tests.append(Contrast(main, reference, first, "time"))
    if main != "residual" and "residual" in others:
        tests.append(Contrast(main, "residual", first, "end"))
    tests += [Contrast(arm, reference, first, "end") for arm in others if arm != main]
    return tests + [Contrast(main, reference, metric, "end") for metric in metrics[1:]]


def source_commit() -> str:
    """The commit of the source tree that runs, `+changes` if it is not that; empty outside git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    if not git("ls-files", Path(__file__).name):  # installed inside somebody else's repository
        return ""
    commit = git("rev-parse", "HEAD")
    return f"{commit}+changes" if git("status", "--porcelain", "--", "..") else commit
