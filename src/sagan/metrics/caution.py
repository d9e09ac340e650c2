"""What makes a score mean less than it seems, in words."""

from sagan.metrics.score import Score
from sagan.metrics.spec import Spec

_FID_IMAGES = 10_000
_FEW = 200
_DEVIATIONS = 3
_FEW_A_CLASS = 50


def caution_of(spec: Spec, score: Score) -> str:
    """Say what is wrong with a score; nothing where nothing is known to be."""
    return "; ".join(_cautions(spec, score))


def _cautions(spec: Spec, score: Score) -> list[str]:
    said = []
    n = min(score.n_generated, score.n_real) if score.n_real else score.n_generated
    dim = score.protocol["dimensions"]
    if spec.name in ("fid", "fd"):
        if n <= dim:
            said.append(
                f"{n} images for {dim} features: the covariance is singular and the value mostly "
                "the sample's size"
            )
        elif spec.name == "fid" and n < _FID_IMAGES:
            said.append(f"{n} images: papers take 10,000 to 50,000, and fewer give a larger value")
    elif spec.name == "is" and n < _FID_IMAGES:
        said.append(f"{n} images: papers take 50,000, and fewer give a smaller value")
    elif spec.name in ("intra-fid", "intra-fd"):
        smallest = score.details["smallest_class"]
        if smallest <= dim:
            said.append(
                f"as few as {smallest} images a class for {dim} features: mostly the sample's size"
            )
        if score.details["classes_left_out"]:
            said.append("some classes have too few images and are left out")
    elif n < _FEW:
        said.append(f"{n} images are few: differences under the spread mean nothing")
    floor = score.real_vs_real
    if floor is not None and floor.spread:
        value = score.value if score.at_real_n is None else score.at_real_n.value
        if abs(value - floor.value) <= _DEVIATIONS * floor.spread:
            said.append("not told apart from real images: within 3 deviations of real against real")
    if spec.name == "memorisation" and score.protocol.get("test_split") != "the data's own":
        said.append("the held-out images may have been trained on")
    return said
