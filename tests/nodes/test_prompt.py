"""Prompt nodes in the real host: graphs run by its executor, tiny real networks, its own samplers and ControlNet."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

CONCEPT = "Dress, Elegant, Party"
WIDTH = 32  # of every network here


def fill(module, seed):
    """The host leaves new layers uninitialised."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(
                torch.randn(parameter.shape, generator=generator) * 0.08
                + (1.0 if "norm" in name and "weight" in name else 0.0)
            )


def tiny_clip(family):
    """The host's CLIP (tokenizer and text model) at two layers of width 32."""
    import comfy.sd
    import comfy.sd1_clip
    import comfy.sdxl_clip
    import comfy.text_encoders.sd2_clip as sd2

    size = {
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_attention_heads": 2,
        "num_hidden_layers": 3,
        "projection_dim": WIDTH,
    }
    model, tokenizer = {
        "sd15": (comfy.sd1_clip.SD1ClipModel, comfy.sd1_clip.SD1Tokenizer),
        "sd2": (sd2.SD2ClipModel, sd2.SD2Tokenizer),
        "sdxl": (comfy.sdxl_clip.SDXLClipModel, comfy.sdxl_clip.SDXLTokenizer),
    }[family]
    target = SimpleNamespace(params={}, clip=model, tokenizer=tokenizer)
    options = {f"clip_{letter}_model_config": dict(size) for letter in "lgh"}
    clip = comfy.sd.CLIP(target, model_options={**options, "dtype": torch.float32})
    fill(clip.cond_stage_model, 1)
    return clip


def unet_config(context, adm=None):
    return {
        "image_size": 8, "in_channels": 4, "out_channels": 4, "model_channels": WIDTH,
        "channel_mult": [1, 2], "num_res_blocks": [1, 1],
        "transformer_depth": [1, 1], "transformer_depth_output": [1, 1, 1, 1],
        "transformer_depth_middle": 1, "num_heads": 2,
        "num_head_channels": -1, "use_spatial_transformer": True, "use_linear_in_transformer": True, "legacy": False,
        "context_dim": context, "adm_in_channels": adm,
        "num_classes": None if adm is None else "sequential", "dtype": torch.float32,
    }  # fmt: skip


def tiny_model(family, kind="EPS"):
    """A host MODEL of the family around the host's own UNet."""
    import comfy.latent_formats
    import comfy.model_base
    import comfy.model_management
    import comfy.model_patcher
    import comfy.supported_models_base

    sdxl = family == "sdxl"
    config = comfy.supported_models_base.BASE(
        unet_config(2 * WIDTH if sdxl else WIDTH, WIDTH + 6 * 256 if sdxl else None)
    )
    config.unet_config |= {"num_heads": 2, "num_head_channels": -1}  # the base class asks for heads of 64
    config.latent_format = comfy.latent_formats.SD15()
    config.set_inference_dtype(torch.float32, None)
    if kind == "FLOW":
        config.sampling_settings = {"shift": 3.0}
    base = (comfy.model_base.SDXL if sdxl else comfy.model_base.BaseModel)(
        config, getattr(comfy.model_base.ModelType, kind)
    )
    fill(base.diffusion_model, 2)
    return comfy.model_patcher.ModelPatcher(base, torch.device("cpu"), torch.device("cpu"))


def tiny_control_net():
    import comfy.cldm.cldm
    import comfy.controlnet
    import comfy.ops

    config = {
        k: v
        for k, v in unet_config(WIDTH).items()
        if k not in ("out_channels", "transformer_depth_output", "adm_in_channels", "num_classes")
    }
    network = comfy.cldm.cldm.ControlNet(**config, hint_channels=3, operations=comfy.ops.disable_weight_init)
    fill(network, 3)
    return comfy.controlnet.ControlNet(network, load_device=torch.device("cpu"))


