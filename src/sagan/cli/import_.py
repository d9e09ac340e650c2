"""`sagan import`."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sagan.runs.place import locate

if TYPE_CHECKING:
    from sagan.peers import Imported


def import_(*files: str, out: Path) -> None:
    """Make a run of another implementation's checkpoint: [PEER] FILE...

    FILE: G.pth and, in any order, D.pth and the averaged generator's file
    (with ema in its name). PEER: heykeetae, biggan, studiogan, mimicry or
    mmgen; left out, the files tell. Without D the run can be sampled from and
    explained, not trained.

    Files are read as weights only: code in them is refused, not run.

    Parameters
    ----------
    files
        PEER, if you name it, and the checkpoint's files.
    out
        The run folder to make.
    """
    from sagan.peers import PEERS, import_run

    peer = files[0] if files and files[0] in PEERS and not Path(files[0]).is_file() else None
    paths = [Path(file) for file in files[1 if peer else 0 :]]
    if not paths:
        raise ValueError("name the checkpoint's files: G.pth, and D.pth if it is to be trained on")
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{path} is neither a file nor one of {', '.join(PEERS)}")
        if not os.access(path, os.R_OK):
            raise ValueError(f"{path} may not be read by you: ask for the permission")
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
        lines.append(f"Taken as published, for the files do not tell: {made.assumed}.")
    if made.averaged:
        lines.append("Sampling takes the averaged generator.")
    if made.discriminator:
        lines.append(f"To train on: sagan train {out} --data SOURCE --images N")
    else:
        lines.append("Without a discriminator it can be sampled from and explained, not trained.")
    return lines
