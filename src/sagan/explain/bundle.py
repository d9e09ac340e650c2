"""One image with all its attention maps, in the binary format that the page reads.

The same bytes are a response of `sagan explore` and, compressed, a part of the report. Layout:
a little-endian uint32, the length of the header; the header, JSON padded with spaces to a multiple
of four bytes; then blobs, each at the offset (from the end of the header) that the header gives.
Each row of a map is stored as bytes and one float32, its peak: weight = byte * peak / 255, within
half a step.

Dimensions: c h w the image's, n queries, q kept queries, m keys.
"""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sagan.nn.attention import AttentionMap, attention_numbers, key_distances

_ALIGN_BYTES = 4


class Layer(NamedTuple):
    """One layer's attention over one image."""

    network: str  # G or D
    name: str
    attention: AttentionMap  # of a batch of one


def pack_bundle(
    images: Mapping[str, Tensor],
    layers: Sequence[Layer],
    facts: Mapping[str, Any],
    *,
    max_map_bytes: float = math.inf,
) -> bytes:
    """Pack images (uint8 `c h w`; the page shows `picture`) and maps in the layout above."""
    # a layer with a map over `max_map_bytes` keeps every second, fourth, ... query of rows and
    # columns
    blobs: list[bytes] = []
    length = 0

    def put(array: NDArray[Any]) -> int:
        nonlocal length
        offset = length
        data = array.tobytes()
        blobs.append(data + b"\0" * (-len(data) % _ALIGN_BYTES))
        length += len(blobs[-1])
        return offset

    header = {
        **facts,
        "images": {
            name: {
                "channels": image.shape[0],
                "height": image.shape[1],
                "width": image.shape[2],
                "offset": put(image.permute(1, 2, 0).contiguous().numpy()),
            }
            for name, image in images.items()
        },
        "layers": [_pack_layer(layer, max_map_bytes, put) for layer in layers],
    }
    text = json.dumps(header, allow_nan=False).encode()
    text += b" " * (-len(text) % _ALIGN_BYTES)
    return b"".join([struct.pack("<I", len(text)), text, *blobs])


def _pack_layer(layer: Layer, max_bytes: float, put: Any) -> dict[str, Any]:
    attention = layer.attention
    h, w, key_stride = attention.height, attention.width, attention.key_stride
    stride = query_stride(h, w, attention.shape[2], max_bytes)
    queries = torch.arange(h * w).unflatten(0, (h, w))
    queries = queries[stride // 2 :: stride, stride // 2 :: stride].flatten()
    kept = attention.rows(queries, slice(1))[0].cpu()
    distance = key_distances(h, w, key_stride, device=kept.device, queries=queries)
    peak = kept.amax(1)
    rows = (kept * (255 / peak[:, None])).round().to(torch.uint8)
    of_queries = {
        "peaks": peak,
        "entropies": torch.special.entr(kept).sum(1),
        "distances": (kept * distance).sum(1),
        "far_masses": (kept * (distance > h / 2)).sum(1),
    }
    return {
        "network": layer.network,
        "name": layer.name,
        "height": h,
        "width": w,
        "key_height": h // key_stride,
        "key_width": w // key_stride,
        "query_stride": stride,
        "gamma": attention.gamma,
        **attention_numbers(attention)._asdict(),
        **{name: put(values.numpy().astype("<f4")) for name, values in of_queries.items()},
        "weights": put(np.ascontiguousarray(rows.numpy())),
    }


def query_stride(height: int, width: int, keys: int, max_bytes: float) -> int:
    """The smallest stride between a map's queries at which it fits a number of bytes.

    Example:
        >>> query_stride(32, 32, 256, 262144), query_stride(64, 64, 1024, 1_000_000)
        (1, 4)
    """
    stride = 1
    while (height // stride) * (width // stride) * keys > max_bytes and stride < height:
        stride *= 2
    return stride
