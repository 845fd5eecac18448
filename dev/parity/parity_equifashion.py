"""Replay recordings of the original EquiFashion through this pack: `python dev.py parity equifashion DIR`.

The networks and losses are the pack's own; the hybrid runs go through the sampler function of the Ideation Sampler.
What the original lacks (hybrid_*, attn_bundle_recon) are recordings of the agreed reconstruction.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from ..pack import ROOT
from .report import Report

NETWORK, ALPHA, VALUE, GRADIENT, OBJECTIVE, HYBRID, ATTENTION, EXACT = 1e-5, 1e-6, 1e-5, 1e-3, 1e-4, 1e-4, 1e-5, 0.0


def run(folder: str, json_path: str | None = None) -> int:
    """Compare every recording in `folder`; returns 1 when a tolerance is passed or nothing was found."""
    from ..setup.host_files import find_host
    from ..setup.host_in_process import enter

    recordings, report = Path(folder), Report()
    index_path = recordings / "index.json"
    index = json.loads(index_path.read_text(encoding="utf-8"))["files"] if index_path.exists() else {}
    with tempfile.TemporaryDirectory() as base:
        enter(find_host(ROOT), Path(base))
        for pattern, check in CHECKS.items():
            for path in sorted(recordings.glob(pattern)):
                check(report, path, index.get(path.name, {}))
    return report.show(json_path)


def _network(tensors: dict, network: torch.nn.Module) -> torch.nn.Module:
    network.load_state_dict({name[2:]: value for name, value in tensors.items() if name.startswith("w.")})
    return network.eval()


def _generator(report: Report, path: Path, item: dict) -> None:
    from ...models.equifashion.generator import generator_from

    recorded = load_file(path)
    network = generator_from(recorded, "w.")
    n = 0
    while f"{n}.z_t" in recorded:
        context = recorded.get(f"{n}.c_tokens", recorded.get(f"{n}.c_pooled"))
        given = (recorded[f"{n}.z_t"], recorded[f"{n}.u"], context, recorded[f"{n}.t"])
        report.compare("generator, running statistics", network.eval()(*given), recorded[f"{n}.out_eval"], NETWORK)
        if f"{n}.c_pooled" in recorded:
            pooled = network(*given[:2], recorded[f"{n}.c_pooled"], given[3])
            report.compare("generator, pooled text", pooled, recorded[f"{n}.out_eval"], NETWORK)
        if f"{n}.out_train" in recorded:
            fresh = generator_from(recorded, "w.").train()
            report.compare("generator, batch statistics", fresh(*given), recorded[f"{n}.out_train"], NETWORK)
        n += 1
    for size, shape in item.get("output_shape_of_latent", {}).items():
        height, width = (int(side) for side in size.split("x"))
        if height % 8 == width % 8 == 0:
            z = torch.zeros(1, recorded["0.z_t"].shape[1], height, width)
            out = network(z, z, torch.zeros(1, recorded["w.context_projection.weight"].shape[1]), torch.zeros(1))
            report.compare("generator, output shape", torch.tensor(out.shape), torch.tensor(shape), EXACT)


def _discriminator(report: Report, path: Path, item: dict) -> None:
    from ...models.equifashion.generator import LatentDiscriminator

    recorded = load_file(path)
    width, context = recorded["w.context_projection.weight"].shape
    network = _network(recorded, LatentDiscriminator(recorded["0.z"].shape[1], width // 4, context))
    n = 0
    while f"{n}.z" in recorded:
        out = network(recorded[f"{n}.z"], recorded[f"{n}.c_tokens"], recorded[f"{n}.t"])
        report.compare("discriminator", out, recorded[f"{n}.out_eval"], NETWORK)
        n += 1


def _alpha(report: Report, path: Path, item: dict) -> None:
    from ...models.equifashion.fusion import fusion_weight

    recorded = json.loads(path.read_text(encoding="utf-8"))
    for case in recorded["code"]:
        made = [fusion_weight(t, case["gamma"], case["T"]) for t in range(len(case["alpha"]))]
        report.compare("alpha", torch.tensor(made), torch.tensor(case["alpha"]), ALPHA)
    for case in recorded["card"]:
        made = [fusion_weight(k, case["gamma"], case["T"]) for k in case["k"]]
        report.compare("alpha by steps left", torch.tensor(made), torch.tensor(case["alpha"]), ALPHA)


def _relative(report: Report, name: str, got: torch.Tensor, recorded: torch.Tensor) -> None:
    scale = float(recorded.abs().max()) or 1.0
    report.compare(name, got / scale, recorded / scale, GRADIENT)


def _small_networks(recorded: dict):
    from ...models.equifashion.text_image import GarmentSegmentor, SemanticEncoder

    encoder = SemanticEncoder(recorded["enc.img_proj.weight"].shape[0])
    encoder.load_state_dict(
        {name[4:]: v for name, v in recorded.items() if name.startswith("enc.") and name[4:] in encoder.state_dict()}
    )
    segmentor = GarmentSegmentor(recorded["seg.proj.weight"].shape[0])
    segmentor.load_state_dict({name[4:]: v for name, v in recorded.items() if name.startswith("seg.proj")})
    return encoder, segmentor


def _picture_losses(encoder, segmentor, image: torch.Tensor, texts: list[str]) -> dict[str, torch.Tensor]:
    """The three picture terms, unweighted, with the published mapping (x + 1) / 2 inside."""
    from ...models.equifashion import losses

    image = (image + 1) / 2
    text, whole = F.normalize(encoder.encode_text(texts), dim=-1), F.normalize(encoder.encode_image(image), dim=-1)
    masks = segmentor(image)
    parts = [F.normalize(encoder.encode_image(image * masks[:, k : k + 1]), dim=-1) for k in range(masks.shape[1])]
    parts = torch.stack(parts, 1)
    return {
        "compat": losses.compatibility(whole, text),
        "clipsem": losses.semantic(whole, text),
        "consensus": losses.consensus(parts, whole, text),
    }


def _losses(report: Report, path: Path, item: dict) -> None:
    from ...models.equifashion import bundled_attention as attention
    from ...models.equifashion import losses

    recorded = load_file(path)
    pairs, n = [], 0
    while f"bundle.adj{n}" in recorded:
        pairs.append(tuple(recorded[f"bundle.{side}{n}"].clone().requires_grad_(True) for side in ("adj", "noun")))
        n += 1
    made = recorded["bundle.lambda"] * losses.bundle(pairs)
    report.compare("bundle loss", made, recorded["bundle.loss"], VALUE)
    for n, gradients in enumerate(zip(*[iter(torch.autograd.grad(made, [m for pair in pairs for m in pair]))] * 2)):
        _relative(report, "bundle loss, gradients", gradients[0], recorded[f"bundle.grad_adj{n}"])
        _relative(report, "bundle loss, gradients", gradients[1], recorded[f"bundle.grad_noun{n}"])
    each = torch.stack([attention.jensen_shannon(*pair) for pair in pairs])
    report.compare("divergence of pairs", each, recorded["bundle.jsd_each"], VALUE)
    report.compare(
        "divergence of one-hot maps",
        attention.jensen_shannon(recorded["bundle.onehot_a"], recorded["bundle.onehot_b"]),
        recorded["bundle.onehot_jsd"],
        VALUE,
    )
    _recorded_attention(report, recorded)
    encoder, segmentor = _small_networks(recorded)
    mapped = (recorded["img"] + 1) / 2
    report.compare("text vectors", encoder.encode_text(item["texts"]), recorded["enc.text_features"], VALUE)
    # The recording maps the picture inside some modules only; whichever it holds must be met by one of the two.
    candidates = [encoder.encode_image(recorded["img"]), encoder.encode_image(mapped)]
    _nearest(report, "picture vectors", candidates, recorded["enc.image_features"])
    _nearest(report, "part masks", [segmentor(recorded["img"]), segmentor(mapped)], recorded["seg.masks_of_img"])
    for name, weight in (("compat", 0.5), ("clipsem", 0.1), ("consensus", 1.0)):
        image = recorded["img"].clone().requires_grad_(True)
        value = weight * _picture_losses(encoder, segmentor, image, item["texts"])[name]
        report.compare(f"{name} loss", value, recorded[f"{name}.loss"], VALUE)
        _relative(report, f"{name} loss, gradients", torch.autograd.grad(value, image)[0], recorded[f"{name}.grad_img"])


def _nearest(report: Report, name: str, candidates: list[torch.Tensor], recorded: torch.Tensor) -> None:
    report.compare(name, min(candidates, key=lambda c: float((c - recorded).abs().max().detach())), recorded, VALUE)


def _recorded_attention(report: Report, recorded: dict) -> None:
    from ...models.equifashion import bundled_attention as attention

    q, k = (recorded[f"attn.{name}"].transpose(1, 2).flatten(2) for name in "qk")
    probabilities = attention.attention_probabilities(q, k, recorded["attn.q"].shape[1])
    maps = [attention.token_maps(probabilities, [token]) for token in range(k.shape[1])]
    plain = probabilities.mean(1).transpose(1, 2).reshape(recorded["attn.maps"].shape)
    report.compare("attention maps", plain, recorded["attn.maps"], VALUE)
    pairs = [attention.jensen_shannon(maps[i], maps[i + 1]) for i in (0, 2, 4)]
    report.compare("divergence of attention maps", torch.stack(pairs), recorded["attn.jsd_pairs_0_1__2_3__4_5"], VALUE)


def _bundled(report: Report, path: Path, item: dict) -> None:
    from ...models.equifashion import bundled_attention as attention

    recorded = load_file(path)
    heads = recorded["q"].shape[1]
    q, k, v = (recorded[name].transpose(1, 2).flatten(2) for name in "qkv")
    groups = [[*adjective, *noun] for adjective, noun in item["pairs"]]
    plain = attention.attention_probabilities(q, k, heads)
    report.compare("attention probabilities", plain, recorded["P"], ATTENTION)
    out = (plain @ recorded["v"]).transpose(1, 2).flatten(2)
    for name in (name for name in recorded if name.startswith("P_b")):
        strength = float(name[3:])
        mixed = attention.bundle(plain, groups, strength)
        report.compare("bundled probabilities", mixed, recorded[name], ATTENTION)
        changed = out + attention.bundle_change(q, k, v, heads, groups, strength)
        report.compare("bundled output", changed, recorded[f"out_b{name[3:]}"].transpose(1, 2).flatten(2), ATTENTION)
        sides = [[attention.token_maps(mixed, side) for side in pair] for pair in item["pairs"]]
        report.compare(
            "bundled divergence",
            torch.stack([attention.jensen_shannon(*pair) for pair in sides]),
            recorded[f"jsd_b{name[3:]}"],
            ATTENTION,
        )


@dataclass
class _Denoiser:
    """The recordings' stand-in for the UNet: eps(x, t, context, hint), its formula in their index."""

    w: dict

    def __call__(self, x, t, context, hint=None):
        w = self.w
        h = F.conv2d(x, w["w1"], w["b1"], padding=1)
        h = h + (w["wt"] * t.reshape(-1, 1).float() / 1000 + w["bt"])[:, :, None, None]
        h = h + (context.mean(1) @ w["wc"].T)[:, :, None, None]
        if hint is not None:
            h = h + F.conv2d(F.avg_pool2d(hint, 8), w["wh"][:, :, None, None])
        return 0.8 * x + F.conv2d(F.silu(h), w["w2"], w["b2"], padding=1)


