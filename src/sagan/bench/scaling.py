"""Weak scaling: a training step in one process and in several, each with the same batch and thread.

The processes wait to be told to step, so that candidates can take turns:

    python -m sagan.bench.scaling PRESET SIDE BATCH      # with torchrun's environment variables
"""

import atexit
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import torch

from sagan.bench.harness import Candidate, Comparison, Scale
from sagan.bench.steps import training_step
from sagan.config.presets import preset

# preset, side in pixels, batch of each process, processes
_SIZES: dict[Scale, list[tuple[str, int, int, int]]] = {
    "tiny": [("digits", 8, 4, 2)],
    "quick": [("digits", 8, 64, 2)],
    "full": [("digits", 8, 64, 2), ("small", 32, 16, 2), ("article", 64, 16, 2)],
}


def scaling_case(scale: Scale) -> list[Comparison]:
    """One process against several; `speedup` is the share of the one's rate that each keeps."""
    return [
        Comparison(
            label=f"{name} {side} px, {batch} images a process",
            candidates=[
                Candidate(name=f"{n} process{'es' * (n > 1)}", prepare=_team(name, side, batch, n))
                for n in (1, processes)
            ],
            parameters={"preset": name, "side": side, "batch": batch, "processes": processes},
            items=batch,
        )
        for name, side, batch, processes in _SIZES[scale]
    ]


def _team(name: str, side: int, batch: int, processes: int) -> Callable[[], Callable[[], object]]:
    def prepare() -> Callable[[], object]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        shared = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "WORLD_SIZE": str(processes),
            "LOCAL_WORLD_SIZE": str(processes),
            "TORCHELASTIC_RUN_ID": "bench",
            "OMP_NUM_THREADS": "1",
        }
        workers = [
            subprocess.Popen(
                [sys.executable, "-m", "sagan.bench.scaling", name, str(side), str(batch)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            )
            for rank in range(processes)
        ]
        for worker in workers:
            atexit.register(worker.kill)

        def call() -> object:
            for worker in workers:
                assert worker.stdin is not None
                worker.stdin.write(b".")
                worker.stdin.flush()
            for worker in workers:
                assert worker.stdout is not None
                if not worker.stdout.read(1):
                    raise RuntimeError("a process of the team ended; see its error above")
            return None

        return call

    return prepare


def main(name: str, side: str, batch: str) -> None:
    """Take a step for every byte received, and answer with one."""
    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries may print: not an answer
    network, training = preset(name, int(side))
    if network.family == "resnet":
        network = replace(network, classes=10)
    training = replace(training, batch_size=int(batch), d_steps=1)
    step = training_step(network, training)
    while sys.stdin.buffer.read(1):
        step()
        answers.write(b".")


if __name__ == "__main__":
    main(*sys.argv[1:])
