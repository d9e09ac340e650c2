"""Row 8: a file of a checkpoint cut anywhere is refused by its name: 200 cuts."""

import os
import random

import pytest
from faults.test_row02_kills_inside_a_save import two_saved

from sagan.errors import CheckpointError
from sagan.runs.checkpoint import open_checkpoint


@pytest.mark.fault(8)
def test_200_cuts_are_refused_by_name_and_the_checkpoint_before_is_used(tmp_path):
    run, newest = two_saved(tmp_path / "run")
    files = sorted(newest.iterdir())
    draw = random.Random(0)
    for i in range(200):
        file = files[i % len(files)]
        content = file.read_bytes()
        os.truncate(file, draw.randrange(len(content)))
        with pytest.raises(CheckpointError, match=file.name):
            open_checkpoint(newest).verify()
        with pytest.raises(CheckpointError, match=file.name):  # by sizes alone, as at a listing
            open_checkpoint(newest).check_sizes()
        found, faults = run.newest_sound_checkpoint()
        assert (found.step, len(faults)) == (1, 1)
        file.write_bytes(content)
    assert run.newest_sound_checkpoint()[0].step == 2
