"""Load Designer's files: tiny random ones of the studio's form, against the plain-torch network and transformers."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

UNET = "model.diffusion_model."
METADATA = {
    "format": "designer", "prediction": "guess and spread", "zsnr": True, "beta_schedule": "linear",
    "linear_start": 0.00085,
    "linear_end": 0.012, "latent_channels": 32, "latent_scale": 1.0, "down": 8,
    "latent_rgb_factors": [[0.01 * i, 0.0, -0.01 * i] for i in range(32)],
}  # fmt: skip


def lively(module, seed):
    """No layer left at zero, so that every one of them counts in a comparison."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.parameters():
            noise = torch.randn(value.shape, generator=generator)
            value.copy_(1 + 0.1 * noise if value.ndim == 1 and value.mean() > 0.5 else 0.12 * noise)
    return module.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def made(host):
    """The three networks in plain torch, and a function that writes them as files with what `change` does to them."""
    import comfy.taesd.taesd
    from atelier.models.studio.designer.network import Config, DesignerUNet, PoseControlNet
    from atelier.models.studio.designer.text_encoder import TextConfig, TextEncoder

    config, text_config = Config(width=32), TextConfig(layers=2)
    torch.manual_seed(0)
    unet, text = lively(DesignerUNet(config), 1), TextEncoder(text_config).eval().requires_grad_(False)
    control = PoseControlNet(config).eval()
    with torch.no_grad():
        for value in control.parameters():
            if value.requires_grad:
                value.add_(0.05 * torch.randn(value.shape))
    control.requires_grad_(False)
    text = text.half().float()  # the host keeps text encoders in half precision
    vae = comfy.taesd.taesd.TAESD(latent_channels=32)

    def write(folder, change=lambda files: None):
        files = {
            "designer": [
                {f"model.diffusion_model.{k}": v for k, v in unet.state_dict().items()},
                {**METADATA, "unet_config": config.host_unet()},
            ],
            "text_encoder": [dict(text.state_dict()), {"config": text_config.clip()}],
            "pose_controlnet": [
                {f"control_model.{k}": v for k, v in control.state_dict().items()},
                {"config": config.host_controlnet()},
            ],
            "autoencoder": [{k: v.detach() for k, v in vae.state_dict().items()}, {}],
        }
        change(files)
        folder.mkdir(exist_ok=True)
        for name, (tensors, metadata) in files.items():
            tensors = {key: value.contiguous().clone() for key, value in tensors.items()}
            save_file(tensors, folder / f"{name}.safetensors", {"atelier": json.dumps(metadata)})
        return sorted(folder.glob("*.safetensors"))

    return SimpleNamespace(unet=unet, text=text, control=control, write=write)


@pytest.fixture(scope="module")
def designer(made, tmp_path_factory):
    from atelier.host.design import load_designer

    with torch.inference_mode():
        return load_designer.load(made.write(tmp_path_factory.mktemp("designer")))


@pytest.fixture
def refused(made, tmp_path):
    from atelier.host.design import load_designer

    def attempt(change, message):
        with pytest.raises(ValueError, match=message):
            load_designer.load(made.write(tmp_path / "changed", change))

    return attempt


def inputs(seed=5, batch=2, size=(8, 6)):
    generator = torch.Generator().manual_seed(seed)
    x, context = torch.randn(batch, 32, *size, generator=generator), torch.randn(batch, 77, 64, generator=generator)
    hint = torch.rand(batch, 3, 8 * size[0], 8 * size[1], generator=generator)
    return x, torch.tensor([999.0, 301.0])[:batch], context, hint


def test_unet_equals_the_plain_network(designer, made):
    x, t, context, _ = inputs()
    with torch.inference_mode():
        host = designer.model.model.diffusion_model(x, t, context)
        plain = made.unet(x, t, context)
        other = made.unet(x, t, context.flip(2))
    torch.testing.assert_close(host, plain, rtol=1e-5, atol=1e-5)
    assert (host - other).abs().max() > 1e-3, "the text must matter"


