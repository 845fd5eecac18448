"""The Ideation Sampler and its neighbours on tiny real networks of the host."""

import itertools

import pytest
import torch
from safetensors.torch import save_file


@pytest.fixture(scope="module")
def parts(tiny):
    from atelier.host.prompt import prompt_tokens

    clip = tiny.clip()
    entry = lambda text, **more: [[prompt_tokens.encode(clip, text), {"pooled_output": None, **more}]]  # noqa: E731
    return tiny.unet(), entry


LATENT = {"samples": torch.zeros(3, 4, 8, 8)}


def ideate(model, entry, latent=LATENT, **options):
    from atelier.host.design import ideation_sampler

    options = {"seed": 5, "steps": 6, "stop_after": 3, "cfg": 2.0, "scheduler": "normal"} | options
    return ideation_sampler.run(model, entry("red dress"), entry("bad"), latent, **options)


def generator_source(context=32, channels=4, seed=8):
    import comfy.model_patcher
    from atelier.host.design.ideation_source import GeneratorSource
    from atelier.models.equifashion.generator import LatentGenerator

    torch.manual_seed(seed)
    generator = LatentGenerator(channels, 4, context).eval()
    return GeneratorSource(comfy.model_patcher.ModelPatcher(generator, torch.device("cpu"), torch.device("cpu")))


@pytest.mark.parametrize("sampler", ["euler", "ddim"])
@pytest.mark.parametrize("scheduler", ["normal", "karras", "sgm_uniform"])
def test_without_fusion_the_rest_by_the_host_equals_one_run(parts, host, sampler, scheduler):
    """Bit for bit where the latent scale is 1."""
    model, entry = parts
    noise = host.comfy.sample.prepare_noise(LATENT["samples"], 5)
    common = dict(positive=entry("red dress"), negative=entry("bad"), seed=5, disable_pbar=True)
    whole = host.comfy.sample.sample(model, noise, 6, 2.0, sampler, scheduler, latent_image=LATENT["samples"], **common)
    draft, sigma, left = ideate(model, entry, sampler=sampler, scheduler=scheduler)
    rest = host.comfy.sample.sample(
        model, torch.zeros_like(noise), 6, 2.0, sampler, scheduler, latent_image=draft["samples"], start_step=3,
        disable_noise=True, **common,
    )  # fmt: skip
    assert torch.equal(rest, whole)
    assert sigma == float(left[0]) > 0 and float(left[-1]) == 0
    assert not torch.equal(draft["samples"], whole)


def test_with_a_latent_scale_it_equals_within_rounding(tiny, parts, host):
    model, entry = tiny.unet(latent_scale=0.18215), parts[1]
    noise = host.comfy.sample.prepare_noise(LATENT["samples"], 5)
    common = dict(positive=entry("red dress"), negative=entry("bad"), seed=5, disable_pbar=True)
    whole = host.comfy.sample.sample(model, noise, 6, 2.0, "euler", "normal", latent_image=LATENT["samples"], **common)
    draft, _, _ = ideate(model, entry)
    rest = host.comfy.sample.sample(
        model, torch.zeros_like(noise), 6, 2.0, "euler", "normal", latent_image=draft["samples"], start_step=3, **common
    )
    assert (rest - whole).abs().max() <= 1e-5 * whole.abs().max()


def test_published_levels(parts):
    from atelier.host.design.ideation_sampler import PUBLISHED, sigmas_of

    sampling = parts[0].get_model_object("model_sampling")
    sigmas = sigmas_of(parts[0], PUBLISHED, 8)
    assert sampling.timestep(sigmas[:-1]).tolist() == [876, 751, 626, 501, 376, 251, 126, 1] and float(sigmas[-1]) == 0


def test_repulsion_spreads_the_batch_and_keeps_tone(parts):
    model, entry = parts
    near = {"samples": LATENT["samples"], "batch_index": [0, 1, 2]}

    def spread(repulsion):
        drafts = ideate(model, entry, near, repulsion=repulsion)[0]["atelier_unfinished"].drafts
        return torch.pdist(drafts.flatten(1)).mean()

    assert spread(1.0) > 1.02 * spread(0.0)
    assert torch.equal(ideate(model, entry, repulsion=0.0)[0]["samples"], ideate(model, entry)[0]["samples"])


