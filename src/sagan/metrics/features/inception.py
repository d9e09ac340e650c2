"""The network that defines FID: Inception-v3 as released on 2015-12-05, for inference only.

It differs from today's Inception-v3: average pooling excludes the padding, the last block pools by
maximum instead of mean, there are 1008 outputs and no auxiliary head. Modules are named as in the
widely used file of weights.

Dimensions: b images, c channels, d features, k classes.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, relu

FEATURES = 2048
LOGITS = 1008

Size = int | tuple[int, int]


class _Conv(nn.Module):
    """Convolution without bias, batch norm, ReLU; "same" padding unless told otherwise."""

    def __init__(self, c: int, out: int, size: Size, stride: int = 1, *, pad: bool = True) -> None:
        super().__init__()
        height, width = (size, size) if isinstance(size, int) else size
        padding = (height // 2, width // 2) if pad else (0, 0)
        self.conv = nn.Conv2d(c, out, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.bn(self.conv(x)))


def _mean3(x: Tensor) -> Tensor:
    return avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class _Mixed5(nn.Module):
    """35x35: 1x1, 5x5, two 3x3, pooled."""

    def __init__(self, c: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(c, 64, 1)
        self.branch5x5_1 = _Conv(c, 48, 1)
        self.branch5x5_2 = _Conv(48, 64, 5)
        self.branch3x3dbl_1 = _Conv(c, 64, 1)
        self.branch3x3dbl_2 = _Conv(64, 96, 3)
        self.branch3x3dbl_3 = _Conv(96, 96, 3)
        self.branch_pool = _Conv(c, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, double, self.branch_pool(_mean3(x))], 1)


class _Mixed6a(nn.Module):
    """35x35 to 17x17."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.branch3x3 = _Conv(c, 384, 3, 2, pad=False)
        self.branch3x3dbl_1 = _Conv(c, 64, 1)
        self.branch3x3dbl_2 = _Conv(64, 96, 3)
        self.branch3x3dbl_3 = _Conv(96, 96, 3, 2, pad=False)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, max_pool2d(x, 3, 2)], 1)


class _Mixed6(nn.Module):
    """17x17: 1x1, 7x7 as rows and columns, twice that, pooled."""

    def __init__(self, c: int, mid: int) -> None:
        super().__init__()
        self.branch1x1 = _Conv(c, 192, 1)
        self.branch7x7_1 = _Conv(c, mid, 1)
        self.branch7x7_2 = _Conv(mid, mid, (1, 7))
        self.branch7x7_3 = _Conv(mid, 192, (7, 1))
        self.branch7x7dbl_1 = _Conv(c, mid, 1)
        self.branch7x7dbl_2 = _Conv(mid, mid, (7, 1))
        self.branch7x7dbl_3 = _Conv(mid, mid, (1, 7))
        self.branch7x7dbl_4 = _Conv(mid, mid, (7, 1))
        self.branch7x7dbl_5 = _Conv(mid, 192, (1, 7))
        self.branch_pool = _Conv(c, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(_mean3(x))], 1)


class _Mixed7a(nn.Module):
    """17x17 to 8x8."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.branch3x3_1 = _Conv(c, 192, 1)
        self.branch3x3_2 = _Conv(192, 320, 3, 2, pad=False)
        self.branch7x7x3_1 = _Conv(c, 192, 1)
        self.branch7x7x3_2 = _Conv(192, 192, (1, 7))
        self.branch7x7x3_3 = _Conv(192, 192, (7, 1))
        self.branch7x7x3_4 = _Conv(192, 192, 3, 2, pad=False)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return torch.cat([three, self.branch7x7x3_4(seven), max_pool2d(x, 3, 2)], 1)


class _Mixed7(nn.Module):
    """8x8: 1x1, 3x3 split into row and column, 3x3 before such a split, pooled."""

    def __init__(self, c: int, *, pool_max: bool) -> None:
        super().__init__()
        self.pool_max = pool_max
        self.branch1x1 = _Conv(c, 320, 1)
        self.branch3x3_1 = _Conv(c, 384, 1)
        self.branch3x3_2a = _Conv(384, 384, (1, 3))
        self.branch3x3_2b = _Conv(384, 384, (3, 1))
        self.branch3x3dbl_1 = _Conv(c, 448, 1)
        self.branch3x3dbl_2 = _Conv(448, 384, 3)
        self.branch3x3dbl_3a = _Conv(384, 384, (1, 3))
        self.branch3x3dbl_3b = _Conv(384, 384, (3, 1))
        self.branch_pool = _Conv(c, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = max_pool2d(x, 3, 1, 1) if self.pool_max else _mean3(x)
        parts = [
            self.branch1x1(x),
            self.branch3x3_2a(three),
            self.branch3x3_2b(three),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(pooled),
        ]
        return torch.cat(parts, 1)


class InceptionV3(nn.Module):
    """Images `b 3 299 299` in [-1, 1] to features `b 2048` and logits `b 1008` without bias."""

    # Szegedy et al. 2016; the graph of Heusel et al. 2017. The Inception Score takes logits without
    # bias, as Salimans et al. 2016 do.

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Conv(3, 32, 3, 2, pad=False)
        self.Conv2d_2a_3x3 = _Conv(32, 32, 3, pad=False)
        self.Conv2d_2b_3x3 = _Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = _Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = _Conv(80, 192, 3, pad=False)
        self.Mixed_5b = _Mixed5(192, 32)
        self.Mixed_5c = _Mixed5(256, 64)
        self.Mixed_5d = _Mixed5(288, 64)
        self.Mixed_6a = _Mixed6a(288)
        self.Mixed_6b = _Mixed6(768, 128)
        self.Mixed_6c = _Mixed6(768, 160)
        self.Mixed_6d = _Mixed6(768, 160)
        self.Mixed_6e = _Mixed6(768, 192)
        self.Mixed_7a = _Mixed7a(768)
        self.Mixed_7b = _Mixed7(1280, pool_max=False)
        self.Mixed_7c = _Mixed7(2048, pool_max=True)
        self.fc = nn.Linear(FEATURES, LOGITS)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images)))
        x = max_pool2d(x, 3, 2)
        x = max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, 2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6a(x)
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        features = x.mean((2, 3))
        return features, features @ self.fc.weight.T
