"""Which device to compute on: apart from the engine, which takes seconds to import."""

import os

import torch


def pick_device(name: str) -> str:
    """Turn `auto` into the best device there is, and refuse one that is not there.

    Raises:
        ValueError: the named device is not available.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return next(device for device, there in available.items() if there)
    if not available[name]:
        raise ValueError(
            f"device {name} is not available here; leave --device out to choose by itself"
        )
    return name


def usable_cores() -> int:
    """How many of the machine's cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
