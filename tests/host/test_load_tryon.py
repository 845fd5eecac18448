"""Finding, recognising, loading, refusing."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def load(host):
    from atelier.host.tryon import load_tryon

    return load_tryon.load


def _one_file(folder, path, metadata=None, prefix="", vae=True):
    state = {prefix + key: value for key, value in load_file(folder / "unet" / WEIGHTS).items()}
    if vae:
        state |= {f"first_stage_model.{key}": value for key, value in load_file(folder / "vae" / WEIGHTS).items()}
    save_file(state, path, metadata)
    return str(path)


@pytest.mark.parametrize("prefix", ["", "unet.", "model.diffusion_model."])
def test_one_file_is_the_folder(load, tryon, tryon_folder, tmp_path, dress, prefix):
    path = _one_file(tryon_folder, tmp_path / "one.safetensors", {"atelier": json.dumps({"heads": 4})}, prefix)
    model, vae = load(path)
    assert torch.equal(dress.run(model, dress.outfit(model)), dress.run(tryon[0], dress.outfit(tryon[0])))
    picture = torch.rand(1, 32, 24, 3)
    assert torch.equal(vae.encode(picture), tryon[1].encode(picture))


def test_the_vae_is_diffusers(tryon, tryon_folder):
    from diffusers import AutoencoderKL

    oracle = AutoencoderKL(
        block_out_channels=(32,) * 4,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    oracle.load_state_dict(load_file(tryon_folder / "vae" / WEIGHTS))
    picture = torch.rand(1, 32, 24, 3)
    expected = oracle.eval().encode(picture.movedim(-1, 1) * 2 - 1).latent_dist.mode()
    tryon[1].first_stage_model.float()
    torch.testing.assert_close(tryon[1].encode(picture), expected, atol=1e-4, rtol=1e-4)


def test_vae_input_is_taken_where_the_file_has_none(load, tryon, tryon_folder, tmp_path):
    path = _one_file(tryon_folder, tmp_path / "bare.safetensors", {"atelier": '{"heads": 4}'}, vae=False)
    assert load(path, tryon[1])[1] is tryon[1]
    with pytest.raises(ValueError, match="brings no VAE; connect one"):
        load(path)


def test_heads_and_schedule_come_from_the_config(load, oracle, tryon_folder, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(tryon_folder, folder)
    (folder / "unet" / "config.json").write_text('{"attention_head_dim": 8}')
    (folder / "scheduler" / "scheduler_config.json").write_text(
        '{"prediction_type": "v_prediction", "beta_schedule": "linear", "beta_start": 0.0001, '
        '"beta_end": 0.02, "rescale_betas_zero_snr": true}'
    )
    model = load(str(folder))[0].model
    assert {m.heads for m in model.diffusion_model.modules() if hasattr(m, "garment_layer")} == {8}
    assert model.model_type.name == "V_PREDICTION"
    from diffusers import DDPMScheduler

    alphas = DDPMScheduler(
        beta_schedule="linear", beta_start=0.0001, beta_end=0.02, rescale_betas_zero_snr=True
    ).alphas_cumprod
    expected = ((1 - alphas) / alphas).sqrt()[:-1]
    torch.testing.assert_close(model.model_sampling.sigmas[:-1], expected, rtol=2e-3, atol=1e-4)
    assert model.model_sampling.sigmas[-1] > 1000


@pytest.mark.parametrize("schedule", ["scaled_linear", "linear", "squaredcos_cap_v2"])
def test_noise_levels_are_diffusers(host, schedule):
    from atelier.models.fastfit.noise_schedule import NoiseSchedule
    from diffusers import DDPMScheduler

    settings = {"beta_schedule": schedule, "beta_start": 0.00085, "beta_end": 0.012}
    alphas = DDPMScheduler(**settings).alphas_cumprod.double()
    torch.testing.assert_close(
        NoiseSchedule(**settings).sigmas().double(), ((1 - alphas) / alphas).sqrt(), rtol=1e-3, atol=1e-5
    )


def test_studio_layout(host, load, oracle_of, dress_for, tmp_path, monkeypatch):
    """32 latent channels, v-prediction, the host's TAESD layout beside it, settings from the metadata."""
    import comfy.taesd.taesd
    from atelier.host.tryon import load_tryon

    torch.manual_seed(2)
    taesd = {
        k: torch.randn_like(v) * 0.05 if v.ndim else v
        for k, v in comfy.taesd.taesd.TAESD(latent_channels=32).state_dict().items()
    }
    save_file({k: v.contiguous() for k, v in taesd.items()}, tmp_path / "autoencoder.safetensors")
    metadata = {
        "format": "fastfit",
        "prediction": "v",
        "zsnr": True,
        "beta_schedule": "linear",
        "linear_start": 0.00085,
        "linear_end": 0.012,
        "head_dim": 16,
        "latent_channels": 32,
        "latent_scale": 1.0,
    }
    save_file(
        oracle_of((32, 64, 96), 32, layers=2).state_dict(),
        tmp_path / "tryon.safetensors",
        {"atelier": json.dumps(metadata)},
    )
    monkeypatch.setattr(load_tryon, "STUDIO_FILE", tmp_path / "tryon.safetensors")
    assert "studio" in load_tryon.tryon_files()
    with torch.inference_mode():
        model, vae = load(load_tryon.resolve("studio"))
        assert vae.latent_channels == 32 and model.model.latent_format.latent_channels == 32
        heads = [(m.heads, m.dim_head) for m in model.model.diffusion_model.modules() if hasattr(m, "garment_layer")]
        assert set(heads) == {(2, 16), (4, 16), (6, 16)}
        from comfy.model_sampling import ModelSamplingDiscrete

        torch.testing.assert_close(
            model.model.model_sampling.sigmas, ModelSamplingDiscrete(zsnr=True).sigmas, rtol=1e-3, atol=1e-5
        )
        assert model.model.model_config.schedule.timesteps(4) == [999, 749, 499, 249]
        dress = dress_for(32)
        run = dress.run(model, dress.outfit(model))
        assert torch.isfinite(run).all() and run.shape == (1, 32, 8, 6)
        assert vae.encode(torch.rand(1, 32, 24, 3)).shape == (1, 32, 4, 3)


