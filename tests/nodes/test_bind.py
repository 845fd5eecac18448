"""Bind Attributes and Show Binding on a real tiny UNet and CLIP of the host."""

import pytest
import torch

PROMPT = "puffed sleeve with red lace cuff and v-neck collar"


@pytest.fixture(scope="module")
def parts(tiny):
    from atelier.host.prompt import prompt_tokens

    clip = tiny.clip()
    entry = lambda text, **more: [[prompt_tokens.encode(clip, text), {"pooled_output": None, **more}]]  # noqa: E731
    return tiny.unet(), clip, entry


def bound(parts, prompt=PROMPT, conditioning=None, **options):
    from atelier.host.prompt.bind_attention import bind

    model, clip, entry = parts
    return bind(model, clip, conditioning or entry(prompt), [prompt], **options)


LATENT = torch.zeros(2, 4, 8, 8)


def test_token_rows_are_the_words(parts):
    from atelier.host.prompt.prompt_tokens import tokens_of

    _, positive, report = bound(parts)
    pairs = positive[0][1]["atelier_bind"][0].pairs
    pieces = tokens_of(parts[1], PROMPT).pieces
    assert ["".join(pieces[i] for i in pair.rows) for pair in pairs] == ["puffedsleeve", "redlacecuff", "v-neckcollar"]
    assert "red lace → cuff" in report


def test_token_rows_survive_chunks_weights_and_accents(parts):
    from atelier.host.prompt.prompt_tokens import tokens_of

    prompt = "soft light, " * 30 + "(crème:1.3) collar, ((red)) cuff \\(lace\\)"
    _, positive, _ = bound(parts, prompt)
    tensor, values = positive[0]
    tokens = tokens_of(parts[1], prompt)
    assert tensor.shape[1] == len(tokens.pieces) == 154
    (collar,) = [p for p in values["atelier_bind"][0].pairs if p.label.endswith("collar")]
    assert min(collar.rows) > 77
    written = "".join(tokens.pieces[i] for i in collar.rows).encode("latin-1").decode()
    assert written == "crèmecollar" and tokens.weights[collar.modifiers[0]] == pytest.approx(1.3)


@pytest.mark.parametrize("form", ["mix", "phrases", "guidance"])
def test_strength_zero_is_no_node_at_all(parts, sample, form):
    model, _, entry = parts
    plain = sample(model, entry(PROMPT), entry(""), LATENT)
    bound_model, positive, _ = bound(parts, form=form, strength=0.0)
    assert torch.equal(sample(bound_model, positive, entry(""), LATENT), plain)
    bound_model, positive, _ = bound(parts, form=form, strength=0.8)
    assert not torch.equal(sample(bound_model, positive, entry(""), LATENT), plain)
    assert torch.equal(sample(model, entry(PROMPT), entry(""), LATENT), plain), "the caller's model was changed"


def test_mix_equals_an_own_attention(parts, sample, host):
    """Oracle: the same run with every text attention computed by hand from the formula, cond rows only."""
    model, _, entry = parts
    bound_model, positive, _ = bound(parts, strength=0.6)
    groups = [pair.rows for pair in positive[0][1]["atelier_bind"][0].pairs]

    def by_hand(q, k, v, extra):
        heads, rows = extra["n_heads"], q.shape[0] // len(extra["cond_or_uncond"])
        split = lambda t: t.unflatten(2, (heads, -1)).transpose(1, 2)  # noqa: E731
        p = (split(q) @ split(k).transpose(2, 3) / (q.shape[2] / heads) ** 0.5).softmax(-1)
        for chunk, kind in enumerate(extra["cond_or_uncond"]):
            for group in groups if kind == 0 else ():
                part = p[chunk * rows : (chunk + 1) * rows]
                part[..., list(group)] = 0.4 * part[..., list(group)] + 0.6 * part[..., list(group)].mean(
                    -1, keepdim=True
                )
        return (p @ split(v)).transpose(1, 2).flatten(2)

    oracle = model.clone()
    for section, number in (("input", 1), ("input", 3), ("middle", 0), *(("output", n) for n in range(4))):
        oracle.set_model_attn2_replace(by_hand, section, number)
    mine = sample(bound_model, positive, entry("grey"), LATENT)
    theirs = sample(oracle, entry(PROMPT), entry("grey"), LATENT)
    assert (mine - theirs).abs().max() < 1e-5 * theirs.abs().max()
    assert (mine - sample(model, entry(PROMPT), entry("grey"), LATENT)).abs().max() > 1e-3 * theirs.abs().max()


