"""The parts of a model card that a model's own facts tell: Markdown, as model hubs read it.

Whose the data are, what they allow and what the model is for is for its owner to add, and so is the
licence. The samples and scores of a run are added by `sagan.exchange.run_card`.
"""

from collections.abc import Mapping

from sagan.sharing.facts import Facts, last_name


def make_card(facts: Facts, title: str, address: str) -> str:
    """Make a card of what is known without the run.

    Args:
        facts: of the generator.
        title: of the card.
        address: that `sagan.load` takes.

    Example:
        >>> from sagan.config import RunConfig
        >>> print(make_card(Facts(RunConfig(), 7, "ema"), "digits", "hub:me/digits"))
        ---
        library_name: sagan
        ...
        generator = sagan.load("hub:me/digits")
        ...
    """
    parts = [head(facts, title), table("Network", network_facts(facts))]
    if facts.weights:  # else nobody knows
        parts.append(table("Training", training_facts(facts, {})))
    return "\n\n".join([*parts, use(facts, address)]) + "\n"


def head(facts: Facts, title: str, *, tags: tuple[str, ...] = ()) -> str:
    """Write the metadata, the title and what it is."""
    listed = ", ".join(("sagan", "gan", "self-attention", *tags))
    return (
        f"---\nlibrary_name: sagan\npipeline_tag: unconditional-image-generation\n"
        f"tags: [{listed}]\n---\n\n# {title}\n\n"
        f"A generator of {facts.config.network.resolution} px images: a self-attention GAN."
    )


def network_facts(facts: Facts) -> dict[str, object]:
    """List what the network is."""
    network, names = facts.config.network, facts.class_names
    sides = ", ".join(f"{side} px" for side in network.g_attention)
    return {
        "family": network.family,
        "images": f"{network.channels} x {network.resolution} x {network.resolution}",
        "latents": network.latent_dim,
        "classes": f"{len(names)}: {', '.join(names)}" if names else "none (unconditional)",
        "attention": f"at {sides}, the {network.attention_form} form" if sides else "none",
    }


def training_facts(facts: Facts, more: Mapping[str, object]) -> dict[str, object]:
    """List how it was trained; `more` comes behind whose weights they are."""
    config = facts.config
    listed: dict[str, object] = {}
    if config.init.source:
        listed["fine-tuned from"] = last_name(config.init.source)
    listed |= {
        "data": last_name(config.data.source) or "not known",
        "weights": "averaged over training" if facts.averaged else "as trained, not averaged",
        **more,
        "generator steps": f"{facts.step:,}",
    }
    if facts.step:
        training = config.training
        listed |= {
            "preset": config.preset,
            "batch": training.batch_size,
            "loss": training.loss,
            "learning rates": f"G {training.g_lr:g}, D {training.d_lr:g}",
            "augmentation": ", ".join(training.augment) or "none",
            "seed": training.seed,
        }
    return listed


def table(title: str, facts: Mapping[str, object]) -> str:
    """Write facts as a table of two columns under a heading."""
    rows = [f"| {name} | {cell(value)} |" for name, value in facts.items()]
    return "\n".join([f"## {title}\n", "| | |", "|---|---|", *rows])


def cell(value: object) -> str:
    """Write a value so that it stays in its cell."""
    return " ".join(str(value).replace("|", r"\|").split())


def use(facts: Facts, address: str) -> str:
    """Write code that opens it and makes images; for an ONNX file also without this package."""
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
    if address.lower().endswith(".onnx"):
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
