"""The program, writing down the checksum of each real image that each process is shown."""

import hashlib
import json
import os
from contextlib import suppress

from sagan.cli import main
from sagan.training.batches import BatchSource

discriminator = BatchSource.discriminator


def recorded(self, d_step):
    batches = discriminator(self, d_step)
    sums = [
        hashlib.sha256(image.numpy().tobytes()).hexdigest()[:16]
        for batch in batches
        for image in batch.images
    ]
    rank = self._share.rank
    with open(f"{os.environ['RECORDED']}.{rank}", "a") as file:
        file.write(json.dumps([d_step, sums]) + "\n")
    return batches


if __name__ == "__main__":
    BatchSource.discriminator = recorded
    with suppress(BrokenPipeError):
        main()
