"""`dev.py parity hierafashdiff` over recordings that this test makes with small random weights: it runs and notices.

Recorded by loops and closed forms of their own, tokens by open_clip, networks by the host's classes called by hand;
boxes, pose drawings and the checkpoint's names through the pack.
"""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from atelier.craft.body.pose_drawing import draw_pose
from atelier.craft.body.published_boxes import published_boxes, rule_of
from atelier.dev.parity import parity_hierafashdiff as tool
from atelier.dev.parity import parity_hierafashdiff_networks as networks
from atelier.models.hierafashdiff import layout
from PIL import Image
from safetensors.torch import save_file

BORDERS = [900, 800, 710, 630, 560, 500]
CAPTION = "Dress, Elegant, Party, Slimming, Soft, Long, Sleeveless, V-Neck, Lace Hem, white ground"
STARTS = {"A1": 911, "A2": 831, "A3": 751, "A4": 671, "A5": 591}
TINY = {"image_size": 32, "in_channels": 4, "model_channels": 32, "attention_resolutions": [2, 1], "num_res_blocks": 1,
        "channel_mult": [1, 1], "num_head_channels": 16, "use_spatial_transformer": True, "transformer_depth": 1,
        "use_linear_in_transformer": True, "context_dim": 12, "legacy": False}  # fmt: skip
ABAR = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2, 0)


def stage(t):
    return sum(t < border for border in BORDERS)