def test_generator_fusion_by_hand(parts, host):
    """Oracle: the loop written out with the host's own prediction of x0 and the formula."""
    from atelier.host.design.ideation_sampler import Fusion, sigmas_of

    model, entry = parts
    source = generator_source()
    draft, _, _ = ideate(model, entry, source=source, settings=Fusion(0.8, 0.7, 1000, 0))
    sigmas = sigmas_of(model, "normal", 6)
    x = host.comfy.sample.prepare_noise(LATENT["samples"], 5) * torch.sqrt(1 + sigmas[0] ** 2)
    noise = torch.Generator().manual_seed(6)
    pooled = entry("red dress")[0][0].mean(1).expand(3, -1)
    for now, after in itertools.pairwise(sigmas[:4]):
        # One Euler step to sigma 0 gives the guided prediction of x0.
        x0 = host.comfy.sample.sample_custom(
            model, torch.zeros_like(x), 2.0, host.comfy.samplers.sampler_object("euler"), torch.stack([now, now * 0]),
            entry("red dress"), entry("bad"), x, disable_pbar=True, seed=5,
        )  # fmt: skip
        t = model.get_model_object("model_sampling").timestep(now)
        alpha = 0.8 * (float(t) / 1000) ** 0.7
        u = torch.randn(x.shape, generator=noise)
        with torch.no_grad():
            z_gan = source.patcher.model(x / torch.sqrt(1 + now**2), u, pooled, t.expand(3))
        onward = x + (x - x0) / now * (after - now)
        x = alpha * z_gan * torch.sqrt(1 + after**2) + (1 - alpha) * onward
    assert (draft["samples"] - x).abs().max() < 1e-4 * x.abs().max()
    assert not torch.allclose(draft["samples"], ideate(model, entry)[0]["samples"])


def test_fusion_window_and_strength_zero_are_no_fusion(parts):
    from atelier.host.design.ideation_sampler import Fusion

    model, entry = parts
    plain = ideate(model, entry)[0]["samples"]
    for settings in (Fusion(0.0), Fusion(1.0, 0.7, 20.0, 10.0)):
        assert torch.equal(ideate(model, entry, source=generator_source(), settings=settings)[0]["samples"], plain)


def test_the_same_seed_gives_the_same_drafts(parts):
    model, entry = parts
    source = generator_source()
    assert torch.equal(*(ideate(model, entry, source=source)[0]["samples"] for _ in range(2)))


def test_a_few_step_model_as_source(tiny, parts):
    """Another network of the same base; a clone of the model itself; and with weight 0 bit-identical to no source."""
    from atelier.host.design.ideation_sampler import Fusion
    from atelier.host.design.ideation_source import ModelSource

    model, entry = parts
    plain = ideate(model, entry)[0]["samples"]
    other = ideate(model, entry, source=ModelSource(tiny.unet(seed=9)))[0]["samples"]
    same_base = ideate(model, entry, source=ModelSource(model.clone()))[0]["samples"]
    assert (
        not torch.allclose(other, plain)
        and not torch.allclose(same_base, plain)
        and not torch.allclose(same_base, other)
    )
    never = ideate(model, entry, source=ModelSource(tiny.unet(seed=9)), settings=Fusion(1.0, 0.7, 20.0, 10.0))
    assert torch.equal(never[0]["samples"], plain)


def test_cancel_and_preview_from_the_first_step(parts, host):
    import comfy.utils
    from comfy import model_management

    shown = []
    model, entry = parts
    previous = comfy.utils.PROGRESS_BAR_HOOK

    def hook(value, total, preview, **kwargs):
        shown.append((value, total))
        raise model_management.InterruptProcessingException()

    comfy.utils.set_progress_bar_global_hook(hook)
    try:
        with pytest.raises(model_management.InterruptProcessingException):
            ideate(model, entry)
    finally:
        comfy.utils.set_progress_bar_global_hook(previous)
    assert shown == [(1, 3)]
    assert torch.isfinite(ideate(model, entry)[0]["samples"]).all()


