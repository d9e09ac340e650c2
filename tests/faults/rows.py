"""The fault matrix: each row's number and name, and how its tests ended.

A test of row 13 is marked `@pytest.mark.fault(13)`, wherever it stands. `./dev faults` runs all of
them, the slow ones too, and prints a line a row, then what the tests have counted.
"""

from collections import defaultdict

NAMES = {
    1: "50 random kill -9 during training",
    2: "kills inside a save",
    3: "a kill while old checkpoints are dropped or the best is chosen",
    4: "order of writing, syncing and renaming",
    5: "disk full",
    6: "read-only folder, another device",
    7: "1,000 bit flips in a checkpoint",
    8: "truncated, empty or missing file, bad manifest",
    9: "parts from different steps or runs",
    10: "another configuration on resuming",
    11: "older or newer format",
    12: "weights change during an asynchronous save",
    13: "two writers of one run",
    14: "SIGTERM in a step, an evaluation, sampling, a save",
    15: "SIGTERM to one of two ranks",
    16: "kill -9 of one of two ranks, or of their parent",
    17: "a rank hangs",
    18: "1 -> 2 -> 1 ranks",
    19: "a worker that reads images is killed",
    20: "NaN or Inf in a loss, a gradient or a weight",
    21: "NaN before the first checkpoint, or at every retry",
    22: "a metric that is NaN or fails",
    23: "divergence after the best",
    24: "mode collapse",
    25: "spectral blow-up",
    26: "24 kinds of image file",
    27: "unusable classes and labels",
    28: "data changed between resumes",
    29: "malicious files",
    30: "fuzzed configurations, checkpoints, images",
    31: "the explorer's server under attack",
    32: "network at run time",
    33: "tampered lock or wheel",
    34: "parity of the metrics, and few images",
}

# what tests note with the fixture `counted`, added up: what was tried, and what came of it
FIGURES = {
    "random kills of a run": "resumed to equal bits",
    "kills inside a save": "states lost",
    "kills of a save in place": "states lost in place",
    "kills of delete, then save": "states lost by deleting first",
    "bits flipped in checkpoints": "caught in checkpoints",
    "bits flipped in exported files": "caught in exported files",
    "hostile files and options": "refused in one line",
    "spoilt and made-up files": "errors that are not declared",
    "kinds of image file": "read otherwise than written down",
    "commands in a network namespace": "addresses outside that they tried",
}


def outcomes(reports):
    """What became of each row, by its number: a word and the reasons.

    `reports` are pairs of a category (passed, failed, error, skipped) and a test's report.
    """
    by_row = defaultdict(list)
    for category, report in reports:
        for row in dict(report.user_properties).get("faults", ()):
            by_row[row].append((category, report))
    return {row: _outcome(by_row[row]) for row in NAMES}


def _outcome(ended):
    bad = [report.nodeid for category, report in ended if category in ("failed", "error")]
    if bad:
        return "failed", f"{len(bad)} of {len(ended)} tests: {bad[0]}"
    skipped = [report for category, report in ended if category == "skipped"]
    if skipped:
        reason = skipped[0].longrepr
        reason = reason[2] if isinstance(reason, tuple) else str(reason)
        return "skipped", f"{len(skipped)} of {len(ended)} tests: {reason}"
    if not ended:
        return "missing", "no test"
    return "passed", f"{len(ended)} test{'s' if len(ended) > 1 else ''}"


def table(found):
    """The lines to print, the last with how many rows passed."""
    width = max(len(name) for name in NAMES.values())
    for row, (word, reason) in found.items():
        yield f"{row:2}  {NAMES[row]:{width}}  {word:7}  {reason}"
    passed = sum(word == "passed" for word, _ in found.values())
    yield f"{passed} of {len(NAMES)}"


def figures(reports):
    """The lines of what was counted, where anything was."""
    found = defaultdict(int)
    for _, report in reports:
        for name, count in dict(report.user_properties).get("counted", {}).items():
            found[name] += count
    for tried, came_of_it in FIGURES.items():
        if found[tried]:
            yield f"{tried}: {found[tried]:,}; {came_of_it}: {found[came_of_it]:,}"
