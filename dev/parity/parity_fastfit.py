"""Replay recordings of the original FastFit through this pack: `python dev.py parity fastfit DIR`.

DIR holds `model/` (diffusers layout) and the recordings that `index.json` lists: single UNet calls, a batch with
masks per row, whole pipeline runs with their noise, and crop geometry.
"""

from __future__ import annotations

import json
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from ..pack import ROOT
from .report import Report

KV, UNET, BLOCK, EPS, LATENTS = 1e-4, 2e-5, 1e-4, 5e-4, 1e-3
VAE_MEAN, DECODED, MASKED, PIXELS = 2e-2, 1e-3, 1e-6, 2


def run(folder: str, json_path: str | None = None) -> int:
    """Compare every recording in `folder`; returns 1 when a tolerance is passed or nothing was found."""
    from ..setup.host_files import find_host
    from ..setup.host_in_process import enter

    recordings, report = Path(folder), Report()
    index = json.loads((recordings / "index.json").read_text())
    with tempfile.TemporaryDirectory() as base, torch.inference_mode():
        enter(find_host(ROOT), Path(base))
        from ...host.tryon import load_tryon
        from .parity_automasker import automasker

        model, vae = load_tryon.load(str(recordings / "model"), dtype=torch.float32)
        vae.first_stage_model.float()
        for item in index["items"]:
            path = recordings / item["file"]
            if item["kind"] == "unet_forward":
                _unet_forward(report, path.stem, load_file(path), model)
            elif item["kind"] == "unet_rowmask":
                _rowmask(report, path.stem, load_file(path), model, item["timestep"])
            elif item["kind"] == "pipeline":
                _pipeline(report, path.stem, load_file(path), model, vae, item)
            elif item["kind"] == "geometry":
                _geometry(report, load_file(path), json.loads((recordings / item["details"]).read_text()))
            elif item["kind"] == "automasker":
                automasker(report, recordings, item)
    return report.show(json_path)


def _unet_forward(report: Report, case: str, recorded: dict, model) -> None:
    unet = model.model.diffusion_model
    names = _layer_names(model)
    garments = []
    while f"ref{len(garments)}.latent" in recorded:
        i = len(garments)
        kv, out = unet.reference_pass(recorded[f"ref{i}.latent"], recorded[f"ref{i}.class"], to_end=True)
        report.compare(f"{case} reference output", out, recorded[f"ref{i}.out"], KV)
        stopped, _ = unet.reference_pass(recorded[f"ref{i}.latent"], recorded[f"ref{i}.class"])
        report.compare(
            f"{case} K,V of the shortened pass",
            torch.cat([t.flatten() for p in stopped for t in p]),
            torch.cat([t.flatten() for p in kv for t in p]),
            0.0,
        )
        garments.append(kv)
    for layer, name in enumerate(names):
        for which, letter in enumerate("kv"):
            if f"kv.{name}.{letter}" in recorded:
                heads = recorded[f"kv.{name}.{letter}"].shape[1]
                got = torch.cat([kv[layer][which] for kv in garments], 1)
                report.compare(
                    f"{case} K,V", got.unflatten(-1, (heads, -1)).transpose(1, 2), recorded[f"kv.{name}.{letter}"], KV
                )
    rows = _rows(garments)
    for name, out in recorded.items():
        if name.endswith(".out") and name.startswith(("t", "noref.t")):
            time = name.removeprefix("noref.").removesuffix(".out")[1:]
            blocks: dict[str, torch.Tensor] = {}
            got = _call(unet, recorded["sample"], int(time), None if name.startswith("noref") else rows, blocks)
            report.compare(f"{case} {'without garments' if name.startswith('noref') else 'output'}", got, out, UNET)
            for block, value in blocks.items():
                if f"t{time}.block.{block}" in recorded and not name.startswith("noref"):
                    report.compare(f"{case} blocks", value, recorded[f"t{time}.block.{block}"], BLOCK)


def _rowmask(report: Report, case: str, recorded: dict, model, timestep: int) -> None:
    from ...host.tryon.encoded_garment import Rows

    unet = model.model.diffusion_model
    worn: list[list] = [[] for _ in recorded["sample"]]
    i = 0
    while f"ref{i}.latent" in recorded:
        kv, _ = unet.reference_pass(recorded[f"ref{i}.latent"], recorded[f"ref{i}.class"])
        for row, use in enumerate(recorded[f"ref{i}.rowmask"].tolist()):
            if use:
                worn[row].append(_row(kv, row))
        i += 1
    rows = tuple(Rows(1, tuple(garments)) for garments in worn)
    report.compare(
        f"{case} output, rows in different outfits",
        _call(unet, recorded["sample"], timestep, rows),
        recorded["out_masked"],
        UNET,
    )


def _call(unet, sample, timestep: int, rows, blocks: dict | None = None) -> torch.Tensor:
    hooks = []
    for name, last in _ends(unet).items() if blocks is not None else ():
        hooks.append(last.register_forward_hook(lambda m, a, out, name=name: blocks.__setitem__(name, out)))
    try:
        return unet(sample, torch.full((len(sample),), float(timestep)), garments=rows)
    finally:
        for hook in hooks:
            hook.remove()


