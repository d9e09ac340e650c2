"""The matched experiment: networks that differ in one block, paired by seed, and what came out."""

from sagan.ablation.experiment import Experiment, ablate
from sagan.ablation.plan import Plan, Test

__all__ = ["Experiment", "Plan", "Test", "ablate"]
