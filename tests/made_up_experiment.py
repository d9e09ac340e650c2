"""Experiments whose scores are made up, to test what is made of them."""

import json

from sagan.ablation.protocol import ANALYSIS, Contrast, Plan, run_folder

IMAGES = (100, 200, 300, 400)
TRAINING = {"images": 400, "batch_size": 100, "snapshot_every": 100}

TINY = {  # options of runs as small as can be
    "data": "digits",
    "resolution": 8,
    "preset": "digits",
    "g_width": 4,
    "d_width": 8,
    "batch_size": 16,
    "images": 64,
    "ema_start": 16,
}


def make_experiment(folder, values, *, seeds=8, done=None, **changes):
    """A plan and scores on disk; `values(arm, seed, images)` is a lift, or None if refused."""
    arms = {"none": {"g_attention": "none"}, "attention": {}, "residual": {"attention_form": "r"}}
    plan = Plan(
        **{
            "options": {"data": "twins", "resolution": 16, "images": IMAGES[-1]},
            "arms": arms,
            "seeds": seeds,
            "metrics": ("lift",),
            "num": 10_000,
            "curve_num": 2_000,
            "underpowered": seeds < 6,
            "primary": Contrast("attention", "none", "lift", "end"),
            "secondary": (
                Contrast("attention", "none", "lift", "mean"),
                Contrast("attention", "none", "lift", "time"),
                Contrast("attention", "residual", "lift", "end"),
            ),
            "configs": {arm: {"training": TRAINING} for arm in arms},
            "parameters": {arm: (10, 20) for arm in arms},
            "analysis": ANALYSIS,
            "made_with": {"commit": ""},
            **changes,
        }
    )
    plan.write(folder)
    for seed in range(seeds):
        for arm in arms:
            if done is not None and (arm, seed) not in done:
                continue
            run = run_folder(folder, arm, seed)
            run.mkdir(parents=True)
            records = []
            for step, images in enumerate(IMAGES, 1):
                value = values(arm, seed, images)
                head = {"step": step, "images": images, "metric": "lift", "value": value}
                if value is None:
                    head |= {"refused": "refused: 30.0% of ...", "abstain_rate": 0.3}
                else:
                    head |= {"abstain_rate": 0.01, "pass_rate": value}
                records.append({**head, "num": 2_000})
            records.append({**records[-1], "num": 10_000})
            (run / "scores.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
            (run / "done").touch()
    return plan
