"""`sagan gallery`."""

import sys
from pathlib import Path


def gallery(name: str | None = None, /, *, out: Path | None = None) -> None:
    """Open a trained network that comes with sagan, or list them.

    It becomes a run, to sample from, explore, explain and begin others from.

    Parameters
    ----------
    name
        Which; without it they are listed.
    out
        The run folder to create; by default runs/NAME.
    """
    from sagan.gallery import shipped, unpack

    if name is None:
        if out is not None:
            raise ValueError("--out needs the name of what to write there")
        for one in shipped():
            scores = ", ".join(f"{metric} {value:g}" for metric, value in one.scores.items())
            print(f"{one.name}: {one.about}; {scores}")
            print(f"  {one.command}")
        return
    out = Path("runs") / name if out is None else out
    unpack(name, out)
    print(
        f"{out}: try sagan sample {out} --num 100 --out samples.png, sagan explore {out}",
        file=sys.stderr,
    )