@pytest.fixture
def graph(run_graph, monkeypatch):
    """`run_graph` with loader nodes for the tiny networks and a node that keeps what reaches it."""
    kept, encoded = {}, []

    def loader(name, result, type_):
        made = []  # one object for the whole test, as a loader node's cache gives

        def load(self):
            made or made.append(result())
            return (made[0],)

        return type(
            name,
            (),
            {"INPUT_TYPES": classmethod(lambda cls: {}), "RETURN_TYPES": (type_,), "FUNCTION": "load", "load": load},
        )

    def counting_clip():
        clip = tiny_clip("sd15")
        encode = clip.cond_stage_model.encode_token_weights
        clip.cond_stage_model.encode_token_weights = lambda tokens: (encoded.append(tokens), encode(tokens))[1]
        return clip

    class Keep:
        RETURN_TYPES, FUNCTION, OUTPUT_NODE = (), "keep", True

        @classmethod
        def INPUT_TYPES(cls):
            return {"required": {"name": ("STRING", {})}, "optional": {"value": ("*", {})}}

        @classmethod
        def VALIDATE_INPUTS(cls, input_types):
            return True

        def keep(self, name, value=None):
            kept[name] = value
            return {"ui": {"kept": [name]}}

    mappings = run_graph.host.nodes.NODE_CLASS_MAPPINGS
    for node in (
        loader("TinyClip", counting_clip, "CLIP"),
        loader("TinyModel", lambda: tiny_model("sd15"), "MODEL"),
        loader("TinyFlow", lambda: tiny_model("sd15", "FLOW"), "MODEL"),
        loader("TinyControlNet", tiny_control_net, "CONTROL_NET"),
        loader("TinyPose", lambda: torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(4)), "IMAGE"),
        Keep,
    ):
        monkeypatch.setitem(mappings, node.__name__, node)
    return SimpleNamespace(run=run_graph, kept=kept, encoded=encoded)


def scheduler(**changes):
    inputs = {
        "clip": ["clip", 0], "concept": CONCEPT, "attributes": "Long\nV-Neck\nRuffle Hem", "negative": "blurry",
        "borders": "900, 800, 710, 630, 560, 500", "order": "published", "join": "accumulate", "model": ["model", 0],
    }  # fmt: skip
    inputs.update(changes)
    return {
        "clip": {"class_type": "TinyClip", "inputs": {}},
        "model": {"class_type": "TinyModel", "inputs": {}},
        "prompt": {
            "class_type": "AtelierHierarchicalPromptScheduler",
            "inputs": {k: v for k, v in inputs.items() if v is not None},
        },
    }


def keep(**links):
    return {
        f"keep {name}": {"class_type": "Keep", "inputs": {"name": name, "value": link}} for name, link in links.items()
    }


def outputs():
    return keep(positive=["prompt", 0], negative=["prompt", 1], timetable=["prompt", 2])


def encode(clip, text):
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def test_the_entries_are_the_hosts_own_encodings_in_windows(graph):
    graph.run({**scheduler(), **outputs()})
    positive, negative, timetable = (graph.kept[name] for name in ("positive", "negative", "timetable"))
    texts = [CONCEPT, f"{CONCEPT}, Long", f"{CONCEPT}, Long, V-Neck", f"{CONCEPT}, Long, V-Neck, Ruffle Hem"]
    assert [stage.text for stage in timetable.stages] == texts
    clip = tiny_clip("sd15")
    for entry, text, (start, end) in zip(positive, texts, timetable.windows, strict=True):
        (expected,) = encode(clip, text)
        assert torch.equal(entry[0], expected[0]) and torch.equal(
            entry[1]["pooled_output"], expected[1]["pooled_output"]
        )
        assert (entry[1]["timestep_start"], entry[1]["timestep_end"]) == (start, end)
    assert (
        len(negative) == 1
        and torch.equal(negative[0][0], encode(clip, "blurry")[0][0])
        and "timestep_end" not in negative[0][1]
    )


