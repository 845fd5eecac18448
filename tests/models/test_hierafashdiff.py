"""HieraFashDiff: published schedules, samplers against diffusers' DDIM, and the checkpoint's loading."""

from types import SimpleNamespace

import pytest
import torch
from atelier.models.hierafashdiff import ddim, keys, layout, schedules

TEN = "Dress, Elegant,Party , Slimming, Drape Feeling, Long, Sleeveless, Regular Sleeve, V-Neck, Ruffle Hem"


def test_prompt_rule_by_hand():
    first_five = "Dress,Elegant,Party,Slimming,Drape Feeling"
    assert schedules.prompt_at(TEN, 999) == schedules.prompt_at(TEN, 900) == first_five
    assert schedules.prompt_at(TEN, 899) == first_five + ",Long"
    assert schedules.prompt_at(TEN, 500) == TEN.replace(", ", ",").replace(" ,", ",")
    assert schedules.prompt_at(TEN, 499) == TEN
    assert schedules.prompt_at("a,,b", 999) == "a,,b"


def test_pose_rule():
    assert all(schedules.pose_shown(t) for t in range(1000))
    assert [t for t in range(1000) if not schedules.pose_shown(t, "disabled rule")] == list(range(950, 1000))


def test_ddim_timesteps():
    assert schedules.ddim_timesteps(10) == [901, 801, 701, 601, 501, 401, 301, 201, 101, 1]
    assert len(schedules.ddim_timesteps(30)) == 31
    refused = []
    for steps in range(1, 101):
        try:
            timesteps = schedules.ddim_timesteps(steps)
            assert timesteps[-1] == 1 and len(timesteps) == -(-1000 // (1000 // steps))
        except ValueError:
            refused.append(steps)
    assert refused == [3, 9, 27, 36, 37]


def test_edit_starts():
    assert [schedules.edit_timesteps(a, 100)[0] for a in schedules.EDITS] == [911, 831, 751, 671, 591]
    assert [schedules.edit_timesteps(a, 50)[0] for a in schedules.EDITS] == [821, 661, 501, 341, 181]
    by_level = [schedules.edit_timesteps(a, 20, by_index=False) for a in schedules.EDITS]
    assert [t[0] for t in by_level] == [901, 801, 751, 651, 551]
    with pytest.raises(ValueError, match="more than 40"):
        schedules.edit_timesteps("A1", 40)
    with pytest.raises(ValueError, match="A1, A2"):
        schedules.edit_timesteps("A6", 50)


def test_alphas_are_the_standard_ones():
    diffusers = pytest.importorskip("diffusers")
    assert torch.allclose(ddim.alphas_cumprod(), scheduler(diffusers, 50).alphas_cumprod, rtol=2e-6)
    assert ddim.alphas_cumprod()[0].item() == pytest.approx(0.99915, abs=1e-6)


def test_the_edit_mask_becomes_binary_and_nearest():
    mask = torch.zeros(1, 16, 16)
    mask[:, :8, :8] = 0.5
    mask[:, 8:, 8:] = 0.49
    assert ddim.latent_mask(mask, 2, 2).tolist() == [[[[1.0, 0.0], [0.0, 0.0]]]]


def scheduler(diffusers, steps):
    """Stock DDIM set up like the published sampler; an implementation by other hands."""
    made = diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    made.set_timesteps(steps)
    return made


class TinyDenoiser(torch.nn.Module):
    """eps(x, t, text): a seeded convolution, enough to make every step and text matter."""

    def __init__(self, **config):
        super().__init__()
        self.dtype = torch.float32
        generator = torch.Generator().manual_seed(11)
        self.kernel = torch.nn.Parameter(torch.randn(4, 4, 3, 3, generator=generator) * 0.1)

    def forward(self, x, timesteps, context=None, **extra):
        shift = context.mean(dim=(1, 2))[:, None, None, None] + timesteps[:, None, None, None] / 1000
        return 0.7 * x + torch.tanh(torch.nn.functional.conv2d(x, self.kernel, padding=1) + shift)


@pytest.fixture
def model(host):
    import comfy.latent_formats
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models_base

    config = comfy.supported_models_base.BASE({"dtype": torch.float32})
    config.latent_format = comfy.latent_formats.LatentFormat()
    config.set_inference_dtype(torch.float32, None)
    base = comfy.model_base.BaseModel(config, unet_model=TinyDenoiser)
    return comfy.model_patcher.ModelPatcher(base, torch.device("cpu"), torch.device("cpu"))


GUIDANCE, TEXT, EMPTY = 4.0, 0.6, -0.2


def run(model, sampler, sigmas, noise, latent=None, noise_mask=None):
    import comfy.sample

    positive, negative = ([[torch.full((1, 5, 6), value), {}]] for value in (TEXT, EMPTY))
    latent = torch.zeros_like(noise) if latent is None else latent
    return comfy.sample.sample_custom(
        model,
        noise,
        GUIDANCE,
        sampler,
        sigmas,
        positive,
        negative,
        latent,
        noise_mask=noise_mask,
        disable_pbar=True,
        seed=3,
    )


@torch.no_grad()
def guided(model, x, t):
    network, time = model.model.diffusion_model, torch.full((x.shape[0],), float(t))
    empty, text = (network(x, time, torch.full((x.shape[0], 5, 6), value)) for value in (EMPTY, TEXT))
    return empty + GUIDANCE * (text - empty)


def noise_like(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("steps", "eta"), [(20, 0.0), (10, 0.7)])
def test_draft_sampler_is_stock_ddim(model, steps, eta):
    diffusers = pytest.importorskip("diffusers")
    from atelier.host.prompt.hierafashdiff_sampler import draft_sampler, published_sigmas

    start = noise_like(2, 4, 6, 5, seed=1)
    fresh = noise_like(steps, 2, 4, 6, 5, seed=2)
    stock, x = scheduler(diffusers, steps), start
    assert stock.timesteps.tolist() == schedules.ddim_timesteps(steps)
    for i, t in enumerate(stock.timesteps):
        x = stock.step(guided(model, x, t), t, x, eta=eta, variance_noise=fresh[i] if eta else None).prev_sample
    sigmas = published_sigmas(model, schedules.ddim_timesteps(steps))
    sampler = draft_sampler(eta, lambda i, use: fresh[i])
    result = run(model, sampler, sigmas, start)
    assert (result - x).abs().max() <= 1e-4 * max(1.0, float(x.abs().max()))
    assert (run(model, draft_sampler(0.3), sigmas, start) - x).abs().max() > 1e-2, "the control: another eta"


@pytest.mark.parametrize(("attribute", "eta"), [("A1", 0.0), ("A5", 0.5)])
def test_edit_sampler_by_the_published_loop(model, attribute, eta):
    """Oracle: stock DDIM steps and stock add_noise in the order of the published loop."""
    diffusers = pytest.importorskip("diffusers")
    from atelier.host.prompt.hierafashdiff_sampler import edit_sampler, published_sigmas

    steps, x0 = 50, noise_like(1, 4, 6, 5, seed=4)
    timesteps = schedules.edit_timesteps(attribute, steps)
    start, fresh, ground = (
        noise_like(1, 4, 6, 5, seed=5),
        noise_like(50, 1, 4, 6, 5, seed=6),
        noise_like(50, 1, 4, 6, 5, seed=7),
    )
    mask = torch.zeros(1, 48, 40)
    mask[:, 8:32, :24] = 1
    keep = torch.zeros(1, 1, 6, 5)
    keep[:, :, 1:4, :3] = 1
    stock = scheduler(diffusers, steps)
    x = stock.add_noise(x0, start, torch.tensor(timesteps[:1]))
    for i, t in enumerate(timesteps):
        background = stock.add_noise(x0, ground[i], torch.tensor([t]))
        x = stock.step(guided(model, x, t), t, x, eta=eta, variance_noise=fresh[i] if eta else None).prev_sample
        x = (1 - keep) * background + keep * x
    source = lambda i, use: (fresh if use == "step" else ground)[i]  # noqa: E731
    result = run(model, edit_sampler(mask, eta, source), published_sigmas(model, timesteps), start, x0)
    assert (result - x).abs().max() <= 1e-4 * max(1.0, float(x.abs().max()))
    masked = run(model, edit_sampler(mask, eta, source), published_sigmas(model, timesteps), start, x0, noise_mask=mask)
    assert torch.equal(masked, result), "the host's own noise mask is ignored"
    clean = run(model, edit_sampler(mask, eta), published_sigmas(model, timesteps, clean_end=True), start, x0)
    outside = (1 - keep).bool().expand_as(x0)
    assert torch.equal(clean[outside], x0[outside]) and not torch.equal(result[outside], x0[outside])
    assert (clean - x0)[~outside].abs().min() > 0


def test_edit_seeds_and_refusals(model):
    from atelier.host.prompt.hierafashdiff_sampler import edit_sampler, published_sigmas

    sigmas = published_sigmas(model, schedules.edit_timesteps("A4", 20, by_index=False))
    x0, start, mask = noise_like(2, 4, 6, 5, seed=4), noise_like(2, 4, 6, 5, seed=5), torch.ones(2, 48, 40)
    assert torch.equal(
        run(model, edit_sampler(mask, 0.4), sigmas, start, x0), run(model, edit_sampler(mask, 0.4), sigmas, start, x0)
    )
    with pytest.raises(ValueError, match="2 latents came with 3 masks"):
        run(model, edit_sampler(torch.ones(3, 48, 40)), sigmas, start, x0)
    with pytest.raises(ValueError, match="empty"):
        edit_sampler(torch.full((1, 8, 8), 0.4))
    flow = SimpleNamespace(get_model_object=lambda name: SimpleNamespace())
    with pytest.raises(ValueError, match="1000 discrete timesteps"):
        published_sigmas(flow, [901])


@pytest.fixture
def no_memory(host, monkeypatch):
    """Full-size networks without their gigabytes: the host builds on the meta device, the file's tensors share one
    zero.
    """
    import comfy.model_management as management

    meta = torch.device("meta")
    monkeypatch.setattr(management, "unet_inital_load_device", lambda *a: meta)
    monkeypatch.setattr(management, "unet_offload_device", lambda *a: meta)
    monkeypatch.setattr(management, "load_models_gpu", lambda *a, **k: None)
    zero = torch.zeros(())
    return {name: zero.expand(shape) for name, shape in layout.published().items()}


V_PROBE = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"
META = {"initial_device": torch.device("meta")}


@pytest.mark.filterwarnings("ignore:for .*meta parameter")
@pytest.mark.slow
def test_every_published_tensor_loads_and_eps_is_forced(no_memory):
    import comfy.model_base
    import comfy.sd
    from atelier.host.prompt import hierafashdiff_checkpoint as checkpoint

    assert len(no_memory) == 1581
    no_memory[V_PROBE] = torch.linspace(-0.3, 0.3, 320)  # spread as after fine-tuning: the host then guesses v
    no_memory |= {
        "latent_generator.in_conv.weight": torch.zeros(3),
        "lpips_loss.net.0": torch.zeros(1),
        "odd": torch.zeros(1),
    }
    guessed, *_ = comfy.sd.load_state_dict_guess_config(dict(no_memory), te_model_options=META)
    assert guessed.model.model_type == comfy.model_base.ModelType.V_PREDICTION, "the control: the host's guess"
    before = set(no_memory)
    parts = checkpoint.from_state_dict({"state_dict": {"state_dict": no_memory}}, text_options=META)
    assert set(no_memory) == before
    assert parts.model.model.model_type == comfy.model_base.ModelType.EPS
    sampling = parts.model.get_model_object("model_sampling")
    x, output, sigma = torch.full((1, 4, 2, 2), 3.0), torch.full((1, 4, 2, 2), 0.5), torch.tensor([2.0])
    assert torch.equal(sampling.calculate_denoised(sigma, output, x), x - 2.0 * output)
    unet = {n: tuple(p.shape) for n, p in parts.model.model.diffusion_model.state_dict().items()}
    assert unet == {n: tuple(s) for n, s in layout.unet().items()}
    control = {n: tuple(p.shape) for n, p in parts.control_net.control_model.state_dict().items()}
    assert control == {n: tuple(s) for n, s in layout.control_net().items()}
    vae = {n: tuple(p.shape) for n, p in parts.vae.first_stage_model.state_dict().items()}
    assert vae == {n: tuple(s) for n, s in layout.autoencoder().items()}


@pytest.mark.filterwarnings("ignore:for .*meta parameter")
@pytest.mark.parametrize(
    ("lost", "network"),
    [
        ("model.diffusion_model.out.2.bias", "UNet"),
        ("control_model.zero_convs.3.0.bias", "ControlNet"),
        ("first_stage_model.post_quant_conv.bias", "autoencoder"),
        ("cond_stage_model.model.ln_final.bias", "text encoder"),
    ],
)
def test_a_cut_file_is_refused_by_name(no_memory, lost, network):
    from atelier.host.prompt import hierafashdiff_checkpoint as checkpoint

    del no_memory[lost]
    with pytest.raises(ValueError, match=f"{network} lacks 1 tensors"):
        checkpoint.from_state_dict(no_memory, text_options=META)


def test_other_checkpoints_are_refused(tmp_path, host):
    from atelier.host.prompt import hierafashdiff_checkpoint as checkpoint
    from safetensors.torch import save_file

    no_control = {
        "model.diffusion_model.x": torch.zeros(1),
        "first_stage_model.x": torch.zeros(1),
        "cond_stage_model.x": torch.zeros(1),
    }
    save_file(no_control, tmp_path / "plain.safetensors")
    with pytest.raises(ValueError, match="no ControlNet"):
        checkpoint.load(str(tmp_path / "plain.safetensors"))
    narrow = {**no_control, "control_model.x": torch.zeros(1), keys._PROBE: torch.zeros(320, 768)}
    with pytest.raises(ValueError, match="width 768"):
        checkpoint.from_state_dict(narrow)
