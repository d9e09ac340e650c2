"""The matched experiment: networks that differ in one block, paired by seed, and what came out."""

from sagan.ablation.experiment import Experiment, ablate
from sagan.ablation.protocol import Contrast, Plan

__all__ = ["Contrast", "Experiment", "Plan", "ablate"]