def times(steps):
    return [t + 1 for t in range(0, 1000, 1000 // steps)][::-1]


def prompts():
    items = [item.strip() for item in CAPTION.split(",")]
    texts = [",".join(items[: 5 + index]) for index in range(6)] + [CAPTION]
    known = [s for s in range(1, 1001) if times(s)[0] < 1000]
    return {
        "inputs": [{"caption": CAPTION, "texts": texts, "text_index": [stage(t) for t in range(1000)],
                    "ddim": {"20": [stage(t) for t in times(20)]}}],
        "ddim_timesteps": {str(s): times(s) for s in (10, 30)},
        "ddim_step_counts_that_overflow": sorted(set(range(1, 1001)) - set(known)),
        "ddim_number_of_steps_run": {str(s): len(times(s)) for s in known},
        "pose_schedule": {"disabled_in_source": {"black_pose_for": [950, 999]}},
    }  # fmt: skip


def tokens():
    from open_clip.tokenizer import SimpleTokenizer

    items = []
    for prompt, weighted in (("a red dress", False), ("V-Neck, (deep), x", True)):
        ids = SimpleTokenizer()(prompt)[0].tolist()
        expected = {"comfy_chunks": 1, "same_ids": not weighted, "any_weight": weighted}
        items.append({"prompt": prompt, "ids": ids, **expected})
    return {"items": items}


def steps():
    import comfy.samplers
    from comfy.model_sampling import ModelSamplingDiscrete

    levels = ((1 - ABAR) / ABAR).sqrt()
    runs = []
    for scheduler in ("simple", "karras"):
        sigmas = comfy.samplers.calculate_sigmas(ModelSamplingDiscrete(), scheduler, 12)[:-1]
        nearest = (levels.log()[None] - sigmas.double().log()[:, None]).abs().argmin(1).tolist()
        runs.append({"scheduler": scheduler, "steps": 12, "timesteps": nearest, "tie": [],
                     "stage": [stage(t) for t in nearest]})  # fmt: skip
    percent = [(999.501 - border) / 999 for border in (*BORDERS, 950)]  # a hair after the middle of two levels
    return {"borders": BORDERS, "percent": percent[:-1], "pose_off_percent_950": percent[-1],
            "edit_start_t": STARTS, "edit_start_sigma": {name: float(levels[t]) for name, t in STARTS.items()},
            "runs": runs}  # fmt: skip


def run(case):
    """One published run written out: classifier-free guidance, DDIM (eq. 12), for edits the noised ground around."""
    shapes = {"w1": (8, 4, 3, 3), "b1": (8,), "w2": (4, 8, 3, 3), "b2": (4,), "wt": (8,), "bt": (8,), "wc": (8, 6),
              "wh": (8, 3)}  # fmt: skip
    edit, scheduled = case["kind"] == "edit", case["kind"] == "draft_scheduled"
    rows = 1 if edit else 2
    w = {name: torch.randn(shape) * 0.1 for name, shape in shapes.items()}
    visited = times(case["S"])[40 if edit else 0 :]
    hint, empty, x = torch.rand(rows, 3, 64, 48), torch.randn(rows, 5, 6), torch.randn(rows, 4, 8, 6)
    words = [torch.randn(rows, 5, 6) for _ in range(7 if scheduled else 1)]
    out = {"hint": hint, "uncond_context": empty, "timesteps": torch.tensor(visited), "step_noise": torch.zeros(1)}
    out |= {f"w_{name}": value for name, value in w.items()}
    out |= {f"context_{i}": one for i, one in enumerate(words)} if scheduled else {"context": words[0]}
    if case["eta"]:
        out["step_noise"] = torch.randn(len(visited), *x.shape)
    if edit:
        first, noise = x, torch.randn(len(visited) + 1, 4, 8, 6)
        mask = torch.zeros(1, 1, 64, 48)
        mask[..., 16:40, 8:30] = 1
        out |= {"x0": first, "q_noise": noise, "mask_image": mask}
        x = ABAR[visited[0]].sqrt().float() * first + (1 - ABAR[visited[0]]).sqrt().float() * noise[:1]
    else:
        out["x_T"] = x

    def eps(x, t, context):
        hidden = F.conv2d(x, w["w1"], w["b1"], padding=1) + (w["wt"] * t / 1000 + w["bt"])[None, :, None, None]
        hidden = hidden + (context.mean(1) @ w["wc"].T)[:, :, None, None]
        hidden = hidden + F.conv2d(F.avg_pool2d(hint, 8), w["wh"][:, :, None, None])
        return 0.8 * x + F.conv2d(F.silu(hidden), w["w2"], w["b2"], padding=1)

    seen, clean = [x], []
    for k, t in enumerate(visited):
        here, there = float(ABAR[t]), float(ABAR[visited[k + 1]] if k + 1 < len(visited) else ABAR[0])
        said, none = eps(x, t, words[stage(t) if scheduled else 0]), eps(x, t, empty)
        noise_seen = none + case["guidance"] * (said - none)
        x0 = (x - (1 - here) ** 0.5 * noise_seen) / here**0.5
        share = case["eta"] * ((1 - there) / (1 - here) * (1 - here / there)) ** 0.5
        x = there**0.5 * x0 + (1 - there - share**2) ** 0.5 * noise_seen
        if case["eta"]:
            x = x + share * out["step_noise"][k]
        if edit:
            around = here**0.5 * first + (1 - here) ** 0.5 * noise[k + 1]
            x = torch.where(mask[..., ::8, ::8] > 0, x, around)
        seen.append(x)
        clean.append(x0)
    return out | {"x": torch.cat(seen) if edit else torch.stack(seen), "final": x,
                  "pred_x0": torch.cat(clean) if edit else torch.stack(clean)}  # fmt: skip


def apply_model():
    """UNet and ControlNet of the host, the control's terms multiplied by hand."""
    import comfy.cldm.cldm
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    settings, plain = networks._host_settings(TINY), {"operations": comfy.ops.disable_weight_init}
    unet = UNetModel(**settings, out_channels=4, **plain).eval()
    settings.pop("transformer_depth_output")
    control = comfy.cldm.cldm.ControlNet(**settings, hint_channels=3, **plain).eval()
    for network in (unet, control):
        for name, value in network.named_parameters():
            norm = value.ndim == 1 and name.endswith("weight")
            value.data.copy_(torch.randn(value.shape) * 0.1 + float(norm))
    x, hint, words = torch.randn(2, 4, 8, 6), torch.rand(2, 3, 64, 48), torch.randn(2, 5, 12)
    t = torch.tensor([3, 900])

    def terms(hint, scale):
        made = control(x=x, hint=hint, timesteps=t.float(), context=words)
        both = [value * scale(i) for i, value in enumerate([*made["output"], *made["middle"]])]
        return {"output": both[:-1], "middle": both[-1:]}

    def eps(given):
        return unet(x, t.float(), context=words, control=given)

    raw = terms(hint, lambda i: 1.0)
    io = {"x": x, "hint": hint, "context": words, "t": t, "eps_no_control": eps(None)}
    io |= {f"control_{i}": value for i, value in enumerate([*raw["output"], *raw["middle"]])}
    count = len(raw["output"]) + 1
    io |= {"eps_control": eps(raw), "eps_black_pose": eps(terms(torch.zeros_like(hint), lambda i: 1.0)),
           "eps_strength_0p6": eps(terms(hint, lambda i: 0.6)),
           "eps_guess": eps(terms(hint, lambda i: 0.825 ** (count - 1 - i))),
           "eps_only_mid": eps({"middle": terms(hint, lambda i: 1.0)["middle"], "output": []})}  # fmt: skip
    weights = {f"model.diffusion_model.{name}": value for name, value in unet.state_dict().items()}
    return weights | {f"control_model.{name}": value for name, value in control.state_dict().items()}, io


def masks(folder, keep):
    joints = [(60, 20), (60, 40), (40, 42), (34, 70), (30, 96), (80, 42), (88, 70), (90, 96), (48, 96), (50, 130),
              (50, 164), (72, 96), (74, 130), (74, 164), (56, 16), (64, 16), (50, 18), (70, 18)]  # fmt: skip
    pose = {"id": "p0", "width": 128, "height": 176, "candidate": [[x, y, 0.9, i] for i, (x, y) in enumerate(joints)],
            "subset": [[*range(18), 16.2, 18]]}  # fmt: skip
    people = np.array([[[x, y, 1.0] for x, y in joints]])
    cases = []
    for attribute, category in (("A1", "Dress"), ("A2", "Dress"), ("A4", "Dress"), ("A1", "Blouse")):
        boxes = published_boxes(people, rule_of(attribute, category))
        picture = np.zeros((176, 128), np.uint8)
        for left, top, right, bottom in boxes:
            picture[max(0, top) : bottom, max(0, left) : right] = 255
        Image.fromarray(picture).save(folder / f"{attribute}{category}.png")
        ordered = all(0 <= b[0] < b[2] and 0 <= b[1] < b[3] for b in boxes)
        cases.append({"pose": "p0", "attribute": attribute, "category": category, "boxes": boxes,
                      "mask": f"{attribute}{category}.png", "quirk": "none" if ordered else "inverted"})  # fmt: skip
    Image.fromarray(draw_pose(people, 128, 176)).save(folder / "pose_p0.png")
    three = torch.rand(2, 3, 40, 30) > 0.99
    grown = F.max_pool2d(three[:, -1:].float(), 15, 1, 7).amax((0, 1))
    small = torch.rand(48, 40) > 0.5
    keep("masks/sam_merge", {"sam0_in": three, "sam0_out": (grown * 255).byte(), "down0_in": small[None, None],
                             "down0_out": small[None, None, ::8, ::8].float()})  # fmt: skip
    sizes = [[1101, 750, 512, 768, 512], [600, 600, 512, 512, 512]]
    return {"poses": [pose], "cases": cases, "pose_maps": {"items": [{"pose": "p0", "file": "pose_p0.png"}]},
            "resize_cases": {"items": sizes}, "sam_merge": {"file": "sam_merge.safetensors"}}  # fmt: skip


@pytest.fixture(scope="module")
def folder(host, tmp_path_factory):
    made = tmp_path_factory.mktemp("parity") / "hierafashdiff"
    (made / "masks").mkdir(parents=True)
    torch.manual_seed(0)

    def keep(name, tensors):
        plain = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
        save_file(plain, made / f"{name}.safetensors")

    def note(name, content):
        (made / f"{name}.json").write_text(json.dumps(content))

    cases = [{"file": "draft_S20.safetensors", "kind": "draft", "S": 20, "eta": 0.5, "guidance": 7.5},
             {"file": "draft_scheduled_S20.safetensors", "kind": "draft_scheduled", "S": 20, "eta": 0.0, "guidance": 5},
             {"file": "edit_S50_A5.safetensors", "kind": "edit", "S": 50, "attribute": "A5", "eta": 0.0, "guidance": 3}
             ]  # fmt: skip
    for case in cases:
        keep(case["file"].removesuffix(".safetensors"), run(case))
    fits = {s: times(s)[0] < 1000 for s in range(1, 60)}
    note("edit_index", {"cases": cases, "edit_needs_steps": {
        "ok": [s for s in fits if len(times(s)) > 40 and fits[s]], "too_few": [s for s in fits if len(times(s)) <= 40],
        "overflow": [s for s in fits if not fits[s]]}})  # fmt: skip
    note("prompt_schedule", prompts())
    note("tokens", tokens())
    note("comfy_steps", steps())
    with torch.no_grad():
        weights, io = apply_model()
    keep("apply_model_weights", weights)
    keep("apply_model_io", io)
    note("apply_model", {"config": TINY, "hint_channels": 3, "out_channels": 4})
    note("hfd_full_keys", {"tensors": {name: [list(shape), "float32"] for name, shape in layout.published().items()}})
    note("masks/index", masks(made / "masks", keep))
    return made


def test_every_check_runs(parity, folder):
    figures = parity.figures("hierafashdiff", folder)
    assert all(list(folder.glob(pattern)) for pattern in tool._checks()), "a kind of recording that this test lacks"
    for kind in ("prompt_schedule rule", "pose_schedule", "tokens weights", "comfy_steps stages by windows",
                 "comfy_steps edit", "draft_S20 every x0", "draft_scheduled_S20 final", "edit_S50_A5 every step",
                 "edit step counts", "apply_model control_4", "apply_model eps_guess", "hfd_full_keys loaded",
                 "masks boxes", "masks rectangles", "masks pose drawings", "masks picture sizes",
                 "masks segmenter merge", "masks to latent"):  # fmt: skip
        assert any(name.startswith(kind) for name in figures), kind


@pytest.mark.parametrize("file,key,fails,needs", [
    ("edit_S50_A5", "pred_x0", {"edit_S50_A5 every x0"},
     ("edit_index.json", "draft_S20.safetensors", "draft_scheduled_S20.safetensors")),
    ("apply_model_io", "eps_strength_0p6", {"apply_model eps_strength_0p6"},
     ("apply_model.json", "apply_model_weights.safetensors")),
    ("masks/sam_merge", "sam0_out", {"masks segmenter merge"}, ("masks",)),
    ("masks/sam_merge", "down0_out", {"masks to latent"}, ("masks",)),
])  # fmt: skip
def test_a_changed_recording_is_noticed(parity, folder, tmp_path, file, key, fails, needs):
    assert parity.after("hierafashdiff", folder, tmp_path / "changed", f"{file}.safetensors", key, needs) == fails


def shifted(recorded):
    recorded["inputs"][0]["text_index"][500] += 1


def other_token(recorded):
    recorded["items"][0]["ids"][2] += 1


def other_stage(recorded):
    recorded["runs"][1]["stage"][4] += 1


def other_name(recorded):
    recorded["tensors"]["an.unknown.name"] = [[3], "float32"]


@pytest.mark.parametrize("name,change,fails", [
    ("prompt_schedule", shifted, {"prompt_schedule rule C(t)", "prompt_schedule timetable"}),
    ("tokens", other_token, {"tokens ids"}),
    ("comfy_steps", other_stage, {"comfy_steps stages by windows", "comfy_steps stages by percents"}),
    ("hfd_full_keys", other_name, {"hfd_full_keys layout", "hfd_full_keys loaded"}),
])  # fmt: skip
def test_a_changed_list_is_noticed(parity, folder, tmp_path, name, change, fails):
    recorded = json.loads((folder / f"{name}.json").read_text())
    change(recorded)
    (tmp_path / "changed").mkdir()
    (tmp_path / "changed" / f"{name}.json").write_text(json.dumps(recorded))
    figures = parity.figures("hierafashdiff", tmp_path / "changed", rc=1)
    assert {quantity for quantity, error in figures.items() if error > 1e-4} == fails
