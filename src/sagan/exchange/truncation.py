"""Truncation of latents already drawn, in operations that ONNX has.

Dimensions: b batch, z latent length.
"""

import math

import torch
from torch import Tensor

# Giles 2012, "Approximating the erfinv function", single precision, highest power first:
# in w - 2.5 where w < 5, otherwise in sqrt(w) - 3, with w = -log(1 - x^2).
_NEAR = (
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    2.1858087e-04,
    -1.25372503e-03,
    -4.17768164e-03,
    0.246640727,
    1.50140941,
)
_FAR = (
    -2.00214257e-04,
    1.00950558e-04,
    1.34934322e-03,
    -3.67342844e-03,
    5.73950773e-03,
    -7.6224613e-03,
    9.43887047e-03,
    1.00167406,
    2.83297682,
)


def truncated(latents: Tensor, truncation: Tensor) -> Tensor:
    """Map standard normal latents `b z` to those truncated to [-t, t], quantile by quantile."""
    # `randomness.sample_latents` gives other numbers of the same distribution: it draws again what
    # lies outside. The scalar t = 0 changes nothing.
    share = torch.erf(truncation / math.sqrt(2)) * torch.erf(latents / math.sqrt(2))
    inside = math.sqrt(2) * _erfinv(share)
    inside = torch.minimum(torch.maximum(inside, -truncation), truncation)
    return torch.where(truncation > 0, inside, latents)


def _erfinv(x: Tensor) -> Tensor:
    """Invert erf, to a relative error of about 3e-7."""
    w = -torch.log(((1 - x) * (1 + x)).clamp(min=1e-37))
    near, far = w - 2.5, torch.sqrt(w) - 3
    return x * torch.where(w < 5, _horner(_NEAR, near), _horner(_FAR, far))


def _horner(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    value = torch.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value
