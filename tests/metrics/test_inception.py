"""The FID network on weights made here, since the real ones are not at hand in tests.

Its outputs are compared with those of torch-fidelity 0.4.0's network on the same weights, run
elsewhere and stored; its resizes with Pillow and with TensorFlow 1's rule.
"""

import hashlib
import io
import urllib.request

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from sagan.metrics.features import inception_features
from sagan.metrics.features.inception import InceptionV3
from sagan.metrics.features.inception_features import (
    WEIGHTS_NAME,
    download_weights,
    load_inception,
    resize_clean,
    resize_tensorflow,
)


def made_weights():
    """Weights of sound size, from NumPy's generator, key by key."""
    with torch.device("meta"):
        expected = InceptionV3().state_dict()
    rng, weights = np.random.default_rng(0), {}
    for key, tensor in sorted(expected.items()):
        shape = tuple(tensor.shape)
        if key.endswith("num_batches_tracked"):
            weights[key] = torch.zeros((), dtype=torch.int64)
            continue
        if key.endswith(("running_var", "bn.weight")):
            values = rng.uniform(0.5, 1.5, shape)
        elif key.endswith(("bn.bias", "running_mean", "fc.bias")):
            values = rng.normal(0, 0.1, shape)
        else:
            values = rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
        weights[key] = torch.from_numpy(values.astype(np.float32))
    return weights


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(made_weights(), path)
    return path


@pytest.fixture(scope="module")
def images():
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, (3, 3, 40, 40), np.uint8))


def test_it_has_the_known_size_and_names():
    with torch.device("meta"):
        network = InceptionV3()
    assert sum(p.numel() for p in network.parameters()) == 23_850_960
    assert len(network.state_dict()) == 566  # of the file in wide use
    for key in ("Mixed_6b.branch7x7dbl_5.conv.weight", "Mixed_7c.branch3x3dbl_3b.bn.running_var"):
        assert key in network.state_dict()


def test_outputs_are_those_of_torch_fidelity_and_of_each_image_alone(weights_file, images):
    extract = load_inception("inception", str(weights_file), cache=weights_file.parent)
    features, logits = extract(images)
    assert features.shape == (3, 2048)
    assert logits.shape == (3, 1008)
    expected = [1.33311402, 7.43096638, 3.72869849, 17.952003479, 22.4989338, 4.96479034]
    np.testing.assert_allclose(features[0, :6], expected, rtol=2e-5)
    np.testing.assert_allclose(
        features[2, [100, 1000, 2000]], [4.10860443, 10.5025911, 6.59664345], rtol=2e-5
    )
    assert features.mean() == pytest.approx(3.9514405727, rel=1e-5)
    np.testing.assert_allclose(
        logits[0, :4], [2.37921667, 11.4408417, 5.06426096, 4.05962706], rtol=1e-4
    )
    assert features.min() >= 0  # after ReLU
    alone = extract(images[1:2]).features
    np.testing.assert_allclose(alone[0], features[1], rtol=1e-4, atol=1e-4)
    assert extract.weights_sha256 == hashlib.sha256(weights_file.read_bytes()).hexdigest()
    assert "NOT the standard weights" in extract.resize


def test_grey_is_repeated_and_the_clean_protocol_differs(weights_file, images):
    extract = load_inception("inception", str(weights_file), cache=weights_file.parent)
    grey = images[:1, :1]
    np.testing.assert_array_equal(
        extract(grey).features, extract(grey.expand(-1, 3, -1, -1)).features
    )
    with pytest.raises(ValueError, match="1 or 3 channels, not 4"):
        extract(torch.zeros(1, 4, 8, 8, dtype=torch.uint8))
    clean = load_inception("inception-clean", str(weights_file), cache=weights_file.parent)
    assert clean.name == "inception-clean"
    assert np.abs(clean(images[:1]).features - extract(images[:1]).features).max() > 0.01


def test_safetensors_hold_the_same(weights_file, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(made_weights(), path)
    one = load_inception("inception", str(path), cache=tmp_path)
    two = load_inception("inception", str(weights_file), cache=tmp_path)
    for a, b in zip(
        one._network.state_dict().values(), two._network.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="not a safetensors file, or is damaged"):
        load_inception("inception", str(path), cache=tmp_path)


def test_other_weights_are_refused_by_name(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"conv1.weight": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match=r"Conv2d_1a_3x3.conv.weight should be .* is missing"):
        load_inception("inception", str(path), cache=tmp_path)
    with pytest.raises(ValueError, match="there is no file"):
        load_inception("inception", str(tmp_path / "nowhere.pth"), cache=tmp_path)


@pytest.mark.parametrize("size", [(8, 8), (40, 40), (299, 299), (400, 360)])
def test_the_clean_resize_is_pillows(size):
    pixels = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    picture = Image.fromarray(pixels.astype(np.float32)).resize(
        (299, 299), Image.Resampling.BICUBIC
    )
    expected = np.asarray(picture).clip(0, 255)
    found = resize_clean(torch.from_numpy(pixels)[None, None].float())[0, 0]
    np.testing.assert_allclose(found.numpy(), expected, atol=0.01)  # of 255


@pytest.mark.parametrize("size", [(8, 8), (40, 40), (400, 360)])
def test_the_default_resize_is_tensorflow_1s(size):
    pixels = np.random.default_rng(0).uniform(0, 255, size)
    expected = np.empty((299, 299))
    for i in range(299):  # the rule of its kernel: no half-pixel centres, no antialias
        for j in range(299):
            y, x = i * size[0] / 299, j * size[1] / 299
            top, left = int(y), int(x)
            bottom, right = min(top + 1, size[0] - 1), min(left + 1, size[1] - 1)
            upper = pixels[top, left] * (1 - x + left) + pixels[top, right] * (x - left)
            lower = pixels[bottom, left] * (1 - x + left) + pixels[bottom, right] * (x - left)
            expected[i, j] = upper * (1 - y + top) + lower * (y - top)
    found = resize_tensorflow(torch.from_numpy(pixels)[None, None].float())[0, 0]
    np.testing.assert_allclose(found.numpy(), expected, atol=0.02)  # float32 places


def test_a_download_is_kept_only_if_it_is_the_file(tmp_path, monkeypatch):
    asked = []

    def give(url, timeout):
        asked.append(url)
        return io.BytesIO(b"weights")

    monkeypatch.setattr(urllib.request, "urlopen", give)
    with pytest.raises(ValueError, match="did not return"):
        download_weights(tmp_path)
    assert list(tmp_path.iterdir()) == []
    sound = hashlib.sha256(b"weights").hexdigest()
    monkeypatch.setattr(inception_features, "WEIGHTS_SHA256", sound)
    for _ in range(2):
        assert download_weights(tmp_path) == tmp_path / WEIGHTS_NAME
    assert len(asked) == 2  # the third call found it there
