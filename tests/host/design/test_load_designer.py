"""What Load Designer makes of a designer's files, against the plain-torch networks and transformers."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file


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
