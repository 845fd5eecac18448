"""A tiny FastFit made by stock diffusers: written to a folder for the loader, and kept as the oracle to compare
with.
"""

import json
from types import SimpleNamespace

import pytest
import torch

WIDTHS, HEADS, CLASSES = (32, 64, 64), 4, 5


class _Recording:
    """A diffusers attention processor: plain self-attention that records K,V, or that reads recorded ones in front."""

    def __init__(self):
        self.kept, self.given = None, None

    def __call__(self, attn, hidden_states, *args, **kwargs):
        q, k, v = attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states)
        if self.given is None:
            self.kept = (k, v)
        else:
            k, v = torch.cat([self.given[0], k], 1), torch.cat([self.given[1], v], 1)
        q, k, v = (t.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for t in (q, k, v))
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return attn.to_out[0](out)


class _Fixed(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, *args, **kwargs):
        return self.value


class Oracle:
    """FastFit's two passes with nothing but stock diffusers modules."""

    def __init__(self, unet, class_embedding, condition_conv_in):
        self.unet, self.class_embedding, self.condition_conv_in = unet, class_embedding, condition_conv_in
        self.processors = {name: _Recording() for name in unet.attn_processors}
        unet.set_attn_processor(dict(self.processors))
        # attn_processors goes by module name; the network meets down, mid, up
        self.order = sorted(self.processors, key=lambda n: (("down", "mid_", "up_b").index(n[:4]), n))

    def state_dict(self):
        own = {
            "class_embedding.weight": self.class_embedding,
            "condition_conv_in.weight": self.condition_conv_in.weight,
            "condition_conv_in.bias": self.condition_conv_in.bias,
        }
        return {k: v.detach().contiguous() for k, v in {**self.unet.state_dict(), **own}.items()}

    @torch.no_grad()
    def reference(self, latent, category):
        """latent in the model's scale -> K,V per layer, and the pass's output."""
        conv_in, time = self.unet.conv_in, self.unet.time_embedding
        self._give(None)
        self.unet.conv_in = self.condition_conv_in
        self.unet.time_embedding = _Fixed(self.class_embedding[category][None].expand(len(latent), -1))
        try:
            out = self.unet(latent, 0, None).sample
        finally:
            self.unet.conv_in, self.unet.time_embedding = conv_in, time
        return [self.processors[name].kept for name in self.order], out

    @torch.no_grad()
    def denoise(self, sample, timestep, garments):
        """garments: K,V per layer of each garment, rows as the sample's."""
        rows = len(sample)
        self._give(
            [
                tuple(torch.cat([g[i][w].expand(rows, -1, -1) for g in garments], 1) for w in (0, 1))
                for i in range(len(self.order))
            ]
            if garments
            else None
        )
        return self.unet(sample, timestep, None).sample

    def _give(self, kv):
        for i, name in enumerate(self.order):
            self.processors[name].given = None if kv is None else kv[i]


def make_oracle(widths=WIDTHS, latent_channels=4, layers=1, seed=0):
    from diffusers import UNet2DConditionModel

    torch.manual_seed(seed)
    levels = len(widths)
    unet = UNet2DConditionModel(
        in_channels=2 * latent_channels + 1, out_channels=latent_channels, block_out_channels=widths,
        layers_per_block=layers,
        down_block_types=("CrossAttnDownBlock2D",) * (levels - 1) + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * (levels - 1),
        cross_attention_dim=32, attention_head_dim=HEADS,
    ).eval()  # fmt: skip
    for module in unet.modules():
        if type(module).__name__ == "BasicTransformerBlock":
            module.attn2 = module.norm2 = None  # FastFit has no text attention; diffusers' block then leaves it out
    for name, parameter in unet.named_parameters():
        if "norm" in name:
            parameter.data += 0.2 * torch.randn_like(parameter)
        elif "attn1.to_" in name:
            parameter.data *= 2  # sharp enough attention for a wrong garment to be seen
    embedding = torch.randn(CLASSES, 4 * widths[0])
    conv = torch.nn.Conv2d(latent_channels, widths[0], 3, padding=1)
    return Oracle(unet.requires_grad_(False), embedding, conv.requires_grad_(False))


@pytest.fixture(scope="session")
def oracle(host):  # the host first: it makes torchvision importable, which diffusers needs
    return make_oracle()


@pytest.fixture(scope="session")
def oracle_of(host):
    """make_oracle itself, for other widths and channels."""
    return make_oracle