def test_stressed_attributes_are_guided_against_the_concept(graph):
    graph.run({**scheduler(stress_attributes=True), **outputs()})
    positive, negative, timetable = (graph.kept[name] for name in ("positive", "negative", "timetable"))
    clip = tiny_clip("sd15")
    for entry, text in zip(negative, ("blurry", f"{CONCEPT}, blurry"), strict=True):
        assert torch.equal(entry[0], encode(clip, text)[0][0])
    first = timetable.windows[0]
    assert (negative[0][1]["timestep_start"], negative[0][1]["timestep_end"]) == first
    assert negative[1][1]["timestep_start"] == positive[1][1]["timestep_start"] < first[1]
    assert negative[1][1]["timestep_end"] == positive[-1][1]["timestep_end"]
    with pytest.raises(AssertionError, match="no concept of its own"):
        graph.run({**scheduler(stress_attributes=True, join="published caption"), **outputs()})


def test_unchanged_stages_stay_in_the_hosts_cache(graph):
    graph.run({**scheduler(), **outputs()})
    assert len(graph.encoded) == 5
    graph.run({**scheduler(attributes="Long\nV-Neck\nSlit Hem"), **outputs()})
    assert len(graph.encoded) == 6, "only the stage with the new hem is encoded again"
    assert graph.kept["timetable"].stages[-1].text.endswith("Slit Hem")
    graph.run({**scheduler(attributes="Long\nV-Neck\nSlit Hem", borders="850, 700, 300"), **outputs()})
    assert len(graph.encoded) == 6, "borders alone need no encoding"
    assert graph.kept["timetable"].stages[0].stop == 850


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"attributes": "Long\nV-Neck @300-800"}, "attributes, line 2, column 9"),
        ({"concept": "Dress (red"}, "concept, line 1, column 7"),
        ({"borders": "900, 950"}, "borders, line 1, column 6"),
    ],
)
def test_mistakes_are_found_before_anything_runs(graph, changes, place):
    assert graph.run.validate({**scheduler(), **outputs()})[0]
    valid, _, _, node_errors = graph.run.validate({**scheduler(**changes), **outputs()})
    assert not valid and any(place in problem["details"] for problem in node_errors["prompt"]["errors"])
    assert graph.encoded == []


def test_linked_text_is_checked_when_it_arrives(graph):
    text = {"text": {"class_type": "PrimitiveStringMultiline", "inputs": {"value": "lace *x"}}}
    with pytest.raises(AssertionError, match="line 1, column 7"):
        graph.run({**scheduler(attributes=["text", 0]), **text, **outputs()})


def test_attribute_nodes_chain_and_order_by_mask(graph):
    def attribute(mask_size, previous=None, **changes):
        inputs = {
            "preset": "none",
            "words": "",
            "weight": 1.0,
            "when": "by order",
            "from_level": 1000,
            "to_level": 0,
            **changes,
        }
        inputs |= {"attributes": [previous, 0]} if previous else {}
        inputs |= {"mask": [mask_size, 0]} if mask_size else {}
        return {"class_type": "AtelierAttribute", "inputs": inputs}

    def mask(value):
        return {"class_type": "SolidMask", "inputs": {"value": value, "width": 16, "height": 16}}

    chain = {
        "large": mask(1.0), "none": mask(0.0),
        "a": attribute("none", preset="hem: Slit Hem", words="red", weight=1.2),
        "b": attribute("large", "a", preset="collar: V-Neck"),
        "c": attribute("none", "b", words="print @400-100", when="own range", from_level=300, to_level=200),
    }  # fmt: skip
    graph.run({**scheduler(attributes="", more_attributes=["c", 0], order="mask area"), **chain, **outputs()})
    timetable = graph.kept["timetable"]
    assert timetable.text_at(850) == f"{CONCEPT}, V-Neck"
    assert timetable.text_at(750) == f"{CONCEPT}, V-Neck, (red Slit Hem:1.2)"
    assert "print" in timetable.text_at(250) and "print" not in timetable.text_at(350)
    with pytest.raises(AssertionError, match="needs a mask"):
        graph.run({**scheduler(more_attributes=["c", 0], order="mask area"), **chain, **outputs()})
    valid, _, _, errors = graph.run.validate(
        {**scheduler(more_attributes=["c", 0]), **chain, "c": attribute(None), **outputs()}
    )
    assert not valid and "says nothing" in str(errors)


