"""The causal check: what changes in G's picture and in D's logit when attention is changed.

A map alone explains nothing: a layer may look somewhere and then not use what it saw. So attention
is removed (gamma 0), made blind to position (uniform maps) and barred from some keys, and the
change is compared with the difference between two pictures of the same class.

Dimensions: r reference pictures, c channels, h w the picture's sides, kh kw a layer's key grid.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sagan.explain.interventions import intervene
from sagan.explain.maps import QueryMaps
from sagan.explain.pictures import ExplainedPicture
from sagan.images import to_uint8
from sagan.models import Discriminator, Generator
from sagan.randomness import generator_for, sample_latents
from sagan.sampling import spread_labels

THRESHOLD = 0.1  # attention matters from this share of the reference on
REFERENCES = 8  # pictures whose pairwise differences are the reference
GREY_LEVELS = 127.5  # grey levels of 255 in one unit of [-1, 1]
_HIDDEN_MASS = 0.5  # share of a query's attention that is hidden
_MIN_REFERENCE = {"G": 1.0, "D": 0.01}  # grey levels; logits. A collapsed network has less


@dataclass(frozen=True)
class Change:
    """What one intervention changes in one picture (G) or logit (D)."""

    # if each query point has its own keys hidden, all but `at_query` is about the first one

    after: Tensor  # the picture, uint8 `c h w`; or the logit
    hidden: Tensor | None  # the hidden keys of the last layer, a bool grid
    amount: float  # mean absolute change, in grey levels of 255; or of the logit
    relative: float  # the amount as a share of the reference
    at_query: float | None  # G: mean change of the query points' own pixels, in grey levels


@dataclass(frozen=True)
class Effects:
    """What every intervention changes in one network's output for one picture."""

    network: str  # G or D
    before: Tensor  # the picture, uint8 `c h w`; or the logit
    reference: float  # mean difference between two other pictures, or logits, of the class
    query: tuple[float, float]  # the first query point, (y, x) in [0, 1]
    changes: dict[str, Change]  # by intervention, see `Verdict`

    def record(self) -> dict[str, Any]:
        """The numbers, for a JSON file."""
        y, x = self.query
        record = {"network": self.network, "reference": self.reference, "query": {"y": y, "x": x}}
        if self.network == "D":
            record["logit"] = self.before.item()
        changes: dict[str, dict[str, float | None]] = {}
        for name, change in self.changes.items():
            changes[name] = {"change": change.amount, "relative": change.relative}
            if self.network == "G":
                changes[name]["change_at_query"] = change.at_query
            else:
                changes[name]["logit"] = change.after.item()
        return record | {"changes": changes}


@torch.no_grad()
def measure_effects(
    picture: ExplainedPicture,
    generator: Generator,
    discriminator: Discriminator | None,
    layers: Sequence[QueryMaps],
    *,
    region: Tensor | None = None,
) -> list[Effects]:
    """Run the networks again under each intervention; an `Effects` for each that has attention."""
    # Networks must be in eval mode. Hides the region, bool `h w`; by default the keys that a query
    # attends to most, until half of its attention is hidden, and as a control as many others at
    # random. A region that hides every key of a layer raises ValueError.
    references = _references(picture, generator, discriminator)
    networks: dict[str, tuple[nn.Module | None, Tensor | None]] = {
        "G": (generator, picture.latents),
        "D": (discriminator, picture.image),
    }
    found = []
    for name, (network, seen) in networks.items():
        maps = [layer for layer in layers if layer.network == name]
        if network is None or not maps:
            continue
        # the finest layer's cells are nearest to the query points that were asked for
        finest = max(maps, key=lambda layer: layer.attention.height)
        before = network(seen, picture.labels)
        reference = max(_MIN_REFERENCE[name], references[name])
        changes = {}
        for intervention, hidden in _interventions(maps, region).items():
            afters = []
            for grids in hidden:
                with _applied(network, intervention, grids):
                    afters.append(network(seen, picture.labels))
            shown = list(hidden[0].values())[-1] if hidden[0] else None
            points = finest.points if name == "G" else ()
            changes[intervention] = _change(before, afters, shown, reference, points)
        found.append(Effects(name, _shown(before), reference, finest.points[0], changes))
    return found


