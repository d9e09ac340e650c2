"""Self-attention over feature maps, in both published forms, and statistics of its maps.

Dimensions: b batch, c channels, h w the map's sides, n = h*w queries, m keys (n, or n/4 after 2x2
pooling), e query and key width (c/8), d value width (c or c/2), both rounded down.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sagan.nn.attention_kernels import attend, pieces, reference_attention
from sagan.nn.spectral import SpectralNorm, without_autocast

AttentionForm = Literal["article", "paper"]


class SelfAttention(nn.Module):
    """Let every position of a feature map look at every other: `x + gamma * attention(x)`.

    `form="article"`: query and key C/8, value C, with biases, no pooling, no output convolution
    (the code quoted in the article). `form="paper"`: query and key C/8, value C/2, keys and
    values max-pooled 2x2, a 1x1 output convolution, no biases (the authors' released code).
    gamma starts at 0, so that a new block passes its input through unchanged.

    Args:
        channels: C, at least 8.
        form: `paper` or `article`.
        spectral_norm: normalise the convolutions; by default as published (`paper` yes, `article`
            no).
        spectral_eps: see `SpectralNorm`.

    Raises:
        ValueError: there are fewer than 8 channels, or the form is unknown; in `forward`, the
            paper's form gets a map of odd sides.

    Source:
        Zhang et al. 2019, section 3, and the released code's `non_local.py` for the pooled form.

    Example:
        >>> block = SelfAttention(16, form="paper")
        >>> x = torch.randn(2, 16, 8, 8)
        >>> torch.equal(block(x), x)  # gamma is 0
        True
        >>> block.weights(x).shape  # 64 queries, 16 pooled keys
        torch.Size([2, 64, 16])
    """

    def __init__(
        self,
        channels: int,
        *,
        form: AttentionForm = "paper",
        spectral_norm: bool | None = None,
        spectral_eps: float = 1e-12,
    ) -> None:
        super().__init__()
        if channels < 8:
            raise ValueError(f"attention needs at least 8 channels, not {channels}")
        if form not in ("article", "paper"):
            raise ValueError(f"unknown attention form {form!r}: article or paper")
        paper = form == "paper"
        normalise = paper if spectral_norm is None else spectral_norm

        def conv1x1(c_in: int, c_out: int) -> nn.Module:
            conv = nn.Conv2d(c_in, c_out, 1, bias=not paper)
            return SpectralNorm(conv, eps=spectral_eps) if normalise else conv

        value_channels = channels // 2 if paper else channels
        self.form: AttentionForm = form
        self.query = conv1x1(channels, channels // 8)
        self.key = conv1x1(channels, channels // 8)
        self.value = conv1x1(channels, value_channels)
        self.output = conv1x1(value_channels, channels) if paper else None
        self.gamma = nn.Parameter(torch.zeros(1))

    @property
    def key_stride(self) -> int:
        """Feature-map pixels per key along each side: 2 if keys are pooled, else 1."""
        return 2 if self.form == "paper" else 1

    def _tokens(self, features: Tensor, *, pool: bool) -> Tensor:
        if pool and self.key_stride > 1:
            features = F.max_pool2d(features, self.key_stride)
        # b c h w -> b n c. contiguous() costs nothing for channels_last; otherwise it gives the
        # fused kernels the unit stride that they need.
        return features.flatten(2).transpose(1, 2).contiguous()

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Project a map `b c h w` to query `b n e`, key `b m e` and value `b m d`."""
        if self.key_stride > 1 and (x.shape[2] % 2 or x.shape[3] % 2):
            raise ValueError(f"the paper's form needs even sides, not {x.shape[2]} x {x.shape[3]}")
        return (
            self._tokens(self.query(x), pool=False),
            self._tokens(self.key(x), pool=True),
            self._tokens(self.value(x), pool=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `b c h w` to the same shape."""
        return self._residual(x, attend(*self.project(x)))

    if TYPE_CHECKING:  # nn.Module's own returns Any
        __call__ = forward

    def reference(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the same output and the map `b n m` literally, as the quoted code does."""
        attended, weights = reference_attention(*self.project(x))
        return self._residual(x, attended), weights

    def weights(self, x: Tensor) -> Tensor:
        """The attention map `b n m` of an input `b c h w`; row n is query n's softmax."""
        query, key, _ = self.project(x)
        return torch.bmm(query, key.transpose(1, 2)).softmax(dim=-1)

    def _residual(self, x: Tensor, attended: Tensor) -> Tensor:
        features: Tensor = attended.transpose(1, 2).unflatten(2, x.shape[2:])
        if self.output is not None:
            features = self.output(features)
        return x + self.gamma.to(x.dtype) * features


class AttentionMap:
    """One layer's attention over one batch, with what is needed to read its coordinates.

    A recorded map is stored as its queries and keys, about a hundredth of its size; rows are
    computed on demand, so a map of any size can be read piece by piece.

    Args:
        source: the map `b n m`, whose rows sum to 1; or the query `b n e` and key `b m e` that it
            is computed from.
        height: height of the grid of queries; n = height * width.
        width: width of that grid.
        key_stride: query pixels per key along each side.
        gamma: the layer's gamma.

    Example:
        >>> AttentionMap(torch.eye(16)[None], 4, 4, key_stride=1, gamma=0.0).grid().shape
        torch.Size([1, 4, 4, 4, 4])
        >>> made_of = torch.zeros(1, 16, 2), torch.zeros(1, 4, 2)
        >>> AttentionMap(made_of, 4, 4, key_stride=2, gamma=0.0).rows([5]).tolist()
        [[[0.25, 0.25, 0.25, 0.25]]]
    """

    def __init__(
        self,
        source: Tensor | tuple[Tensor, Tensor],
        height: int,
        width: int,
        key_stride: int,
        gamma: float,
    ) -> None:
        self._source = source
        self.height, self.width = height, width
        self.key_stride, self.gamma = key_stride, gamma

    @property
    def shape(self) -> tuple[int, int, int]:
        """b, n and m."""
        if isinstance(self._source, Tensor):
            b, n, m = self._source.shape
            return b, n, m
        query, key = self._source
        return query.shape[0], query.shape[1], key.shape[1]

    @property
    def weights(self) -> Tensor:
        """The whole map `b n m`, in float32."""
        return self.rows(slice(None))

    def rows(self, queries: slice | Sequence[int] | Tensor, images: slice = slice(None)) -> Tensor:
        """The rows of some queries and images: `images queries m`, in float32."""
        if isinstance(self._source, Tensor):
            return self._source[images, queries].float()
        query, key = self._source
        query, key = query[images, queries].float(), key[images].float()
        with without_autocast(query):
            return torch.bmm(query, key.mT).softmax(dim=-1)

    def grid(self) -> Tensor:
        """Reshape the map to `b h w kh kw`: the keys that each query position attends to."""
        s = self.key_stride
        by_key: Tensor = self.weights.unflatten(2, (self.height // s, self.width // s))
        return by_key.unflatten(1, (self.height, self.width))


@contextmanager
def record_attention(network: nn.Module) -> Iterator[dict[str, AttentionMap]]:
    """Collect every self-attention layer's map while the network runs inside the block.

    The forward pass itself is unchanged; each layer's queries and keys are projected once more from
    the same input. Layers appear in the order in which they run.

    Args:
        network: any module that contains `SelfAttention` layers.

    Returns:
        A context manager whose value is filled as the network runs: `AttentionMap`s by layer name.

    Example:
        >>> net = nn.Sequential(SelfAttention(8, form="article"))
        >>> with record_attention(net) as maps:
        ...     _ = net(torch.randn(1, 8, 4, 4))
        >>> maps["0"].weights.shape
        torch.Size([1, 16, 16])
    """
    maps: dict[str, AttentionMap] = {}
    handles = []

    def hook_for(name: str) -> Callable[..., None]:
        def hook(
            layer: SelfAttention,
            inputs: tuple[Tensor, ...],
            kwargs: dict[str, Tensor],
            _output: Tensor,
        ) -> None:
            x = inputs[0] if inputs else kwargs["x"]
            with torch.no_grad():
                query, key, _ = layer.project(x)
            h, w = x.shape[2:]
            maps[name] = AttentionMap((query, key), h, w, layer.key_stride, layer.gamma.item())

        return hook

    for name, module in network.named_modules():
        if isinstance(module, SelfAttention):
            handles.append(module.register_forward_hook(hook_for(name), with_kwargs=True))
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


class AttentionNumbers(NamedTuple):
    """Statistics of one map, averaged over images and queries.

    Args:
        entropy: in nats; log m if uniform.
        distance: mean attention distance, in pixels of the layer's feature map.
        far_mass: share of attention farther away than half the map's height.
        query_dependence: in nats; 0 if every query attends to the same keys, at most log m.

    Example:
        >>> uniform = AttentionMap(torch.full((1, 16, 16), 1 / 16), 4, 4, key_stride=1, gamma=0.0)
        >>> attention_numbers(uniform)._asdict().keys()
        dict_keys(['entropy', 'distance', 'far_mass', 'query_dependence'])
    """

    entropy: float
    distance: float
    far_mass: float
    query_dependence: float


def attention_numbers(attention: AttentionMap) -> AttentionNumbers:
    """Summarise an attention map in numbers that can be logged and compared over training.

    Distances run from a query's centre to the centre of a key's cell, in feature-map pixels. Query
    dependence is the Jensen-Shannon divergence of all rows of a map: the entropy of the mean row
    minus the mean entropy of the rows. It equals the mutual information of query and key for
    uniform queries, and takes one pass over the map where a mean over pairs of rows would take n^2.

    Args:
        attention: one layer's map, from `record_attention`.

    Returns:
        Entropy and query dependence in nats, distance in pixels of the layer's feature map, far
        mass in [0, 1].

    Raises:
        ValueError: the map is of an empty batch.

    Example:
        >>> uniform = AttentionMap(torch.full((1, 16, 16), 1 / 16), 4, 4, key_stride=1, gamma=0.0)
        >>> round(attention_numbers(uniform).entropy, 4)  # log 16
        2.7726
        >>> itself = AttentionMap(torch.eye(16)[None], 4, 4, key_stride=1, gamma=0.0)
        >>> round(attention_numbers(itself).query_dependence, 4)  # log 16: each has its own key
        2.7726
    """
    b, n, m = attention.shape
    if not b:
        raise ValueError("this map is of no image: the batch was empty")
    entropy = distance = far_mass = 0.0
    row_sums: Tensor | None = None  # b m: over each image's queries
    for images, queries in pieces(b, n, m):
        weights = attention.rows(queries, images)
        distances = key_distances(
            attention.height,
            attention.width,
            attention.key_stride,
            device=weights.device,
            queries=queries,
        )
        far = (distances > attention.height / 2).to(weights.dtype)
        entropy += torch.special.entr(weights).sum().item()
        distance += (weights * distances).sum().item()
        far_mass += (weights * far).sum().item()
        if row_sums is None:
            row_sums = weights.new_zeros(b, m)
        row_sums[images] += weights.sum(1)
    assert row_sums is not None
    mean_row_entropy = torch.special.entr(row_sums / n).sum(-1).mean().item()
    return AttentionNumbers(
        entropy=entropy / (b * n),
        distance=distance / (b * n),
        far_mass=far_mass / (b * n),
        query_dependence=max(0.0, mean_row_entropy - entropy / (b * n)),  # rounding may go below 0
    )


def key_distances(
    height: int,
    width: int,
    key_stride: int,
    *,
    device: torch.device,
    queries: slice | Tensor = slice(None),
) -> Tensor:
    """Distances `n m` between the centres of (some) queries and of key cells, in query pixels."""

    def centres(stride: int) -> Tensor:
        y = (torch.arange(height // stride, device=device) + 0.5) * stride
        x = (torch.arange(width // stride, device=device) + 0.5) * stride
        return torch.cartesian_prod(y, x).float()

    # not by a matrix product, which may be in TF32
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(centres(1)[queries], centres(key_stride), compute_mode=exact)