def test_repeated_tokens_change_nothing(parts, sample):
    """The host repeats the shorter prompt to match a longer one in the same call: same result as without."""
    _, _, entry = parts
    bound_model, positive, _ = bound(parts, strength=0.7)
    long_negative = entry("soft light, " * 30)
    assert long_negative[0][0].shape[1] == 154
    together = sample(bound_model, positive, long_negative, LATENT)
    apart = long_negative[0][0].repeat(1, 5, 1)[:, :770]  # lcm ratio above 4: the host runs two calls
    separate = sample(bound_model, positive, [[apart, {}]], LATENT)
    assert (together - separate).abs().max() < 1e-4 * separate.abs().max()


def test_each_entry_of_a_schedule_has_its_own_rows(parts, sample):
    from atelier.host.prompt.bind_attention import bind

    model, clip, entry = parts
    prompts = ["red cuff", "a long dress with a red cuff"]
    schedule = entry(prompts[0], start_percent=0.0, end_percent=0.5) + entry(
        prompts[1], start_percent=0.5, end_percent=1.0
    )
    bound_model, positive, _ = bind(model, clip, schedule, prompts, strength=0.9)
    rows = [values["atelier_bind"][0].pairs[-1].rows for _, values in positive]
    assert rows[0] != rows[1]
    both = sample(bound_model, positive, entry(""), LATENT)
    only_first = sample(bound_model, [positive[0], schedule[1]], entry(""), LATENT)
    assert not torch.equal(both, only_first)
    assert torch.isfinite(both).all()


def test_other_packs_attention_is_called_whatever_the_order(parts, sample):
    model, _, entry = parts
    calls = []

    def other(q, k, v, extra):
        calls.append(extra["block"])
        from atelier.host.run_patches import host_attention

        return host_attention(q, k, v, extra)

    before = model.clone()
    before.set_model_attn2_replace(other, "middle", 0)
    bound_before, positive, _ = bound((before, *parts[1:]), strength=0.6)
    first = sample(bound_before, positive, entry(""), LATENT)
    assert calls
    calls.clear()
    after = bound(parts, strength=0.6)[0].clone()
    after.set_model_attn2_replace(other, "middle", 0)
    assert torch.equal(sample(after, positive, entry(""), LATENT), first)
    assert calls
    assert torch.equal(sample(bound(parts, strength=0.6)[0], positive, entry(""), LATENT), first)


def test_added_text_tokens_are_refused_with_a_sentence(parts, sample):
    bound_model, positive, _ = bound(parts, strength=0.6)
    other = bound_model.clone()
    other.set_model_attn2_patch(lambda q, k, v, extra: (q, torch.cat([k, k[:, :3]], 1), torch.cat([v, v[:, :3]], 1)))
    with pytest.raises(ValueError, match="80 text tokens where the prompt has 77"):
        sample(other, positive, parts[2](""), LATENT)


def test_step_range(parts, sample):
    model, _, entry = parts
    plain = sample(model, entry(PROMPT), entry(""), LATENT)
    never, positive, _ = bound(parts, strength=0.8, start_percent=0.1, end_percent=0.2)  # no step
    assert torch.equal(sample(never, positive, entry(""), LATENT), plain)
    with pytest.raises(ValueError, match="not before end"):
        bound(parts, start_percent=0.5, end_percent=0.5)


