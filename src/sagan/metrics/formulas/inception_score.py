"""Inception Score, from a stream of logits.

Dimensions: i images, s splits, k classes.
"""

import numpy as np
from numpy.typing import NDArray

_SPLITS = 10


class InceptionScore:
    """exp of the mean divergence of p(class | image) from p(class), in constant memory.

    Images are dealt to the splits in turn, so that images sorted by class still give every split
    all classes (the references cut a shuffled sequence instead).

    Args:
        classes: number of logits k.
        splits: that the images are dealt to; papers use 10.

    Source:
        Salimans et al. 2016.

    Example:
        >>> score = InceptionScore(4)
        >>> score.update(np.repeat(np.eye(4) * 50, 10, axis=0))  # certain, and of all 4 classes
        >>> value, spread = score.compute()
        >>> round(value, 6)
        4.0
    """

    def __init__(self, classes: int, *, splits: int = _SPLITS) -> None:
        self.n = 0
        self._splits = splits
        self._probabilities = np.zeros((splits, classes))
        self._negative_entropy = np.zeros(splits)
        self._counts = np.zeros(splits, np.int64)

    def update(self, logits: NDArray[np.floating]) -> None:
        """Add logits `i k`."""
        logits = logits.astype(np.float64)
        logits = logits - logits.max(1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        p = np.exp(log_p)
        split = (self.n + np.arange(len(p))) % self._splits
        np.add.at(self._probabilities, split, p)
        np.add.at(self._negative_entropy, split, (p * log_p).sum(1))
        np.add.at(self._counts, split, 1)
        self.n += len(p)

    def compute(self) -> tuple[float, float]:
        """Mean and standard deviation over the splits.

        Raises:
            ValueError: fewer images than splits.
        """
        if self.n < self._splits:
            raise ValueError(f"IS needs at least {self._splits} images, not {self.n}")
        counts = self._counts[:, None]
        q = self._probabilities / counts
        with np.errstate(divide="ignore", invalid="ignore"):
            q_log_q = np.where(q > 0, q * np.log(q), 0.0)
        scores = np.exp(self._negative_entropy / self._counts - q_log_q.sum(1))
        return float(scores.mean()), float(scores.std())
