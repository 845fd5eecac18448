"""Replay recordings of the original HieraFashDiff through this pack: `python dev.py parity hierafashdiff DIR`.

What runs is the code of the nodes inside the real host: its samplers, tokenizer, UNet and ControlNet. The recordings'
tiny denoiser stands in for the network where they used one.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

from ..pack import ROOT
from .report import Report

RUNS = 1e-4


def run(folder: str, json_path: str | None = None) -> int:
    """Compare every recording in `folder`; returns 1 when a tolerance is passed or nothing was found."""
    from ..setup.host_files import find_host
    from ..setup.host_in_process import enter

    recordings, report = Path(folder), Report()
    torch.set_num_threads(1)  # networks this small are slower on several
    with tempfile.TemporaryDirectory() as base, torch.inference_mode():
        enter(find_host(ROOT), Path(base))
        for pattern, check in _checks().items():
            for path in sorted(recordings.glob(pattern)):
                check(report, path)
    return report.show(json_path)


# --- prompts
# -----------------------------------------------------------------------------------------------------------


def _prompts(report: Report, path: Path) -> None:
    from ...craft.prompt import timetable
    from ...models.hierafashdiff import schedules

    recorded = json.loads(path.read_text(encoding="utf-8"))
    rule = table = steps = 0
    for item in recorded["inputs"]:
        built = timetable.build(item["caption"], (), join="published caption")
        for t, index in enumerate(item["text_index"]):
            rule += schedules.prompt_at(item["caption"], t) != item["texts"][index]
            table += built.text_at(t) != item["texts"][index]
        for asked, indices in item["ddim"].items():
            said = [built.text_at(t) for t in schedules.ddim_timesteps(int(asked))]
            steps += said != [item["texts"][index] for index in indices]
    report.count("prompt_schedule rule C(t)", rule)
    report.count("prompt_schedule timetable", table)
    report.count("prompt_schedule at DDIM steps", steps)
    lists = sum(schedules.ddim_timesteps(int(s)) != t for s, t in recorded["ddim_timesteps"].items())
    report.count("prompt_schedule DDIM timesteps", lists + _wrong_step_counts(recorded))
    black = range(recorded["pose_schedule"]["disabled_in_source"]["black_pose_for"][0], 1000)
    pose = sum(schedules.pose_shown(t, "disabled rule") == (t in black) for t in range(1000))
    report.count("pose_schedule M(t)", pose + sum(not schedules.pose_shown(t) for t in range(1000)))


def _wrong_step_counts(recorded: dict) -> int:
    from ...models.hierafashdiff import schedules

    refused, wrong = set(recorded["ddim_step_counts_that_overflow"]), 0
    for steps in range(1, max(refused) + 1):
        try:
            count = len(schedules.ddim_timesteps(steps))
        except ValueError:
            wrong += steps not in refused
        else:
            wrong += steps in refused
            expected = recorded["ddim_number_of_steps_run"].get(str(steps))
            wrong += expected is not None and count != expected
    return wrong


def _tokens(report: Report, path: Path) -> None:
    """Through the host's SD2 tokenizer: brackets as text, first chunk, as the published caption is encoded."""
    from comfy.text_encoders.sd2_clip import SD2Tokenizer

    from ...host.prompt.prompt_graph import literal_brackets

    tokenizer = SD2Tokenizer()
    ids = chunks = weights = 0
    for item in json.loads(path.read_text(encoding="utf-8"))["items"]:
        literal = tokenizer.tokenize_with_weights(literal_brackets(item["prompt"]))["h"]
        plain = tokenizer.tokenize_with_weights(item["prompt"])["h"]
        ids += [token for token, _ in literal[0]] != item["ids"]
        ids += ([token for token, _ in plain[0]] == item["ids"]) != item["same_ids"]
        chunks += len(plain) != item["comfy_chunks"]
        weights += any(weight != 1.0 for chunk in plain for _, weight in chunk) != item["any_weight"]
        weights += any(weight != 1.0 for chunk in literal for _, weight in chunk)
    report.count("tokens ids", ids)
    report.count("tokens chunks", chunks)
    report.count("tokens weights", weights)


