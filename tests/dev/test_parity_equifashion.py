"""`dev.py parity equifashion` over recordings that this test makes with small random weights: it runs, and it notices.

The hybrid runs are recorded by a loop of their own; the rest is recorded through the pack, whose maths
tests/models/test_equifashion.py holds against closed forms.
"""

import json

import pytest
import torch
from atelier.dev.parity import parity_equifashion as tool
from atelier.models.equifashion import bundled_attention, fusion, losses, published_keys
from atelier.models.equifashion.generator import LatentDiscriminator, LatentGenerator
from atelier.models.equifashion.text_image import GarmentSegmentor, SemanticEncoder
from safetensors.torch import save_file

CONTEXT, WIDTH, TEXTS = 12, 4, ["a red dress", ""]
PAIRS = [[[1], [2]], [[4, 5], [6]]]


def network(net, prefix="w."):
    """Its tensors as recorded, with statistics of batches that differ from a fresh network's."""
    for module in net.eval().modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2)
    return {prefix + name: value.clone() for name, value in net.state_dict().items()}


def grad(value, inputs):
    return torch.autograd.grad(value, inputs, retain_graph=True)


def generator(net):
    z, u, words = torch.randn(2, 4, 16, 8), torch.randn(2, 4, 16, 8), torch.randn(2, 5, CONTEXT)
    t = torch.tensor([3, 900])
    weights, trained = network(net), LatentGenerator(4, WIDTH, CONTEXT)
    with torch.no_grad():
        out = net(z, u, words, t)
        trained.load_state_dict(net.state_dict())
        in_training = trained.train()(z, u, words, t)
    given = {"0.z_t": z, "0.u": u, "0.c_tokens": words, "0.c_pooled": words.mean(1), "0.t": t}
    return weights | given | {"0.out_eval": out, "0.out_train": in_training}


def discriminator(net):
    z, words, t = torch.randn(1, 4, 64, 64), torch.randn(1, 5, CONTEXT), torch.tensor([700])
    with torch.no_grad():
        return network(net) | {"0.z": z, "0.c_tokens": words, "0.t": t, "0.out_eval": net(z, words, t)}


def single_losses(encoder, segmentor):
    image = torch.rand(2, 3, 12, 8) * 2 - 1
    encoder, segmentor = encoder.eval(), segmentor.eval()
    out = {"img": image, "bundle.lambda": torch.tensor(0.5)}
    out |= {f"enc.{name}": value.clone() for name, value in encoder.state_dict().items()}
    out |= {f"seg.{name}": value.clone() for name, value in segmentor.state_dict().items()}
    maps = [torch.rand(2, 6, 5, requires_grad=True) for _ in range(4)]
    pairs = [tuple(maps[:2]), tuple(maps[2:])]
    value = 0.5 * losses.bundle(pairs)
    for n, (pair, slopes) in enumerate(zip(pairs, zip(*[iter(grad(value, maps))] * 2))):
        for side, one, slope in zip(("adj", "noun"), pair, slopes):
            out |= {f"bundle.{side}{n}": one.detach().clone(), f"bundle.grad_{side}{n}": slope}
    each = [bundled_attention.jensen_shannon(*pair) for pair in pairs]
    out |= {"bundle.loss": value, "bundle.jsd_each": torch.stack(each)}
    one, other = torch.zeros(2, 4, 4), torch.zeros(2, 4, 4)
    one[:, 0, 1] = other[:, 3, 2] = 1  # nothing in common: the divergence is log 2
    out |= {"bundle.onehot_a": one, "bundle.onehot_b": other, "bundle.onehot_jsd": torch.full((2,), 2.0).log()}
    q, k = torch.randn(1, 2, 16, 8), torch.randn(1, 2, 6, 8)
    seen = (q @ k.transpose(2, 3) / 8**0.5).softmax(-1).mean(1).transpose(1, 2).reshape(1, 6, 4, 4)
    maps = seen / (seen.sum((2, 3), keepdim=True) + 1e-6)
    apart = [bundled_attention.jensen_shannon(maps[:, i], maps[:, i + 1]) for i in (0, 2, 4)]
    out |= {"attn.q": q, "attn.k": k, "attn.maps": seen, "attn.jsd_pairs_0_1__2_3__4_5": torch.stack(apart)}
    mapped = (image + 1) / 2
    out |= {"enc.text_features": encoder.encode_text(TEXTS), "enc.image_features": encoder.encode_image(mapped)}
    out["seg.masks_of_img"] = segmentor(mapped)
    for name, weight in (("compat", 0.5), ("clipsem", 0.1), ("consensus", 1.0)):
        given = image.clone().requires_grad_(True)
        value = weight * tool._picture_losses(encoder, segmentor, given, TEXTS)[name]
        out |= {f"{name}.loss": value, f"{name}.grad_img": grad(value, given)[0]}
    return out