def test_saved_by_the_host_and_loaded_again(host, load, tryon, tmp_path, dress):
    """CheckpointSave: our names come back, with a LoRA baked in."""
    import comfy.sd
    import comfy.utils

    model, vae = tryon
    path = str(tmp_path / "saved.safetensors")
    comfy.sd.save_checkpoint(path, model, vae=vae, metadata={"atelier": '{"heads": 4}'})
    again, _ = load(path)
    assert torch.equal(dress.run(again, dress.outfit(again)), dress.run(model, dress.outfit(model)))


def test_lora_names_are_mapped(tryon):
    import comfy.lora

    keys = comfy.lora.model_lora_keys_unet(tryon[0].model, {})
    assert (
        keys["lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_k"]
        == "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_k.weight"
    )


class TestRefusals:
    @pytest.fixture
    def broken(self, tryon_folder, tmp_path):
        folder = tmp_path / "broken"
        shutil.copytree(tryon_folder, folder)

        def change(edit):
            state = load_file(folder / "unet" / WEIGHTS)
            edit(state)
            save_file({k: v.contiguous() for k, v in state.items()}, folder / "unet" / WEIGHTS)
            return str(folder)

        return change

    @pytest.mark.parametrize(
        "edit, message",
        [
            (lambda s: s.pop("conv_in.bias"), r"lacks 1 tensors \(conv_in.bias\)"),
            (
                lambda s: s.update({"extra.weight": torch.zeros(1), "a": torch.zeros(1)}),
                r"has left over 2 tensors \(a, extra.weight\)",
            ),
            (lambda s: s.update({"conv_out.bias": torch.zeros(7)}), r"conv_out.bias \(7,\) instead of \(4,\)"),
            (lambda s: s.update({"conv_in.weight": torch.zeros(32, 8, 3, 3)}), "noise \\+ mask \\+ person = 9"),
            (lambda s: s.pop("condition_conv_in.weight"), "no FastFit try-on model"),
            (lambda s: [s.pop(k) for k in list(s) if k.startswith("down_blocks.0.attentions.0")], "has left over"),
        ],
    )
    def test_damaged(self, load, broken, edit, message):
        with pytest.raises(ValueError, match=message):
            load(broken(edit))

    def test_heads_that_do_not_fit(self, load, broken, tmp_path):
        path = broken(lambda s: None)
        (tmp_path / "broken" / "unet" / "config.json").write_text('{"attention_head_dim": 7}')
        with pytest.raises(ValueError, match="cannot be split into 7 heads"):
            load(path)

    @pytest.mark.parametrize(
        "keys, message",
        [
            (
                {
                    "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
                    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
                },
                "4 input channels, as Stable Diffusion's",
            ),
            (
                {"0.to_q.weight": (320, 320), "0.to_k.weight": (320, 320), "1.to_q.weight": (320, 320)},
                r"CatVTON.*0.to_k.weight, 0.to_q.weight, 1.to_q.weight",
            ),
            ({"encoder.conv_in.weight": (32, 3, 3, 3)}, "an autoencoder alone"),
            ({"lora_unet_x.lora_up.weight": (4, 4)}, "a LoRA"),
            ({"whatever": (1,)}, "no network that is known here"),
        ],
    )  # fmt: skip
    def test_other_models(self, load, tmp_path, keys, message):
        path = tmp_path / "other.safetensors"
        save_file({key: torch.zeros(shape) for key, shape in keys.items()}, path)
        with pytest.raises(ValueError, match=message):
            load(str(path))

    def test_pickled_weights(self, load, tryon_folder, tmp_path):
        folder = tmp_path / "pickled"
        shutil.copytree(tryon_folder, folder)
        (folder / "unet" / WEIGHTS).rename(folder / "unet" / "diffusion_pytorch_model.bin")
        with pytest.raises(ValueError, match=r"diffusion_pytorch_model\.bin, which can run code"):
            load(str(folder))
        with pytest.raises(ValueError, match=r"is not a \.safetensors file"):
            load(str(folder / "unet" / "diffusion_pytorch_model.bin"))

    def test_damaged_files(self, load, tryon_folder, tmp_path):
        path = tmp_path / "cut.safetensors"
        whole = (tryon_folder / "unet" / WEIGHTS).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match=r"cut\.safetensors"):
            load(str(path))
        folder = tmp_path / "folder"
        shutil.copytree(tryon_folder, folder)
        (folder / "scheduler" / "scheduler_config.json").write_text("{")
        with pytest.raises(ValueError, match=r"scheduler_config\.json is not valid JSON"):
            load(str(folder))
        shutil.rmtree(folder / "vae")
        (folder / "scheduler" / "scheduler_config.json").write_text("{}")
        with pytest.raises(ValueError, match="brings no VAE"):
            load(str(folder))

    def test_vae_of_other_channels(self, load, tryon_folder, tmp_path, host):
        import comfy.sd
        import comfy.taesd.taesd

        path = _one_file(tryon_folder, tmp_path / "bare.safetensors", {"atelier": '{"heads": 4}'}, vae=False)
        wide = comfy.sd.VAE(sd=comfy.taesd.taesd.TAESD(latent_channels=16).state_dict())
        with pytest.raises(ValueError, match="The VAE has 16 latent channels"):
            load(path, wide)

    def test_foreign_tensors_beside_the_unet(self, load, tryon_folder, tmp_path):
        path = _one_file(tryon_folder, tmp_path / "more.safetensors", prefix="unet.")
        save_file({**load_file(path), "cond_stage_model.x": torch.zeros(1)}, path)
        with pytest.raises(ValueError, match="1 tensors beside the try-on UNet and its VAE"):
            load(path)


