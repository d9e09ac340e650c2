"""Choose a device, without the engine, which takes seconds to import."""

import os

import torch


def pick_device(name: str) -> str:
    """Turn `auto` into the best available device; a device that is missing raises ValueError."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return next(device for device, there in available.items() if there)
    if not available[name]:
        raise ValueError(
            f"device {name} is not available here; leave --device out to choose automatically"
        )
    return name


def usable_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