def _denoiser(recorded: dict) -> _Denoiser:
    return _Denoiser({name[2:]: value.clone() for name, value in recorded.items() if name.startswith("w_")})


def _hybrid(report: Report, path: Path, item: dict) -> None:
    """Through the Ideation Sampler's own steps, in the host's scale, with the recorded noise."""
    import comfy.model_sampling

    from ...host.design.ideation_sampler import FORMS, Fusion, Stepper
    from ...host.design.ideation_source import GeneratorSource, _Said
    from ...models.equifashion.fusion import levels_of_steps
    from ...models.equifashion.generator import generator_from

    recorded = load_file(path)
    generator = generator_from(load_file(path.with_name("generator.safetensors")), "w.")
    sampling = comfy.model_sampling.ModelSamplingDiscrete()
    times = recorded["timesteps"].tolist()
    report.compare(f"{path.stem} levels", torch.tensor(levels_of_steps(item["steps"])), torch.tensor(times), EXACT)
    sigmas = torch.cat([sampling.sigma(recorded["timesteps"]), sampling.sigma(torch.zeros(1))])
    denoise, context = _denoiser(recorded), recorded["context"]

    class Recorded(GeneratorSource):
        draws = iter(recorded["u"])

        def draw(self, shape):
            return next(self.draws).reshape(shape)

    def model(x, sigma):
        t = sampling.timestep(sigma)
        scale = (1 + sigma[0] ** 2) ** 0.5
        return x - sigma[0] * denoise(x / scale, t, context, recorded.get("hint"))

    source = Recorded(SimpleNamespace(model=generator), said=(_Said(context.mean(1), float("inf"), 0.0),))
    settings = Fusion(gamma=item["gamma"], form=FORMS["code" in path.stem])
    stepper = Stepper(SimpleNamespace(get_model_object=lambda name: sampling), settings, source, 0.0)
    alphas = [stepper.alpha(sigma) for sigma in sigmas[:-1]]
    report.compare(f"{path.stem} alpha", torch.tensor(alphas), recorded["alpha"], ALPHA)
    x, seen = recorded["z_T"] * (1 + sigmas[0] ** 2) ** 0.5, []
    out = stepper.sample(model, x, sigmas, callback=lambda state: seen.append(state["x"]))
    for sigma, made, z in zip(sigmas, [*seen, out], recorded["z"]):
        report.compare(f"{path.stem} latents", made[0] / (1 + sigma**2) ** 0.5, z, HYBRID)