def _ends(unet) -> dict[str, torch.nn.Module]:
    """The recordings' name of each of diffusers' blocks -> the last module of it in the host's network."""
    levels, each = len(unet.channel_mult), unet.num_res_blocks[0] + 1
    ends = {f"down{i}": unet.input_blocks[min((i + 1) * each, len(unet.input_blocks) - 1)][-1] for i in range(levels)}
    ends |= {f"up{i}": unet.output_blocks[(i + 1) * each - 1][-1] for i in range(levels)}
    return ends | {"mid": unet.middle_block[-1]}


def _row(kv, row: int):
    return tuple((k[row : row + 1], v[row : row + 1]) for k, v in kv)


def _rows(garments: list):
    from ...host.tryon.encoded_garment import Rows

    return tuple(Rows(1, tuple(_row(kv, row) for kv in garments)) for row in range(len(garments[0][0][0])))


def _layer_names(model) -> list[str]:
    """diffusers' names of the self-attentions, in the order in which the network meets them."""
    host_to_name = {host: name for name, host in model.model.model_config.names().items()}
    unet = model.model.diffusion_model
    found = {m.garment_layer: key for key, m in unet.named_modules() if hasattr(m, "garment_layer")}
    return [host_to_name[f"{found[i]}.to_q.weight"].split(".transformer_blocks")[0] for i in range(len(found))]


def _pipeline(report: Report, case: str, recorded: dict, model, vae, item: dict) -> None:
    import comfy.sample

    from ...host.tryon import published_ddpm

    scale = model.model.latent_format.scale_factor
    person, mask = _signed(recorded["person_u8"]), (recorded["mask_u8"] / 255 >= 0.5).float()
    _encoding(report, case, recorded, vae)
    positive, negative = _conditioning(recorded, model, item)
    steps, seen, raw = item["steps"], [], []
    sigmas = published_ddpm.sigmas(model, steps)
    report.compare(f"{case} timesteps", model.model.model_sampling.timestep(sigmas[:-1]), recorded["timesteps"], 0)
    watched = _watched(model, raw)
    sampler = published_ddpm.sampler(lambda i: recorded[f"step{i}_noise"])

    def keep(i, clean, x, total):
        seen.append((x.clone(), clean.clone()))

    out = comfy.sample.sample_custom(
        watched, recorded["init_noise"], item["guidance_scale"], sampler, sigmas, positive, negative,
        torch.zeros_like(recorded["init_noise"]), callback=keep, disable_pbar=True,
    )  # fmt: skip
    ends = [x for x, _ in seen[1:]] + [out * scale]
    for i, (x, clean) in enumerate(seen):
        report.compare(f"{case} rows of eps", raw[i], recorded[f"step{i}_eps_raw"], EPS)
        report.compare(f"{case} eps", (x - clean) / sigmas[i], recorded[f"step{i}_eps"], EPS)
        report.compare(
            f"{case} latents", ends[i] / (1 + sigmas[i + 1] ** 2).sqrt(), recorded[f"step{i}_latents"], LATENTS
        )
    report.compare(f"{case} final latents", out * scale, recorded["final_latents"], LATENTS)
    decoded = vae.first_stage_model.decode(out)
    report.compare(f"{case} decoded", decoded, recorded["decoded"], DECODED)
    through_host = vae.decode(out)[0].movedim(-1, 0) * 2 - 1
    whole = through_host * mask + person * (1 - mask)
    report.compare(
        f"{case} final picture",
        ((whole / 2 + 0.5).clamp(0, 1) * 255).round().movedim(0, -1),
        recorded["final_u8"],
        PIXELS,
    )
    _seeded_run(report, case, recorded, model, item, positive, negative, sigmas)


def _encoding(report: Report, case: str, recorded: dict, vae) -> None:
    """Pictures to VAE means, and the masked person with the pose inside the mask."""
    from ...host.tryon.dress import fill_mask

    person, mask = recorded["person_u8"][None] / 255, (recorded["mask_u8"][None] / 255 >= 0.5).float()
    pose = None
    if "pose_u8" in recorded:
        picture = Image.fromarray(recorded["pose_u8"].numpy()).resize((person.shape[2], person.shape[1]))
        pose = torch.from_numpy(np.array(picture))[None] / 255
    masked = fill_mask(person, mask, pose)[0].movedim(-1, 0) * 2 - 1
    report.compare(f"{case} masked person", masked[None], recorded["masked_person"], MASKED)
    pictures = {"masked_person": masked} | {
        f"ref{i}": _signed(recorded[f"ref{i}_u8"]) for i in range(9) if f"ref{i}_u8" in recorded
    }
    for name, picture in pictures.items():
        mean = vae.encode(((picture.movedim(0, -1) + 1) / 2)[None].contiguous())
        report.compare(f"{case} VAE mean", mean, recorded[f"{name}_mean"], VAE_MEAN)
        drawn = recorded[f"{name}_mean"] + recorded[f"{name}_std"] * recorded[f"{name}_noise"]
        report.compare(f"{case} latents of the inputs", drawn * 0.18215, recorded[f"{name}_latent"], 1e-5)
    report.compare(f"{case} latent mask", mask[:, None, ::8, ::8], recorded["mask_latent"], 0)


