"""Bundles and reports: what the page reads is what Python computed, within the stated error."""

import base64
import json
import math
import re
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sagan.explain.bundle import Layer, pack_bundle
from sagan.explain.history import Course
from sagan.explain.html_report import MAX_BYTES, history_lines, write_report
from sagan.explain.maps import QueryMaps
from sagan.nn.attention import AttentionMap, attention_numbers

ERROR_OF_PEAK = 0.5 / 255 + 1e-6  # half a step of a row's bytes


def read(packed):
    """Read a bundle as its description says, without the package's help."""
    length = int.from_bytes(packed[:4], "little")
    header = json.loads(packed[4 : 4 + length])
    body = packed[4 + length :]
    for layer in header["layers"]:
        stride = layer["query_stride"]
        kept = [len(range(stride // 2, layer[side], stride)) for side in ("height", "width")]
        count, keys = kept[0] * kept[1], layer["key_height"] * layer["key_width"]
        for name in ("peaks", "entropies", "distances", "far_masses"):
            layer[name] = np.frombuffer(body, "<f4", count, layer[name])
        rows = np.frombuffer(body, np.uint8, count * keys, layer["weights"]).reshape(count, keys)
        layer["weights"] = rows * layer["peaks"][:, None] / 255
    for image in header["images"].values():
        shape = image["height"], image["width"], image["channels"]
        image["pixels"] = np.frombuffer(body, np.uint8, np.prod(shape), image["offset"])
        image["pixels"] = image["pixels"].reshape(shape)
    return header


def attention(height, keys_per_side, *, sharpness=1.0, seed=0):
    draw = torch.Generator().manual_seed(seed)
    energy = sharpness * torch.randn(1, height**2, keys_per_side**2, generator=draw)
    return AttentionMap(energy.softmax(-1), height, height, height // keys_per_side, 0.25)


@given(
    height=st.sampled_from([2, 4, 8, 16]),
    stride=st.sampled_from([1, 2]),
    sharpness=st.sampled_from([0.0, 1.0, 30.0, 1000.0]),
    channels=st.sampled_from([1, 3, 4]),
    seed=st.integers(0, 99),
)
def test_what_is_read_back_is_what_was_packed(height, stride, sharpness, channels, seed):
    maps = attention(height, height // stride, sharpness=sharpness, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    picture = torch.randint(256, (channels, 5, 7), generator=draw, dtype=torch.uint8)
    layers = [Layer("G", "attention.0", maps)]
    got = read(pack_bundle({"picture": picture}, layers, {"caption": "x"}))
    assert got["caption"] == "x"
    assert (got["images"]["picture"]["pixels"] == picture.permute(1, 2, 0).numpy()).all()
    (layer,) = got["layers"]
    true = maps.weights[0].numpy()
    error = np.abs(layer["weights"] - true)
    assert (error <= ERROR_OF_PEAK * true.max(1, keepdims=True)).all()
    numbers = attention_numbers(maps)._asdict()
    for name, plural in (("entropy", "entropies"), ("distance", "distances")):
        assert layer[name] == pytest.approx(numbers[name])
        assert layer[plural].mean() == pytest.approx(numbers[name], rel=1e-4, abs=1e-6)
    assert layer["far_masses"].mean() == pytest.approx(numbers["far_mass"], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(("max_bytes", "stride"), [(1e9, 1), (16 * 64, 2), (4 * 64, 4)])
def test_a_large_map_keeps_rows_of_a_coarser_grid_of_queries(max_bytes, stride):
    maps = attention(8, 8)
    packed = pack_bundle({}, [Layer("D", "attention.1", maps)], {}, max_map_bytes=max_bytes)
    (layer,) = read(packed)["layers"]
    assert layer["query_stride"] == stride
    first = stride // 2
    rows = maps.weights[0].unflatten(0, (8, 8))[first::stride, first::stride].flatten(0, 1)
    np.testing.assert_allclose(layer["weights"], rows, atol=float(rows.max()) * ERROR_OF_PEAK)
    # the layer's own numbers still cover all queries
    assert layer["entropy"] == pytest.approx(attention_numbers(maps).entropy)


def example(side, attentions):
    picture = torch.randint(256, (3, side, side), dtype=torch.uint8)
    layers = [
        QueryMaps(network, "attention.0", maps, ((0.5, 0.5),), maps.weights[0, :1])
        for network, maps in zip("GD", attentions, strict=True)
    ]
    return "a picture", picture, layers


def read_report(path):
    blocks = re.findall(r'class="bundle">(.*?)</script>', path.read_text())
    return [read(zlib.decompress(base64.b64decode(block))) for block in blocks]


@pytest.mark.parametrize(
    ("side", "height", "stride", "count"),
    [(32, 32, 1, 16), (128, 64, 4, 4)],  # 1024 x 256 maps, and 4096 x 1024
)
def test_a_report_of_16_images_is_small_enough(tmp_path, side, height, stride, count):
    """With maps that hardly compress. At 128 px each map keeps every fourth row and column."""
    maps = attention(height, height // 2, sharpness=2.0)
    budget = MAX_BYTES * count // 16  # fewer images, with their share of it: faster
    path = tmp_path / "r.html"
    write_report(path, [example(side, (maps, maps))] * count, title="t", max_bytes=budget)
    assert path.stat().st_size <= budget
    bundles = read_report(path)
    assert len(bundles) == count
    assert {layer["query_stride"] for b in bundles for layer in b["layers"]} == {stride}


def test_more_images_than_fit_are_refused_with_a_number(tmp_path):
    maps = attention(4, 2)
    with pytest.raises(ValueError, match=r"9 images take [\d,]+ bytes"):
        write_report(
            tmp_path / "r.html", [example(64, (maps, maps))] * 9, title="t", max_bytes=180_000
        )
    assert not (tmp_path / "r.html").exists()


def test_images_without_maps_are_left_out_and_none_refused(tmp_path):
    maps = attention(4, 2)
    bare = "bare", torch.zeros(3, 8, 8, dtype=torch.uint8), []
    write_report(tmp_path / "r.html", [bare, example(8, (maps, maps))], title="t")
    assert [b["caption"] for b in read_report(tmp_path / "r.html")] == ["a picture"]
    with pytest.raises(ValueError, match="no attention"):
        write_report(tmp_path / "none.html", [bare], title="t")


def test_a_report_holds_no_address_and_no_markup_of_names(tmp_path):
    maps = attention(4, 2)
    _, picture, layers = example(8, (maps, maps))
    evil = "</script><script>alert(1)</script>"
    path = tmp_path / "r.html"
    write_report(path, [(evil, picture, layers)], title=evil, about=evil)
    text = path.read_text()
    assert evil not in text
    assert not re.search(r"https?://(?!www\.w3\.org)", text)
    assert "unsafe" not in text
    assert text.count("<script") == 3  # data, one bundle, the program


def test_history_is_thinned_and_keeps_its_ends():
    course = Course(list(range(1, 1001)), [0.5] * 499 + [math.nan] + [0.5] * 500)
    (line,) = history_lines({"D attention.0, 8 px": {"gamma": course, "entropy": course}})
    assert line["key"] == "D attention.0"
    assert len(line["gamma"]) <= 201
    assert (line["gamma"][0], line["gamma"][-1]) == ([1, 0.5], [1000, 0.5])
    json.dumps(line, allow_nan=False)