def test_published_caption_keeps_brackets_as_text_and_the_first_77_tokens(graph):
    long = "Dress, " + ", ".join(f"(word {i}:1.4)" for i in range(40))
    graph.run({**scheduler(concept=long, attributes="", join="published caption", negative=long), **outputs()})
    tokens = [pair for text in graph.encoded for chunk in text["l"] for pair in chunk]
    assert {weight for _, weight in tokens} == {1.0}
    for conditioning in (graph.kept["positive"], graph.kept["negative"]):
        assert all(entry[0].shape[1] == 77 for entry in conditioning)
    graph.run(
        {**scheduler(concept=long, attributes=""), **outputs()}
    )  # the control: elsewhere they are weights, and all is kept
    assert {weight for chunk in graph.encoded[-1]["l"] for _, weight in chunk} <= {1.0, 1.4} != {1.0}
    assert graph.kept["positive"][0][0].shape[1] > 77


@torch.no_grad()
def sample(model, positive, negative, sigmas, seed=5, sampler="euler", cfg=3.0, size=8):
    import comfy.sample
    import comfy.samplers

    latent = torch.zeros(1, 4, size, size)
    noise = comfy.sample.prepare_noise(latent, seed)
    return comfy.sample.sample_custom(
        model,
        noise,
        cfg,
        comfy.samplers.sampler_object(sampler),
        sigmas,
        positive,
        negative,
        latent,
        disable_pbar=True,
        seed=seed,
    )


def prompts(family, model, attributes="Long\nV-Neck\nRuffle Hem\nred\nblue\ngreen"):
    """positive, negative and timetable as the node's graph makes them, for any family of text encoder."""
    from atelier.craft.prompt import timetable as craft
    from atelier.craft.prompt.prompt_text import parse_attributes
    from atelier.host.prompt.prompt_windows import resolved, restrict

    clip = tiny_clip(family)
    timetable = resolved(craft.build(CONCEPT, parse_attributes(attributes)), model)
    entries = [entry for s in timetable.stages for entry in restrict(encode(clip, s.text), s.start, s.stop, model)]
    return entries, encode(clip, "blurry"), timetable, clip


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


def test_show_timetable(graph):
    sigmas = {
        "sigmas": {
            "class_type": "BasicScheduler",
            "inputs": {"model": ["model", 0], "scheduler": "ddim_uniform", "steps": 10, "denoise": 1.0},
        }
    }

    def show(**extra):
        return {
            "show": {
                "class_type": "AtelierShowTimetable",
                "inputs": {"timetable": ["prompt", 2], "sigmas": ["sigmas", 0], **extra},
            }
        }

    many = "Long\nLong Sleeve\nRaglan Sleeve\nV-Neck\nSlit Hem"
    done = graph.run({**scheduler(attributes=many), **sigmas, **show(), **keep(picture=["show", 0], text=["show", 1])})
    text = done.outputs["show"]["text"][0]
    assert text == graph.kept["text"] and "No step reaches stage 3 (levels 800-710): + Long Sleeve" in text
    assert done.outputs["show"]["images"][0]["type"] == "temp"
    assert (
        graph.kept["picture"].shape[0] == 1
        and graph.kept["picture"].shape[-1] == 3
        and graph.kept["picture"].max() <= 1
    )
    graph.run({**scheduler(attributes=many, model=None), **sigmas, **show(), **keep(text=["show", 1])})
    assert "standard noise schedule assumed" in graph.kept["text"]
    graph.run(
        {**scheduler(attributes=many, model=None), **sigmas, **show(model=["model", 0]), **keep(text=["show", 1])}
    )
    assert "assumed" not in graph.kept["text"] and " 801" in graph.kept["text"]
    flow = scheduler(attributes=many, model=None) | {"model": {"class_type": "TinyFlow", "inputs": {}}}
    sigmas["sigmas"]["inputs"]["scheduler"] = "simple"
    with pytest.raises(AssertionError, match="connect the MODEL"):
        graph.run({**flow, **sigmas, **show()})
    graph.run({**flow, **sigmas, **show(model=["model", 0]), **keep(text=["show", 1])})
    # levels 1000, 900, 800 ...: a step on a border belongs to the noisier stage, exact also in float32
    assert [f"{level}  {stage}" in graph.kept["text"] for level, stage in ((900, 1), (800, 2), (700, 4))] == [True] * 3


