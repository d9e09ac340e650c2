"""Weights by rule for another implementation's network, from the names and shapes of its state.

Its own code, run once, and our tests make the same weights, so that only names, shapes and outputs
are stored. No batch norm, table, attention gain or spectral vector has a value that would hide how
it is used: the vectors are two power steps from a random start, so unconverged that one step more,
or the wrong matrix, shows in the output.
"""

import zlib

import numpy as np
import torch

SPECTRAL = (  # names of a layer's weight and vectors, by implementation
    ("weight_orig", "weight_u", "weight_v"),
    ("weight_bar", "weight_u", "weight_v"),
    ("weight", "u0", None),
    ("weight", "sn_u", None),
)


def noise(key, shape):
    """Numbers in [-1, 1) for a key: SplitMix64 of the CRC-32 of the key and of the place."""
    count = int(np.prod(shape, dtype=np.int64))
    with np.errstate(over="ignore"):
        x = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(zlib.crc32(key.encode()) << 32)
        x = x * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return torch.from_numpy((x >> np.uint64(11)) / 2.0**52 - 1.0).reshape(shape)


def weights(shapes):
    """Make a state dictionary from names and shapes."""
    state = {key: _value(key, shape) for key, shape in shapes.items()}
    for key in shapes:
        for weight, u, v in SPECTRAL:
            _settle(state, key, weight, u, v)
    return {
        key: value if "num_batches" in key else value.float().contiguous()
        for key, value in state.items()
    }


def _value(key, shape):
    last = key.split(".")[-1]
    value = noise(key, shape)
    if last == "num_batches_tracked":
        return torch.tensor(1000)
    if last == "accumulation_counter":
        return torch.full(shape, 2.0, dtype=torch.float64)
    if last.endswith("_var"):
        return 0.6 + 0.3 * value
    if last.endswith("_mean"):
        return 0.2 * value
    if last in ("gamma", "sigma"):
        return torch.full(shape, 0.7, dtype=torch.float64)
    if len(shape) < 2:  # a bias, or a batch norm's gain
        return 1.0 + 0.3 * value if last in ("gain", "weight") else 0.1 * value
    if key.endswith((".gain.weight", ".bias.weight")):
        return value * 0.4
    if key.endswith(".embed.weight") and ".b" in key:  # mimicry: gain itself, then bias
        return value * 0.4 + torch.cat([torch.ones(shape[1] // 2), torch.zeros(shape[1] // 2)])
    strength = 8.0 if "query" in key or "key" in key else 1.5  # unless normalised away
    return value * strength / np.sqrt(np.prod(shape[1:]))


def _settle(state, key, weight, u, v):
    """Take two power steps for the spectral vectors of a layer."""
    stem, last = key.rpartition(".")[::2]
    if last != weight or f"{stem}.{u}" not in state:
        return
    matrix = state[key].float().double().flatten(1)
    left = state[f"{stem}.{u}"].flatten()
    for _ in range(2):
        right = torch.nn.functional.normalize(matrix.t() @ left, dim=0)
        left = torch.nn.functional.normalize(matrix @ right, dim=0)
    state[f"{stem}.{u}"] = left.reshape(state[f"{stem}.{u}"].shape)
    if v is not None:
        state[f"{stem}.{v}"] = right


def inputs(latent_dim, classes, channels, side):
    """Two latents, labels and images to try a network on."""
    latents = 1.7 * noise("latents", (2, latent_dim)).float()
    labels = torch.tensor([classes - 1, classes // 2]) if classes else None
    patches = noise("patches", (2, channels, side // 8, side // 8)).float()
    images = torch.nn.functional.interpolate(patches, scale_factor=8.0)
    return latents, labels, 0.8 * images + 0.2 * noise("images", images.shape).float()


def digest(tensor):
    """Summarise an output: its shape, 48 numbers spread over it, and means over all of it."""
    flat = tensor.detach().double().flatten()
    places = [i * len(flat) // 48 for i in range(48)] if len(flat) > 48 else range(len(flat))
    signs = noise("signs", flat.shape)
    return {
        "shape": list(tensor.shape),
        "values": [round(flat[i].item(), 9) for i in places],
        "mean": round(flat.mean().item(), 9),
        "signed_mean": round((flat * signs).mean().item(), 9),
    }
