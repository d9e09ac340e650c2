"""Records other implementations' outputs on weights made by rule; run by hand, not by the tests.

    PYTHONPATH=src:tests python tests/peers/record.py PEER CHECKOUT COMMIT DATE

CHECKOUT is a clone of the repository at COMMIT (mmgen needs mmcv 1.x importable; studiogan_legacy a
commit with `src/utils/model_ops.py`). Writes expected/PEER.json: options, names and shapes of the
states, and digests of the outputs in evaluation mode.
"""

import json
import sys
from contextlib import redirect_stdout
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import torch
from peer_weights import digest, inputs, weights

EXPECTED = Path(__file__).parent / "expected"


class Nothing(ModuleType):
    """A module that has every name; none does anything."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock()


class Stand(MetaPathFinder, Loader):
    """Stands in for libraries that the networks do not need, installed or not."""

    def __init__(self, *roots):
        self.roots = roots

    def find_spec(self, name, path=None, target=None):
        """Claim these libraries and everything in them."""
        mine = any(f"{name}.".startswith(f"{root}.") for root in self.roots)
        return ModuleSpec(name, self, is_package=True) if mine else None

    def create_module(self, spec):
        """Make an empty one."""
        return Nothing(spec.name)

    def exec_module(self, module):
        """Leave it empty."""


def heykeetae(checkout):
    sys.path.insert(0, checkout)
    import sagan_models as peer

    for z_dim in (128, 100):
        G = peer.Generator(2, 64, z_dim, 64)
        D = peer.Discriminator(2, 64, 64)
        yield f"64px-z{z_dim}", {"z_dim": z_dim}, Case(G, D, z_dim, 0, 64, maps=True)


def biggan(checkout):
    sys.path.insert(0, checkout)
    import BigGAN as peer

    several = {f"num_{net}_{count}": 2 for net in "GD" for count in ("SVs", "SV_itrs")}
    common = {"SN_eps": 1e-8, "G_shared": False, "G_init": "xavier", "D_init": "xavier"}
    for name, px, ch, g_attn, d_attn, classes, more in (
        ("128px", 128, 8, "64", "64", 7, {"D_ch": 16}),
        ("128px-attention-4", 128, 8, "32_64", "4", 3, {"D_ch": 8}),
        ("64px", 64, 8, "32", "32", 5, {}),
        ("64px-mybn", 64, 8, "16_32", "8_16", 5, {"mybn": True}),
        ("32px", 32, 8, "16", "0", 10, {}),
        ("32px-attention-everywhere", 32, 8, "8_16_32", "16", 10, {}),
        ("32px-without", 32, 6, "0", "0", 1, {"dim_z": 20}),
        ("256px", 256, 4, "64", "64", 3, {}),
        ("128px-thin", 128, 5, "64", "32_64", 6, {"D_wide": False, "D_ch": 13}),
        ("64px-thin", 64, 8, "32", "16", 5, {"D_wide": False, "G_param": "None"}),
        ("32px-thin", 32, 3, "16", "16", 4, {"D_wide": False}),
        ("32px-vectors", 32, 5, "16", "0", 2, {**several, "G_activation": torch.nn.ReLU(True)}),
    ):
        options = {"G_ch": ch, "D_ch": ch, "G_attn": g_attn, "D_attn": d_attn, **common, **more}
        options |= {"resolution": px, "n_classes": classes}
        G, D = peer.Generator(**options), peer.Discriminator(**options)
        if "mybn" in options:  # summed statistics, as its `--accumulate_stats` saves them
            for module in G.modules():
                module.accumulate_standing = True
        options.pop("G_activation", None)
        yield name, options, Case(G, D, options.get("dim_z", 128), classes, px)


def studiogan(checkout):
    sys.path.insert(0, str(Path(checkout) / "src"))
    unneeded = ("torchvision", "wandb", "h5py", "requests", "seaborn", "pandas", "kornia")
    sys.meta_path.insert(0, Stand(*unneeded, "utils.style_ops", "utils.diffaug", "metrics"))
    import config
    import models.resnet as peer

    for name, px, ch, g_loc, d_loc, g_cond, d_cond, classes, g_sn, *z_dim in (
        ("128px", 128, 8, [4], [1], "cBN", "PD", 7, True),
        ("64px", 64, 8, [3], [1], "cBN", "PD", 5, True),
        ("32px", 32, 8, [2], [1], "cBN", "PD", 10, True),
        ("32px-unconditional", 32, 8, [1, 3], [3], "W/O", "W/O", 10, True),
        ("32px-without", 32, 8, [], [], "cBN", "PD", 4, False),
        ("256px", 256, 4, [4], [2], "cBN", "PD", 3, True),
        ("128px-unconditional", 128, 5, [3, 4], [1, 2], "W/O", "W/O", 9, True, 80),
        ("64px-unconditional", 64, 8, [2, 3], [1, 5], "W/O", "W/O", 9, True),
        ("64px-g-sn-off", 64, 9, [3], [2], "cBN", "PD", 2, False),
        ("32px-g-sn-off", 32, 5, [2], [1, 2], "W/O", "W/O", 2, False, 20),
    ):
        z_dim = z_dim[0] if z_dim else 128
        made = config.Configurations.__new__(config.Configurations)
        model = SimpleNamespace(
            apply_g_sn=g_sn, apply_d_sn=True, g_cond_mtd=g_cond, d_cond_mtd=d_cond,
            g_act_fn="ReLU", d_act_fn="ReLU", info_type="N/A", g_info_injection="N/A",
            backbone="resnet",
        )  # fmt: skip
        made.MODEL, made.MODULES = model, SimpleNamespace()
        made.STYLEGAN = SimpleNamespace(cond_type=[])
        modules = made.define_modules()
        G = peer.Generator(
            z_dim=z_dim, g_shared_dim="N/A", img_size=px, g_conv_dim=ch, apply_attn=bool(g_loc),
            attn_g_loc=g_loc, g_cond_mtd=g_cond, num_classes=classes, g_init="ortho", g_depth=None,
            mixed_precision=False, MODULES=modules, MODEL=model,
        )  # fmt: skip
        D = peer.Discriminator(
            img_size=px, d_conv_dim=2 * ch if px > 32 else ch, apply_d_sn=True,
            apply_attn=bool(d_loc), attn_d_loc=d_loc, d_cond_mtd=d_cond, aux_cls_type="N/A",
            d_embed_dim="N/A", normalize_d_embed=False, num_classes=classes, d_init="ortho",
            d_depth=None, mixed_precision=False, MODULES=modules, MODEL=model,
        )  # fmt: skip
        options = {"attn_g_loc": g_loc, "attn_d_loc": d_loc, "apply_g_sn": g_sn, "g_conv_dim": ch}
        options |= {"img_size": px, "g_cond_mtd": g_cond, "d_cond_mtd": d_cond}
        conditional = classes if g_cond != "W/O" else 0
        case = Case(G, D, z_dim, conditional, px, needs_labels=classes)
        case.logits = lambda D, x, y: D(x, y)["adv_output"]
        yield name, options, case


def studiogan_legacy(checkout):
    sys.path.insert(0, str(Path(checkout) / "src"))
    sys.meta_path.append(
        Stand("torchvision", "wandb", "h5py", "requests", "seaborn", "pandas", "skimage", "cv2")
    )
    import models.resnet as peer

    for name, px, ch, g_after, d_after, strategy, classes, g_sn in (
        ("legacy-64px", 64, 8, 3, 2, "ProjGAN", 5, True),
        ("legacy-32px-unconditional", 32, 8, 2, 1, "no", 0, True),
        ("legacy-128px", 128, 5, 4, 2, "ProjGAN", 4, True),
        ("legacy-64px-unconditional", 64, 8, 2, 4, "no", 0, False),
        ("legacy-32px", 32, 5, 3, 4, "ProjGAN", 6, False),
    ):
        G = peer.Generator(
            z_dim=128, shared_dim=None, img_size=px, g_conv_dim=ch, g_spectral_norm=g_sn,
            attention=True, attention_after_nth_gen_block=g_after, activation_fn="ReLU",
            conditional_strategy=strategy, num_classes=classes, initialize="ortho", G_depth=None,
            mixed_precision=False,
        )  # fmt: skip
        D = peer.Discriminator(
            img_size=px, d_conv_dim=ch, d_spectral_norm=True, attention=True,
            attention_after_nth_dis_block=d_after, activation_fn="ReLU",
            conditional_strategy=strategy, hypersphere_dim=None, num_classes=classes,
            nonlinear_embed=False, normalize_embed=False, initialize="ortho", D_depth=None,
            mixed_precision=False,
        )  # fmt: skip
        options = {"attention_after": [g_after, d_after], "strategy": strategy, "img_size": px}
        case = Case(G, D, 128, classes, px, needs_labels=2)
        yield name, options, case


def mimicry(checkout):
    sys.path.insert(0, checkout)
    sys.meta_path.append(Stand("torchvision", "tensorflow", "tensorboard", "cv2", "skimage"))
    from torch_mimicry.nets.cgan_pd import cgan_pd_32, cgan_pd_128
    from torch_mimicry.nets.sagan import sagan_32, sagan_128
    from torch_mimicry.nets.sngan import sngan_32, sngan_64, sngan_128

    for name, px, g, d, ngf, ndf, classes, nz in (
        ("sagan-128px", 128, sagan_128.SAGANGenerator128, sagan_128.SAGANDiscriminator128,
         128, 128, 7, 128),
        ("sagan-32px", 32, sagan_32.SAGANGenerator32, sagan_32.SAGANDiscriminator32,
         32, 24, 10, 64),
        ("sngan-128px", 128, sngan_128.SNGANGenerator128, sngan_128.SNGANDiscriminator128,
         64, 64, 0, 128),
        ("sngan-64px", 64, sngan_64.SNGANGenerator64, sngan_64.SNGANDiscriminator64,
         64, 64, 0, 128),
        ("sngan-32px", 32, sngan_32.SNGANGenerator32, sngan_32.SNGANDiscriminator32,
         30, 31, 0, 128),
        ("cgan-pd-32px", 32, cgan_pd_32.CGANPDGenerator32, cgan_pd_32.CGANPDDiscriminator32,
         24, 24, 6, 128),
        ("cgan-pd-128px", 128, cgan_pd_128.CGANPDGenerator128, cgan_pd_128.CGANPDDiscriminator128,
         64, 64, 3, 128),
        ("sagan-128px-odd", 128, sagan_128.SAGANGenerator128, sagan_128.SAGANDiscriminator128,
         76, 83, 3, 50),
        ("sagan-32px-odd", 32, sagan_32.SAGANGenerator32, sagan_32.SAGANDiscriminator32,
         21, 9, 1, 128),
    ):  # fmt: skip
        options = {"num_classes": classes} if classes else {}
        G, D = g(nz=nz, ngf=ngf, **options), d(ndf=ndf, **options)
        options |= {"nz": nz, "ngf": ngf, "ndf": ndf}
        yield name, options, Case(G, D, nz, classes, px)


def mmgen(checkout):
    sys.path.insert(0, checkout)
    sys.meta_path.append(Stand("torchvision", "mmgen.core"))
    packages = ("mmgen", "mmgen.models", "mmgen.models.architectures", "mmgen.utils")
    for package in (*packages, "mmgen.models.architectures.biggan"):  # all mmcv for their __init__
        module = Nothing(package)
        module.__path__ = [str(Path(checkout, *package.split(".")))]
        sys.modules[package] = module
    sys.modules["mmgen.utils"].check_dist_init = lambda: False
    import_module("mmgen.models.architectures.biggan.modules")  # registers the attention block
    from mmgen.models.architectures.sngan_proj import generator_discriminator as peer

    for name, px, g_base, d_base, g_after, d_after, classes, init, style, relu in (
        ("128px", 128, 8, 8, 4, 1, 7, "studio", "torch", {}),
        ("64px", 64, 8, 8, [2, 3], 2, 5, "BigGAN", "torch", {}),
        ("32px", 32, 32, 16, 2, 1, 10, "studio", "torch", {}),
        ("32px-in-place", 32, 32, 16, 2, 1, 10, "SAGAN", "torch", {"inplace": True}),
        ("32px-ajbrock", 32, 32, 16, 2, 1, 10, "BigGAN", "ajbrock", {}),
        ("128px-as-biggan", 128, 8, 8, 4, 1, 4, "BigGAN", "torch", {}),
        ("128px-unconditional", 128, 5, 9, [3, 4], [1, 2], 0, "studio", "torch", {}),
        ("64px-unconditional", 64, 8, 9, 3, [2, 4], 0, "studio", "ajbrock", {}),
        ("32px-unconditional", 32, 20, 9, [1, 2], 4, 0, "SAGAN", "torch", {"inplace": True}),
        ("32px-without", 32, 6, 7, 0, 0, 1, "SNGAN-PROJ", "torch", {}),
    ):
        common = {"num_classes": classes, "with_spectral_norm": True, "init_cfg": {"type": init}}
        common |= {"act_cfg": {"type": "ReLU", **relu}, "sn_style": style}
        common |= {"attention_cfg": {"type": "SelfAttentionBlock"}}
        more = {"use_cbn": classes > 0}
        if name == "128px-as-biggan":  # as in the configuration of its best published SAGAN
            more |= {"norm_eps": 1e-5, "with_embedding_spectral_norm": False}
            common["sn_eps"] = more["sn_eps"] = 1e-8
        G = peer.SNGANGenerator(
            px, base_channels=g_base, attention_after_nth_block=g_after, **(common | more)
        )
        D = peer.ProjDiscriminator(
            px, base_channels=d_base, attention_after_nth_block=d_after, **common
        )
        options = {"output_scale": px, "attention_after": [g_after, d_after], "sn_style": style}
        options |= {"init_cfg": init, "act_cfg": relu, **more}
        case = Case(G, D, 128, classes, px)
        case.images = lambda G, z, y: G(z, label=y)
        yield name, options, case


class Case:
    """A pair of networks, and how they are called."""

    def __init__(self, G, D, latent_dim, classes, side, *, maps=False, needs_labels=0):
        self.G, self.D, self.maps = G, D, maps
        self.latent_dim, self.classes, self.side = latent_dim, classes, side
        self.needs_labels = needs_labels  # unconditional, but must be given some

    def images(self, G, latents, labels):
        return G(latents) if labels is None else G(latents, labels)

    def logits(self, D, images, labels):
        return D(images) if labels is None else D(images, labels)


@torch.no_grad()
def record(case):
    """Load the rule's weights into both networks and run them."""
    result = {}
    for name, network in (("G", case.G), ("D", case.D)):
        state = network.state_dict()
        shapes = {key: list(value.shape) for key, value in state.items()}
        network.load_state_dict(weights({key: tuple(shape) for key, shape in shapes.items()}))
        network.eval()
        result[name] = shapes
    z, y, x = inputs(case.latent_dim, case.classes, 3, case.side)
    if y is None and case.needs_labels:
        y = torch.zeros(2, dtype=torch.int64)
    images, logits = case.images(case.G, z, y), case.logits(case.D, x.clone(), y)
    outputs = {}
    if case.maps:
        (images, *g_maps), (logits, *d_maps) = images, logits
        outputs = {f"G map {i}": digest(m) for i, m in enumerate(g_maps)}
        outputs |= {f"D map {i}": digest(m) for i, m in enumerate(d_maps)}
    outputs |= {"images": digest(images), "logits": digest(logits.reshape(-1))}
    return (
        {"latent_dim": case.latent_dim, "classes": case.classes, "side": case.side}
        | result
        | {"outputs": outputs}
    )


def main(peer, checkout, commit, date):
    """Record one implementation, keeping what its file holds of other commits."""
    file = EXPECTED / f"{peer.split('_')[0]}.json"
    kept = json.loads(file.read_text()) if file.exists() else {}
    with redirect_stdout(sys.stderr):  # the peers print
        for name, options, case in globals()[peer](checkout):
            recorded = record(case)
            kept[name] = {"commit": commit, "date": date, "options": options, **recorded}
    lines = [
        json.dumps(name) + ": {\n " + ",\n ".join(
            f"{json.dumps(key)}: {json.dumps(value)}" for key, value in case.items()
        ) + "}"
        for name, case in kept.items()
    ]  # fmt: skip
    file.parent.mkdir(exist_ok=True)
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
