"""Train a peer for CPU time on given pictures and save what it generates at each mark.

OMP_NUM_THREADS=1 python benchmarks/pictures/beside.py dcgan --data train.npz --out results

README.md beside this file says where the peers come from. The same command again goes on from the
last mark.
"""

import argparse
import contextlib
import importlib
import sys
from pathlib import Path

import clock
import numpy as np
import torch
from clock import Clock, Finished

PEERS = ("dcgan", "heykeetae", "lightweight", "r3gan", "sagan")


def main() -> None:
    """Run one peer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--data", type=Path, required=True, help=".npz of pictures.py")
    parser.add_argument("--source", type=Path, help="the peer's own code")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", default="10,30,60")
    parser.add_argument("--num", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE for the adapter")
    parser.add_argument("--device", default="cpu", help="or cuda; the clock is then time")
    parser.add_argument("--name", help="of the result, by default the peer's")
    options = parser.parse_args()
    torch.set_num_threads(1)
    clock.trains_on = torch.device(options.device)
    torch.set_default_device(clock.trains_on)  # for peers that say nothing of devices
    if options.source:
        sys.path.insert(0, str(options.source))
    with np.load(options.data) as arrays:
        images = arrays["images"]
    settings = dict(setting.split("=", 1) for setting in options.set)
    minutes = [float(m) for m in options.minutes.split(",")]
    name, channels = options.name or options.peer, images.shape[-1]
    its_clock = Clock(name, options.out, minutes, options.num, options.seed, channels)
    with contextlib.suppress(Finished):
        importlib.import_module(f"peer_{options.peer}").run(images, settings, its_clock)


if __name__ == "__main__":
    main()
