"""lightweight-gan of PyPI: its Trainer and the defaults of its command line.

Changed: on the CPU, the assertion of CUDA and the devices' names; pictures come from memory, not
from files; its pictures and checkpoints every so many steps are not written. `--set fmap_max=64`
hands on an option as JSON.
"""

import json
import sys
import tempfile
import types
from importlib.util import find_spec

import clock as clocks
import numpy as np
import torch
from clock import Clock, batches, generated
from numpy.typing import NDArray

_OF_ITS_COMMAND_LINE = {
    "batch_size": 10,
    "gradient_accumulate_every": 4,
    "attn_res_layers": [32],
    "disc_output_size": 1,
    "lr": 2e-4,
    "aug_types": ["cutout", "translation"],
}


def run(images: NDArray[np.uint8], settings: dict[str, str], clock: Clock) -> None:
    """Train on uint8 n h h c until the clock stops it."""
    theirs = _imported()
    chosen = _OF_ITS_COMMAND_LINE | {"image_size": images.shape[1]}
    chosen |= {name: json.loads(value) for name, value in settings.items()}
    with tempfile.TemporaryDirectory() as folder:
        trainer = theirs.Trainer(base_dir=folder, use_aim=False, **chosen)
    trainer.init_GAN()
    trainer.aug_prob = min(0.5, (1e5 - len(images)) * 3e-6)  # as set_data_src sets it
    trainer.loader = (batch.add(1).div(2) for batch in batches(images, trainer.batch_size, 3))
    trainer.save = trainer.evaluate = lambda *_, **__: None
    gan = trainer.GAN
    clock.watch(
        lambda n: generated(_Signed(gan.G), trainer.latent_dim, n),
        gan=gan,
        g_opt=gan.G_opt,
        d_opt=gan.D_opt,
    )
    trainer.steps = clock.steps
    while True:
        trainer.train()
        clock.tick(trainer.batch_size * trainer.gradient_accumulate_every)


class _Signed(torch.nn.Module):
    """Its images are in [0, 1]."""

    def __init__(self, generator: torch.nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, latents):
        return self.generator(latents) * 2 - 1


class _TorchOnCpu:
    """torch, where every device is the CPU."""

    def __getattr__(self, name: str):
        return getattr(torch, name)

    def device(self, *_) -> torch.device:
        return torch.device("cpu")


def _imported() -> types.ModuleType:
    if find_spec("torchvision") is None:  # reads files, which is not used
        names = ["torchvision", "torchvision.transforms"]
        sys.modules |= {name: types.ModuleType(name) for name in names}
        sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]
    has_cuda, torch.cuda.is_available = torch.cuda.is_available, lambda: True
    try:
        import lightweight_gan.lightweight_gan as theirs
    finally:
        torch.cuda.is_available = has_cuda
    if clocks.trains_on.type != "cpu":
        return theirs
    theirs.torch = _TorchOnCpu()
    torch.nn.Module.cuda = torch.Tensor.cuda = lambda self, *_: self
    return theirs