def test_controlnet_equals_the_plain_network(designer, made):
    x, t, context, hint = inputs()
    with torch.inference_mode():
        host = designer.control_net.control_model(x=x, hint=hint, timesteps=t, context=context)
        plain = made.control(x, hint, t)
        other = made.control(x, hint.flip(3), t)
        with_control = designer.model.model.diffusion_model(
            x, t, context, control={"output": list(host["output"]), "middle": list(host["middle"])}
        )
        expected = made.unet(x, t, context, control=plain)
    residuals = [*host["output"], *host["middle"]]
    assert len(residuals) == len(plain)
    for one, two in zip(residuals, plain, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(with_control, expected, rtol=1e-5, atol=1e-5)
    assert max((a - b).abs().max() for a, b in zip(plain, other)) > 1e-3, "another pose must matter"


def test_text_encoder_equals_stock_transformers(designer, made):
    from transformers import CLIPTextConfig, CLIPTextModel

    stock = CLIPTextModel(CLIPTextConfig(**made.text.config.clip())).eval()
    names = {key: value for key, value in made.text.state_dict().items()}
    wanted = stock.state_dict()
    if "text_model.final_layer_norm.weight" not in wanted:  # newer transformers leave the prefix out
        names = {key.removeprefix("text_model."): value for key, value in names.items()}
    missing, left_over = stock.load_state_dict(names, strict=False)
    assert not left_over and all("position_ids" in key for key in missing)
    tokens = designer.clip.tokenize("a red tee with short sleeves")
    numbers = torch.tensor([[number for number, _ in tokens["l"][0]]])
    with torch.inference_mode():
        host = designer.clip.encode_from_tokens(tokens)
        expected = stock(numbers).last_hidden_state
        empty = designer.clip.encode("")
    torch.testing.assert_close(host, expected, rtol=1e-5, atol=1e-5)
    assert host.shape == (1, 77, 64) and (host - empty).abs().max() > 1e-2


def test_pooled_text_is_finite_and_the_same_at_every_load(designer, made, tmp_path):
    from atelier.host.design import load_designer

    with torch.inference_mode():
        again = load_designer.load(made.write(tmp_path / "again"))
        for text in ("a dress", "a coat with a long hem"):
            tokens = designer.clip.tokenize(text)
            one, two = (d.clip.encode_from_tokens(tokens, return_pooled=True)[1] for d in (designer, again))
            assert torch.isfinite(one).all() and torch.equal(one, two)


def test_noise_schedule_and_prediction(designer):
    from comfy import model_sampling

    sampling = designer.model.model.model_sampling
    torch.testing.assert_close(
        sampling.sigmas, model_sampling.ModelSamplingDiscrete(zsnr=True).sigmas, rtol=1e-3, atol=1e-5
    )
    assert not hasattr(designer.model.model, "blank_inpaint_image_like"), "32 channels are no inpainting checkpoint"
    x = torch.randn(1, 32, 4, 4)
    told = torch.cat([torch.full_like(x, 0.5), torch.zeros_like(x)], 1)  # a guess of 0.5 with variance 1
    at = sampling.calculate_denoised(torch.tensor([2.0]), told, x)
    torch.testing.assert_close(at, 0.5 + (x - 0.5) / 5)
    torch.testing.assert_close(
        sampling.calculate_denoised(sampling.sigmas[-1:], told, x), torch.full_like(x, 0.5), rtol=0, atol=1e-3
    )


def test_schedules_end_at_the_lowest_trained_level(made, tmp_path):
    from atelier.host.design import load_designer
    from comfy import samplers

    def end_early(files):
        files["designer"][1] = {**files["designer"][1], "lowest": 300}

    with torch.inference_mode():
        whole = load_designer.load(made.write(tmp_path / "whole")).model.model.model_sampling
        early = load_designer.load(made.write(tmp_path / "early", end_early)).model.model.model_sampling
    for scheduler in ("normal", "karras", "exponential", "kl_optimal"):
        sigmas = samplers.calculate_sigmas(early, scheduler, 6)
        assert sigmas[-1] == 0 and sigmas[-2] == pytest.approx(float(whole.sigmas[300]), rel=1e-4), scheduler
        assert samplers.calculate_sigmas(whole, scheduler, 6)[-2] == pytest.approx(float(whole.sigmas[0]), rel=1e-3)
    assert early.timestep(whole.sigmas[[0, 299, 300, 700]]).tolist() == [300, 300, 300, 700]
    assert torch.equal(early.sigma_max, whole.sigma_max)


def test_a_louder_schedule_is_the_trainings_own(made, tmp_path):
    from atelier.dev.train.noise import louder
    from atelier.host.design import load_designer

    def loud(value):
        def change(files):
            files["designer"][1] = {**files["designer"][1], "noise_scale": value}

        return change

    with torch.inference_mode():
        plain = load_designer.load(made.write(tmp_path / "plain")).model.model.model_sampling
        loud_one = load_designer.load(made.write(tmp_path / "loud", loud(4.0))).model.model.model_sampling
    torch.testing.assert_close(loud_one.sigmas, 4 * plain.sigmas)
    alpha, sigma = louder(4.0)
    torch.testing.assert_close(loud_one.sigmas.double(), sigma / alpha, rtol=1e-3, atol=1e-3)
    assert torch.allclose(alpha**2 + sigma**2, torch.ones(1000, dtype=torch.float64))
    for wrong in (0, -1.0, float("inf")):
        with pytest.raises(ValueError, match=r"noise_scale is .* expected|Infinity is no number"):
            load_designer.load(made.write(tmp_path / f"wrong{wrong}", loud(wrong)))


def test_a_published_kind_of_prediction(designer, made, tmp_path):
    from atelier.host.design import load_designer
    from comfy import model_base

    def predict_v(files):
        tensors, metadata = files["designer"]
        half = {key: value[:32] if ".out.2." in key else value for key, value in tensors.items()}
        files["designer"] = [
            half,
            {**metadata, "prediction": "v", "unet_config": {**metadata["unet_config"], "out_channels": 32}},
        ]

    with torch.inference_mode():
        model = load_designer.load(made.write(tmp_path / "v", predict_v)).model.model
    sampling = model.model_sampling
    assert model.model_type == model_base.ModelType.V_PREDICTION
    assert torch.equal(sampling.sigmas, designer.model.model.model_sampling.sigmas)
    x = torch.randn(1, 32, 4, 4)
    zero_terminal = sampling.calculate_denoised(sampling.sigmas[-1:], torch.ones_like(x), x)
    torch.testing.assert_close(zero_terminal, -torch.ones_like(x), rtol=1e-2, atol=1e-2)  # v alone: x0 = -v


@pytest.fixture(scope="module")
def draw(host, designer):
    """draw(model, text, control=) -> latent of a short run by the host's own sampler, with its control nodes."""
    import nodes as host_nodes

    def run(model=designer.model, text="a red dress", clip=designer.clip, pose=None, sampler="euler", steps=2, **more):
        with torch.inference_mode():
            positive, negative = ([[clip.encode(one), {}]] for one in (text, ""))
            if pose is not None:
                apply = host_nodes.ControlNetApplyAdvanced()
                positive, negative = apply.apply_controlnet(
                    positive, negative, designer.control_net, pose, 1.0, 0.0, 1.0, vae=designer.vae
                )
            empty = host_nodes.EmptyLatentImage().generate(48, 64, 1)[0]
            sample = host_nodes.common_ksampler
            return sample(model, 3, steps, 2.0, sampler, "normal", positive, negative, empty, **more)[0]["samples"]

    return run


def test_runs_in_the_hosts_sampler_and_text_and_pose_change_the_picture(draw):
    first = draw()
    assert first.shape == (1, 32, 8, 6) and torch.isfinite(first).all()
    assert torch.equal(first, draw())
    assert not torch.allclose(first, draw(text="blue trousers"), atol=1e-3)
    generator = torch.Generator().manual_seed(0)
    one, two = (draw(pose=torch.rand(1, 64, 48, 3, generator=generator)) for _ in range(2))
    assert not torch.allclose(one, first, atol=1e-3) and not torch.allclose(one, two, atol=1e-3)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp_2m", "dpmpp_2m_sde", "uni_pc", "lcm", "heun", "euler_ancestral"])
def test_samplers(draw, sampler):
    assert torch.isfinite(draw(sampler=sampler, steps=3)).all()


def test_lora_on_model_and_text_encoder(draw, designer):
    import comfy.sd

    generator = torch.Generator().manual_seed(0)
    lora = {}
    for name, (out, into) in {
        "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k": (64, 64),
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj": (64, 64),
    }.items():
        lora[f"{name}.lora_up.weight"] = torch.randn(out, 4, generator=generator)
        lora[f"{name}.lora_down.weight"] = torch.randn(4, into, generator=generator)
    plain = draw()
    with torch.inference_mode():
        model, clip = comfy.sd.load_lora_for_models(designer.model, designer.clip, lora, 1.0, 1.0)
        assert len(model.patches) == 1 and len(clip.patcher.patches) == 1
        assert not torch.allclose(clip.encode("a dress"), designer.clip.encode("a dress"), atol=1e-3)
    assert not torch.allclose(draw(model), plain, atol=1e-3)
    assert torch.equal(draw(), plain), "the model without it stays as it was"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_stored_in_half(made, draw, tmp_path, dtype):
    from atelier.host.design import load_designer

    with torch.inference_mode():
        half = load_designer.load(made.write(tmp_path / "half"), dtype=dtype)
    assert half.model.model.get_dtype() == dtype
    assert (draw(half.model) - draw()).abs().mean() < 0.1 * draw().abs().mean()


def test_partly_loaded(draw, designer, monkeypatch):
    """What lowvram does: some weights stay off the device and are moved for each call."""
    whole = draw()
    patcher = designer.model.clone()
    with torch.inference_mode():
        patcher.partially_load(torch.device("cpu"), extra_memory=100_000)
        again = draw(patcher)
        patcher.partially_unload(torch.device("cpu"), 10**9)
    torch.testing.assert_close(again, whole)


def test_live_previews_have_colours(host, tmp_path):
    """The studio's encoder is linear: the mean colour of each cell comes back from its latent."""
    import comfy.sd
    from atelier.croquis import random_figure, render
    from atelier.host import model_file
    from atelier.host.design import load_designer
    from safetensors.torch import load_file

    with torch.inference_mode():
        vae = comfy.sd.VAE(sd=load_file(load_designer.STUDIO_FOLDER / "autoencoder.safetensors"))
        said = model_file.preview_colours(vae, 32)
        person = torch.tensor(render(random_figure(7), want=("person",)).person)[None] / 255
        cells = torch.nn.functional.avg_pool2d(person.movedim(-1, 1), 8)
        factors, bias = (torch.tensor(said[f"latent_rgb_factors{end}"]) for end in ("", "_bias"))
        shown = (torch.einsum("bchw,cr->brhw", vae.encode(person), factors) + bias[:, None, None] + 1) / 2
    assert (shown - cells).abs().mean() < 0.03
    assert (shown.flip(3) - cells).abs().mean() > 0.03


def test_previewer_of_the_host_takes_them(designer):
    import latent_preview
    from comfy.cli_args import LatentPreviewMethod, args

    before, args.preview_method = args.preview_method, LatentPreviewMethod.Latent2RGB
    try:
        previewer = latent_preview.get_previewer(torch.device("cpu"), designer.model.model.latent_format)
    finally:
        args.preview_method = before
    has = designer.model.model.latent_format.latent_rgb_factors is not None
    assert (previewer is not None) == has


class TestRefusals:
    @pytest.mark.parametrize(
        "change, message",
        [
            (lambda f: f.pop("text_encoder"), r"no text encoder .*found: VAE, designer's UNet, pose ControlNet"),
            (lambda f: f.pop("designer"), "holds no designer's UNet"),
            (lambda f: f["designer"][1].pop("unet_config"), "metadata lacks unet_config"),
            (lambda f: f["designer"][0].pop(UNET + "out.2.bias"), r"UNet lacks 1 tensors \(out.2.bias\)"),
            (lambda f: f["designer"][1]["unet_config"].update(model_channels=64), "UNet has of another shape"),
            (lambda f: f["designer"][1]["unet_config"].update(wings=2), "names wings, which the host"),
            (lambda f: f["designer"][1]["unet_config"].update(num_res_blocks=[1]), "does not describe a network"),
            (lambda f: f["designer"][1].update(prediction="flow"), "'flow'; epsilon or v is expected"),
            (lambda f: f["text_encoder"][1].pop("config"), "text encoder's metadata lacks config"),
            (lambda f: f["text_encoder"][1]["config"].update(vocab_size=100), "knows 100 words"),
            (lambda f: f["text_encoder"][1]["config"].update(num_hidden_layers=3), "text encoder lacks 16 tensors"),
            (lambda f: f["pose_controlnet"][0].pop("control_model.zero_convs.0.0.bias"), "pose ControlNet lacks 1"),
            (lambda f: f["pose_controlnet"][1].pop("config"), "pose ControlNet's metadata lacks config"),
            (lambda f: f["autoencoder"][0].pop("taesd_decoder.1.bias"), "VAE in changed lacks 1 tensors"),
            (lambda f: f["designer"][0].update({"lora_up": torch.zeros(1)}), "lora_up, which is no part of a designer"),
            (lambda f: f.update(twice=f["text_encoder"]), "a second time; leave one text encoder"),
        ],
    )
    def test_what_does_not_fit_is_said(self, refused, change, message):
        refused(change, message)

    def test_text_of_another_width(self, refused):
        from atelier.models.studio.designer.text_encoder import TextConfig, TextEncoder

        config = TextConfig(width=32, layers=1)
        narrow = [dict(TextEncoder(config).state_dict()), {"config": config.clip()}]
        refused(lambda f: f.update(text_encoder=narrow), "text encoder has width 32, its UNet reads text of width 64")

    def test_files_that_cannot_be_read(self, made, tmp_path):
        from atelier.host.design import load_designer

        paths = made.write(tmp_path / "cut")
        whole = paths[1].read_bytes()
        paths[1].write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match="copy the file again"):
            load_designer.load(paths)
        with pytest.raises(ValueError, match=r"python dev\.py convert"):
            load_designer.load([tmp_path / "model.ckpt"])


