"""Random numbers keyed by what they are for, so that nothing depends on what was drawn before.

There is no hidden generator to save: a run that resumes at step s asks for the numbers of step s.
The numbers are drawn on the CPU and are the same on every device and for any number of processes.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def derive_seed(seed: int, purpose: str, *indices: int) -> int:
    """Derive a 63-bit seed from (seed, purpose, indices), independent for each key.

    Example:
        >>> derive_seed(0, "latents", 1) == derive_seed(0, "latents", 1)
        True
        >>> derive_seed(0, "latents", 1) == derive_seed(0, "labels", 1)
        False
    """
    key = ":".join([purpose, str(seed), *map(str, indices)])
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little") >> 1


def generator_for(seed: int, purpose: str, *indices: int) -> torch.Generator:
    """Make the CPU generator of one key."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose, *indices))


@contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """Run a block (weight initialisation) whose draws come from the global generator, keyed.

    The global generator is left as it was found.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, purpose))
        yield


def sample_latents(seeds: Iterable[int], latent_dim: int, *, truncation: float = 0.0) -> Tensor:
    """Draw one latent vector per seed: the same seed gives the same vector in any batch.

    Args:
        seeds: one integer a sample.
        latent_dim: length of a vector.
        truncation: resample entries until |z| <= truncation; 0 does not truncate.

    Returns:
        float32 `b latent_dim`, standard normal.

    Raises:
        ValueError: truncation is negative, not finite, or so small that resampling would not end.

    Example:
        >>> torch.equal(sample_latents([7, 8], 4)[1], sample_latents([8], 4)[0])
        True
    """
    if not (truncation == 0 or 0.01 <= truncation < float("inf")):
        raise ValueError(f"truncation must be 0 (none) or at least 0.01, not {truncation}")
    rows = []
    for seed in seeds:
        generator = generator_for(seed, "sample")
        z = torch.randn(latent_dim, generator=generator)
        while truncation and (outside := z.abs() > truncation).any():
            z = torch.where(outside, torch.randn(latent_dim, generator=generator), z)
        rows.append(z)
    return torch.stack(rows) if rows else torch.empty(0, latent_dim)


class DataOrder:
    """An endless order of a data set's indices: a fresh keyed permutation each epoch.

    Example:
        >>> order = DataOrder(5, seed=0)
        >>> torch.equal(order.indices(2, 9)[3:], order.indices(5, 6))  # by position, not by history
        True
    """

    def __init__(self, length: int, *, seed: int, purpose: str = "order") -> None:
        self.length = length
        self.seed = seed
        self._purpose = purpose
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def indices(self, start: int, count: int) -> Tensor:
        """Give `count` indices from position `start` of the endless order."""
        parts = [torch.empty(0, dtype=torch.int64)]
        while count > 0:
            epoch, offset = divmod(start, self.length)
            part = self._order(epoch)[offset : offset + count]
            parts.append(part)
            start, count = start + len(part), count - len(part)
        return torch.cat(parts)

    def _order(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            generator = generator_for(self.seed, self._purpose, epoch)
            self._permutation = torch.randperm(self.length, generator=generator)
            self._epoch = epoch
        return self._permutation
