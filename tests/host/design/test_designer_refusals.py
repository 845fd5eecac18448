"""Files that are no whole designer are refused with what is missing or does not fit."""

import pytest
import torch

UNET = "model.diffusion_model."


@pytest.fixture
def refused(made, tmp_path):
    from atelier.host.design import load_designer

    def attempt(change, message):
        with pytest.raises(ValueError, match=message):
            load_designer.load(made.write(tmp_path / "changed", change))

    return attempt


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