def _steps(report: Report, path: Path) -> None:
    """Stages of every step of the host's schedulers, by the windows of the timetable and by the host's percents."""
    import comfy.model_sampling
    import comfy.samplers

    from ...craft.prompt import timetable
    from ...host.prompt import prompt_windows

    recorded = json.loads(path.read_text(encoding="utf-8"))
    model_sampling = comfy.model_sampling.ModelSamplingDiscrete()
    report.compare(
        "comfy_steps percents",
        [prompt_windows.border_percent(b) for b in recorded["borders"]],
        recorded["percent"],
        1e-12,
    )
    report.compare(
        "comfy_steps pose percent", prompt_windows.border_percent(950), recorded["pose_off_percent_950"], 1e-12
    )
    stops = [*map(float, recorded["borders"]), 0.0]
    windows = prompt_windows.windows(model_sampling, stops)
    edges = [0.0, *map(prompt_windows.border_percent, stops[:-1]), 1.0]
    percents = [tuple(map(model_sampling.percent_to_sigma, ends)) for ends in itertools.pairwise(edges)]
    stages = tuple(timetable.Stage(str(i), 0.0, stop) for i, stop in enumerate(stops))
    levels = by_window = by_percent = 0
    for item in recorded["runs"]:
        sigmas = comfy.samplers.calculate_sigmas(model_sampling, item["scheduler"], item["steps"])
        levels += [int(t) for t in prompt_windows.levels_of(model_sampling, sigmas[:-1])] != item["timesteps"]
        for kind in (windows, percents):
            steps = timetable.steps_of(timetable.Timetable(stages, windows=tuple(kind)), sigmas.tolist())
            wrong = sum(
                s.stage != r for i, (s, r) in enumerate(zip(steps, item["stage"], strict=True)) if i not in item["tie"]
            )
            by_window, by_percent = by_window + wrong * (kind is windows), by_percent + wrong * (kind is percents)
    report.count("comfy_steps timesteps", levels)
    report.count("comfy_steps stages by windows", by_window)
    report.count("comfy_steps stages by percents", by_percent)
    starts = recorded["edit_start_t"]
    sigma = [float(model_sampling.sigma(torch.tensor(float(t)))) for t in starts.values()]
    report.compare("comfy_steps edit sigmas", sigma, list(recorded["edit_start_sigma"].values()), 1e-5)
    report.count("comfy_steps edit starts", _wrong_edit_starts(starts))


def _wrong_edit_starts(starts: dict[str, int]) -> int:
    from ...models.hierafashdiff import schedules

    return sum(
        schedules.edit_timesteps(name, 100)[0] != t or schedules.EDIT_START_T[name] != t for name, t in starts.items()
    )


# --- runs
# --------------------------------------------------------------------------------------------------------------


def _runs(report: Report, path: Path) -> None:
    index = json.loads(path.read_text(encoding="utf-8"))
    for case in index["cases"]:
        tensors = load_file(path.parent / case["file"])
        _one_run(report, Path(case["file"]).stem, case, tensors)
    ok, few = index["edit_needs_steps"]["ok"], index["edit_needs_steps"]["too_few"]
    report.count("edit step counts", _wrong_edit_counts(set(ok), set(few), set(index["edit_needs_steps"]["overflow"])))


def _wrong_edit_counts(ok: set[int], few: set[int], overflow: set[int]) -> int:
    from ...models.hierafashdiff import schedules

    wrong = 0
    for steps in sorted(ok | few | overflow):
        try:
            schedules.edit_timesteps("A5", steps)
            wrong += steps not in ok or steps in overflow
        except ValueError:
            wrong += steps not in few | overflow
    return wrong


def _one_run(report: Report, name: str, case: dict, tensors: dict) -> None:
    import comfy.sample

    from ...host.prompt import hierafashdiff_sampler as published
    from ...models.hierafashdiff import schedules

    edit = case["kind"] == "edit"
    timesteps = schedules.edit_timesteps(case["attribute"], case["S"]) if edit else schedules.ddim_timesteps(case["S"])
    report.count(f"{name} timesteps", timesteps != tensors["timesteps"].tolist())
    model = _denoiser_model(tensors)
    sigmas = published.published_sigmas(model, timesteps)
    noise = {"step": tensors["step_noise"], "background": tensors["q_noise"][1:, None] if edit else None}
    sampler = _sampler(case, tensors, lambda i, use: _batched(noise[use][i], tensors))
    latent = tensors["x0"] if edit else torch.zeros_like(tensors["x_T"])
    start = tensors["q_noise"][:1] if edit else tensors["x_T"]
    seen = []
    result = comfy.sample.sample_custom(
        model, start, case["guidance"], sampler, sigmas, *_conditionings(case, tensors, model), latent,
        disable_pbar=True, seed=0,
        callback=lambda step, denoised, x, total: seen.append((x / (1 + sigmas[step] ** 2).sqrt(), denoised)),
    )  # fmt: skip
    report.relative(f"{name} final", result, tensors["final"], RUNS)
    shape = tensors["final"].shape
    recorded_x, recorded_x0 = (tensors[key].reshape(-1, *shape) for key in ("x", "pred_x0"))
    report.relative(f"{name} every step", torch.stack([x for x, _ in seen]), recorded_x[:-1], RUNS)
    report.relative(f"{name} every x0", torch.stack([x0 for _, x0 in seen]), recorded_x0, RUNS)


