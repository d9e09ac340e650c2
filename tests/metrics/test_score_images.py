"""`sagan.evaluate`: arrays, tensors and batches of any program, and what it refuses."""

import numpy as np
import pytest
import torch

import sagan
from sagan.metrics.features.extractors import Extracted
from sagan.metrics.formulas.frechet import frechet_distance_of
from sagan.metrics.formulas.prdc import prdc


@pytest.fixture(scope="module")
def real(digits):
    return digits[0]


@pytest.fixture(scope="module")
def other(digits):
    return digits[1]


def test_scores_are_the_formulas_on_all_images(real, other):
    scores = sagan.evaluate(other.images, real.images, metrics="fd:pixel,prdc:pixel")
    x, y = (images.reshape(len(images), -1) / 255 for images in (other.images, real.images))
    assert scores["fd:pixel"].value == pytest.approx(frechet_distance_of(x, y), rel=1e-9)
    assert scores["recall:pixel"].value == prdc(y, x).recall
    assert (scores["fd:pixel"].n_generated, scores["fd:pixel"].n_real) == (len(x), len(y))


def test_arrays_tensors_and_batches_score_alike(real, other):
    def score(generated, originals, labels, real_labels):
        scores = sagan.evaluate(
            generated, originals, metrics="fd:pixel,cas", labels=labels, real_labels=real_labels
        )
        return {name: score.value for name, score in scores.items()}

    images, labels = other.images, other.labels
    arrays = score(images, real.images, labels, real.labels)
    tensor = torch.tensor(images)
    assert score(tensor, torch.tensor(real.images), torch.tensor(labels), real.labels) == arrays
    batches = (tensor[i : i + 100] for i in range(0, len(tensor), 100))
    assert (
        score(batches, [real.images[:7], real.images[7:]], labels.tolist(), real.labels) == arrays
    )
    assert arrays["cas"] > 0.9


def test_all_that_the_images_allow_is_the_default(real, other, monkeypatch):
    monkeypatch.setattr("sagan.metrics.features.classifier._STEPS", 5)
    images, originals = other.images[:100], real.images[:200]
    without = sagan.evaluate(images, originals, labels=other.labels[:100])
    both = sagan.evaluate(
        images, originals, labels=other.labels[:100], real_labels=real.labels[:200]
    )
    assert set(both) - set(without) == {"cas"}
    assert {"fd:own", "fd:pixel", "kid:pixel", "recall:pixel", "nn1:pixel"} < set(without)
    assert set(without["duplicates:pixel"].per_class) == set(both["cas"].per_class)
    assert list(both["cas"].per_class) == [str(k) for k in range(10)]


def test_the_seed_chooses_what_is_held_out(real, other):
    def ceiling(seed):
        scores = sagan.evaluate(
            other.images,
            real.images[:300],
            metrics="cas",
            labels=other.labels,
            real_labels=real.labels[:300],
            seed=seed,
        )
        return scores["cas"].real_vs_real.value

    assert ceiling(0) == ceiling(0)
    assert len({ceiling(seed) for seed in range(4)}) > 1


class Inception:
    """In the place of the network: as many features as pixels, and logits that tell them apart."""

    name = "inception"
    dim = 64
    resize = "none"
    weights_sha256 = ""

    def __call__(self, images):
        pixels = images.flatten(1).double().numpy()
        return Extracted(pixels, np.tile(pixels, (1, 16))[:, :1008])


def test_with_an_inception_network_its_metrics_are_there(real, other):
    scores = sagan.evaluate(
        other.images, real.images, metrics="fid,is,kid,fd:pixel", inception=Inception()
    )
    assert list(scores) == ["fid", "is", "kid:inception", "fd:pixel"]
    assert scores["fid"].value == pytest.approx(scores["fd:pixel"].value * 255**2, rel=1e-6)


IMAGES = np.zeros((20, 3, 8, 8), np.uint8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"generated": IMAGES.astype(np.float32)}, "generated .* uint8 .* not float32; .*to_uint8"),
        ({"real": torch.zeros(20, 3, 8, 8)}, "real .* uint8 .* not torch.float32"),
        ({"generated": IMAGES.transpose(0, 2, 3, 1)}, r"n c h w .* not \(20, 8, 8, 3\)"),
        ({"generated": list(IMAGES)}, r"n c h w .* not \(3, 8, 8\)"),
        ({"generated": IMAGES[:, :, :4]}, "3 x 4 x 8 and real ones 3 x 8 x 8"),
        ({"generated": [IMAGES, IMAGES[:, :1]]}, "differ in size: 1 x 8 x 8, 3 x 8 x 8"),
        ({"generated": []}, "no generated images"),
        ({"real": IMAGES[:0]}, "no real images"),
        ({"generated": ["photos"]}, "not str"),
        ({"generated": IMAGES[:1]}, "at least 2"),
        ({"real": IMAGES[:9]}, "too few"),
        ({"labels": [0] * 19}, r"labels must be 20 class numbers.*\(19,\)"),
        ({"labels": [0.5] * 20}, "labels must be 20 class numbers.*float64"),
        ({"real_labels": [-1] * 20}, "real_labels must be class numbers from 0, not -1"),
        ({"labels": [2] * 20, "real_labels": [0, 1] * 10}, "of class 2, .* end at 1"),
        ({"metrics": "cas"}, "cas needs real images of at least two classes"),
        ({"metrics": "cas", "real_labels": [0, 1] * 10}, "cas needs the classes of the generated"),
        ({"metrics": "fud"}, "unknown metric 'fud'"),
        ({"metrics": "fid"}, "Inception weights are needed"),
    ],
)
def test_what_it_refuses_it_names(arguments, message):
    with pytest.raises(ValueError, match=message):
        sagan.evaluate(**{"generated": IMAGES, "real": IMAGES, **arguments})