def denoiser():
    shapes = {"w1": (8, 4, 3, 3), "b1": (8,), "w2": (4, 8, 3, 3), "b2": (4,), "wt": (8,), "bt": (8,)}
    shapes |= {"wc": (8, CONTEXT), "wh": (8, 3)}
    return {f"w_{name}": torch.randn(shape) * 0.1 for name, shape in shapes.items()}


def objective(folder, item):
    side = 64
    given = {name: torch.randn(2, 4, side, side) for name in ("x_start", "noise", "delta_raw", "u", "u1", "u2")}
    given |= denoiser() | {"t": torch.tensor([40, 800]), "context": torch.randn(2, 5, CONTEXT)}
    given |= {"hint": torch.rand(2, 3, 8, 8), "decoder": torch.randn(3, 4) * 0.5}
    case = tool._Objective(given, item, folder)
    case.evaluate()
    slopes = {"grad_G_F.w1": grad(case.values["loss_G_F"], case.F.w["w1"])[0],
              "grad_G_F.G.net.0.bias": grad(case.values["loss_G_F"], case.G.net[0].bias)[0],
              "grad_D.net.0.bias": grad(case.values["loss_D"], case.D.net[0].bias)[0]}  # fmt: skip
    return given | slopes | case.values


def hybrid(net, item, published_step):
    """The eight steps written out: z' = alpha G(z, u) + (1 - alpha) (DDIM step, or the mean one level down)."""
    w, context, hint = denoiser(), torch.randn(1, 5, CONTEXT), torch.rand(1, 3, 64, 64)
    times, z = fusion.levels_of_steps(item["steps"]), torch.randn(1, 4, 8, 8)
    abar = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2, 0)
    out = {**w, "context": context, "hint": hint, "z_T": z, "u": torch.randn(len(times), 4, 8, 8)}
    steps, eps = [z], tool._denoiser(w)
    for k, t in enumerate(times):
        at = torch.tensor([t])
        noise, alpha = eps(z, at, context, hint), (t / 1000) ** item["gamma"]
        after = float(abar[times[k + 1]] if k + 1 < len(times) else abar[0])
        clean = (z - (1 - float(abar[t])) ** 0.5 * noise) / float(abar[t]) ** 0.5
        step = fusion.ddim_step(z, noise, float(abar[t]), after)
        if published_step:
            step = fusion.posterior_mean(z, clean, float(abar[t]), float(abar[t - 1]))
        z = alpha * net(z, out["u"][k : k + 1], context, at) + (1 - alpha) * step
        steps.append(z)
    alphas = [(t / 1000) ** item["gamma"] for t in times]
    return out | {"timesteps": torch.tensor(times), "alpha": torch.tensor(alphas), "z": torch.cat(steps)}


