"""Run folders: checkpoints, log, and the networks opened from them."""