Grids = dict[str, Tensor]  # the keys to hide, by layer


def _interventions(maps: Sequence[QueryMaps], region: Tensor | None) -> dict[str, list[Grids]]:
    """The interventions, each with what to hide: once, or once for each query point."""
    plan: dict[str, list[Grids]] = {"gamma-0": [{}], "uniform": [{}]}
    if region is not None:
        return plan | {"hidden-region": [{layer.layer: region for layer in maps}]}
    plan |= {"hidden-most": [], "hidden-others": []}
    # D has no pixels to compare at the query points, so the first one will do
    for i in range(len(maps[0].points) if maps[0].network == "G" else 1):
        draw = generator_for(0, "hidden-others", i)
        pairs = {layer.layer: most_and_others(layer.maps[i], draw) for layer in maps}
        plan["hidden-most"].append({name: pair[0] for name, pair in pairs.items()})
        plan["hidden-others"].append({name: pair[1] for name, pair in pairs.items()})
    return plan


def most_and_others(weights: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """The keys `kh kw` with the most attention, up to half of it, and as many others at random."""
    flat = weights.flatten()
    order = flat.argsort(descending=True, stable=True)
    taken_before = flat[order].cumsum(0) - flat[order]
    count = min(int((taken_before < _HIDDEN_MASS).sum()), len(order) // 2)
    most, others = (torch.zeros(len(order), dtype=torch.bool) for _ in range(2))
    most[order[:count]] = True
    rest = order[count:]
    others[rest[torch.randperm(len(rest), generator=draw)[:count]]] = True
    return most.view_as(weights), others.view_as(weights)


@contextmanager
def _applied(network: nn.Module, intervention: str, grids: Grids) -> Iterator[None]:
    with ExitStack() as stack:
        if intervention == "gamma-0":
            stack.enter_context(intervene(network, gamma_scale=0.0))
        elif intervention == "uniform":
            stack.enter_context(intervene(network, uniform=True))
        for layer, grid in grids.items():
            stack.enter_context(intervene(network, hidden_keys=grid, layers=[layer]))
        yield


def _change(
    before: Tensor,
    afters: Sequence[Tensor],
    hidden: Tensor | None,
    reference: float,
    points: Sequence[tuple[float, float]],
) -> Change:
    """Compare outputs of a batch of one: `afters` is one for all query points, or one for each."""
    scale = GREY_LEVELS if before.ndim == 4 else 1.0
    differences = [(after - before)[0].abs().float() * scale for after in afters]
    amount = differences[0].mean().item()
    at_points = []
    for point, difference in zip(points, differences * len(points), strict=False):
        h, w = difference.shape[1:]
        at_points.append(difference[:, int(point[0] * h), int(point[1] * w)].mean().item())
    at_query = sum(at_points) / len(at_points) if at_points else None
    return Change(_shown(afters[0]), hidden, amount, amount / reference, at_query)


def _shown(output: Tensor) -> Tensor:
    """Turn a picture into uint8 `c h w`, and leave a logit as it is; on the CPU."""
    return (to_uint8(output[0]) if output.ndim == 4 else output[0]).cpu()


def _references(
    picture: ExplainedPicture, generator: Generator, discriminator: Discriminator | None
) -> dict[str, float]:
    """Measure how far other pictures of the same class differ (G), and their logits (D)."""
    config, device = generator.config, picture.image.device
    # negative seeds: the picture itself never has one
    z = sample_latents(range(-REFERENCES, 0), config.latent_dim).to(device)
    made = judged = picture.labels
    if picture.labels is not None:
        made = judged = picture.labels.expand(REFERENCES, *picture.labels.shape[1:])
        if picture.labels.is_floating_point():  # the class is unknown: take all of them
            spread = spread_labels(REFERENCES, config)
            assert spread is not None
            made = spread.to(device)
    others = generator(z, made)
    references = {"G": mean_difference(others) * GREY_LEVELS}
    if discriminator is not None:
        references["D"] = mean_difference(discriminator(others, judged))
    return references


def mean_difference(samples: Tensor) -> float:
    """The mean absolute difference between two samples, over all pairs of `r ...`.

    Example:
        >>> mean_difference(torch.tensor([0.0, 1.0, 3.0]))
        2.0
    """
    flat = samples.reshape(len(samples), -1)
    first, second = torch.combinations(torch.arange(len(flat), device=flat.device)).T
    return (flat[first] - flat[second]).abs().mean().item()


@dataclass(frozen=True)
class Verdict:
    """Whether attention matters to one network, over several pictures.

    Changes are relative to how far other pictures of the same class differ. Interventions are
    `gamma-0` (no attention), `uniform` (uniform maps), `hidden-most` and `hidden-others` (the keys
    that a query attends to most, and as many others), or `hidden-region`.

    Args:
        network: `G` or `D`.
        relative: mean relative change of the picture or the logit, by intervention.
        at_query: mean change of the query points' pixels in grey levels of 255, by intervention;
            empty for D.
        matters: whether removing attention changes the output by at least 10 % of the reference.
        places_matter: whether making its maps uniform does so too.

    Example:
        >>> verdict = Verdict("D", {"gamma-0": 0.02, "uniform": 0.01}, {}, False, False)
        >>> verdict.sentence().partition(":")[0]
        'Attention does not matter here'
    """

    network: str
    relative: dict[str, float]
    at_query: dict[str, float]
    matters: bool
    places_matter: bool

    def record(self) -> dict[str, Any]:
        """The verdict for a JSON file, with its sentence."""
        return asdict(self) | {"sentence": self.sentence()}

    def sentence(self) -> str:
        """The verdict in words."""
        what = {"G": "the generator's picture", "D": "the discriminator's logit"}[self.network]
        share = {name: f"{100 * value:.3g}%" for name, value in self.relative.items()}
        head = f"taking it away changes {what} by {share['gamma-0']} of what another seed changes"
        if not self.matters:
            return f"Attention does not matter here: {head} (less than {THRESHOLD:.0%})."
        rest = (
            f"making its maps uniform by {share['uniform']} (it takes {THRESHOLD:.0%} to matter)."
        )
        if not self.places_matter:
            return f"The attention block matters here, where it looks does not: {head}, {rest}"
        if "hidden-most" in self.at_query:
            most, others = self.at_query["hidden-most"], self.at_query["hidden-others"]
            rest += (
                " Hiding what a pixel attends to most changes that pixel by "
                f"{most:.1f} of 255, hiding as many other keys by {others:.1f}."
            )
        if "hidden-region" in self.relative:
            rest += f" Hiding the region changes it by {share['hidden-region']}."
        return f"Attention matters here: {head}, {rest}"


def judge(effects: Sequence[Effects]) -> Verdict:
    """Sum up one network's effects on several pictures."""
    # Attention matters if gamma 0 changes the output by at least `THRESHOLD` of the reference, in
    # the mean over the pictures; where it looks matters if uniform maps do so too.
    relative, at_query = {}, {}
    for name in effects[0].changes:
        changes = [e.changes[name] for e in effects]
        relative[name] = sum(c.relative for c in changes) / len(changes)
        at = [c.at_query for c in changes if c.at_query is not None]
        if at:
            at_query[name] = sum(at) / len(at)
    matters = relative["gamma-0"] >= THRESHOLD
    places_matter = matters and relative["uniform"] >= THRESHOLD
    return Verdict(effects[0].network, relative, at_query, matters, places_matter)