def test_a_checkpoint_with_and_without_generator(tmp_path, host):
    from atelier.host.design.ideation_source import load_generator
    from atelier.models.equifashion.generator import LatentGenerator

    torch.manual_seed(0)
    generator = LatentGenerator(4, 8, 12)
    state = {f"latent_generator.{k}": v for k, v in generator.state_dict().items()}
    save_file({**state, "model.diffusion_model.x": torch.zeros(1)}, tmp_path / "with.safetensors")
    loaded = load_generator(str(tmp_path / "with.safetensors")).model
    assert all(torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), generator.state_dict().values()))
    save_file({"model.diffusion_model.x": torch.zeros(1)}, tmp_path / "without.safetensors")
    with pytest.raises(ValueError, match="no ideation generator"):
        load_generator(str(tmp_path / "without.safetensors"))
    state.pop("latent_generator.net.3.1.running_mean")
    save_file(state, tmp_path / "broken.safetensors")
    with pytest.raises(ValueError, match="not complete"):
        load_generator(str(tmp_path / "broken.safetensors"))


def generator_file(path, described=None, channels=4, context=32):
    import json

    from atelier.models.equifashion.generator import LatentGenerator

    torch.manual_seed(8)
    generator = LatentGenerator(channels, 4, context).eval()
    metadata = {} if described is None else {"atelier": json.dumps(described)}
    save_file({f"latent_generator.{k}": v for k, v in generator.state_dict().items()}, path, metadata=metadata)
    return str(path), generator


def test_a_generator_that_proposes_clean_latents(tmp_path, parts, host):
    """Oracle: the proposal by hand, scaled per channel and carried to the next level with the noise that is left."""
    from atelier.host.design.ideation_source import load_source

    model, entry = parts
    scale = [2.0, 3.0, 5.0, 7.0]
    described = {"format": "ideation_generator", "proposes": "clean latent", "latent_scale": scale}
    path, generator = generator_file(tmp_path / "clean.safetensors", described)
    source = load_source(path).prepared(model, entry("red dress"), entry("bad"), LATENT["samples"], 3)
    x, now, after = 4 * torch.randn(3, 4, 8, 8), torch.tensor(4.0), torch.tensor(1.5)
    made = source.proposal(x, now, after, 700.0)
    u = torch.randn(x.shape, generator=torch.Generator().manual_seed(4))
    pooled = entry("red dress")[0][0].mean(1).expand(3, -1)
    with torch.no_grad():
        clean = generator(x / 17**0.5, u, pooled, torch.full((3,), 700.0)) * torch.tensor(scale)[:, None, None]
    assert (made - (clean + 1.5 * (x - clean) / 4)).abs().max() < 1e-5
    assert (source.proposal(x, now, torch.tensor(0.0), 700.0) - clean).abs().max() > 1e-3  # another u each time
    published = load_source(generator_file(tmp_path / "next.safetensors")[0])
    assert published.scale == (1.0,) and published.proposes == "next level"


def test_a_generator_gets_its_own_level_of_a_louder_models_noise(parts, monkeypatch):
    from atelier.host.design.ideation_source import GeneratorSource

    model, entry = parts
    sampling, asked, proposal = model.get_model_object("model_sampling"), [], GeneratorSource.proposal

    def recorded(self, x, sigma, sigma_next, t):
        asked.append((float(sigma), t))
        return proposal(self, x, sigma, sigma_next, t)

    monkeypatch.setattr(GeneratorSource, "proposal", recorded)
    ideate(model, entry, source=generator_source())
    assert asked and all(t == float(sampling.timestep(torch.tensor(sigma))) for sigma, t in asked)
    asked.clear()
    monkeypatch.setattr(sampling, "noise_scale", 4.0, raising=False)
    ideate(model, entry, source=generator_source())
    assert asked and all(t == float(sampling.timestep(torch.tensor(4 * sigma))) for sigma, t in asked)


@pytest.mark.parametrize(
    ("described", "says"),
    [
        ({"proposes": "poems"}, "proposes 'poems'"),
        ({"latent_scale": [1.0, 2.0]}, "one for each of 4 channels"),
        ({"latent_scale": "14"}, "latent_scale is '14', expected a valid number"),
        ({"latent_scale": -1}, "latent_scale is -1, expected greater than 0"),
    ],
)
def test_a_generator_file_that_says_nonsense(tmp_path, host, described, says):
    from atelier.host.design.ideation_source import load_source

    with pytest.raises(ValueError, match=says):
        load_source(generator_file(tmp_path / "g.safetensors", described)[0])


