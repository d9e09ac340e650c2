"""Model cards: Markdown that starts with the metadata that model hubs read.

Licence, intended use and the data's terms are for the owner to add. What only a run knows, samples
and scores, comes from `sagan.exchange.run_card`.
"""

from collections.abc import Mapping

from sagan.sharing.facts import Facts, last_name


def make_card(
    facts: Facts,
    title: str,
    address: str,
    *,
    samples: str = "",  # Markdown
    imported_from: str = "",  # the implementation that trained it, if not this one
    images_seen: str = "",
    scores: str = "",  # Markdown
) -> str:
    """Make a card for what `sagan.load(address)` opens; only a run has the keyword arguments."""
    training = _training(facts, imported_from, images_seen)
    parts = [
        _head(facts, title, address),
        samples,
        _table("Network", _network(facts)),
        _table("Training", training) if facts.weights else "",  # otherwise it is unknown
        scores,
        _usage(facts, address),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(facts: Facts, title: str, address: str) -> str:
    tags = "sagan, gan, self-attention" + (", onnx" if _is_onnx(address) else "")
    return (
        f"---\nlibrary_name: sagan\npipeline_tag: unconditional-image-generation\n"
        f"tags: [{tags}]\n---\n\n# {title}\n\n"
        f"A generator of {facts.config.network.resolution} px images: a self-attention GAN."
    )


def _network(facts: Facts) -> dict[str, object]:
    network, names = facts.config.network, facts.class_names
    sides = ", ".join(f"{side} px" for side in network.g_attention)
    return {
        "family": network.family,
        "images": f"{network.channels} x {network.resolution} x {network.resolution}",
        "latents": network.latent_dim,
        "classes": f"{len(names)}: {', '.join(names)}" if names else "none (unconditional)",
        "attention": f"at {sides}, the {network.attention_form} form" if sides else "none",
    }


def _training(facts: Facts, imported_from: str, images_seen: str) -> dict[str, object]:
    config, training = facts.config, facts.config.training
    rows: dict[str, object] = {
        "imported from": imported_from,
        "fine-tuned from": last_name(config.init.source),
        "data": last_name(config.data.source) or "unknown",
        "weights": "averaged over training" if facts.averaged else "as trained, not averaged",
        "images seen": images_seen,
        "generator steps": f"{facts.step:,}" if facts.step else "",
    }
    rows = {name: value for name, value in rows.items() if value}
    if facts.step:
        rows |= {
            "preset": config.preset,
            "batch": training.batch_size,
            "loss": training.loss,
            "learning rates": f"G {training.g_lr:g}, D {training.d_lr:g}",
            "augmentation": ", ".join(training.augment) or "none",
            "seed": training.seed,
        }
    return rows


def _table(title: str, facts: Mapping[str, object]) -> str:
    rows = [f"| {name} | {table_cell(value)} |" for name, value in facts.items()]
    return "\n".join([f"## {title}\n", "| | |", "|---|---|", *rows])


def table_cell(value: object) -> str:
    """Escape a value for a cell of a Markdown table."""
    return " ".join(str(value).replace("|", r"\|").split())


def _usage(facts: Facts, address: str) -> str:
    """Write code that samples; for an ONNX file also without this package."""
    network = facts.config.network
    label = ", classes=[0]" if network.classes else ""
    lines = [
        "## Use\n",
        "```python",
        "import sagan",
        "",
        f'generator = sagan.load("{address}")',
        f"images = sagan.sample(generator, 16{label}, seed=0)  # uint8 n c h w",
        "```",
    ]
    if _is_onnx(address):
        labels = ', "labels": np.zeros(16, np.int64)' if network.classes else ""
        lines += [
            "\nWithout `sagan` and PyTorch:\n",
            "```python",
            "import numpy as np",
            "import onnxruntime",
            "",
            f'session = onnxruntime.InferenceSession("{address}")',
            f"latents = np.random.randn(16, {network.latent_dim}).astype(np.float32)",
            f'inputs = {{"latents": latents{labels}}}',
            '(images,) = session.run(["images"], inputs)  # float [-1, 1], n c h w',
            "```",
        ]
    return "\n".join(lines)


def _is_onnx(address: str) -> bool:
    return address.lower().endswith(".onnx")
