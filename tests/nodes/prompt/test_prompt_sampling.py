"""Oracle of a scheduled run: the host's denoiser step by step, each step with one flat prompt."""

import pytest
import torch
from atelier.tests.nodes.prompt.prompt_networks import encode, prompts, sample, tiny_model


@pytest.mark.parametrize(
    ("family", "kind", "scheduler_name"),
    [
        ("sd15", "EPS", "sgm_uniform"),
        ("sd2", "V_PREDICTION", "ddim_uniform"),
        ("sdxl", "EPS", "karras"),
        ("sd15", "FLOW", "simple"),
    ],
)
def test_a_run_equals_steps_with_one_flat_prompt_each(host, family, kind, scheduler_name):
    """Oracle: the same euler run cut into single steps, each with the plain encoding of the stage it belongs to."""
    import comfy.samplers

    model = tiny_model(family, kind)
    positive, negative, timetable, clip = prompts(family, model)
    model_sampling = model.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(model_sampling, scheduler_name, 10)
    calls = []

    def record(apply_model, arguments):
        calls.append((float(arguments["timestep"][0]), list(arguments["cond_or_uncond"])))
        return apply_model(arguments["input"], arguments["timestep"], **arguments["c"])

    recorded = model.clone()
    recorded.set_model_unet_function_wrapper(record)
    result = sample(recorded, positive, negative, sigmas)
    per_sigma = {sigma: sorted(c for s, chunk in calls for c in chunk if s == sigma) for sigma, _ in calls}
    assert len(per_sigma) == 10 and set(map(tuple, per_sigma.values())) == {(0, 1)}, (
        "one text and one negative at each call"
    )

    from atelier.craft.prompt.timetable import steps_of

    steps = steps_of(timetable, sigmas.tolist())
    flat = [encode(clip, stage.text) for stage in timetable.stages]
    expected = by_single_steps(model, [flat[step.stage] for step in steps], negative, sigmas)
    assert torch.allclose(result, expected, rtol=0, atol=2e-5 * float(expected.abs().max()))
    shifted = by_single_steps(model, [flat[min(step.stage + 1, len(flat) - 1)] for step in steps], negative, sigmas)
    assert (result - shifted).abs().max() > 3e-4 * expected.abs().max(), "the check would notice another stage"


@torch.no_grad()
def by_single_steps(model, texts, negative, sigmas, cfg=3.0, seed=5, size=8):
    """euler by hand on the host's denoiser: x' = x + (x - denoised) / sigma * (sigma' - sigma)."""
    import comfy.sample
    import comfy.samplers

    latent = torch.zeros(1, 4, size, size)
    noise = comfy.sample.prepare_noise(latent, seed)
    model_sampling = model.get_model_object("model_sampling")
    x = model_sampling.noise_scaling(
        sigmas[:1], noise, latent, bool(sigmas[0] >= model_sampling.sigma_max * (1 - 1e-5))
    )
    for i, text in enumerate(texts):
        denoised = denoise(model, x, sigmas[i], text, negative, cfg)
        x = x + (x - denoised) / sigmas[i] * (sigmas[i + 1] - sigmas[i])
    return model.model.process_latent_out(model_sampling.inverse_noise_scaling(sigmas[-1:], x))


def denoise(model, x, sigma, positive, negative, cfg):
    """One guided call through the host's guider."""
    import comfy.samplers

    kept = []

    def once(model_k, x_in, sigmas, extra_args=None, callback=None, disable=None):
        kept.append(model_k(x.clone(), sigma * x.new_ones([x.shape[0]]), **extra_args))
        return x_in

    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, negative)
    guider.set_cfg(cfg)
    guider.sample(
        torch.zeros_like(x),
        torch.zeros_like(x),
        comfy.samplers.KSAMPLER(once),
        torch.stack([sigma, sigma * 0]),
        disable_pbar=True,
        seed=0,
    )
    return kept[0]
