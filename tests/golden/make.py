"""How the files beside this one were made, with the version of the program that they are named for.

    python tests/golden/make.py v0.1.0-grown     # in the folder where it is to be

They are never made again: a later version opens and resumes them, or refuses them with a sentence
that says what to do (tests/test_golden.py). What a later format needs is a new folder beside them.
`v0.1.0` was made before runs had identities, sizes to grow through and plans by time, manifests
their own checksum, and exported files a seal; `v0.1.0-grown` has all of these.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

TESTS = Path(__file__).resolve().parents[1]
SMALL = ["--g-width", "4", "--d-width", "8", "--batch-size", "16", "--device", "cpu"]
SNAPSHOTS = ["--log-every", "16", "--snapshot-every", "32", "--standing-batches", "2"]


def sagan(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "sagan", *map(str, arguments)], check=True)


def pictures(folder: Path) -> None:
    """Coloured squares in train/ and val/ with the same classes: until 0.1.0, four classes."""
    draw = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 4)):
        for name, colour in (("blue", 2), ("red", 0)):
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                image = draw.integers(0, 80, (12, 10, 3), np.uint8)
                image[:, :, colour] += 150
                Image.fromarray(image).save(folder / part / name / f"{i}.png")


def main(folder: Path) -> None:
    sys.path.insert(0, str(TESTS))
    from peer_checkpoint import peer_files

    folder.mkdir(parents=True)
    pictures(folder / "pictures")
    steps = [*SMALL, "--resolution", 8, *SNAPSHOTS]
    evaluations = ["--evaluate-every", 32, "--evaluate-num", 64, "--metric", "fd:pixel"]
    sagan("train", folder / "digits", "--preset", "digits", "--images", 64, *steps,
          "--keep", 2, *evaluations)  # fmt: skip
    sagan("train", folder / "squares", "--data", folder / "pictures", "--preset", "small",
          "--images", 64, *steps, "--keep", 1, "--evaluate-every", 0)  # fmt: skip
    sagan("data", "pack", folder / "pictures", "--resolution", 8, "--out", folder / "packed")
    sagan("train", folder / "of-packed", "--data", folder / "packed", "--preset", "digits",
          "--images", 64, *steps, "--keep", 1)  # fmt: skip
    sagan("train", folder / "grown", "--preset", "digits", "--images", 64, *SMALL, *SNAPSHOTS,
          "--grow", "8:32", "--resolution", 16, "--keep", 1, "--evaluate-every", 0)  # fmt: skip
    sagan("train", folder / "timed", "--preset", "quick", "--time", "90s", *SMALL,
          "--resolution", 16, "--keep", 1, "--evaluate-every", 0)  # fmt: skip
    peer = folder / "peer"
    peer.mkdir()
    theirs = peer_files("mimicry", "sagan-32px-odd", peer)
    sagan("import", "mimicry", *theirs, "--out", folder / "imported")
    for file in peer.iterdir():
        file.unlink()
    peer.rmdir()
    sagan("export", folder / "digits", "--format", "folder", "--out", folder / "exported")
    for ending in ("safetensors", "onnx"):
        sagan("export", folder / "digits", "--out", folder / f"exported.{ending}")
    for run in ("digits", "squares", "of-packed", "grown", "timed"):  # what is drawn anew
        (folder / run / "curves.png").unlink()
        (folder / run / ".lock").unlink()
    for run in ("digits", "squares", "of-packed", "grown", "timed", "imported", "exported"):
        sagan("sample", folder / run, "--num", 4, "--out", folder / f"{run}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
