"""Put a run's networks into the gallery that comes with sagan.

    python examples/make_gallery.py runs/clothes clothes record.json

The averaged generator and the discriminator of the run's checkpoint are written beside
`src/sagan/gallery/gallery.json`, and their record into it. `record.json` has what the run does not
know: `about`, `command`, `scores`, `evaluated`, `hardware`, `date` and `licence`; and `class_names`
if the data have only numbers.
"""

import argparse
import hashlib
import json
from pathlib import Path

import safetensors.torch

from sagan import gallery
from sagan.gallery.contents import PARTS, stripped
from sagan.runs.run import find_checkpoint

FOLDER = Path(gallery.__file__).parent


def main(run: Path, name: str, record: Path, folder: Path = FOLDER) -> None:
    """Write the weights and the record; one of the same name is replaced."""
    checkpoint = find_checkpoint(run, verify_files=None)
    tensors = {
        f"{part}.{key}": tensor
        for part in PARTS
        for key, tensor in checkpoint.tensors(part).items()
    }
    content = safetensors.torch.save(tensors)
    (folder / f"{name}.safetensors").write_bytes(content)
    said = json.loads(record.read_text(encoding="utf-8"))
    config = stripped(checkpoint.config)
    if names := said.pop("class_names", None):
        config["data"]["class_names"] = names
    made = {
        "name": name,
        "px": checkpoint.config.network.resolution,
        "images": checkpoint.manifest["images"],
        **said,
        "sha256": hashlib.sha256(content).hexdigest(),
        "config": config,
    }
    index = folder / "gallery.json"
    records = json.loads(index.read_text(encoding="utf-8")) if index.is_file() else []
    records = sorted([*(r for r in records if r["name"] != name), made], key=lambda r: r["name"])
    index.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    print(f"{name}: {len(content) / 1e6:.2f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("record", type=Path)
    options = parser.parse_args()
    main(options.run, options.name, options.record)
