"""The Refiner and Consensus Score on tiny real networks of the host."""

import itertools

import pytest
import torch


@pytest.fixture(scope="module")
def parts(tiny):
    from atelier.host.prompt import prompt_tokens

    clip = tiny.clip()
    entry = lambda text, **more: [[prompt_tokens.encode(clip, text), {"pooled_output": None, **more}]]  # noqa: E731
    return tiny.unet(), tiny.vae(), entry


def refine(parts, *, latent=None, images=None, protect=None, **options):
    from atelier.nodes.refine import Refiner

    model, vae, entry = parts
    options = {
        "pick": "all",
        "scale": 1.0,
        "denoise": 0.5,
        "steps": 6,
        "cfg": 2.0,
        "sampler": "euler",
        "scheduler": "normal",
        "seed": 5,
        "sigma": -1.0,
        "tile": 1024,
        "overlap": 128,
        "feather": 4,
    } | options
    given = {"latent": latent, "images": images, "protect": protect}
    return Refiner().execute(model, vae, entry("red dress"), entry("bad"), **options, **given)


def draft(parts, **options):
    from atelier.host.design import ideation_sampler

    model, _, entry = parts
    options = {"seed": 5, "steps": 6, "stop_after": 3, "cfg": 2.0, "scheduler": "normal"} | options
    return ideation_sampler.run(
        model, entry("red dress"), entry("bad"), {"samples": torch.zeros(3, 4, 8, 8)}, **options
    )[0]


IMAGE = torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(1))


def test_an_unfinished_draft_goes_on_as_if_never_stopped(parts, sample):
    model, vae, entry = parts
    whole = sample(model, entry("red dress"), entry("bad"), torch.zeros(3, 4, 8, 8), seed=5, steps=6)
    latent, picture = refine(parts, latent=draft(parts))
    assert torch.equal(latent["samples"], whole)
    assert torch.equal(picture, vae.decode(whole))
    assert "atelier_unfinished" not in latent


def test_a_picked_draft_goes_on_as_within_its_batch(parts, sample):
    model, _, entry = parts
    whole = sample(model, entry("red dress"), entry("bad"), torch.zeros(3, 4, 8, 8), seed=5, steps=6)
    latent, _ = refine(parts, latent=draft(parts), pick="3, 1")
    assert (latent["samples"] - whole[[2, 0]]).abs().max() < 1e-5 * whole.abs().max()


def test_a_finished_latent_is_the_hosts_image_to_image(parts, sample, host):
    model, _, entry = parts
    start = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    latent, _ = refine(parts, latent={"samples": start}, denoise=0.4)
    assert torch.equal(
        latent["samples"], sample(model, entry("red dress"), entry("bad"), start, seed=5, steps=6, denoise=0.4)
    )


@pytest.mark.parametrize("source", ["unfinished", "finished", "picture"])
def test_scale(parts, source):
    given = {
        "unfinished": {"latent": draft(parts)},
        "finished": {"latent": {"samples": torch.randn(1, 4, 8, 8)}},
        "picture": {"images": IMAGE},
    }[source]
    latent, picture = refine(parts, scale=1.5, **given)
    assert latent["samples"].shape[-2:] == (12, 12) and picture.shape[1:] == (96, 96, 3)
    assert torch.isfinite(picture).all()


def test_unfinished_and_enlarged_starts_at_the_drafts_own_sigma(parts, host, monkeypatch):
    import comfy.sample

    seen = {}
    real = comfy.sample.sample_custom

    def watch(model, noise, cfg, sampler, sigmas, *args, **kwargs):
        seen["sigmas"], seen["noise"] = sigmas, noise
        return real(model, noise, cfg, sampler, sigmas, *args, **kwargs)

    latent = draft(parts)
    monkeypatch.setattr(comfy.sample, "sample_custom", watch)
    refine(parts, latent=latent, scale=2.0, scheduler="karras")
    assert float(seen["sigmas"][0]) == pytest.approx(latent["atelier_unfinished"].sigma)
    assert (seen["sigmas"].diff() < 0).all() and float(seen["noise"].std()) > 0.5


