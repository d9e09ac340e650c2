"""Scores during training, to choose the best checkpoint.

The real side is prepared once, at the first evaluation; samples come from the same seeds each time.
Only images that are trained on are used: a test split and those held out stay unseen until the
final score.
"""

import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sagan.config import RunConfig
from sagan.data import ImageDataset
from sagan.randomness import derive_seed, generator_for
from sagan.sampling import of_all_classes
from sagan.text import one_line
from sagan.training.batches import rows_apart
from sagan.training.engine import Engine

if TYPE_CHECKING:
    from sagan.metrics import Reference, Score

_MOST_REAL = 10_000  # real images, or as many as are generated if that is more


class Scorer:
    """Score a run's generator by the metric of its configuration, which gives a single value."""

    def __init__(self, config: RunConfig, dataset: ImageDataset) -> None:
        from sagan.metrics import parse_metrics

        self._config, self._dataset = config, dataset
        text = config.training.evaluate_metric
        self._specs = parse_metrics(text)
        if len(self._specs) != 1 or self._specs[0].metric.parts:
            raise ValueError(f"the best checkpoint is chosen by one number; {text} gives several")
        (spec,) = self._specs
        if spec.metric.labelled and config.network.classes < 2:
            raise ValueError(f"{spec.key()} needs a run with at least two classes; try fd:pixel")
        self.metric, self.better = spec.key(), spec.metric.better
        self._reference: Reference | None = None

    def prepare(self, engine: Engine) -> None:
        """Prepare the real side, once; what fails is told by `score`."""
        if self._reference is None:
            with suppress(Exception):
                self._reference = self._prepare(engine)

    def score(self, generator: nn.Module, engine: Engine) -> dict[str, Any]:
        """Score a generator; if there is no finite value, it is None and `error` says why."""
        began = time.monotonic()
        facts: dict[str, Any]
        try:
            facts = _facts(self._measure(generator, engine))
        except Exception as error:  # no failing score is worth stopping training for
            facts = {"value": None, "error": f"{type(error).__name__}: {one_line(error)}"}
        seconds = round(time.monotonic() - began, 3)
        return {"metric": self.metric, "better": self.better, **facts, "seconds": seconds}

    def _measure(self, generator: nn.Module, engine: Engine) -> "Score":
        training, network = self._config.training, self._config.network
        if self._reference is None:
            self._reference = self._prepare(engine)
        seed = derive_seed(training.seed, "evaluate")
        with engine.autocast():
            batches, labels = of_all_classes(
                generator,
                network,
                training.evaluate_num,
                seed=seed,
                counts=self._reference.class_counts,
            )
            (score,) = self._reference.score(batches, labels)
        return score

    def _prepare(self, engine: Engine) -> "Reference":
        from sagan.metrics import prepare, split_off_test

        data, training = self._dataset, self._config.training
        most = max(_MOST_REAL, training.evaluate_num)
        _, trained_on = rows_apart(training, data)
        order = torch.randperm(len(trained_on), generator=generator_for(training.seed, "evaluate"))
        rows = trained_on[order[:most].sort().values].numpy()
        labels = None
        if self._config.network.classes and data.labels is not None:
            labels = data.labels[rows]
        real = split_off_test(data.images[rows], labels, data.class_names, seed=0)
        return prepare(real, self._specs, num=training.evaluate_num, seed=0, device=engine.device)


def _facts(score: "Score") -> dict[str, Any]:
    facts: dict[str, Any] = {
        "value": score.value,
        "spread": score.spread,
        "n_generated": score.n_generated,
        "n_real": score.n_real,
        "real_vs_real": score.real_vs_real.value if score.real_vs_real else None,
    }
    if not math.isfinite(score.value):
        facts |= {"value": None, "spread": None, "error": f"its value is {score.value}"}
    return facts