def test_phrases_change_values_and_not_keys(parts, sample):
    """With keys replaced as well the result would be another one."""
    model, _, entry = parts
    bound_model, positive, _ = bound(parts, form="phrases", strength=1.0)
    tensor, values = positive[0]
    phrase_vectors = values["atelier_bind"][0].values
    assert torch.equal(tensor, entry(PROMPT)[0][0])
    touched = sorted({i for pair in values["atelier_bind"][0].pairs for i in pair.rows})
    untouched = [i for i in range(77) if i not in touched]
    assert torch.equal(phrase_vectors[:, untouched], tensor[:, untouched])
    assert not torch.allclose(phrase_vectors[:, touched], tensor[:, touched])
    mine = sample(bound_model, positive, entry(""), LATENT)
    both_changed = sample(model, [[phrase_vectors, {}]], entry(""), LATENT)
    assert not torch.allclose(mine, both_changed, rtol=1e-3)


def test_guidance_lowers_its_own_loss(parts, host):
    from atelier.host.prompt import bind_guidance
    from atelier.host.prompt.bind_attention import Binding
    from comfy.sampler_helpers import convert_cond
    from comfy.samplers import process_conds

    model, _, _ = parts
    _, positive, _ = bound(parts, form="guidance", strength=1.0)
    binding: Binding = positive[0][1]["atelier_bind"][0]
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)) * 4
    conds = process_conds(model.model, x, {"positive": convert_cond(positive)}, "cpu")["positive"]
    sigma = torch.full((2,), 4.0)
    moved = bind_guidance._moved(model.model, conds[0], binding, x, sigma)
    with torch.no_grad():
        before = bind_guidance.loss(bind_guidance._maps(model.model, conds[0], binding, x, sigma))
        after = bind_guidance.loss(bind_guidance._maps(model.model, conds[0], binding, moved, sigma))
    assert (after < before).all()


@pytest.mark.parametrize(
    "change, says",
    [
        ({"own": "red: boots"}, "'boots'"), ({"own": "red cuff"}, "modifier words: noun"), ({"form": "glue"}, "'glue'"),
        ({"prompt": "nothing to say"}, "No attribute pair"),
    ],
)  # fmt: skip
def test_faults_are_named(parts, change, says):
    with pytest.raises(ValueError, match=says):
        bound(parts, **change)


def test_a_conditioning_of_another_text_is_refused(parts):
    with pytest.raises(ValueError, match="None of the conditioning entries"):
        bound(parts, conditioning=parts[2]("something else"))


def test_own_pairs_override_the_parser(parts):
    _, positive, _ = bound(parts, own="puffed: cuff")
    assert [pair.label for pair in positive[0][1]["atelier_bind"][0].pairs] == ["puffed → cuff"]


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_show_binding_measures_what_mix_does(parts, strength):
    """The divergence falls by construction: to nothing at full strength, by hand at half."""
    from atelier.nodes.bind import ShowBinding

    bound_model, positive, _ = bound(parts, strength=strength)
    picture, report = ShowBinding().execute(bound_model, positive, {"samples": LATENT}, 0.4, 7)
    assert picture.shape[0] == 1 and picture.shape[-1] == 3 and picture.std() > 0.05
    for line in report.splitlines():
        before, after = (float(value) for value in line.split("JSD ")[1].split(" -> "))
        assert 0.001 < before < 0.6932
        assert after < (0.0005 if strength == 1.0 else before)


def test_show_binding_refuses_an_unbound_conditioning(parts):
    from atelier.nodes.bind import ShowBinding

    with pytest.raises(ValueError, match="not bound"):
        ShowBinding().execute(parts[0], parts[2](PROMPT), {"samples": LATENT}, 0.4, 7)


def test_bind_with_a_timetable(parts, sample):
    from atelier.craft.prompt import timetable
    from atelier.craft.prompt.prompt_text import parse_attributes
    from atelier.nodes.bind import BindAttributes

    model, clip, entry = parts
    plan = timetable.build("a dress", parse_attributes("red collar\nlong sleeve"))
    conditioning = [pair for stage in plan.stages for pair in entry(stage.text)]
    _, positive, report = BindAttributes().execute(model, clip, conditioning, "", "mix", 0.5, 0.0, 0.8, "", plan)
    assert "red → collar" in report and "long → sleeve" in report
    assert "atelier_bind" not in positive[0][1] and "atelier_bind" in positive[-1][1]