def bundled():
    q, k, v = torch.randn(2, 2, 20, 8), torch.randn(2, 2, 9, 8), torch.randn(2, 2, 9, 8)
    plain = (q @ k.transpose(2, 3) / 8**0.5).softmax(-1)
    out = {"q": q, "k": k, "v": v, "P": plain}
    for strength in (0.0, 0.5):
        mixed = plain.clone()
        for adjective, noun in PAIRS:
            tokens = [*adjective, *noun]
            mean = plain[..., tokens].mean(-1, keepdim=True)
            mixed[..., tokens] = (1 - strength) * plain[..., tokens] + strength * mean
        apart = []
        for pair in PAIRS:
            sides = [mixed[..., side].mean((1, 3)) for side in pair]
            first, second = (side / (side.sum(1, keepdim=True) + 1e-6) for side in sides)
            middle = (first + second) / 2
            apart.append(sum(0.5 * (side * (side / middle).log()).sum(1) for side in (first, second)))
        out |= {f"P_b{strength}": mixed, f"out_b{strength}": mixed @ v, f"jsd_b{strength}": torch.stack(apart)}
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("parity") / "equifashion"
    made.mkdir()
    torch.manual_seed(0)
    nets = LatentGenerator(4, WIDTH, CONTEXT), LatentDiscriminator(4, WIDTH, CONTEXT)
    facts = {"generator.safetensors": {"output_shape_of_latent": {"8x8": [1, 4, 8, 8], "65x64": [1, 4, 64, 64]}},
             "losses.safetensors": {"texts": TEXTS}, "objective.safetensors": {"texts": TEXTS, "gamma": 1.0},
             "hybrid_T8.safetensors": {"steps": 8, "gamma": 0.7},
             "hybrid_code_T8.safetensors": {"steps": 8, "gamma": 1.0},
             "attn_bundle_recon.safetensors": {"pairs": PAIRS}}  # fmt: skip

    def keep(name, tensors):
        plain = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
        save_file(plain, made / f"{name}.safetensors")

    keep("generator", generator(nets[0]))
    keep("discriminator", discriminator(nets[1]))
    keep("losses", single_losses(SemanticEncoder(16), GarmentSegmentor()))
    keep("objective", objective(made, facts["objective.safetensors"]))
    with torch.no_grad():
        for name in ("hybrid_T8", "hybrid_code_T8"):
            keep(name, hybrid(nets[0], facts[f"{name}.safetensors"], "code" in name))
    keep("attn_bundle_recon", bundled())
    levels = {"code": [{"gamma": 0.7, "T": 10, "alpha": [(t / 10) ** 0.7 for t in range(11)]}],
              "card": [{"gamma": 0.7, "T": 8, "k": [0, 4, 8], "alpha": [0.0, 0.5**0.7, 1.0]}]}  # fmt: skip
    (made / "alpha.json").write_text(json.dumps(levels))
    keys = {name: [list(t.shape), str(t.dtype)[6:]] for name, t in published_keys.extra_tensors().items()}
    (made / "eqf_extra_keys.json").write_text(json.dumps({"tensors": keys}))
    (made / "index.json").write_text(json.dumps({"files": facts}))
    return made


def test_every_check_runs(parity, folder):
    figures = parity.figures("equifashion", folder)
    assert all(list(folder.glob(pattern)) for pattern in tool.CHECKS), "a kind of recording that this test lacks"
    for kind in ("generator, batch", "discriminator", "alpha", "bundle loss, gradients", "part masks", "consensus loss",
                 "objective loss_D", "objective grad_D", "hybrid_T8 latents", "hybrid_code_T8 latents",
                 "bundled output", "bundled divergence", "extra tensors"):  # fmt: skip
        assert any(name.startswith(kind) for name in figures), kind


@pytest.mark.parametrize("file,key,fails,needs", [
    ("generator", "0.out_train", {"generator, batch statistics"}, ()),
    ("discriminator", "0.out_eval", {"discriminator"}, ()),
    ("losses", "bundle.grad_noun1", {"bundle loss, gradients"}, ()),
    ("losses", "seg.masks_of_img", {"part masks"}, ()),
    ("objective", "term.loss_perc", {"objective term.loss_perc"}, ("generator", "discriminator", "losses")),
    ("hybrid_T8", "z", {"hybrid_T8 latents"}, ("generator",)),
    ("hybrid_code_T8", "alpha", {"hybrid_code_T8 alpha"}, ("generator",)),
    ("attn_bundle_recon", "out_b0.5", {"bundled output"}, ()),
])  # fmt: skip
def test_a_changed_recording_is_noticed(parity, folder, tmp_path, file, key, fails, needs):
    keep = ["index.json", *(f"{name}.safetensors" for name in needs)]
    assert parity.after("equifashion", folder, tmp_path / "changed", f"{file}.safetensors", key, keep) == fails


def test_an_empty_folder_is_not_a_pass(parity, tmp_path):
    (tmp_path / "nothing").mkdir()
    assert parity.figures("equifashion", tmp_path / "nothing", rc=1) == {}
