"""`sagan data`: check a source, pack it, or make a procedural one."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from sagan.config.presets import default_preset, preset

if TYPE_CHECKING:
    from sagan.data.doctor import Report

_Flag = Parameter(negative=())


def check(
    source: str,
    /,
    *,
    resolution: int = 64,
    preset_name: Annotated[str | None, Parameter(name="--preset")] = None,
    channels: int = 0,
    background: str = "white",
    strict: Annotated[bool, _Flag] = False,
    out: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Look through a data source: what is in it, what is damaged, what would help.

    Exit code 0 when it can be trained on, 1 when the report names a problem.

    Parameters
    ----------
    source
        As of train --data: a name, folder, archive, array or Parquet file, hub:NAME[:SPLIT].
    resolution
        Side in pixels to train at.
    preset_name
        Preset to estimate memory and time for; by default what suits the data.
    channels
        Image channels: 1 grey, 3 RGB, 4 RGBA; 0: the data's own.
    background
        Colour laid under transparent pictures: a name or #rrggbb.
    strict
        Count anything that cannot be read as a problem.
    out
        FILE.png for a contact sheet with examples of each class.
    as_json
        Print the report as JSON.
    """
    from sagan.data.doctor import describe, examine
    from sagan.data.load import check_options
    from sagan.data.sheet import write_sheet
    from sagan.data.sources.open_source import open_source

    options = check_options(resolution, channels, background)
    if out is not None and out.suffix.lower() != ".png":
        raise ValueError(f"{out} is no .png file, which the contact sheet is")
    if preset_name is not None:
        preset(preset_name, resolution)  # refused before the pictures are read
    report, examples = examine(
        open_source(source, resolution=resolution), options, strict=strict, progress=True
    )
    cost = None if report.problems else _cost(report, source, preset_name, resolution)
    if as_json:
        print(json.dumps({**report.to_dict(), "training": cost}))
    else:
        print("\n".join([describe(report), *_cost_lines(cost)]))
    if out is not None and examples:
        write_sheet(examples, out)
        print(f"contact sheet: {out}", file=sys.stderr)
    return 1 if report.problems else 0


def _cost(
    report: "Report", source: str, preset_name: str | None, resolution: int
) -> dict[str, Any]:
    """Estimate what training on the data takes, from the network's shapes and this machine."""
    from sagan.devices import pick_device
    from sagan.models.estimate import estimate, measure_flop_per_sec

    name = preset_name or default_preset(report.pictures, source)[0]
    network, training = preset(name, resolution)
    classes = 0 if network.family == "dcgan" else len(report.classes)
    network = replace(network, channels=report.channels, classes=classes)
    device = pick_device("auto")
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


def _cost_lines(cost: dict[str, Any] | None) -> list[str]:
    if cost is None:
        return []
    return [
        f"training with preset {cost['preset']} at {cost['resolution_px']} px, batch "
        f"{cost['batch_size']}: about {cost['peak_bytes'] / 1e9:.1f} GB beside the program, and at "
        f"least {cost['least_sec_per_1000_images']:.1f} s per 1,000 images on this "
        f"{cost['device']} ({cost['train_flop_per_image'] / 1e9:.3g} GFLOP an image, "
        f"{cost['measured_flop_per_sec'] / 1e9:.0f} GFLOP/s measured in a matrix product)"
    ]


def pack(
    source: str,
    /,
    *,
    resolution: int,
    out: Path,
    channels: int = 0,
    background: str = "white",
    strict: Annotated[bool, _Flag] = False,
) -> None:
    """Decode a data source once into a folder, which train --data then opens at once.

    Parameters
    ----------
    source
        As of train --data: a name, folder, archive, array or Parquet file, hub:NAME[:SPLIT].
    resolution
        Side in pixels.
    out
        The folder to make.
    channels
        Image channels: 1 grey, 3 RGB, 4 RGBA; 0: the data's own.
    background
        Colour laid under transparent pictures: a name or #rrggbb.
    strict
        Stop if a picture cannot be read, instead of leaving it out.
    """
    from sagan.cli.common import say_what_is_left_out
    from sagan.data import pack_dataset

    data = pack_dataset(
        source,
        out,
        resolution=resolution,
        channels=channels,
        background=background,
        strict=strict,
        progress=True,
    )
    say_what_is_left_out(data.excluded, f"{out}/packed.json")
    classes = f", {len(data.class_names)} classes" if data.class_names else ""
    print(f"{out}: {len(data):,} images{classes}", file=sys.stderr)


def make(
    name: str, /, *, out: Path, resolution: int = 32, num: int = 20_000, seed: int = 0
) -> None:
    """Make a procedural data set, in a folder which train --data then opens.

    Image i depends on the seed and i alone. --data NAME has 20,000 images of
    seed 0 to train on and 4,000 of seed 1 to test on.

    Parameters
    ----------
    name
        twins, quadrupeds or barcode.
    out
        The folder to make.
    resolution
        Side in pixels: 16, 32 or 64.
    num
        How many images.
    seed
        Of the images.
    """
    from sagan.data.load import pack_source
    from sagan.data.procedural import procedural_source

    source = procedural_source(name, resolution=resolution, num=num, seed=seed)
    data = pack_source(source, out, resolution=resolution, progress=True)
    classes = f", {len(data.class_names)} classes" if data.class_names else ""
    print(f"{out}: {len(data):,} images{classes}", file=sys.stderr)
