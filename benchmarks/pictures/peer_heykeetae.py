"""heykeetae/Self-Attention-GAN: its own networks, spectral norm and loop, at 32 px.

Changed: what 32 px needs (its classes accept the size but cannot run it), and what an old torch and
CUDA had. `--set g_lr=0.0002` hands on an option of its parameter.py.
"""

import sys
import types
from importlib.util import find_spec

import numpy as np
import torch
from clock import Clock, batches, generated
from numpy.typing import NDArray

_NEVER = "1000000000"


def run(images: NDArray[np.uint8], settings: dict[str, str], clock: Clock) -> None:
    """Train on uint8 n 32 32 c until the clock stops it."""
    if find_spec("torchvision") is None:  # only for writing PNGs, which is off
        stub = types.ModuleType("torchvision.utils")
        stub.save_image = None
        sys.modules |= {"torchvision": types.ModuleType("torchvision"), "torchvision.utils": stub}
    import parameter
    import trainer as theirs

    torch.nn.Module.cuda = lambda self, *_: self
    theirs.Generator, theirs.Discriminator = _networks_32(theirs)
    chosen = {"adv_loss": "hinge", "log_step": _NEVER, "sample_step": _NEVER}  # hinge: its README
    chosen |= {"model_save_step": _NEVER, **settings}
    sys.argv = ["main.py", *(word for k, v in chosen.items() for word in (f"--{k}", v))]
    config = parameter.get_parameters()
    trainer = theirs.Trainer(_Batches(images, config.batch_size, clock), config)

    def sample(num: int) -> NDArray[np.uint8]:
        # its layers hold computed tensors, which cannot be copied; it samples in training mode
        copy = theirs.Generator(config.batch_size, 32, config.z_dim, config.g_conv_dim)
        copy.load_state_dict(trainer.G.state_dict())
        return generated(copy, config.z_dim, num, train=True)

    parts = {"g": trainer.G, "d": trainer.D}
    clock.watch(sample, **parts, g_opt=trainer.g_optimizer, d_opt=trainer.d_optimizer)
    trainer.train()


class _Batches:
    """What its loop takes for a data loader; it asks once a step, which moves the clock."""

    def __init__(self, images: NDArray[np.uint8], size: int, clock: Clock) -> None:
        self._batches, self._size, self._clock = batches(images, size, 3), size, clock
        self._epoch, self._begun = len(images) // size, False

    def __len__(self) -> int:
        return self._epoch

    def __iter__(self) -> "_Batches":
        return self

    def __next__(self) -> tuple[torch.Tensor, None]:
        if self._begun:
            self._clock.tick(self._size)
        self._begun = True
        return next(self._batches), None


def _networks_32(theirs: types.ModuleType) -> tuple[type, type]:
    """Its networks without the layer that only 64 px has; attention where the channels fit."""

    class Generator(theirs.Generator):
        def __init__(self, batch_size: int, size: int, z_dim: int, conv_dim: int) -> None:
            super().__init__(batch_size, size, z_dim, conv_dim)
            self.last[0] = torch.nn.ConvTranspose2d(conv_dim, 3, 4, 2, 1)

        def forward(self, z):  # 4 x 4, 8 x 8 with attention, 16 x 16 with attention, 32 x 32
            out, first = self.attn1(self.l2(self.l1(z.view(*z.shape, 1, 1))))
            out, second = self.attn2(self.l3(out))
            return self.last(out), first, second

    class Discriminator(theirs.Discriminator):
        def forward(self, x):  # attention on the last map, 4 x 4; the second had been on 64 px's
            out, attention = self.attn1(self.l3(self.l2(self.l1(x))))
            return self.last(out).squeeze(), attention, attention

    return Generator, Discriminator