def _sampler(case: dict, tensors: dict, source):
    from ...host.prompt import hierafashdiff_sampler as published

    if case["kind"] == "edit":
        return published.edit_sampler(tensors["mask_image"], case["eta"], source)
    return published.draft_sampler(case["eta"], source)


def _batched(noise: torch.Tensor, tensors: dict) -> torch.Tensor:
    return noise.reshape(tensors["final"].shape)


def _conditionings(case: dict, tensors: dict, model) -> tuple[list, list]:
    """(positive, negative): one text, or seven in the windows of the published borders; control by the denoiser's
    hint.
    """
    from ...host.prompt.prompt_windows import restrict
    from ...models.hierafashdiff.schedules import PROMPT_BORDERS

    control = _hint_control(tensors)
    negative = [[tensors["uncond_context"], {"control": control} if case.get("uncond_has_control", True) else {}]]
    if "context" in tensors:
        return [[tensors["context"], {"control": control}]], negative
    levels = [1000.0, *map(float, PROMPT_BORDERS), 0.0]
    positive = []
    for index, (start, stop) in enumerate(itertools.pairwise(levels)):
        positive += restrict([[tensors[f"context_{index}"], {"control": control}]], start, stop, model)
    return positive, negative


def _hint_control(tensors: dict):
    """What the recordings' denoiser adds where a hint is given, as a control of the host."""
    import comfy.controlnet

    class Hint(comfy.controlnet.ControlBase):
        def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
            pooled = torch.nn.functional.avg_pool2d(tensors["hint"], 8)
            term = torch.nn.functional.conv2d(pooled, tensors["w_wh"][:, :, None, None])
            return {"input": [], "middle": [term.repeat(x_noisy.shape[0] // term.shape[0], 1, 1, 1)], "output": []}

    return Hint()


def _denoiser_model(tensors: dict):
    """A host MODEL (eps, discrete) around the recordings' denoiser; its latents are not scaled."""
    import comfy.latent_formats
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models_base

    class Denoiser(torch.nn.Module):
        dtype = torch.float32

        def __init__(self, **config):
            super().__init__()
            self.weights = torch.nn.ParameterDict(
                {k[2:]: torch.nn.Parameter(v) for k, v in tensors.items() if k.startswith("w_")}
            )

        def forward(self, x, timesteps, context=None, control=None, transformer_options=None, **extra):
            w, conv = self.weights, torch.nn.functional.conv2d
            hidden = (
                conv(x, w["w1"], w["b1"], padding=1) + (w["wt"] * timesteps[:, None] / 1000 + w["bt"])[:, :, None, None]
            )
            hidden = hidden + (context.mean(1) @ w["wc"].T)[:, :, None, None]
            if control is not None:
                hidden = hidden + control["middle"][0]
            return 0.8 * x + conv(torch.nn.functional.silu(hidden), w["w2"], w["b2"], padding=1)

    config = comfy.supported_models_base.BASE({"dtype": torch.float32})
    config.latent_format = comfy.latent_formats.LatentFormat()
    config.set_inference_dtype(torch.float32, None)
    base = comfy.model_base.BaseModel(config, unet_model=Denoiser)
    return comfy.model_patcher.ModelPatcher(base, torch.device("cpu"), torch.device("cpu"))


def _checks() -> dict:
    """File pattern -> check."""
    from .parity_hierafashdiff_masks import masks
    from .parity_hierafashdiff_networks import apply_model, full_keys

    return {
        "prompt_schedule.json": _prompts,
        "tokens.json": _tokens,
        "comfy_steps.json": _steps,
        "edit_index.json": _runs,
        "apply_model*.json": apply_model,
        "hfd_full_keys.json": full_keys,
        "masks/index.json": masks,
    }
