"""Which designers Load Designer offers, and which files and folders a name leads to."""

import pytest
import torch
from safetensors.torch import load_file, save_file


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
        from atelier.nodes.design import LoadDesigner
        from comfy_execution.graph_utils import ExecutionBlocker

        made.write(registered / "studio", lambda files: files.pop("pose_controlnet"))
        with torch.inference_mode():
            *parts, control = LoadDesigner().execute("studio")
        assert len(parts) == 3 and isinstance(control, ExecutionBlocker) and "no pose ControlNet" in control.message
