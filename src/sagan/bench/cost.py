"""What training on some data would take on this machine, before it is begun."""

from dataclasses import replace
from typing import Any

from sagan.config.defaults import default_preset, fitting_batch
from sagan.config.presets import preset
from sagan.devices import pick_device
from sagan.models.estimate import estimate, measure_flop_per_sec


def training_cost(
    source: str,
    *,
    pictures: int,
    channels: int,
    classes: int,
    preset_name: str | None,  # None: what suits the data
    resolution: int,
) -> dict[str, Any]:
    """Estimate memory and time, from the networks' shapes and a matrix product on this device."""
    device = pick_device("auto")
    name = preset_name or default_preset(pictures, source, device)[0]
    network, training = preset(name, resolution)
    if preset_name is None:
        training = replace(training, batch_size=fitting_batch(training, pictures))
    classes = 0 if network.family == "dcgan" else classes
    network = replace(network, channels=channels, classes=classes)
    cost = estimate(network, training, device_type=device)
    flop_per_sec = measure_flop_per_sec(device)
    return {
        "preset": name,
        "resolution_px": resolution,
        "batch_size": training.batch_size,
        "parameters": {"G": cost.g_parameters, "D": cost.d_parameters},
        "train_flop_per_image": cost.train_flop,
        "peak_bytes": cost.peak_bytes,
        "device": device,
        "measured_flop_per_sec": round(flop_per_sec),
        "least_sec_per_1000_images": round(1000 * cost.train_flop / flop_per_sec, 2),
    }
