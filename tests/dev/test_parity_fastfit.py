"""`dev.py parity fastfit` over recordings that this test makes with small random weights: it runs, and it notices.

Recorded by the training network, stock diffusers' AutoencoderKL and DDPMScheduler, and a pipeline written out here;
crop geometry and masks through the pack, whose own tests hold their rules.
"""

import json

import numpy as np
import pytest
import torch
from atelier.craft.body import published_crop, published_masker
from atelier.models.fastfit.network import Config, FastFitUNet, Run, join
from PIL import Image
from safetensors.torch import save_file

SCALE, HEADS = 0.18215, 4
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
LABELS = {"upper": 0, "lower": 1}


def network():
    config = Config(widths=(32, 64), layers=1, attention=(True, False), head_dim=None, heads=HEADS, latent_channels=4)
    made = FastFitUNet(config).eval().requires_grad_(False)
    for name, value in made.named_parameters():
        norm = value.ndim == 1 and name.endswith("weight")
        scale = 0.1 if value.ndim == 1 else value[0].numel() ** -0.5
        value.copy_(torch.randn_like(value) * scale + float(norm))
    return made


def autoencoder():
    from diffusers import AutoencoderKL

    config = {"block_out_channels": (32,) * 4, "layers_per_block": 1, "latent_channels": 4,
              "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}  # fmt: skip
    return AutoencoderKL(**config).eval().requires_grad_(False), config


def reference(net, latent, label):
    """(K,V of every attention, the whole pass's output)."""
    run = Run(record=[])
    h = net._body(net.condition_conv_in(latent), net.class_embedding(label), run)
    return run.record, net.conv_out(torch.nn.functional.silu(net.conv_norm_out(h)))


def one_call(net):
    """One garment, two rows, with K,V, the middle block, and the same call without garments."""
    sample, latent, label = torch.randn(2, 9, 8, 6), torch.randn(2, 4, 6, 4), torch.tensor([1, 1])
    kv, out = reference(net, latent, label)
    f = {"sample": sample, "ref0.latent": latent, "ref0.class": label, "ref0.out": out}
    places = [f"{block}.attentions.{i}" for block, i in (
        ("down_blocks.0", 0), ("mid_block", 0), ("up_blocks.1", 0), ("up_blocks.1", 1))]  # fmt: skip
    assert len(kv) == len(places)
    for place, pair in zip(places, kv):
        for letter, value in zip("kv", pair):
            f[f"kv.{place}.{letter}"] = value.unflatten(-1, (HEADS, -1)).transpose(1, 2)
    ends = {"mid": net.mid_block.resnets[1], "down0": net.down_blocks[0].downsamplers[0].conv,
            "up0": net.up_blocks[0].upsamplers[0].conv, "up1": net.up_blocks[1].attentions[1]}  # fmt: skip
    hooks = [module.register_forward_hook(lambda m, a, out, name=name: f.__setitem__(f"t701.block.{name}", out))
             for name, module in ends.items()]  # fmt: skip
    f["t701.out"] = net(sample, torch.tensor([701, 701]), kv)
    for hook in hooks:
        hook.remove()
    return f | {"noref.t701.out": net(sample, torch.tensor([701, 701]))}


def rows_of_their_own(net):
    sample, t, worn = torch.randn(2, 9, 8, 6), torch.tensor([401, 401]), torch.tensor([[1, 1], [0, 1]])
    f, every = {"sample": sample}, []
    for i in range(2):
        latent, label = torch.randn(2, 4, 6, 4), torch.tensor([i, i])
        every.append(reference(net, latent, label)[0])
        f |= {f"ref{i}.latent": latent, f"ref{i}.class": label, f"ref{i}.rowmask": worn[:, i]}
    return f | {"out_masked": net(sample, t, join(every), keep=worn)}


def pixels(*shape):
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def signed(picture):
    return picture.movedim(-1, 0).float()[None] / 127.5 - 1


def pipeline(net, vae, item):
    """Encode, guide, step, decode, paste: the published order, with diffusers' scheduler."""
    from diffusers import DDPMScheduler

    person, pose, garment = pixels(48, 40, 3), pixels(48, 40, 3), pixels(32, 24, 3)
    mask = torch.zeros(48, 40, dtype=torch.uint8)
    mask[8:40, 8:32] = 255
    inside = (mask / 255)[None, None]
    f = {"person_u8": person, "pose_u8": pose, "mask_u8": mask, "ref0_u8": garment}
    f["mask_latent"] = inside[..., ::8, ::8]
    f["masked_person"] = signed(person) * (1 - inside) + inside * pose.movedim(-1, 0)[None] / 255
    for name, picture in (("masked_person", f["masked_person"]), ("ref0", signed(garment))):
        seen = vae.encode(picture).latent_dist
        noise = torch.randn_like(seen.mean)
        f |= {f"{name}_mean": seen.mean, f"{name}_std": seen.std, f"{name}_noise": noise,
              f"{name}_latent": (seen.mean + seen.std * noise) * SCALE}  # fmt: skip
    label = torch.tensor([LABELS[item["labels"][0]]])
    kv = [reference(net, latent, label)[0] for latent in (torch.zeros_like(f["ref0_latent"]), f["ref0_latent"])]
    scheduler = DDPMScheduler(**BETAS, clip_sample=False, steps_offset=1, timestep_spacing="leading")
    scheduler.set_timesteps(item["steps"])
    generator = torch.Generator().manual_seed(item["generator_seed"])
    x = f["init_noise"] = torch.randn(1, 4, 6, 5, generator=generator)
    f["timesteps"] = scheduler.timesteps.clone()
    for i, t in enumerate(scheduler.timesteps):
        given = torch.cat([x, f["mask_latent"], f["masked_person_latent"]], 1)
        raw = torch.cat([net(given, t[None], one) for one in kv])
        eps = raw[:1] + item["guidance_scale"] * (raw[1:] - raw[:1])
        f[f"step{i}_noise"] = torch.randn(x.shape, generator=torch.Generator().set_state(generator.get_state()))
        x = scheduler.step(eps, t, x, generator=generator).prev_sample
        f |= {f"step{i}_eps_raw": raw, f"step{i}_eps": eps, f"step{i}_latents": x}
    decoded = vae.decode(x / SCALE).sample
    whole = decoded.clamp(-1, 1) * inside + signed(person) * (1 - inside)
    final = ((whole / 2 + 0.5) * 255).round()[0].movedim(0, -1)
    return f | {"final_latents": x, "decoded": decoded, "final_u8": final.to(torch.uint8)}


def geometry():
    image, mask, new = pixels(50, 40, 3), torch.zeros(50, 40, dtype=torch.uint8), pixels(32, 24, 3)
    mask[10:30, 12:28] = 255
    as_picture = lambda tensor: Image.fromarray(tensor.numpy())  # noqa: E731
    as_tensor = lambda picture: torch.from_numpy(np.array(picture))  # noqa: E731
    scaled, cropped, cropped_mask, crop = published_crop.published_adjust_input_image(
        as_picture(image), as_picture(mask), (24, 32), 0.05
    )
    f = {"adjust0.image": image, "adjust0.mask": mask, "adjust0.new": new, "adjust0.scaled": as_tensor(scaled),
         "adjust0.cropped_image": as_tensor(cropped), "adjust0.cropped_mask": as_tensor(cropped_mask),
         "adjust0.feather": as_tensor(published_crop.published_feather(scaled.size, crop.box, 4)),
         "adjust0.pasted": as_tensor(published_crop.published_paste_image_back(scaled, as_picture(new), crop.box, 4)),
         "pad0.out": as_tensor(published_crop.published_resize_and_padding(as_picture(image), (24, 32))),
         "crop0.out": as_tensor(published_crop.published_resize_and_crop(as_picture(image), (24, 32)))}  # fmt: skip
    details = {
        "adjust_boxes": [{"image_wh": [40, 50], "mask_box": [12, 10, 28, 30], "target_wh": [24, 32],
                          "padding_ratio": 0.05, "scaled_wh": crop.scaled, "crop_box": crop.box}],
        "adjust_pictures": [{"prefix": "adjust0", "target_wh": [24, 32], "padding_ratio": 0.05, "crop_box": crop.box,
                             "feather_radius": 4}],
        "resize_pictures": [{"prefix_in": "adjust0.image", "target_wh": [24, 32], "pad_out": "pad0.out",
                             "crop_out": "crop0.out"}],
        "crop_to_16": [{"wh": [50, 35], "box": [1, 1, 49, 33]}],
        "centre_crop_to_ratio": [{"wh": [90, 60], "ratio": "3/4", "box": [22, 0, 67, 60]}],
    }  # fmt: skip
    return f, details


def automasker(folder):
    """A figure of rectangles: head, torso, arms, legs; the torso wears a top, the legs trousers."""
    maps = {name: np.zeros((128, 96), np.uint8) for name in ("densepose", "lip", "atr")}
    for box, dense, lip, atr in (((8, 28, 36, 60), 23, 13, 11), ((28, 76, 32, 64), 2, 5, 4),
                                 ((30, 70, 22, 32), 15, 14, 14), ((30, 70, 64, 74), 16, 15, 15),
                                 ((76, 122, 34, 62), 8, 9, 6)):  # fmt: skip
        for name, label in zip(maps, (dense, lip, atr)):
            maps[name][box[0] : box[1], box[2] : box[3]] = label
    f = {f"a.{name}": torch.from_numpy(value) for name, value in maps.items()}
    cases, big = [], []
    for mode, square in (("upper", False), ("lower", True), ("multi_ref", False)):
        mask = torch.from_numpy(published_masker.published_mask(*maps.values(), mode, square)).byte() * 255
        case = {"mode": mode, "square_cloth_mask": square, "expand_fractions_left_right": None}
        f[f"a.mask.{mode}"] = mask
        cases.append({"tensor": f"a.mask.{mode}", "maps": "a", **case})
        big.append({"file": f"{mode}.png", **case})
        Image.fromarray(mask.numpy()).save(folder / f"{mode}.png")
    for name, value in maps.items():
        Image.fromarray(value).save(folder / f"{name}.png")
    return f, {"cases": cases, "big": {"maps": [f"{name}.png" for name in maps], "cases": big}}


@pytest.fixture(scope="module")
def folder(host, tmp_path_factory):
    made = tmp_path_factory.mktemp("parity") / "fastfit"
    torch.manual_seed(0)
    net, (vae, vae_config) = network(), autoencoder()
    configs = {"unet": {"attention_head_dim": HEADS}, "vae": vae_config}
    for name, module in (("unet", net), ("vae", vae)):
        (made / "model" / name).mkdir(parents=True)
        save_file(module.state_dict(), made / "model" / name / "diffusion_pytorch_model.safetensors")
        (made / "model" / name / "config.json").write_text(json.dumps(configs[name]))
    (made / "model" / "scheduler").mkdir()
    (made / "model" / "scheduler" / "scheduler_config.json").write_text(json.dumps(BETAS | {"clip_sample": False}))
    items = [
        {"file": "unet_forward.safetensors", "kind": "unet_forward"},
        {"file": "unet_rowmask.safetensors", "kind": "unet_rowmask", "timestep": 401},
        {"file": "pipeline.safetensors", "kind": "pipeline", "labels": ["upper"], "ref_attention_masks": [1],
         "steps": 2, "guidance_scale": 2.5, "generator_seed": 7},
        {"file": "geometry.safetensors", "kind": "geometry", "details": "geometry.json"},
        {"file": "automasker.safetensors", "kind": "automasker", "details": "automasker.json"},
    ]  # fmt: skip
    shapes, boxes = geometry()
    maps, masks = automasker(made)
    with torch.no_grad():
        tensors = [one_call(net), rows_of_their_own(net), pipeline(net, vae, items[2]), shapes, maps]
    for item, recorded in zip(items, tensors):
        save_file({name: value.clone().contiguous() for name, value in recorded.items()}, made / item["file"])
    (made / "geometry.json").write_text(json.dumps(boxes))
    (made / "automasker.json").write_text(json.dumps(masks))
    (made / "index.json").write_text(json.dumps({"items": items}))
    return made


def test_every_check_runs(parity, folder):
    figures = parity.figures("fastfit", folder)
    for kind in ("unet_forward reference output", "unet_forward K,V", "unet_forward K,V of the shortened",
                 "unet_forward blocks", "unet_forward without garments", "unet_rowmask output", "pipeline rows of eps",
                 "pipeline VAE mean", "pipeline masked person", "pipeline latents", "pipeline decoded",
                 "pipeline final picture",
                 "pipeline final latents from the seed", "geometry boxes", "geometry paste", "geometry aspect",
                 "masker, small with OpenCV", "masker, large without OpenCV"):  # fmt: skip
        assert any(name.startswith(kind) for name in figures), kind


@pytest.mark.parametrize("file,key,fails", [
    ("unet_forward", "t701.block.up0", {"unet_forward blocks"}),
    ("unet_forward", "kv.mid_block.attentions.0.v", {"unet_forward K,V"}),
    ("unet_rowmask", "out_masked", {"unet_rowmask output, rows in different outfits"}),
    ("pipeline", "step1_eps", {"pipeline eps"}),
    ("pipeline", "masked_person", {"pipeline masked person"}),
    ("geometry", "pad0.out", {"geometry padding"}),
    ("automasker", "a.mask.lower", {"masker, small with OpenCV (share of pixels)"}),
])  # fmt: skip
def test_a_changed_recording_is_noticed(parity, folder, tmp_path, file, key, fails):
    assert parity.after("fastfit", folder, tmp_path / "changed", f"{file}.safetensors", key) == fails
