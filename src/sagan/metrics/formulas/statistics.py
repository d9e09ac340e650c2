"""Saved statistics of real images: `.npz` files with `mu` and `sigma`, the common FID format.

Dimensions: d features.
"""

import io
import zipfile
from pathlib import Path

import numpy as np

from sagan.files import write_atomically
from sagan.metrics.formulas.frechet import Gaussian

_KEYS = {"mu", "sigma"}


def is_statistics(path: Path) -> bool:
    """Whether a file is an `.npz` with `mu` and `sigma`, rather than one of images."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = {name.removesuffix(".npy") for name in archive.namelist()}
    return names >= _KEYS


def read_statistics(path: Path, dim: int) -> Gaussian:
    """Read mean and covariance of `dim` features, and the number of images if the file has `n`."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            mu, sigma = arrays["mu"], arrays["sigma"]
            n = int(arrays["n"]) if "n" in arrays.files else 0
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if mu.shape != (dim,) or sigma.shape != (dim, dim):
        raise ValueError(
            f"{path} has mu of shape {mu.shape} and sigma of shape {sigma.shape}; "
            f"({dim},) and ({dim}, {dim}) are needed"
        )
    mu, sigma = mu.astype(np.float64), sigma.astype(np.float64)
    if not (np.isfinite(mu).all() and np.isfinite(sigma).all()):
        raise ValueError(f"{path} holds NaN or infinite values")
    return Gaussian(mu, (sigma + sigma.T) / 2, n)


def check_protocol(path: Path, protocol: str) -> None:
    """Raise ValueError if a file says that its features were made otherwise than by `protocol`."""
    with np.load(path, allow_pickle=False) as arrays:
        found = str(arrays["protocol"]) if "protocol" in arrays.files else protocol
    if found != protocol:
        raise ValueError(f"{path} is of other features: {found}, not {protocol}")


def write_statistics(path: Path, gaussian: Gaussian, protocol: str) -> None:
    """Write mean and covariance, the number of images and the protocol of the features."""
    file = io.BytesIO()
    np.savez(
        file,
        mu=gaussian.mean,
        sigma=gaussian.covariance,
        n=np.int64(gaussian.n),
        protocol=np.str_(protocol),
    )
    write_atomically(path, file.getvalue())