class TestFolders:
    @pytest.fixture
    def registered(self, host, tryon_folder, monkeypatch, tmp_path):
        import folder_paths

        monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path / "models"))
        monkeypatch.setitem(
            folder_paths.folder_names_and_paths, "atelier_tryon", ([str(tmp_path / "elsewhere")], set())
        )
        own = tmp_path / "models" / "atelier" / "tryon"
        shutil.copytree(tryon_folder, own / "authors" / "FastFit-MR")
        shutil.copytree(tryon_folder, tmp_path / "elsewhere" / "mine")
        (own / "one.safetensors").write_bytes(b"")
        (own / "notes.txt").write_text("x")
        (tmp_path / "secret.safetensors").write_bytes(b"")
        return tmp_path

    def test_offered_names(self, registered, monkeypatch):
        from atelier.host.tryon import load_tryon

        monkeypatch.setattr(load_tryon, "STUDIO_FILE", registered / "none.safetensors")
        assert load_tryon.tryon_files() == ["authors/FastFit-MR", "mine", "one.safetensors"]
        assert load_tryon.resolve("mine") == str(registered / "elsewhere" / "mine")

    @pytest.mark.parametrize(
        "name",
        ["../../../secret.safetensors", "/etc/passwd", "notes.txt", "", "authors/../authors/FastFit-MR", "studio"],
    )
    def test_no_name_leads_out_of_the_folders(self, registered, name, monkeypatch):
        from atelier.host.tryon import load_tryon

        monkeypatch.setattr(load_tryon, "STUDIO_FILE", registered / "none.safetensors")
        with pytest.raises(ValueError, match="ComfyUI/models/atelier/tryon"):
            load_tryon.resolve(name)

    def test_registering_twice_keeps_the_users_folders(self, registered):
        from atelier.host import folders

        first = list(folders.paths("tryon"))
        assert folders.paths("tryon") == first and len(first) == 2 and first[0].endswith("tryon")


def test_self_check_names_what_moved(host, monkeypatch):
    import comfy.ldm.modules.attention as attention
    from atelier.host import self_check

    assert self_check.what_moved() is None
    with monkeypatch.context() as moved:
        moved.setattr(attention.CrossAttention, "forward", lambda self, x, context: x)
        assert self_check.what_moved() == "comfy.ldm.modules.attention.CrossAttention.forward"
        with pytest.raises(
            ValueError, match=r"This ComfyUI has changed comfy\.ldm\.modules\.attention\.CrossAttention\.forward"
        ):
            self_check.raise_if_moved()
    with monkeypatch.context() as moved:
        moved.delattr("comfy.conds.CONDRegular")
        assert self_check.what_moved() == "comfy.conds.CONDRegular"


def test_real_architecture_has_the_published_tensors(host):
    """577 tensors, 815,566,084 parameters (the released config), names that the host's map covers but three."""
    from atelier.models.fastfit import keys

    real = keys.Architecture((320, 640, 1280, 1280), 2, (1, 1, 1, 0), 1, 9, 4, 4, 5, False)
    shapes = keys.expected_shapes(real)
    assert len(shapes) == 577 and sum(torch.Size(s).numel() for s in shapes.values()) == 815_566_084
    assert keys.read_architecture(shapes) == real
    keys.check(shapes, real)
