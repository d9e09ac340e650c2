"""The clock that all peers are measured by: CPU time of the process, one thread; on a GPU, time.

Taking samples and saving do not count. What other programs do on the machine matters little, but on
a GPU it does.
"""

import copy
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

trains_on = torch.device("cpu")  # set by `beside.py`


class Finished(Exception):
    """Raised in a peer's loop when its time is over."""


class Clock:
    """Stop a peer's loop at each mark, save generated images, and let it go on.

    Args:
        name: what the files are called.
        out: folder for NAME-Mm.npz (uint8 n h w c), NAME.jsonl, and NAME.state to go on from.
        minutes: marks, of CPU time spent in training.
        num: images to generate at each mark.
        seed: of training.
        channels: of the pictures, 1 or 3; if 1, the mean over those of the generated is saved.
    """

    def __init__(
        self, name: str, out: Path, minutes: list[float], num: int, seed: int, channels: int
    ) -> None:
        self.name, self.out, self.num, self.seed, self.channels = name, out, num, seed, channels
        self.minutes = sorted(minutes)
        self.shown = self.steps = 0
        self._before_sec, self._began_sec = 0.0, now_sec()
        self._sample: Callable[[int], NDArray[np.uint8]] | None = None
        self._parts: Mapping[str, Any] = {}
        torch.manual_seed(seed)
        np.random.seed(seed)

    @property
    def elapsed_sec(self) -> float:
        """Time of training so far, of earlier calls too."""
        return self._before_sec + now_sec() - self._began_sec

    def watch(self, sample: Callable[[int], NDArray[np.uint8]], **parts: Any) -> None:
        """Say how to generate n images (uint8 n h w c), and what makes up the peer's state."""
        self._sample, self._parts = sample, parts
        path = self.out / f"{self.name}.state"
        if path.is_file():
            state = torch.load(path, weights_only=True, map_location=trains_on)
            for part, values in state["parts"].items():
                parts[part].load_state_dict(values)
            self.shown, self.steps, self._before_sec = state["at"]
            self._began_sec = now_sec()
            torch.manual_seed(self.seed + self.steps)
            np.random.seed(self.seed + self.steps)
            self.minutes = [m for m in self.minutes if 60 * m > self._before_sec]
            if not self.minutes:
                raise Finished

    def tick(self, shown: int) -> None:
        """Count a step over this many real images; save if a mark was passed; maybe stop."""
        self.steps += 1
        self.shown += shown
        spent_sec = self.elapsed_sec
        if self.minutes and spent_sec >= 60 * self.minutes[0]:
            self._save(self.minutes.pop(0), spent_sec)
            self._before_sec, self._began_sec = spent_sec, now_sec()
        if not self.minutes:
            raise Finished

    def _save(self, minutes: float, spent_sec: float) -> None:
        assert self._sample is not None
        self.out.mkdir(parents=True, exist_ok=True)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            images = self._sample(self.num)
        if self.channels == 1:
            images = images.mean(-1, keepdims=True).round().astype(np.uint8)
        np.savez(self.out / f"{self.name}-{minutes:g}m.npz", images=images)
        state = {k: part.state_dict() for k, part in self._parts.items()}
        at = (self.shown, self.steps, spent_sec)
        torch.save({"parts": state, "at": at}, self.out / f"{self.name}.state")
        self.note(minutes, spent_sec)

    def note(self, minutes: float, spent_sec: float) -> None:
        """Add a line about a mark to NAME.jsonl."""
        line = {
            "peer": self.name,
            "minutes": minutes,
            ("cpu_sec" if trains_on.type == "cpu" else "sec"): round(spent_sec, 1),
            "images_shown": self.shown,
            "steps": self.steps,
            "seed": self.seed,
            "load": round(os.getloadavg()[0], 1),
        }
        with open(self.out / f"{self.name}.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(line, flush=True)


def now_sec() -> float:
    """Read the clock."""
    return time.process_time() if trains_on.type == "cpu" else time.monotonic()


def batches(images: NDArray[np.uint8], size: int, channels: int) -> Any:
    """Draw batches for ever, a shuffle an epoch: float [-1, 1] b c h w; grey is repeated."""
    planes = images.transpose(0, 3, 1, 2)
    while True:
        order = np.random.permutation(len(images))
        for begin in range(0, len(order) - size + 1, size):
            chosen = torch.from_numpy(planes[np.sort(order[begin : begin + size])])
            batch = chosen.to(trains_on).float().div(127.5).sub(1)
            yield batch.expand(-1, channels, -1, -1).contiguous()


def generated(
    generator: torch.nn.Module, latent_dim: int, num: int, *, train: bool = False, at_once: int = 64
) -> NDArray[np.uint8]:
    """Generate images, uint8 n h w c, with a copy."""
    generator = copy.deepcopy(generator).train(train)
    made = []
    for _ in range(-(-num // at_once)):
        images = generator(torch.randn(at_once, latent_dim))
        images = images[0] if isinstance(images, tuple) else images
        made.append(images.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8))
    return torch.cat(made)[:num].permute(0, 2, 3, 1).cpu().numpy()