@pytest.fixture(scope="session")
def tryon_folder(oracle, tmp_path_factory):
    """The oracle as a folder in the published layout, with a narrow VAE."""
    from diffusers import AutoencoderKL
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("tryon") / "tiny-fastfit"
    torch.manual_seed(1)
    vae = AutoencoderKL(
        block_out_channels=(32, 32, 32, 32),
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    for part, state_dict in (("unet", oracle.state_dict()), ("vae", vae.state_dict())):
        (folder / part).mkdir(parents=True)
        save_file(
            {k: v.contiguous() for k, v in state_dict.items()}, folder / part / "diffusion_pytorch_model.safetensors"
        )
    (folder / "scheduler").mkdir()
    (folder / "unet" / "config.json").write_text(json.dumps({"attention_head_dim": HEADS}))
    (folder / "vae" / "config.json").write_text(json.dumps({"scaling_factor": 0.18215}))
    (folder / "scheduler" / "scheduler_config.json").write_text(
        json.dumps(
            {
                "beta_start": 0.00085,
                "beta_end": 0.012,
                "beta_schedule": "scaled_linear",
                "steps_offset": 1,
                "prediction_type": "epsilon",
            }
        )
    )
    return folder


@pytest.fixture
def tryon(host, tryon_folder):
    """(model, vae) freshly loaded, so that no test can leave anything behind for the next."""
    from atelier.host.tryon import load_tryon

    with torch.inference_mode():
        yield load_tryon.load(str(tryon_folder))


class Dresser:
    """Latents and conditionings for a run, as Dress makes them, small and seeded."""

    def __init__(self, channels=4):
        self.channels = channels

    def latent(self, seed, height=6, width=4, rows=1):
        return torch.randn(rows, self.channels, height, width, generator=torch.Generator().manual_seed(seed)) * 4

    def garment(self, model, seed, category=0, height=6, width=4):
        from atelier.host.tryon import garment_kv

        return garment_kv.encode_latent(model, self.latent(seed, height, width), category)

    def outfit(self, model, seed=11):
        """Two garments of different class and size, with what guidance compares them with."""
        from atelier.host.tryon import garment_kv

        guidance = [garment_kv.encode_unconditional(model, c, w * 8, h * 8) for c, h, w in ((0, 6, 4), (1, 5, 7))]
        return garment_kv.merge([self.garment(model, seed), self.garment(model, seed + 1, 1, 5, 7), *guidance])

    def uncached(self, kv):
        """The same garments with their K,V left to the run."""
        from dataclasses import replace

        from atelier.host.tryon import garment_kv

        return garment_kv.GarmentKV(tuple(tuple(replace(g, kv=None) for g in outfit) for outfit in kv.outfits))

    def person(self, height=8, width=6, rows=1):
        mask = torch.zeros(rows, height, width)
        mask[:, 2:6, 1:5] = 1
        return {"concat_latent_image": self.latent(99, height, width, rows), "concat_mask": mask}

    def conditionings(self, kv, height=8, width=6, rows=1):
        from atelier.host.tryon import garment_kv

        person, nothing = self.person(height, width, rows), torch.zeros(1, 77, 768)
        return [[[nothing, {**person, **values}]] for values in garment_kv.conditioning_refs(kv)]

    def run(
        self,
        model,
        kv=None,
        *,
        cfg=2.5,
        steps=2,
        sampler="euler",
        scheduler="normal",
        seed=3,
        rows=1,
        height=8,
        width=6,
        conditionings=None,
        noise=None,
        **options,
    ):
        """Sample through the host's own KSampler path; returns latents [rows, channels, height, width]."""
        import comfy.sample
        from atelier.host.tryon import garment_kv

        positive, negative = conditionings or self.conditionings(kv or garment_kv.GarmentKV(), height, width, rows)
        empty = torch.zeros(rows, self.channels, height, width)
        noise = comfy.sample.prepare_noise(empty, seed) if noise is None else noise
        with torch.inference_mode():
            return comfy.sample.sample(
                model,
                noise,
                steps,
                cfg,
                sampler,
                scheduler,
                positive,
                negative,
                empty,
                seed=seed,
                disable_pbar=True,
                **options,
            )


@pytest.fixture
def dress():
    return Dresser()


@pytest.fixture
def dress_for():
    return Dresser


@pytest.fixture
def small_lora(host):
    """patches(model, seed): a low-rank change of every attention's K, as add_patches takes it."""

    def patches(model, seed=5):
        generator = torch.Generator().manual_seed(seed)
        found = {}
        for name, weight in model.model_state_dict().items():
            if name.endswith("attn1.to_k.weight"):
                found[name] = (torch.randn(weight.shape, generator=generator) * 0.2,)
        assert found
        return found

    return patches


@pytest.fixture
def passes(monkeypatch):
    """Counts reference passes."""
    from atelier.host.tryon import fastfit_model

    count = SimpleNamespace(made=0)
    original = fastfit_model.GarmentUNet.reference_pass

    def counted(self, *args, **kwargs):
        count.made += 1
        return original(self, *args, **kwargs)

    monkeypatch.setattr(fastfit_model.GarmentUNet, "reference_pass", counted)
    return count