@pytest.mark.parametrize("feather", [0, 6])
@pytest.mark.parametrize("size", [(64, 64), (70, 51)])
def test_protected_pixels_are_the_drafts_bit_for_bit(parts, feather, size):
    images = torch.rand(2, *size, 3, generator=torch.Generator().manual_seed(3))
    protect = torch.zeros(1, *size)
    protect[:, 5:20, 7:30] = 1
    _, picture = refine(parts, images=images, protect=protect, feather=feather, denoise=0.9)
    kept = protect[0].bool()[: picture.shape[1], : picture.shape[2]]
    # Sides that are no multiple of 8 are first fitted to one, as the VAE would crop them.
    if size == (64, 64):
        assert torch.equal(picture[:, kept], images[:, kept])
        assert (picture - images)[:, ~kept].abs().mean() > 0.01
        latent, _ = refine(parts, images=images, protect=protect, feather=feather, denoise=0.9)
        start = parts[1].encode(images)
        assert torch.equal(latent["samples"][..., 1:2, 1:3], start[..., 1:2, 1:3])
        assert not torch.allclose(latent["samples"][..., 5:, 5:], start[..., 5:, 5:])
    else:
        assert picture.shape[1:3] == (72, 48)


def test_protected_at_a_larger_size_is_the_enlarged_draft(parts, host):
    import comfy.utils

    protect = torch.zeros(1, 64, 64)
    protect[:, :20] = 1
    _, picture = refine(parts, images=IMAGE, protect=protect, scale=1.5)
    enlarged = comfy.utils.common_upscale(IMAGE.movedim(-1, 1), 96, 96, "lanczos", "disabled").movedim(1, -1)
    assert torch.equal(picture[:, :30], enlarged[:, :30])


def seam(latent, tile):
    """How much more the latent jumps across tile borders than elsewhere."""
    jumps = latent.diff(dim=-1).abs().mean((0, 1, 2))
    borders = [column - 1 for column in range(tile, latent.shape[-1], tile)]
    inside = [i for i in range(len(jumps)) if i not in borders]
    return float(jumps[borders].mean() / jumps[inside].mean())


def test_tiles_blend_without_a_seam(parts):
    start = {"samples": torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(4))}
    options = {"latent": start, "denoise": 0.9, "steps": 2}
    whole = refine(parts, **options)[0]["samples"]
    cut = refine(parts, **options, tile=128, overlap=0)[0]["samples"]
    blended = refine(parts, **options, tile=128, overlap=64)[0]["samples"]
    assert not torch.allclose(blended, whole) and torch.isfinite(blended).all()
    assert seam(blended, 16) < 1.1 and seam(blended, 8) < 1.1
    assert seam(blended, 16) < seam(cut, 16), "the control: without overlap the border shows"


def test_one_tile_is_the_whole(parts):
    start = {"samples": torch.randn(1, 4, 16, 8, generator=torch.Generator().manual_seed(4))}
    whole = refine(parts, latent=start, tile=0)[0]["samples"]
    assert torch.equal(refine(parts, latent=start, tile=128)[0]["samples"], whole)


@pytest.mark.parametrize(
    "options, says",
    [
        ({}, "one of the two"),
        ({"images": IMAGE, "latent": {"samples": torch.zeros(1, 4, 8, 8)}}, "one of the two"),
        ({"latent": {"samples": torch.zeros(1, 16, 8, 8)}}, "16 channels, the model .SD15. works on 4"),
        ({"latent": {"samples": torch.zeros(1, 4, 8, 8)}, "sigma": 200.0}, "sigma 200.*ends at 14.6"),
        ({"latent": {"samples": torch.zeros(1, 4, 8, 8)}, "sigma": 3.0, "scale": 2.0}, "its own size"),
        ({"images": IMAGE, "pick": "3"}, "there are 2 drafts"),
        ({"images": IMAGE, "protect": torch.zeros(3, 64, 64)}, "2 drafts came with 3 protected masks"),
    ],
)
def test_faults_are_named(parts, options, says):
    with pytest.raises(ValueError, match=says):
        refine(parts, **options)