def test_the_loader_offers_the_studio_generator_when_it_is_there(tmp_path, host, monkeypatch):
    from atelier.host.design import ideation_source
    from atelier.nodes.ideate import LoadIdeationGenerator

    def offered():
        return LoadIdeationGenerator.INPUT_TYPES()["required"]["checkpoint"][0]

    monkeypatch.setattr(ideation_source, "STUDIO_FILE", tmp_path / "generator.safetensors")
    assert "studio" not in offered()
    with pytest.raises(Exception, match="studio"):
        LoadIdeationGenerator().execute("studio")
    described = {"format": "ideation_generator", "proposes": "clean latent", "latent_scale": 9.0}
    generator_file(ideation_source.STUDIO_FILE, described)
    assert offered()[-1] == "studio"
    (source,) = LoadIdeationGenerator().execute("studio")
    assert source.scale == (9.0,) and source.proposes == "clean latent"


def test_drafts_with_a_studio_like_generator(tmp_path, parts):
    """With the source they differ from those without; and diversity 0 is another batch than diversity 1."""
    from atelier.host.design.ideation_source import load_source

    described = {"proposes": "clean latent", "latent_scale": 9.0}
    source = load_source(generator_file(tmp_path / "g.safetensors", described)[0])
    plain, fused, apart = (
        ideate(*parts, source=s, repulsion=r)[0]["samples"] for s, r in ((None, 0.0), (source, 0.0), (source, 1.0))
    )
    assert not torch.allclose(plain, fused) and not torch.allclose(fused, apart)
    assert torch.pdist(apart.flatten(1)).mean() > torch.pdist(fused.flatten(1)).mean()


@pytest.mark.parametrize(
    "options, says",
    [
        ({"stop_after": 9}, "6 steps"),
        ({"source": 48}, "width 48, this conditioning has 32"),
        ({"latent": {"samples": torch.zeros(1, 4, 12, 8)}, "source": 32}, "multiples of 8"),
        ({"settings": "glue"}, "'glue' is unknown"),
    ],
)
def test_faults_are_named_before_sampling(parts, options, says):
    from atelier.host.design.ideation_sampler import Fusion

    if "source" in options:
        options = {**options, "source": generator_source(options["source"])}
    if "settings" in options:
        options = {**options, "settings": Fusion(form=options["settings"])}
    with pytest.raises(ValueError, match=says):
        ideate(*parts, **options)


def test_the_node_shows_drafts_without_a_vae(parts):
    from atelier.nodes.ideate import IdeationSampler

    model, entry = parts
    latent, drafts, sigma, left = IdeationSampler().execute(
        model,
        entry("red"),
        entry(""),
        LATENT,
        1,
        8,
        5,
        2.0,
        "published levels",
        "euler",
        0.3,
        1.0,
        0.7,
        1000.0,
        0.0,
        "ddim step",
    )
    assert drafts.shape == (3, 64, 64, 3) and float(drafts.min()) >= 0 and float(drafts.max()) <= 1
    assert latent["atelier_unfinished"].sigma == sigma == float(left[0]) and len(left) == 4


def test_draft_board_picks_pictures_and_latents_alike(parts):
    from atelier.host.design.draft_board import board
    from atelier.nodes.ideate import DraftBoard

    latent = ideate(*parts)[0] | {"noise_mask": torch.rand(3, 64, 64)}
    drafts = torch.rand(3, 64, 48, 3)
    done = DraftBoard().execute(drafts, "3, 1", 2, latent)
    sheet, picked, chosen = done["result"]
    assert torch.equal(picked, drafts[[2, 0]]) and torch.equal(chosen["samples"], latent["samples"][[2, 0]])
    assert chosen["batch_index"] == [2, 0] and torch.equal(chosen["noise_mask"], latent["noise_mask"][[2, 0]])
    assert torch.equal(chosen["atelier_unfinished"].drafts, latent["atelier_unfinished"].drafts[[2, 0]])
    assert done["ui"]["images"][0]["type"] == "temp" and sheet.shape[-1] == 3
    with pytest.raises(ValueError, match="3 drafts but 2 latents"):
        board(drafts, {"samples": torch.zeros(2, 4, 8, 8)}, "1", 0)
    without = DraftBoard().execute(drafts, "2", 2)["result"][2]
    assert "connect the sampler's latent" in without.message
