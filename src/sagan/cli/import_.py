"""`sagan import`."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sagan.runs.place import locate

if TYPE_CHECKING:
    from sagan.peers import Imported


def import_(*files: str, out: Path) -> None:
    """Import another implementation's checkpoint as a run: [PEER] FILE...

    FILE: G.pth and, in any order, D.pth and the averaged generator's file
    (with ema in its name). PEER: heykeetae, biggan, studiogan, mimicry or
    mmgen; by default, recognised from the files. Without D the run can be
    sampled and explained, but not trained.

    Files are read as weights only: code in them is refused, never run.

    Parameters
    ----------
    files
        Optionally PEER, then the checkpoint's files.
    out
        The run folder to create.
    """
    from sagan.peers import PEERS, import_run

    peer = files[0] if files and files[0] in PEERS and not Path(files[0]).is_file() else None
    paths = [Path(file) for file in files[1 if peer else 0 :]]
    if not paths:
        raise ValueError("name the checkpoint's files: G.pth, and D.pth to train it further")
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path} is neither a file nor one of {', '.join(PEERS)}")
        if not os.access(path, os.R_OK):
            raise ValueError(f"{path} cannot be read: permission denied")
        locate(path).require("file")
    made = import_run(paths, out, peer=peer)
    print("\n".join(_report(made, out)), file=sys.stderr)


def _report(made: "Imported", out: Path) -> list[str]:
    network = made.config.network
    classes = f"{network.classes} classes" if network.classes else "unconditional"
    sides = {"G": network.g_attention, "D": network.d_attention}
    places = [f"{net} at {', '.join(map(str, at))} px" for net, at in sides.items() if at]
    attention = f"attention in {' and '.join(places)}" if places else "no attention"
    lines = [f"{out}: {made.peer}, {network.resolution} px, {classes}, {attention}"]
    if made.assumed:
        lines.append(f"Not in the files, assumed as published: {made.assumed}.")
    if made.averaged:
        lines.append("Sampling uses the averaged generator.")
    if made.discriminator:
        lines.append(f"To continue training: sagan train {out} --data SOURCE --images N")
    else:
        lines.append("Without a discriminator it can be sampled and explained, but not trained.")
    return lines
