"""Runs through the host's samplers: exact values, what is computed when, and what a run leaves behind."""

import gc
import itertools
from dataclasses import replace

import pytest
import torch


@pytest.fixture
def model(tryon):
    return tryon[0]


def test_a_run_is_the_oracles_own_loop(model, oracle, dress):
    """Euler, guidance 3, two people, two garments; the unconditional rows read zero latents of the same classes and
    sizes.
    """
    import comfy.sample

    rows, cfg, scale = 2, 3.0, 0.18215
    garments = [(dress.latent(11), 0), (dress.latent(12, 5, 7), 1)]
    got = dress.run(model, dress.outfit(model), cfg=cfg, steps=3, rows=rows)
    worn = [oracle.reference(latent * scale, category)[0] for latent, category in garments]
    unworn = [oracle.reference(latent * 0, category)[0] for latent, category in garments]
    person = dress.person(rows=rows)
    extra = torch.cat([person["concat_mask"][:, None], person["concat_latent_image"] * scale], 1)
    sampling = model.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(sampling, "normal", 3)
    x = comfy.sample.prepare_noise(torch.zeros(rows, 4, 8, 6), 3) * (1 + sigmas[0] ** 2).sqrt()
    for sigma, after in itertools.pairwise(sigmas):
        sample = torch.cat([x / (1 + sigma**2).sqrt(), extra], 1)
        time = sampling.timestep(sigma)
        free, guided = oracle.denoise(sample, time, unworn), oracle.denoise(sample, time, worn)
        eps = free + cfg * (guided - free)
        x = x + eps * (after - sigma)
    torch.testing.assert_close(got, x / scale, rtol=1e-5, atol=1e-4 * x.abs().max().item())


def test_cached_is_recomputed(model, dress):
    kv = dress.outfit(model)
    cached, recomputed = dress.run(model, kv), dress.run(model, dress.uncached(kv))
    torch.testing.assert_close(cached, recomputed, atol=1e-5, rtol=1e-5)


def test_emptied_or_missing_kv_is_far_off(model, dress):
    """The control: zeros in place of the K,V, no garments at all, or another garment give another picture."""
    kv = dress.outfit(model)
    right = dress.run(model, kv)
    empty = tuple(replace(g, kv=tuple((k * 0, v * 0) for k, v in g.kv)) for g in kv.outfits[0])
    for wrong in (replace(kv, outfits=(empty,)), None, dress.outfit(model, seed=21)):
        assert (dress.run(model, wrong) - right).abs().max() > 0.01 * right.abs().max()
    positive, _ = dress.conditionings(kv)
    unguided = dress.run(model, conditionings=(positive, dress.conditionings(type(kv)())[1]))
    assert (unguided - right).abs().max() > 0.01 * right.abs().max(), (
        "guidance against no garments must not pass for zero latents"
    )


def test_garments_are_computed_once(model, dress, passes):
    kv = dress.outfit(model)
    assert passes.made == 4  # two garments, two zero latents
    for seed in range(3):
        dress.run(model, kv, seed=seed, rows=2)
    assert passes.made == 4
    from atelier.host.tryon import garment_kv

    swapped = garment_kv.merge([dress.garment(model, 40), replace(kv, outfits=((kv.outfits[0][1],),))])
    dress.run(model, swapped)
    assert passes.made == 5, "another upper of the same size costs one pass; its zero latent is there already"


def test_missing_guidance_is_computed_in_the_run_and_only_when_it_is_used(model, dress, passes):
    from atelier.host.tryon import garment_kv

    kv = garment_kv.merge([dress.garment(model, 11), dress.garment(model, 12, 1, 5, 7)])
    dress.run(model, kv, cfg=1.0)
    assert passes.made == 2
    bare = dress.run(model, kv)
    assert passes.made == 4
    torch.testing.assert_close(bare, dress.run(model, dress.outfit(model)), atol=1e-5, rtol=1e-5)


def test_order_of_wiring_changes_no_bit(model, dress):
    from atelier.host.tryon import garment_kv

    parts = [
        dress.garment(model, 11),
        dress.garment(model, 12, 1, 5, 7),
        dress.garment(model, 13),
        dress.garment(model, 14, 4),
    ]
    first, second = garment_kv.merge(parts), garment_kv.merge([garment_kv.merge(parts[2:]), parts[1], parts[0]])
    assert torch.equal(dress.run(model, first), dress.run(model, second))


