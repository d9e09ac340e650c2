"""What makes a score mean less than it seems, in words."""

from collections.abc import Callable

from sagan.metrics.score import Score

Caution = Callable[[Score], str]  # empty unless it applies

_PAPER_IMAGES = 10_000
_FEW_IMAGES = 200
_DEVIATIONS = 3


def _smaller_side(score: Score) -> int:
    return min(score.n_generated, score.n_real) if score.n_real else score.n_generated


def singular_covariance(score: Score) -> str:
    n, dim = _smaller_side(score), score.protocol["dimensions"]
    if n > dim:
        return ""
    return f"{n} images for {dim} features: the covariance is singular and sample size dominates"


def fewer_than_papers_fid(score: Score) -> str:
    n = _smaller_side(score)
    if n >= _PAPER_IMAGES or singular_covariance(score):
        return ""
    return f"{n} images: papers use 10,000 to 50,000, and fewer give a larger value"


def fewer_than_papers_is(score: Score) -> str:
    n = _smaller_side(score)
    if n >= _PAPER_IMAGES:
        return ""
    return f"{n} images: papers use 50,000, and fewer give a smaller value"


def small_classes(score: Score) -> str:
    smallest, dim = score.details["smallest_class"], score.protocol["dimensions"]
    if smallest > dim:
        return ""
    return f"as few as {smallest} images per class for {dim} features: sample size dominates"


def skipped_classes(score: Score) -> str:
    if not score.details["classes_left_out"]:
        return ""
    return "some classes have too few images and are skipped"


def few_images(score: Score) -> str:
    n = _smaller_side(score)
    if n >= _FEW_IMAGES:
        return ""
    return f"{n} images are few: differences within the spread mean nothing"


def like_real(score: Score) -> str:
    floor = score.real_vs_real
    if floor is None or not floor.spread:
        return ""
    value = score.value if score.at_real_n is None else score.at_real_n.value
    if abs(value - floor.value) > _DEVIATIONS * floor.spread:
        return ""
    return f"indistinguishable from real images: within {_DEVIATIONS} sd of the real-vs-real score"


def like_real_repeatedly(score: Score) -> str:
    # the spread of a single comparison is that of its subsets or splits, which are smaller
    floor = score.real_vs_real
    return like_real(score) if floor is not None and floor.repeats > 1 else ""


def no_test_split(score: Score) -> str:
    if score.protocol.get("test_split") == "the data's own":
        return ""
    return "the held-out images may have been trained on"
