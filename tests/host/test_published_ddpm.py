"""FastFit's published sampling run: diffusers' DDPM, step by step and from the seed."""

import pytest
import torch


@pytest.fixture
def model(tryon):
    return tryon[0]


def _diffusers(steps, **settings):
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
        timestep_spacing="leading",
        **settings,
    )
    scheduler.set_timesteps(steps)
    return scheduler


@pytest.mark.parametrize("steps", [1, 4, 7, 30, 50])
def test_timesteps(host, model, steps):
    from atelier.host.tryon import published_ddpm

    sigmas = published_ddpm.sigmas(model, steps)
    times = model.get_model_object("model_sampling").timestep(sigmas[:-1])
    assert times.tolist() == _diffusers(steps).timesteps.tolist() and sigmas[-1] == 0
    if steps == 50:
        assert times[:3].tolist() == [981, 961, 941] and times[-1] == 1


@pytest.mark.parametrize("spacing", ["trailing", "linspace"])
def test_other_spacings(host, spacing):
    from atelier.models.fastfit.noise_schedule import NoiseSchedule
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(timestep_spacing=spacing)
    scheduler.set_timesteps(7)
    assert NoiseSchedule(timestep_spacing=spacing).timesteps(7) == scheduler.timesteps.tolist()


def test_run_from_the_seed_is_diffusers(model, oracle, dress):
    """Guidance 2.5, 4 steps, one garment: diffusers' scheduler, one generator for the start and the steps."""
    import comfy.sample
    from atelier.host.tryon import published_ddpm

    seed, cfg, steps, scale = 123, 2.5, 4, 0.18215
    garment = dress.latent(11)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 4, 8, 6, generator=generator)
    worn, unworn = (oracle.reference(latent * scale, 0)[0] for latent in (garment, garment * 0))
    person = dress.person()
    extra = torch.cat([person["concat_mask"][:, None], person["concat_latent_image"] * scale], 1)
    scheduler = _diffusers(steps)
    for t in scheduler.timesteps:
        free, guided = (oracle.denoise(torch.cat([x, extra], 1), t, [kv]) for kv in (unworn, worn))
        x = scheduler.step(free + cfg * (guided - free), t, x, generator=generator).prev_sample

    positive, negative = dress.conditionings(dress.garment(model, 11))
    empty = torch.zeros(1, 4, 8, 6)
    seen = []

    def run(sampler, seed):
        noise = comfy.sample.prepare_noise(empty, seed)
        sigmas = published_ddpm.sigmas(model, steps)
        return comfy.sample.sample_custom(
            model,
            noise,
            cfg,
            sampler,
            sigmas,
            positive,
            negative,
            empty,
            disable_pbar=True,
            seed=seed,
            callback=lambda i, c, x, n: seen.append(i),
        )

    got = run(published_ddpm.sampler(), seed)
    torch.testing.assert_close(got * scale, x, rtol=1e-4, atol=1e-4 * x.abs().max().item())
    assert seen == [0, 1, 2, 3]
    assert (run(published_ddpm.sampler(), seed + 1) - got).abs().max() > 0.1
    import comfy.samplers

    plain = run(comfy.samplers.sampler_object("ddpm"), seed)
    assert (plain - got).abs().max() > 0.01 * got.abs().max(), "the host's ddpm starts and draws otherwise"


def test_parts_of_a_run_start_as_the_host_does(model):
    from types import SimpleNamespace

    from atelier.host.tryon import published_ddpm

    wrap, sampler = SimpleNamespace(inner_model=model.model), published_ddpm.sampler()
    whole = published_ddpm.sigmas(model, 10)
    assert sampler.max_denoise(wrap, whole)
    assert not sampler.max_denoise(wrap, whole[3:])


def test_refusals(model, tryon):
    from atelier.host.tryon import published_ddpm
    from atelier.models.fastfit.noise_schedule import NoiseSchedule

    with pytest.raises(ValueError, match="0 steps were asked for"):
        published_ddpm.sigmas(model, 0)
    with pytest.raises(ValueError, match="Load Try-On Model"):
        published_ddpm.sigmas(tryon[1].patcher, 4)
    for config, message in (
        ({"variance_type": "learned"}, "fixed_small"),
        ({"prediction_type": "sample"}, "'sample'"),
    ):
        with pytest.raises(ValueError, match=message):
            NoiseSchedule.from_config(config)
    with pytest.raises(ValueError, match="'sigmoid'"):
        NoiseSchedule(beta_schedule="sigmoid").sigmas()
    with pytest.raises(ValueError, match="'odd'"):
        NoiseSchedule(timestep_spacing="odd").timesteps(3)


def test_cancel(model, dress):
    import comfy.model_management as mm
    import comfy.sample
    from atelier.host.tryon import published_ddpm

    positive, negative = dress.conditionings(dress.garment(model, 1))
    empty, steps = torch.zeros(1, 4, 8, 6), []

    def press(i, *rest):
        steps.append(i)
        if i == 1:
            mm.interrupt_current_processing()

    with pytest.raises(mm.InterruptProcessingException):
        comfy.sample.sample_custom(
            model,
            torch.randn(1, 4, 8, 6),
            1.0,
            published_ddpm.sampler(),
            published_ddpm.sigmas(model, 4),
            positive,
            negative,
            empty,
            callback=press,
            disable_pbar=True,
        )
    assert steps == [0, 1]
