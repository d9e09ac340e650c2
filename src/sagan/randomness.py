"""Random numbers keyed by their purpose, so that nothing depends on what was drawn before.

No generator state needs saving: a run that resumes at step s asks for the numbers of step s.
Numbers are drawn on the CPU: they are the same on every device and for any number of processes.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def derive_seed(seed: int, purpose: str, *indices: int) -> int:
    """Derive a 63-bit seed from (seed, purpose, indices), independent for each key."""
    key = ":".join([purpose, str(seed), *map(str, indices)])
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little") >> 1


def generator_for(seed: int, purpose: str, *indices: int) -> torch.Generator:
    """A CPU generator for one key.

    PyTorch's keeps 32 bits of a seed: among 10,000 keys two have the same numbers in 1 case of 90.
    """
    return torch.Generator().manual_seed(derive_seed(seed, purpose, *indices))


@contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """Key the global generator inside the block (weight initialisation); restore it after."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed(seed, purpose))
        yield


def sample_latents(seeds: Iterable[int], latent_dim: int, *, truncation: float = 0.0) -> Tensor:
    """Draw one standard normal latent per seed, float32 `b z`; a seed's is always the same."""
    # entries are resampled until |z| <= truncation; 0 does not truncate
    # Below 0.01 resampling would hardly ever end.
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
    """An endless order of a data set's indices: a new keyed permutation each epoch."""

    def __init__(self, length: int, *, seed: int, purpose: str = "order") -> None:
        self.length = length
        self.seed = seed
        self._purpose = purpose
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def indices(self, start: int, count: int) -> Tensor:
        """`count` indices from position `start` of the endless order."""
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