@pytest.mark.parametrize("count", [1, 8])
def test_any_number_of_garments(model, dress, count):
    from atelier.host.tryon import garment_kv

    kv = garment_kv.merge([dress.garment(model, i, i % 5, 4 + i % 3, 5) for i in range(count)])
    assert torch.isfinite(dress.run(model, kv)).all()
    tokens = sum((4 + i % 3) * 5 for i in range(count))
    widest = sum(g.kv[0][0].shape[1] for g in kv.outfits[0])
    assert widest == tokens and kv.size_mib == pytest.approx(
        sum(t.nbytes for g in kv.outfits[0] for p in g.kv for t in p) / 2**20
    )


def test_rows_wear_their_own_outfits(model, dress):
    import comfy.sample
    from atelier.host.tryon import garment_kv

    outfits = [dress.outfit(model), dress.garment(model, 30, 2), garment_kv.GarmentKV()]
    noise = comfy.sample.prepare_noise(torch.zeros(3, 4, 8, 6), 8)
    together = dress.run(model, garment_kv.batch(outfits), rows=3, noise=noise)
    person = dress.person(rows=3)
    for row, outfit in enumerate(outfits):
        own = {key: value[row : row + 1] for key, value in person.items()}
        ends = [[[c[0][0], {**c[0][1], **own}]] for c in dress.conditionings(outfit)]
        alone = dress.run(model, conditionings=ends, noise=noise[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-5, atol=1e-5 * alone.abs().max().item())


def test_a_longer_batch_repeats_people_with_their_outfits(model, dress):
    import comfy.sample
    from atelier.host.tryon import garment_kv

    kv = garment_kv.batch([dress.garment(model, 1), dress.garment(model, 2)])
    noise = comfy.sample.prepare_noise(torch.zeros(4, 4, 8, 6), 8)
    ends = dress.conditionings(kv, rows=2)
    four = dress.run(model, conditionings=ends, rows=4, noise=noise)
    two = dress.run(model, conditionings=ends, rows=2, noise=noise[2:])
    torch.testing.assert_close(four[2:], two, rtol=1e-5, atol=1e-5 * two.abs().max().item())


def test_the_host_counts_the_garments_when_it_makes_room(model, dress):
    import comfy.sampler_helpers

    positive, _ = (comfy.sampler_helpers.convert_cond(end) for end in dress.conditionings(dress.outfit(model)))
    bare, _ = (
        comfy.sampler_helpers.convert_cond(end)
        for end in dress.conditionings(dress.uncached(dress.garment(model, 1)), 8, 6)
    )
    more, less = (
        comfy.sampler_helpers.estimate_memory(model, (1, 4, 8, 6), {"positive": end})[0] for end in (positive, bare)
    )
    assert more - less == pytest.approx(35 * model.model.memory_required([1, 4, 1, 1]))


def test_second_run_with_another_garment_is_a_fresh_one(model, host, tryon_folder, dress):
    from atelier.host.tryon import load_tryon

    def after(model, earlier):
        for seed in earlier:
            dress.run(model, dress.outfit(model, seed))
        return dress.run(model, dress.outfit(model, 60))

    used, fresh = after(model, (50, 51)), after(load_tryon.load(str(tryon_folder))[0], ())
    assert torch.equal(used, fresh)


def _kept():
    """K,V that runs computed for themselves and that something still holds."""
    from atelier.host.tryon.garment_conditioning import GarmentsOfARun

    gc.collect()
    return [o for o in gc.get_objects() if type(o) is GarmentsOfARun and o._kv]


def test_nothing_is_kept_after_a_run(model, dress):
    kv = dress.uncached(dress.outfit(model))
    dress.run(model, kv)
    assert not _kept()
    assert "garment" not in " ".join(model.model_options["transformer_options"]) and model.model.current_patcher is None


@pytest.mark.parametrize("step", [0, 1, 2])
def test_cancel_at_a_step_leaves_nothing_behind(model, dress, step):
    import comfy.model_management as mm
    import comfy.samplers

    kv = dress.uncached(dress.outfit(model))
    before = dress.run(model, kv, steps=3)
    held = []

    def cancel(i, clean, x, total):
        held.append(len(_kept()))
        if i == step:
            mm.interrupt_current_processing()
            mm.throw_exception_if_processing_interrupted()

    guider = comfy.samplers.CFGGuider(model)  # lives on, as in SamplerCustomAdvanced
    guider.set_conds(*dress.conditionings(kv))
    guider.set_cfg(2.5)
    noise = torch.randn(1, 4, 8, 6)
    with pytest.raises(mm.InterruptProcessingException):
        guider.sample(
            noise,
            noise * 0,
            comfy.samplers.sampler_object("euler"),
            torch.tensor([10.0, 5, 2, 0]),
            callback=cancel,
            disable_pbar=True,
        )
    assert held[-1] == 2, "while it ran, positive and negative held their K,V"
    assert not _kept() and guider.conds
    assert torch.equal(dress.run(model, kv, steps=3), before)


@pytest.mark.parametrize("block", [0, 4, 12])
@pytest.mark.parametrize("where", ["encode", "run"])
def test_cancel_inside_a_reference_pass(model, dress, monkeypatch, block, where):
    import comfy.model_management as mm
    from atelier.host.tryon import fastfit_model

    kv = dress.outfit(model)
    before, blocks = dress.run(model, kv), []
    original = fastfit_model.forward_timestep_embed

    def press_cancel(*args, **kwargs):
        blocks.append(1)
        if len(blocks) == block + 1:
            mm.interrupt_current_processing()
        return original(*args, **kwargs)

    monkeypatch.setattr(fastfit_model, "forward_timestep_embed", press_cancel)
    with pytest.raises(mm.InterruptProcessingException):
        if where == "encode":
            dress.garment(model, 1)
            dress.garment(model, 2)
        else:
            dress.run(model, dress.uncached(kv))
    assert len(blocks) == block + 1, "Cancel must be seen before the next block"
    monkeypatch.undo()
    assert not _kept() and torch.equal(dress.run(model, kv), before)


def test_kv_come_to_the_device_once_a_run_where_it_has_room(model, dress, monkeypatch):
    """The meta device stands for a GPU."""
    import comfy.model_management as mm
    from atelier.host.tryon.garment_conditioning import garments_of_a_run

    refs = dress.conditionings(dress.outfit(model))[0][0][1]["atelier_garments"]
    far, outfit = torch.device("meta"), refs.outfits[0]
    monkeypatch.setattr(model.model, "current_patcher", model)

    def where(free):
        monkeypatch.setattr(mm, "get_free_memory", lambda device: free)
        run = garments_of_a_run(refs, model.model.latent_format).cond
        first, again = (run.rows(model.model, 1, far)[0].garments for _ in range(2))
        assert all(a is b for a, b in zip(first, again)), "once, not at every step"
        run.forget()
        assert not run._kv
        return [kv[0][0].device.type for kv in first]

    assert where(2**30) == ["meta", "meta"]
    assert where(100) == ["cpu", "cpu"]
    sizes = sorted(g.bytes for g in outfit)
    assert sorted(where(2 * sizes[1] - 1)) == ["cpu", "meta"]


def test_a_failing_run_leaves_nothing_behind(model, dress):
    kv = dress.uncached(dress.outfit(model))
    before = dress.run(model, kv)

    def fail(*args):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        dress.run(model, kv, callback=fail)
    assert not _kept() and torch.equal(dress.run(model, kv), before)


def test_two_interleaved_runs(model, host, tryon_folder, dress):
    """A run of a second model between the steps of a first one; each is what it is alone."""
    from atelier.host.tryon import load_tryon

    other, _ = load_tryon.load(str(tryon_folder))
    kv, other_kv = dress.outfit(model), dress.uncached(dress.outfit(other, 70))
    alone, other_alone = dress.run(model, kv, steps=3), dress.run(other, other_kv, cfg=4.0)
    between = []
    together = dress.run(model, kv, steps=3, callback=lambda *a: between.append(dress.run(other, other_kv, cfg=4.0)))
    assert torch.equal(together, alone) and len(between) == 3
    assert all(torch.equal(b, other_alone) for b in between)


def test_a_lora_changes_the_garments_too(model, dress, small_lora, passes):
    kv = dress.outfit(model)
    patched = model.clone()
    patched.add_patches(small_lora(model), 1.0)
    plain, made = dress.run(model, kv), passes.made
    recomputed = dress.run(patched, kv)
    assert passes.made == made + 4, "K,V of other weights are not used"
    own = dress.outfit(patched)
    made = passes.made
    assert torch.equal(dress.run(patched, own), recomputed) and passes.made == made
    assert (recomputed - plain).abs().max() > 0.01 * plain.abs().max()
    assert torch.equal(dress.run(model, kv), plain)
    stale = tuple(replace(g, state=o.state) for g, o in zip(kv.outfits[0], own.outfits[0]))
    assert not torch.equal(dress.run(patched, replace(own, outfits=(stale,))), recomputed), (
        "stale K,V would have been seen"
    )


def test_a_clone_without_changes_uses_the_kv(model, dress, passes):
    kv = dress.outfit(model)
    clone = model.clone()
    clone.set_model_attn1_patch(lambda n, context, value, options: (n, context, value))
    dress.run(clone, kv)
    assert passes.made == 4


@pytest.mark.parametrize("keyframes", [False, True])
def test_hooks_on_one_side_only(model, dress, small_lora, passes, keyframes):
    """A LoRA hook on the positive: its garments are those of the changed weights, the negative's are not."""
    import comfy.hooks

    kv, cfg = dress.outfit(model), 2.5
    positive, negative = dress.conditionings(kv)
    strength = 0.5 if keyframes else 1.0
    patched = model.clone()
    patched.add_patches(small_lora(model), strength)
    one = {"steps": 1, "cfg": 1.0}
    guided = dress.run(patched, conditionings=(positive, negative), **one)
    free = dress.run(model, conditionings=(negative, negative), **one)
    hooks = comfy.hooks.HookGroup()
    hook = comfy.hooks.WeightHook(1.0, 1.0)
    hook.weights, hook.need_weight_init = small_lora(model), False
    if keyframes:
        frames = comfy.hooks.HookKeyframeGroup()
        frames.add(comfy.hooks.HookKeyframe(strength=strength, start_percent=0.0))
        hook.hook_keyframe = frames
    hooks.add(hook)
    hooked = [[positive[0][0], {**positive[0][1], "hooks": hooks}]]
    made = passes.made
    got = dress.run(model, conditionings=(hooked, negative), steps=1, cfg=cfg)
    assert passes.made == made + 2, "only the hooked side is computed again"
    torch.testing.assert_close(got, free + cfg * (guided - free), rtol=1e-4, atol=1e-4 * got.abs().max().item())
    assert (got - dress.run(model, kv, steps=1, cfg=cfg)).abs().max() > 0.01 * got.abs().max()
    made = passes.made
    assert passes.made == made and not _kept()


def test_keyframes_change_the_garments_between_steps(model, dress, small_lora, passes):
    import comfy.hooks

    kv = dress.outfit(model)
    positive, negative = dress.conditionings(kv)
    frames = comfy.hooks.HookKeyframeGroup()
    frames.add(comfy.hooks.HookKeyframe(strength=1.0, start_percent=0.0))
    frames.add(comfy.hooks.HookKeyframe(strength=0.2, start_percent=0.5))
    hook = comfy.hooks.WeightHook(1.0, 1.0)
    hook.weights, hook.need_weight_init, hook.hook_keyframe = small_lora(model), False, frames
    hooks = comfy.hooks.HookGroup()
    hooks.add(hook)
    made = passes.made
    dress.run(model, conditionings=([[positive[0][0], {**positive[0][1], "hooks": hooks}]], negative), steps=4)
    assert passes.made == made + 4, "two garments under two strengths"
    made = passes.made
    dress.run(model, kv)
    assert passes.made == made, "after a run with hooks the plain weights are known again"


def test_other_latent_formats_are_refused_before_the_first_step(model, dress):
    kv = dress.outfit(model)
    for change in ({"scale": 0.13025}, {"latent": torch.zeros(1, 16, 6, 4)}):
        foreign = replace(kv, outfits=(tuple(replace(g, **change) for g in kv.outfits[0]),))
        with pytest.raises(ValueError, match="encode them again with this model"):
            dress.run(model, foreign, callback=lambda *a: pytest.fail("a step was taken"))


def test_encode_refuses_what_it_cannot_use(tryon, dress):
    from atelier.host.tryon import garment_kv

    model, vae = tryon
    picture = torch.rand(1, 20, 12, 3)
    small = {"width": 32, "height": 48}
    kv = garment_kv.encode(model, vae, picture, "dress", **small)
    assert kv.outfits[0][0].kind == (2, 6, 4)
    masked = garment_kv.encode(model, vae, picture, 2, torch.eye(20)[None, :, :12], "stretch", **small)
    assert not torch.equal(masked.outfits[0][0].latent, kv.outfits[0][0].latent)
    bad = picture.clone()
    bad[0, 3, 3, 0] = float("nan")
    for arguments, message in [
        ((model, vae, bad, 0), "NaN"),
        ((model, vae, picture.repeat(2, 1, 1, 1), 0), r"\[2, 20, 12, 3\]"),
        ((model, vae, picture, "hat"), "'hat'"),
        ((model, vae, picture, 7), "class is 7"),
        ((model, vae, picture, 0, torch.zeros(1, 20, 12)), "mask is empty"),
        ((vae.patcher, vae, picture, 0), "Load Try-On Model"),
        ((model, object(), picture, 0), "no latent channels"),
    ]:
        with pytest.raises(ValueError, match=message):
            garment_kv.encode(*arguments, **small)
    with pytest.raises(ValueError, match="multiples of 8"):
        garment_kv.encode(model, vae, picture, 0, width=30, height=48)
    with pytest.raises(ValueError, match="NaN or infinite"):
        garment_kv.encode_latent(model, torch.full((1, 4, 6, 4), float("nan")), 0)
