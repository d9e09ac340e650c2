"""The matched experiment: networks that differ in one block, paired by seed, and what came out."""

from sagan.ablation.experiment import Experiment, ablate
from sagan.ablation.plan import Comparison, Plan

__all__ = ["Comparison", "Experiment", "Plan", "ablate"]
