"""sagan itself: `sagan train --preset quick --resolution 32 --time M` with CPU time for the clock.

The time decides its plan, so each mark has a run of its own, from nothing. A run's whole CPU time
is noted, the program's start and the reading of the pictures included. `--set KEY=VALUE` is an
option `--KEY VALUE` of `sagan train`, and `--set unconditional=` one without a value.
"""

import sys
import time

import clock as clocks
import numpy as np
import torch
from numpy.typing import NDArray


def run(images: NDArray[np.uint8], settings: dict[str, str], clock: clocks.Clock) -> None:
    """Train a run for each mark; the pictures are read from the file again, with their labels."""
    began_sec = clocks.now_sec()
    torch.set_default_device("cpu")
    if clocks.trains_on.type == "cpu":  # before sagan is imported: its --time is of this clock
        time.monotonic = time.perf_counter = time.process_time
    import sagan
    import sagan.training.measure as measure
    from sagan.cli import main
    from sagan.runs.log import read_records
    from sagan.sampling import of_all_classes

    # A guess from two images would refuse short times on a loaded machine; only the first plan is
    # made of it, and the run corrects it.
    measure._LONG_STEP_SEC = float("inf")
    data = sys.argv[sys.argv.index("--data") + 1]
    for minutes in clock.minutes:
        path = clock.out / f"{clock.name}-{minutes:g}m-run"
        words = ["train", str(path), "--data", data, "--time", f"{60 * minutes:g}s"]
        fixed = {"resolution": images.shape[1], "seed": clock.seed}
        fixed["device"] = clocks.trains_on.type
        for key, value in ({"preset": "quick"} | settings | fixed).items():
            words += [f"--{key}", str(value)] if value != "" else [f"--{key}"]
        try:
            main(words)
        except SystemExit as done:
            if done.code:
                raise
        records = list(read_records(path / "log.jsonl"))
        trained_sec = max(r["elapsed"] for r in records if "elapsed" in r)  # of earlier calls too
        spent_sec = max(trained_sec, clocks.now_sec() - began_sec)
        clock.shown = max(r["images"] for r in records if "images" in r)
        clock.steps = max(r["step"] for r in records if "step" in r)
        generator = sagan.load(path)
        counts = None  # of each class, so that its pictures are as frequent as the real ones
        if generator.config.classes:
            with np.load(data) as given:
                counts = torch.from_numpy(given["labels"]).bincount()
        batches, labels = of_all_classes(
            generator, generator.config, clock.num, seed=0, counts=counts
        )
        arrays = {"images": torch.cat(list(batches)).permute(0, 2, 3, 1).numpy()}
        if labels is not None:
            arrays["labels"] = labels.numpy()
        np.savez(clock.out / f"{clock.name}-{minutes:g}m.npz", **arrays)
        clock.note(minutes, spent_sec)
        began_sec = clocks.now_sec()