def test_stage_window_by_hand_equals_the_scheduler(graph):
    def text(words):
        return {"class_type": "CLIPTextEncode", "inputs": {"clip": ["clip", 0], "text": words}}

    def window(words, start, stop, **extra):
        levels = {"from_level": start, "to_level": stop, "first_77_tokens": False, "model": ["model", 0]}
        return {"class_type": "AtelierStageWindow", "inputs": {"conditioning": [words, 0], **levels, **extra}}

    by_hand = {
        "t1": text(CONCEPT), "t2": text(f"{CONCEPT}, Long"),
        "w1": window("t1", 1000, 900), "w2": window("t2", 900, 0, append_to=["w1", 0]),
    }  # fmt: skip
    graph.run({**scheduler(attributes="Long"), **by_hand, **outputs(), **keep(hand=["w2", 0])})
    for made, expected in zip(graph.kept["hand"], graph.kept["positive"], strict=True):
        assert torch.equal(made[0], expected[0]) and made[1]["timestep_start"] == expected[1]["timestep_start"]
        assert made[1]["timestep_end"] == expected[1]["timestep_end"]


@pytest.fixture
def pose_run(host):
    import comfy.samplers

    model = tiny_model("sd15")
    positive, negative, _, _ = prompts("sd15", model)
    pose = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(4))
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 10)
    return SimpleNamespace(
        model=model, positive=positive, negative=negative, pose=pose, net=tiny_control_net(), sigmas=sigmas, host=host
    )


def controlled(run, pose_from=1000.0, guess=False, net=None, pose=None, sigmas=None):
    from atelier.nodes.pose_schedule import PoseSchedule

    both = PoseSchedule().execute(
        run.positive,
        run.negative,
        net or run.net,
        run.pose if pose is None else pose,
        0.7,
        pose_from,
        guess,
        model=run.model,
    )
    return sample(run.model, *both, run.sigmas if sigmas is None else sigmas)


def test_the_published_pose_schedule_is_the_hosts_plain_control(pose_run):
    apply = pose_run.host.nodes.ControlNetApplyAdvanced()
    plain = apply.apply_controlnet(pose_run.positive, pose_run.negative, pose_run.net, pose_run.pose, 0.7, 0.0, 1.0)
    expected = sample(pose_run.model, *plain, pose_run.sigmas)
    assert torch.equal(controlled(pose_run), expected)
    assert "control" not in pose_run.positive[0][1]
    without = sample(pose_run.model, pose_run.positive, pose_run.negative, pose_run.sigmas)
    black = controlled(pose_run, pose=torch.zeros_like(pose_run.pose))
    assert (expected - without).abs().max() > 1e-3 and (black - without).abs().max() > 1e-3, (
        "a black pose is not the same as no control"
    )


def test_the_disabled_rule_shows_black_above_its_level(pose_run):
    """Only the first of ten steps (t = 999) lies above 950: a run of that step alone is all black, one from the second
    on has no black.
    """
    black = torch.zeros_like(pose_run.pose)
    first = pose_run.sigmas[:2]
    assert torch.equal(controlled(pose_run, 950.0, sigmas=first), controlled(pose_run, pose=black, sigmas=first))
    assert torch.equal(
        controlled(pose_run, 950.0, sigmas=pose_run.sigmas[1:]), controlled(pose_run, sigmas=pose_run.sigmas[1:])
    )
    assert not torch.equal(controlled(pose_run, 950.0), controlled(pose_run))