def test_marks_that_do_not_match_are_refused_with_both_values(parts, tiny, host):
    import comfy.latent_formats

    latent = draft(parts)
    with pytest.raises(ValueError, match=r"stopped at sigma 1\.\d+, but `sigma` says 3"):
        refine(parts, latent=latent, sigma=3.0)
    with pytest.raises(ValueError, match="changed by another node"):
        refine(parts, latent={**latent, "samples": latent["samples"] * 2})
    refine(parts, latent={**latent, "samples": latent["samples"] * 2}, sigma=0.0)
    xl = tiny.unet(latent_format=comfy.latent_formats.SDXL)
    with pytest.raises(ValueError, match="SD15 latent space, the model works in SDXL"):
        refine((xl, *parts[1:]), latent=latent)
    with pytest.raises(ValueError, match="unfinished: refine it first"):
        refine(parts, latent=latent, protect=torch.zeros(1, 64, 64))


def test_tiles_refuse_what_belongs_to_the_whole_picture(parts):
    from atelier.host.design import refine as module

    model, vae, entry = parts
    with pytest.raises(ValueError, match="'area'"):
        module.refine(
            model,
            vae,
            entry("red", area=(4, 4, 0, 0)),
            entry(""),
            latent={"samples": torch.zeros(1, 4, 32, 32)},
            images=None,
            pick="",
            scale=1.0,
            sigma=-1.0,
            run=module.Run(0, 2, 2.0, "euler", "normal", 0.5),
            tiles=module.Tiles(128, 32),
        )


class ColourEncoder:
    """A small real encoder: mean colour as a unit vector, words by their colour."""

    name, speaks = "mean colour", True
    words = {"red": (1.0, 0, 0), "green": (0, 1.0, 0), "blue": (0, 0, 1.0)}

    def encode_image(self, images):
        return torch.nn.functional.normalize(torch.stack([image.mean((0, 1)) for image in images]), dim=-1)

    def encode_text(self, texts):
        return torch.tensor([self.words[text] for text in texts])


def coloured(*bands):
    image = torch.zeros(90, 30, 3)
    for i, band in enumerate(bands):
        image[i * 30 : (i + 1) * 30] = torch.tensor(ColourEncoder.words[band])
    return image


def test_consensus_ranks_by_matched_parts_and_the_whole():
    from atelier.nodes.refine import ConsensusScore

    images = torch.stack(
        [coloured("red", "red", "red"), coloured("blue", "red", "green"), coloured("red", "red", "green")]
    )
    ranked, table, order = ConsensusScore().execute(images, ColourEncoder(), "red\ngreen\nblue")
    assert order == "2, 3, 1" and torch.equal(ranked[0], images[1])
    assert "red = middle; green = bottom; blue = top" in table


def test_consensus_by_masks_and_references():
    from atelier.host.design.consensus_score import score

    image = coloured("red", "red", "green")[None]
    masks = torch.zeros(2, 90, 30)
    masks[0, :30], masks[1, 60:] = 1, 1
    (found,), parts, names = score(
        image, ColourEncoder(), [], references=coloured("green", "green", "green")[None], masks=masks
    )
    assert names == ["reference 1"] and parts == [["mask 1", "mask 2"]] and found.pairs == ((1, 0),)
    assert found.matched == pytest.approx(1.0)


def test_the_matching_is_the_best_one():
    """Against all permutations."""
    from atelier.models.equifashion.consensus import best_matching

    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        s = torch.rand(4, 4, generator=generator).numpy()
        best = max(sum(s[p, a] for a, p in enumerate(order)) for order in itertools.permutations(range(4)))
        assert sum(s[pair] for pair in best_matching(s)) == pytest.approx(best)


def test_an_encoder_that_only_sees_refuses_words(host):
    from atelier.host.design.consensus_score import score
    from atelier.host.wardrobe.fashion_encoder import FashionEncoder

    class Sees(FashionEncoder):
        name, hash, dim = "sees only", "0", 3

        def _image_vectors(self, images):
            return torch.stack([image.mean((0, 1)) for image in images])

    with pytest.raises(ValueError, match="'sees only' sees pictures only"):
        score(coloured("red", "red", "red")[None], Sees(), ["red"])
    (found,), _, _ = score(
        coloured("red", "red", "red")[None], Sees(), [], references=coloured("red", "red", "red")[None]
    )
    assert found.total == pytest.approx(1.0)