class TestNames:
    @pytest.fixture
    def registered(self, host, made, monkeypatch, tmp_path):
        import folder_paths
        from atelier.host.design import load_designer

        monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path / "models"))
        monkeypatch.setitem(folder_paths.folder_names_and_paths, "atelier_designer", ([], set()))
        monkeypatch.setattr(load_designer, "STUDIO_FOLDER", tmp_path / "studio")
        own = tmp_path / "models" / "atelier" / "designer"
        (own / "mine").mkdir(parents=True)
        made.write(own / "mine" / "coats")
        (own / "one.safetensors").write_bytes(b"")
        (tmp_path / "secret.safetensors").write_bytes(b"")
        return tmp_path

    def test_folders_files_and_the_studios(self, registered, made):
        from atelier.host.design import load_designer

        assert load_designer.designer_files() == ["studio", "mine/coats", "one.safetensors"]
        assert [path.stem for path in load_designer.resolve("mine/coats")] == [
            "autoencoder", "designer", "pose_controlnet", "text_encoder",
        ]  # fmt: skip
        with pytest.raises(ValueError, match=r"designer\.safetensors is missing"):
            load_designer.resolve("studio")
        made.write(registered / "studio", lambda files: files.pop("pose_controlnet"))
        save_file({"class_embedding.weight": torch.zeros(1)}, registered / "studio" / "tryon.safetensors")
        assert [path.stem for path in load_designer.resolve("studio")] == ["designer", "text_encoder", "autoencoder"]

    @pytest.mark.parametrize("name", ["../../../secret.safetensors", "/etc/passwd", "", "mine"])
    def test_no_name_leads_out_of_the_folders(self, registered, name):
        from atelier.host.design import load_designer

        with pytest.raises(ValueError, match="ComfyUI/models/atelier/designer"):
            load_designer.resolve(name)

    def test_the_studios_vae_where_none_is_brought(self, made, tmp_path, monkeypatch):
        from atelier.host.design import load_designer

        def bare(files):
            del files["autoencoder"], files["pose_controlnet"], files["designer"][1]["latent_rgb_factors"]

        paths = made.write(tmp_path / "bare", bare)
        with torch.inference_mode():
            parts = load_designer.load(paths)
            assert parts.control_net is None and parts.model.model.latent_format.latent_rgb_factors is not None
            studio = load_file(load_designer.STUDIO_FOLDER / "autoencoder.safetensors")
            held = parts.vae.first_stage_model.state_dict()["taesd_encoder.0.weight"]
            torch.testing.assert_close(held.float(), studio["taesd_encoder.0.weight"].float(), rtol=1e-3, atol=1e-3)
            monkeypatch.setattr(load_designer, "STUDIO_FOLDER", tmp_path)
            with pytest.raises(ValueError, match="bare brings no VAE; put its"):
                load_designer.load(paths)

    def test_the_node_blocks_only_what_needs_the_missing_controlnet(self, registered, made):
        from atelier.nodes.designer import LoadDesigner
        from comfy_execution.graph_utils import ExecutionBlocker

        made.write(registered / "studio", lambda files: files.pop("pose_controlnet"))
        with torch.inference_mode():
            *parts, control = LoadDesigner().execute("studio")
        assert len(parts) == 3 and isinstance(control, ExecutionBlocker) and "no pose ControlNet" in control.message


def test_a_whole_checkpoint_in_one_file(made, designer, tmp_path):
    """The names of a Stable Diffusion checkpoint, with the settings of the other parts under their names."""
    from atelier.host.design import load_designer

    prefixes = {"text_encoder": "cond_stage_model.transformer.", "autoencoder": "first_stage_model."}
    tensors, metadata = {}, {}
    for path in made.write(tmp_path / "parts"):
        said = json.loads(_metadata(path))
        metadata |= said if path.stem == "designer" else {path.stem: said}
        tensors |= {prefixes.get(path.stem, "") + key: value for key, value in load_file(path).items()}
    save_file(tensors, tmp_path / "whole.safetensors", {"atelier": json.dumps(metadata)})
    with torch.inference_mode():
        whole = load_designer.load([tmp_path / "whole.safetensors"])
        assert torch.equal(whole.clip.encode("a coat"), designer.clip.encode("a coat"))
    assert whole.control_net is not None
    one, two = (d.model.model.state_dict() for d in (whole, designer))
    assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def _metadata(path):
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return file.metadata()["atelier"]