def test_guess_mode_fades_and_leaves_the_negative_alone(pose_run):
    from atelier.host.prompt.pose_schedule import apply, fading

    positive, negative = apply(pose_run.positive, pose_run.negative, pose_run.net, pose_run.pose, 0.5, guess_mode=True)
    assert all("control" in values for _, values in positive) and all("control" not in values for _, values in negative)
    control = {"output": [torch.ones(1, 2, 2, 2) for _ in range(4)], "middle": [torch.ones(1, 2, 2, 2)]}
    merged = positive[0][1]["control"].control_merge(control, None, None)
    scales = [float(t.mean()) for t in (*merged["output"], *merged["middle"])]
    assert scales == pytest.approx([0.5 * 0.825**k for k in (4, 3, 2, 1, 0)])
    assert (
        positive[0][1]["control"].copy().control_merge is not None
        and type(positive[0][1]["control"].copy()).__name__ == "FadingControl"
    )
    assert (controlled(pose_run, guess=True) - controlled(pose_run)).abs().max() > 1e-3
    with pytest.raises(ValueError, match="needs a ControlNet"):
        fading(object())


def test_controls_chain(pose_run):
    from atelier.host.prompt.pose_schedule import apply

    first = apply(pose_run.positive, pose_run.negative, pose_run.net, pose_run.pose, 0.4, model=pose_run.model)
    second, _ = apply(*first, pose_run.net, pose_run.pose, 0.3, 950.0, model=pose_run.model)
    controls = [values["control"] for _, values in second]
    assert all(control.previous_controlnet is first[0][0][1]["control"] for control in controls)
    assert len({id(control) for control in controls}) == 2, "one copy for the black map, one for the pose"
    assert apply(*first, pose_run.net, pose_run.pose, 0.0) == first
    with pytest.raises(ValueError, match="never be shown"):
        apply(*first, pose_run.net, pose_run.pose, 0.5, 0.0)


# --- shipped workflows, with tiny networks and pictures in place of files --------------------------------------------

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows" / "api"


@pytest.fixture
def workflow(graph, tiny, monkeypatch):
    """Runs a shipped graph: loaders replaced, small pictures, few steps; the saved picture comes back."""
    vae = tiny.vae()

    def parts(self, **inputs):
        return tiny_model("sd15"), tiny_clip("sd15"), vae, tiny_control_net()

    def stand_in(types, function):
        body = {"INPUT_TYPES": classmethod(lambda cls: {}), "RETURN_TYPES": types, "FUNCTION": "load", "load": function}
        return type("StandIn", (), body)

    mappings = graph.run.host.nodes.NODE_CLASS_MAPPINGS
    loaded = ("MODEL", "CLIP", "VAE", "CONTROL_NET")
    for name, types, function in (
        ("CheckpointLoaderSimple", loaded[:3], lambda self: parts(self)[:3]),
        ("AtelierLoadHieraFashDiffCheckpoint", loaded, parts),
        ("AtelierLoadDesigner", loaded, parts),
    ):
        monkeypatch.setitem(mappings, name, stand_in(types, function))

    def run(name):
        nodes = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
        nodes = {key: node for key, node in nodes.items() if not key.startswith("_")}
        for node in list(nodes.values()):
            small = {"width": 256, "height": 352, "steps": 10}
            node["inputs"].update({k: v for k, v in small.items() if k in node["inputs"]})
            if node["class_type"] == "SaveImage":
                nodes |= keep(picture=node["inputs"]["images"])
            if node["class_type"] == "ImageCompositeMasked":
                nodes |= keep(own=node["inputs"]["destination"], mask=node["inputs"]["mask"])
        done = graph.run(nodes)
        return graph.kept["picture"], done

    return run


@pytest.mark.parametrize(
    "name", ["hierarchical_prompt", "prompt_windows_by_hand", "hierafashdiff_draft", "hierafashdiff_edit"]
)
def test_shipped_workflows_run(workflow, graph, name):
    picture, done = workflow(name)
    assert picture.shape == (1, 352, 256, 3) and picture.isfinite().all() and picture.std() > 0
    shown = [values["text"][0] for values in done.outputs.values() if "text" in values]
    if name in ("hierarchical_prompt", "hierafashdiff_draft"):
        assert len(shown) == 1 and "Ruffle Hem" in shown[0]
    if name == "hierafashdiff_edit":
        own, mask = graph.kept["own"], graph.kept["mask"] > 0
        changed = (picture - own).abs().amax(-1) > 0
        assert 0 < mask.sum() < mask.numel() and changed[mask].float().mean() > 0.9 and not changed[~mask].any()
