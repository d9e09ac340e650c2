"""`sagan data`: check a source, pack it, or make a procedural one."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from sagan.config import Crop
from sagan.config.presets import preset

_Flag = Parameter(negative=())


def check(
    source: str,
    /,
    *,
    resolution: int = 64,
    preset_name: Annotated[str | None, Parameter(name="--preset")] = None,
    channels: int = 0,
    background: str = "white",
    crop: Crop = "center",
    strict: Annotated[bool, _Flag] = False,
    out: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Examine a data source: what is in it, what is damaged, what would help.

    The exit code is 0 if it can be trained on, 1 if the report names a problem.

    Parameters
    ----------
    source
        As for train --data: a name, folder, archive, array, IDX or Parquet file, hub:NAME[:SPLIT].
    resolution
        Side in pixels to train at.
    preset_name
        Preset to estimate memory and time for; by default the one that suits the data.
    channels
        Image channels: 1 grey, 3 RGB, 4 RGBA; 0 keeps the data's own.
    background
        Colour under transparent pictures: a name or #rrggbb.
    crop
        How a picture becomes square, as for train --crop.
    strict
        Count anything unreadable as a problem.
    out
        Write a contact sheet with examples of each class to this FILE.png.
    as_json
        Print the report as JSON.
    """
    from sagan.data.doctor import describe, examine
    from sagan.data.load import check_options
    from sagan.data.sheet import check_name, write_sheet
    from sagan.data.sources.open_source import open_source

    options = check_options(resolution, channels, background, crop=crop)
    if out is not None:
        check_name(out)
    if preset_name is not None:
        preset(preset_name, resolution)  # refused before the pictures are read
    report, examples = examine(
        open_source(source, resolution=resolution), options, strict=strict, progress=True
    )
    cost = None
    if not report.problems:
        from sagan.bench.cost import training_cost

        try:
            cost = training_cost(
                source,
                pictures=report.pictures,
                channels=report.channels,
                classes=len(report.classes),
                preset_name=preset_name,
                resolution=resolution,
            )
        except ValueError as error:  # no preset is of this size
            print(f"what training would take is not known: {error}", file=sys.stderr)
    if as_json:
        print(json.dumps({**report.to_dict(), "training": cost}))
    else:
        print(describe(report))
        if cost is not None:
            print(_line(cost))
    if out is not None and examples:
        write_sheet(examples, out)
        print(f"contact sheet: {out}", file=sys.stderr)
    return 1 if report.problems else 0


def _line(cost: dict[str, Any]) -> str:
    return (
        f"training with preset {cost['preset']} at {cost['resolution_px']} px, batch "
        f"{cost['batch_size']}: about {cost['peak_bytes'] / 1e9:.1f} GB beside the program, and at "
        f"least {cost['least_sec_per_1000_images']:.1f} s per 1,000 images on this "
        f"{cost['device']} ({cost['train_flop_per_image'] / 1e9:.3g} GFLOP per image, "
        f"{cost['measured_flop_per_sec'] / 1e9:.0f} GFLOP/s measured in a matrix product)"
    )


def pack(
    source: str,
    /,
    *,
    resolution: int,
    out: Path,
    channels: int = 0,
    background: str = "white",
    crop: Crop = "center",
    strict: Annotated[bool, _Flag] = False,
) -> None:
    """Decode a data source into a folder that train --data opens instantly.

    Parameters
    ----------
    source
        As for train --data: a name, folder, archive, array, IDX or Parquet file, hub:NAME[:SPLIT].
    resolution
        Side in pixels.
    out
        Folder to create.
    channels
        Image channels: 1 grey, 3 RGB, 4 RGBA; 0 keeps the data's own.
    background
        Colour under transparent pictures: a name or #rrggbb.
    crop
        How a picture becomes square, as for train --crop.
    strict
        Stop at an unreadable image instead of skipping it.
    """
    from sagan.data import pack_dataset
    from sagan.text import skipped

    data = pack_dataset(
        source,
        out,
        resolution=resolution,
        channels=channels,
        background=background,
        crop=crop,
        strict=strict,
        progress=True,
    )
    for line in skipped(data.excluded, f"{out}/packed.json"):
        print(line, file=sys.stderr)
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