def _extra_keys(report: Report, path: Path, item: dict) -> None:
    from ...models.equifashion.published_keys import extra_tensors

    recorded = json.loads(path.read_text(encoding="utf-8"))["tensors"]
    own = {name: [list(t.shape), str(t.dtype).removeprefix("torch.")] for name, t in extra_tensors().items()}
    different = {name for name in own.keys() | recorded.keys() if own.get(name) != recorded.get(name)}
    report.compare("extra tensors that differ", float(len(different)), 0.0, EXACT)


def _decode(weight: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """The recording's stand-in for the autoencoder."""
    return torch.tanh(F.interpolate(F.conv2d(z, weight[:, :, None, None]), scale_factor=2, mode="nearest"))


@dataclass
class _Objective:
    """One call of the published training step, from the recording's tensors."""

    recorded: dict
    item: dict
    folder: Path
    values: dict[str, torch.Tensor] = field(default_factory=dict)

    def evaluate(self) -> None:
        from ...models.equifashion import losses
        from ...models.equifashion.fusion import fused, fusion_weight, posterior_mean
        from ...models.equifashion.generator import LatentDiscriminator, LatentGenerator

        r = self.recorded
        nets = [load_file(self.folder / f"{name}.safetensors") for name in ("generator", "discriminator", "losses")]
        width, context_width = nets[0]["w.context_projection.weight"].shape
        self.G = _network(nets[0], LatentGenerator(r["u"].shape[1], width // 4, context_width))
        self.D = _network(
            nets[1], LatentDiscriminator(r["u"].shape[1], nets[1]["w.net.0.weight"].shape[0], context_width)
        )
        encoder, segmentor = _small_networks(nets[2])
        self.F = _denoiser(r)
        for weight in self.F.w.values():
            weight.requires_grad_(True)
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        abar = torch.cumprod(1 - betas, 0)
        t, context = r["t"], r["context"]
        hint = r["hint"].repeat_interleave(64, 2).repeat_interleave(64, 3) if "hint" in r else None
        if hint is not None and hint.shape[-1] != 8 * r["noise"].shape[-1]:
            raise ValueError(f"hint of {tuple(hint.shape)} does not fit latents of {tuple(r['noise'].shape)}")
        at = lambda values: values[t].float()[:, None, None, None]  # noqa: E731
        noisy = at(abar.sqrt()) * r["x_start"] + at((1 - abar).sqrt()) * r["noise"]
        eps = self.F(noisy, t, context, hint)
        nearby = self.F(noisy + 0.01 * r["delta_raw"], t, context, hint)
        made, made1, made2 = (self.G(noisy, r[u], context, t) for u in ("u", "u1", "u2"))
        x0 = (noisy - at((1 - abar).sqrt()) * eps) / at(abar.sqrt())
        alpha = fusion_weight(t.float(), self.item["gamma"])[:, None, None, None]
        decode = partial(_decode, r["decoder"])
        picture, real_picture = decode(fused(made, x0, alpha)), decode(r["x_start"])
        seen = (picture + 1) / 2
        pictures = _picture_losses(encoder, segmentor, seen, self.item["texts"])
        maps = [channel / (channel.sum((1, 2), keepdim=True) + 1e-6) for channel in seen.abs().unbind(1)[:2]]
        before = torch.cat([torch.ones(1, dtype=torch.float64), abar[:-1]])
        real = torch.cat(
            [
                posterior_mean(noisy[i : i + 1], r["x_start"][i : i + 1], float(abar[t[i]]), float(before[t[i]]))
                for i in range(len(t))
            ]
        )
        terms = losses.Terms(
            generator=losses.generator(self.D(made, context, t)),
            mode_seeking=losses.mode_seeking(made1, made2, r["u1"], r["u2"]),
            denoising=losses.denoising(eps, r["noise"]),
            robustness=losses.robustness(eps, nearby),
            perceptual=losses.perceptual(picture, real_picture, F.mse_loss),
            semantic=pictures["clipsem"],
            consensus=pictures["consensus"],
            bundle=losses.bundle([tuple(maps)]),
            compatibility=pictures["compat"],
        )
        d_real, d_fake = self.D(real, context, t), self.D(made.detach(), context, t)
        w = losses.Weights()
        self.values = {
            "x_noisy": noisy,
            "z_gen": made,
            "z_prev_real": real,
            "d_real": d_real,
            "d_fake": d_fake,
            "term.loss_G_adv": terms.generator,
            "term.loss_MS": terms.mode_seeking,
            "term.loss_denoise_simple": terms.denoising,
            "term.loss_denoise": terms.denoising,
            "term.loss_rob": terms.robustness,
            "term.loss_perc": terms.perceptual,
            "term.loss_clip_sem": w.semantic * terms.semantic,
            "term.loss_cons": terms.consensus,
            "term.loss_bundle": w.bundle * terms.bundle,
            "term.loss_comp": w.compatibility * terms.compatibility,
            "loss_G_F": losses.total(terms, w),
            "loss_D": w.gan * losses.discriminator(d_real, d_fake),
        }
        self.values["term.loss_G_F_total"], self.values["term.loss_D"] = self.values["loss_G_F"], self.values["loss_D"]


def _objective(report: Report, path: Path, item: dict) -> None:
    case = _Objective(load_file(path), item, path.parent)
    case.evaluate()
    for name, value in case.values.items():
        report.compare(f"objective {name}", value, case.recorded[name], OBJECTIVE)
    owners = {
        "grad_G_F.G.": (dict(case.G.named_parameters()), "loss_G_F"),
        "grad_G_F.": (case.F.w, "loss_G_F"),
        "grad_D.": (dict(case.D.named_parameters()), "loss_D"),
    }
    for name in (name for name in case.recorded if name.startswith("grad_")):
        prefix = next(prefix for prefix in owners if name.startswith(prefix))
        tensors, loss = owners[prefix]
        (gradient,) = torch.autograd.grad(case.values[loss], tensors[name[len(prefix) :]], retain_graph=True)
        _relative(report, f"objective {name}", gradient, case.recorded[name])


CHECKS: dict[str, Callable] = {
    "generator.safetensors": _generator,
    "discriminator.safetensors": _discriminator,
    "alpha.json": _alpha,
    "losses.safetensors": _losses,
    "objective.safetensors": _objective,
    "hybrid_*.safetensors": _hybrid,
    "attn_bundle_recon.safetensors": _bundled,
    "eqf_extra_keys.json": _extra_keys,
}
