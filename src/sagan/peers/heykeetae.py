"""heykeetae/Self-Attention-GAN, the DCGAN that the article quotes: `N_G.pth` and `N_D.pth`.

Attention has biases and no spectral norm; spectral norm takes dimension 0 of transposed
convolutions too, and a power step before each evaluation. The code runs at 64 px only.

Source: `sagan_models.py` and `spectral.py` at 8714a54 (2018-06-15).
"""

from sagan.peers.tensors import Part, State, Tensors

MARKS = {
    "generator": ("l1.0.module.weight_bar", "l1.1.running_mean", "last.0.weight"),
    "discriminator": ("l1.0.module.weight_bar", "last.0.weight"),
}
NETWORK = {"family": "dcgan", "attention_form": "article", "init": "default"}
PRESET = "article"
ASSUMED = ""

_LAYERS = 4
_ATTENTION = {"query": "query_conv", "key": "key_conv", "value": "value_conv"}
_AFTER_BLOCK = {2: "attn1", 3: "attn2"}


def read_generator(tensors: Tensors) -> Part:
    """Read the generator."""
    state: State = {}
    for i in range(_LAYERS):
        state |= tensors.layer(f"l{i + 1}.0.module", f"blocks.{i}.0")
        state |= tensors.batch_norm(f"l{i + 1}.1", f"blocks.{i}.1")
    state |= _attention(tensors) | tensors.layer("last.0", "to_image")
    fields = {
        "resolution": 64,
        "channels": state["to_image.weight"].shape[1],
        "latent_dim": state["blocks.0.0.layer.weight"].shape[0],
        "g_width": state["to_image.weight"].shape[0],
        "g_attention": (16, 32),
    }
    return Part(fields, state)


def read_discriminator(tensors: Tensors) -> Part:
    """Read the discriminator."""
    state: State = {}
    for i in range(_LAYERS):
        state |= tensors.layer(f"l{i + 1}.0.module", f"blocks.{i}")
    state |= _attention(tensors) | tensors.layer("last.0", "to_logit")
    first = state["blocks.0.layer.weight"]
    fields = {
        "resolution": 64,
        "channels": first.shape[1],
        "d_width": first.shape[0],
        "d_attention": (4, 8),
    }
    return Part(fields, state)


def _attention(tensors: Tensors) -> State:
    state: State = {}
    for block, theirs in _AFTER_BLOCK.items():
        state |= tensors.attention(theirs, _ATTENTION, f"attention.{block}")
    return state