def _conditioning(recorded: dict, model, item: dict):
    from ...host.tryon import garment_kv

    scale = model.model.latent_format.scale_factor
    used = [i for i, use in enumerate(item["ref_attention_masks"]) if use]
    encoded = [garment_kv.encode_latent(model, recorded[f"ref{i}_latent"] / scale, item["labels"][i]) for i in used]
    kv = garment_kv.merge(encoded)
    person = {
        "concat_latent_image": recorded["masked_person_latent"] / scale,
        "concat_mask": recorded["mask_latent"][:, 0],
    }
    nothing = torch.zeros(1, 77, 768)
    return [[[nothing, {**person, **values}]] for values in garment_kv.conditioning_refs(kv)]


def _watched(model, raw: list):
    """A clone that also puts down what the network gives per step: rows (unconditional, conditional)."""
    import comfy.patcher_extension

    def watch(executor, x, t, *args, **kwargs):
        out = executor(x, t, *args, **kwargs)
        options = kwargs.get("transformer_options") or next(
            a for a in args if isinstance(a, dict) and "cond_or_uncond" in a
        )
        rows = dict(zip(options["cond_or_uncond"], out.chunk(len(options["cond_or_uncond"]))))
        raw.append(torch.cat([rows[kind] for kind in (1, 0) if kind in rows]))
        return out

    watched = model.clone()
    watched.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, "parity", watch)
    return watched


def _seeded_run(report: Report, case: str, recorded: dict, model, item: dict, positive, negative, sigmas) -> None:
    """The same run from its seed alone: the host's own starting noise and this sampler's draws."""
    import comfy.sample

    from ...host.tryon import published_ddpm

    empty = torch.zeros_like(recorded["init_noise"])
    seed = item["generator_seed"]
    noise = comfy.sample.prepare_noise(empty, seed)
    out = comfy.sample.sample_custom(
        model,
        noise,
        item["guidance_scale"],
        published_ddpm.sampler(),
        sigmas,
        positive,
        negative,
        empty,
        disable_pbar=True,
        seed=seed,
    )
    report.compare(
        f"{case} final latents from the seed",
        out * model.model.latent_format.scale_factor,
        recorded["final_latents"],
        LATENTS,
    )


def _signed(picture: torch.Tensor) -> torch.Tensor:
    """uint8 [H,W,3] -> [3,H,W] in -1..1."""
    return picture.movedim(-1, 0).float() / 127.5 - 1


def _geometry(report: Report, recorded: dict, details: dict) -> None:
    from ...craft.body import published_crop as published

    for box in details["adjust_boxes"]:
        crop = published.published_crop_box(
            tuple(box["image_wh"]), tuple(box["mask_box"]), tuple(box["target_wh"]), box["padding_ratio"]
        )
        report.compare("geometry boxes", [*crop.scaled, *crop.box], [*box["scaled_wh"], *box["crop_box"]], 0)
    for case in details["adjust_pictures"]:

        def of(name: str, prefix: str = case["prefix"]) -> torch.Tensor:
            return recorded[f"{prefix}.{name}"]

        image, mask = _picture(of("image")), _picture(of("mask"))
        scaled, cropped, cropped_mask, crop = published.published_adjust_input_image(
            image, mask, tuple(case["target_wh"]), case["padding_ratio"]
        )
        for name, got in (("scaled", scaled), ("cropped_image", cropped), ("cropped_mask", cropped_mask)):
            report.compare("geometry crops", np.array(got), of(name), 0)
        feather = published.published_feather(scaled.size, tuple(case["crop_box"]), case["feather_radius"])
        report.compare("geometry feather", np.array(feather), of("feather"), 1)
        pasted = published.published_paste_image_back(
            _picture(of("scaled")), _picture(of("new")), tuple(case["crop_box"]), case["feather_radius"]
        )
        report.compare("geometry paste", np.array(pasted), of("pasted"), 1)
    for case in details["resize_pictures"]:
        picture, target = _picture(recorded[case["prefix_in"]]), tuple(case["target_wh"])
        report.compare(
            "geometry padding",
            np.array(published.published_resize_and_padding(picture, target)),
            recorded[case["pad_out"]],
            0,
        )
        report.compare(
            "geometry centre crop",
            np.array(published.published_resize_and_crop(picture, target)),
            recorded[case["crop_out"]],
            0,
        )
    for case in details["crop_to_16"]:
        report.compare(
            "geometry multiples of 16", published.published_crop_to_16_box(tuple(case["wh"])), case["box"], 0
        )
    for case in details["centre_crop_to_ratio"]:
        ratio = Fraction(case["ratio"])
        box = published.published_ratio_box(tuple(case["wh"]), (ratio.numerator, ratio.denominator))
        report.compare("geometry aspect", box, case["box"], 0)


def _picture(pixels: torch.Tensor) -> Image.Image:
    return Image.fromarray(pixels.numpy())
