"""`sagan data`: check a source, pack it."""

import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

_Flag = Parameter(negative=())


def check(
    source: str,
    /,
    *,
    resolution: int = 64,
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
    from sagan.data.sources import open_source

    options = check_options(resolution, channels, background)
    if out is not None and out.suffix.lower() != ".png":
        raise ValueError(f"{out} is no .png file, which the contact sheet is")
    report, examples = examine(open_source(source), options, strict=strict, progress=True)
    print(json.dumps(report.to_dict()) if as_json else describe(report))
    if out is not None and examples:
        write_sheet(examples, out)
        print(f"contact sheet: {out}", file=sys.stderr)
    return 1 if report.problems else 0


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
