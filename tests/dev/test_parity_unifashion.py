"""`dev.py parity unifashion` over recordings that this test makes with small random weights: it runs, and it notices.

Recorded by loops of their own: single losses, metrics' ranks, the U-Net with the entering maps, PLMS; by
transformers: the Q-Former's similarities. Gradients and training losses of the Q-Former are recorded through the pack
(tests/models/test_unifashion.py holds its maths).
"""

import json
import math
import re

import numpy as np
import pytest
import torch
from atelier.dev.parity import parity_unifashion as tool
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy, normalize

WORDS, HIDDEN, QUERIES = 40, 32, 4
QFORMER = {"vocab": WORDS, "heads": 2, "vision_heads": 2}
BLIP2 = {
    "image_token_index": None, "num_query_tokens": QUERIES, "image_text_hidden_size": 8,
    "qformer_config": {"vocab_size": WORDS, "hidden_size": HIDDEN, "num_hidden_layers": 2, "num_attention_heads": 2,
                       "intermediate_size": 48, "max_position_embeddings": 24, "cross_attention_frequency": 2,
                       "encoder_hidden_size": 24, "use_qformer_text_input": True},
    "vision_config": {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                      "image_size": 28, "patch_size": 14},
}  # fmt: skip
LAVIS = (("vision_model.embeddings.class_embedding", "visual_encoder.cls_token"),
         ("vision_model.embeddings.position_embedding", "visual_encoder.pos_embed"),
         ("vision_model.embeddings.patch_embedding", "visual_encoder.patch_embed.proj"),
         ("vision_model.post_layernorm", "ln_vision"), ("vision_model.encoder.layers", "visual_encoder.blocks"),
         ("layer_norm", "norm"), ("self_attn.projection", "attn.proj"), ("self_attn.qkv", "attn.qkv"),
         ("qformer.layernorm", "Qformer.bert.embeddings.LayerNorm"), ("attention.attention.", "attention.self."),
         ("vision_projection", "vision_proj"), ("text_projection", "text_proj"))  # fmt: skip
UNET = {"in_channels": 13, "out_channels": 4, "model_channels": 32, "attention_resolutions": [1], "num_res_blocks": 2,
        "channel_mult": [1, 1, 1, 1], "num_heads": 2, "context_dim": 8}  # fmt: skip


def fill(tensors, scale=0.3):
    """Random weights; the norms stay near 1."""
    with torch.no_grad():
        for name, value in tensors:
            norm = value.ndim == 1 and name.endswith("weight")
            value.copy_(torch.randn_like(value) * (0.1 if value.ndim == 1 else scale) + float(norm))


def lavis_names(state):
    out = {}
    for name, tensor in state.items():
        for theirs, lavis in LAVIS:
            name = name.replace(theirs, lavis)
        name = re.sub(r"^(?:embeddings|qformer\.(encoder))\.", lambda m: f"Qformer.bert.{m[1] or 'embeddings'}.", name)
        if name.endswith("attn.qkv.bias"):
            query, _, value = tensor.chunk(3)
            out |= {name.replace("qkv.bias", "q_bias"): query, name.replace("qkv.bias", "v_bias"): value}
        elif not name.endswith("position_ids"):
            out[name] = tensor
    head = {"transform.dense.weight": (HIDDEN, HIDDEN), "transform.dense.bias": (HIDDEN,),
            "transform.LayerNorm.weight": (HIDDEN,), "transform.LayerNorm.bias": (HIDDEN,),
            "decoder.weight": (WORDS, HIDDEN), "decoder.bias": (WORDS,)}  # fmt: skip
    out |= {f"Qformer.cls.predictions.{name}": torch.randn(shape) * 0.2 for name, shape in head.items()}
    return out | {"temp": torch.tensor(0.05), "prompt_tokens": torch.randn(1, QUERIES, HIDDEN) * 0.2}


def qformer(keep):
    from atelier.models.unifashion.qformer import QFormer
    from transformers import Blip2Config, Blip2ForImageTextRetrieval

    model = Blip2ForImageTextRetrieval(Blip2Config.from_dict(BLIP2)).eval()
    fill(model.named_parameters())
    with torch.no_grad():
        for layer in model.vision_model.encoder.layers:
            layer.self_attn.qkv.bias[24:48] = 0  # LAVIS has no bias on keys
    theirs = {name: value for name, value in model.state_dict().items() if not name.endswith("position_ids")}
    lavis = lavis_names(theirs)
    inputs = {f"in.{name}": torch.randn(3, 3, 28, 28) for name in ("images", "targets")}
    for name in ("text", "target_caption"):
        mask = torch.ones(3, 6, dtype=torch.long)
        mask[1, 4:] = 0
        ids = torch.randint(4, WORDS - 1, (3, 6)) * mask
        inputs |= {f"in.{name}.input_ids": ids, f"in.{name}.attention_mask": mask}
    network, start = QFormer.from_state(lavis, heads=2, vision_heads=2), WORDS - 1
    with torch.no_grad():
        seen = {f"orig.{name}": value for name, value in tool._passes(network, inputs, start).items()}
        own = QFormer.from_state(theirs, BLIP2)
        seen |= {f"hf.{name}": value for name, value in tool._transformers(own, inputs).items()}
        given = {"pixel_values": inputs["in.images"], "input_ids": inputs["in.text.input_ids"],
                 "attention_mask": inputs["in.text.attention_mask"]}  # fmt: skip
        seen["hf.itc"] = model(**given).logits_per_image
        seen["hf.itm_logits"] = model(**given, use_image_text_matching_head=True).logits_per_image
    names = {"query_tokens": network.model.query_tokens, "temp": network.temperature,
             "vision_proj.weight": network.model.vision_projection.weight,
             "itm_head.weight": network.model.itm_head.weight}  # fmt: skip
    for kind, made in (("cls", tool._stage_one(network, inputs, start)), ("rerank", tool._composed(network, inputs))):
        for name, loss in made.items():
            seen[f"{kind}.{name}"] = loss
            for parameter, tensor in names.items():
                (slope,) = torch.autograd.grad(loss, tensor, retain_graph=True, allow_unused=True)
                seen |= {} if slope is None else {f"{kind}.{name}.grad.{parameter}": slope}
    keep("qformer_weights_hf", theirs)
    keep("qformer_weights_lavis", lavis)
    keep("qformer_inputs", inputs)
    keep("qformer_outputs", seen)


def single_losses():
    shapes = {"image_queries": (4, 3, 8), "text": (4, 8), "caption": (4, 8), "itm_query_logits": (12, 3, 2),
              "lm_logits": (4, 6, 9), "eps_pred": (2, 4, 3, 3), "eps": (2, 4, 3, 3)}  # fmt: skip
    f = {f"in.{name}": torch.randn(shape, dtype=torch.float64) for name, shape in shapes.items()}
    f |= {"in.temp": torch.tensor(0.07, dtype=torch.float64), "in.lm_ids": torch.randint(1, 9, (4, 6)),
          "itm.labels": torch.tensor([1] * 4 + [0] * 8)}  # fmt: skip
    f["in.lm_ids"][1, 4:] = 0
    x = {name[3:]: value.clone().requires_grad_() for name, value in f.items() if value.is_floating_point()}
    unit = {name: normalize(x[name], dim=-1) for name in ("image_queries", "text", "caption")}
    every = torch.einsum("iqd,td->itq", unit["image_queries"], unit["text"])
    best, own = every.amax(-1) / x["temp"], torch.arange(4)
    fused = torch.einsum("iqd,td->itq", unit["image_queries"], unit["caption"]).amax(-1) / x["temp"]
    following = f["in.lm_ids"][:, 1:].flatten().masked_fill(f["in.lm_ids"][:, 1:].flatten() == 0, -100)
    spoken, three = x["lm_logits"][:, :-1].flatten(0, 1), ("image_queries", "text", "temp")
    made = {
        "itc": (cross_entropy(best, own) + cross_entropy(best.T, own), three),
        "itc_lavis": (0.5 * sum(cross_entropy(one, own, label_smoothing=0.1) for one in (best, best.T)), three),
        "itc_eq3": (cross_entropy(best.T, own), three),
        "ttc": (cross_entropy(fused, own), ("image_queries", "caption", "temp")),
        "itm": (cross_entropy(x["itm_query_logits"].mean(1), f["itm.labels"]), ("itm_query_logits",)),
        "lm": (cross_entropy(spoken, following, label_smoothing=0.1), ("lm_logits",)),
        "lm_plain": (cross_entropy(spoken, following), ("lm_logits",)),
        "q2i": (((x["eps"] - x["eps_pred"]) ** 2).mean(), ("eps_pred",)),
    }
    f |= {"sim_all": every, "sim_max": every.amax(-1)}
    for name, (loss, parts) in made.items():
        slopes = torch.autograd.grad(loss, [x[part] for part in parts], retain_graph=True)
        f |= {name: loss, **{f"{name}.grad.{part}": slope for part, slope in zip(parts, slopes)}}
    others = every.amax(-1).detach() - 1e4 * torch.eye(4)
    rows, columns = others.argmax(1), others.argmax(0)
    for part, lavis, published in (("text_for_image", rows, columns), ("image_for_text", columns, rows)):
        f |= {f"hard_negative.{part}.lavis_row": lavis, f"hard_negative.{part}.unifashion": published}
    return f


def query_tokens():
    from atelier.models.unifashion.query_tokens import QueryAdapter, encode_with_queries
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(vocab_size=30, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
                            num_attention_heads=4, max_position_embeddings=24, hidden_act="quick_gelu")  # fmt: skip
    model, adapter = CLIPTextModel(config).eval(), QueryAdapter(16, 32).eval()
    fill([*model.named_parameters(), *adapter.named_parameters()])
    ids, raw = torch.randint(3, 28, (2, 7)), torch.randn(2, 5, 16)
    with torch.no_grad():
        queries = adapter(raw)
        out = {"ctx_embeddings": queries, "plain_text_hidden_states": model(input_ids=ids).last_hidden_state,
               "encoder_hidden_states": encode_with_queries(model.text_model, ids, queries)}  # fmt: skip
    weights = {f"w.text_encoder.{n}": v for n, v in model.state_dict().items() if not n.endswith("position_ids")}
    weights |= {f"w.proj_layer.{n}": v for n, v in adapter.state_dict().items()}
    return weights | out | {"in.queries": raw, "in.input_ids": ids}


def metrics():
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    said = {"0": "a red dress with long sleeves", "1": "blue linen shirt", "2": "a short skirt with lace hem"}
    truth = {"0": ["a red dress with short sleeves"], "1": ["blue cotton shirt", "a shirt in blue"],
             "2": ["a lace skirt"]}  # fmt: skip
    each = {key: [value] for key, value in said.items()}
    texts = {"references": truth, "hypotheses": said, "bleu1_4": Bleu(4).compute_score(truth, each, verbose=0)[0],
             "cider": float(Cider().compute_score(truth, each)[0]),
             "rouge_l": float(Rouge().compute_score(truth, each)[0])}  # fmt: skip
    rng = np.random.default_rng(0)
    scores, target = rng.normal(size=(6, 60)), [3, 9, 50, 1, 1, 30]
    ranks = [int((row > row[right]).sum()) for row, right in zip(scores, target)]
    table = {"scores": scores.tolist(), "target": target, "rank0": ranks,
             "mrr": float(np.mean([1 / (r + 1) for r in ranks])),
             "recall": {str(k): float(np.mean([r < k for r in ranks])) for k in (1, 5, 10, 50)}}  # fmt: skip
    a, b = rng.normal(size=(20, 3)), rng.normal(0.5, 1.3, size=(24, 3))
    middle = np.linalg.eigvals(np.cov(a.T) @ np.cov(b.T)).real.clip(0) ** 0.5
    fid = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a.T) + np.cov(b.T)) - 2 * middle.sum()
    alike = lambda x, y: (x @ y.T / 3 + 1) ** 3  # noqa: E731
    within = sum((alike(x, x).sum() - alike(x, x).trace()) / (len(x) * (len(x) - 1)) for x in (a, b))
    sets = {"features_a": a.tolist(), "features_b": b.tolist(), "fid": float(fid),
            "kid_unbiased_full": float(within - 2 * alike(a, b).mean())}  # fmt: skip
    return {"captions": texts, "retrieval": table, "distribution": sets}


def diffusion(keep):
    from atelier.models.unifashion.zero_cross_attention import SpatialTransformer, ZeroCrossAttention
    from comfy.ldm.modules.diffusionmodules.openaimodel import forward_timestep_embed
    from comfy.ldm.modules.diffusionmodules.util import timestep_embedding

    unet = tool._empty_unet(UNET).eval().requires_grad_(False)
    fill(unet.named_parameters(), 0.08)
    prefix = "model.diffusion_model."
    state = {prefix + name: value for name, value in unet.state_dict().items()}
    state |= {f"control_model.{name}": value.clone() for name, value in unet.state_dict().items()
              if name.startswith(("time_embed", "input_blocks", "middle_block"))}  # fmt: skip
    state |= {"control_model.cond_first_block.0.weight": torch.randn(32, 4, 3, 3) * 0.2,
              "control_model.cond_first_block.0.bias": torch.zeros(32)}  # fmt: skip
    for index in range(9):
        block = SpatialTransformer(32, 32, 2)
        fill(block.named_parameters(), 0.1)
        state |= {f"{prefix}warp_flow_blks.{index}.{name}": value for name, value in block.state_dict().items()}
        state |= {f"{prefix}warp_zero_convs.{index}.weight": torch.randn(32, 32, 1, 1) * 0.1,
                  f"{prefix}warp_zero_convs.{index}.bias": torch.zeros(32)}  # fmt: skip
    network, t = ZeroCrossAttention.from_state(state, 2).requires_grad_(False), torch.tensor([801, 3])
    x, agnostic, dense, hint, start = torch.randn(5, 2, 4, 8, 8)
    mask, words, empty = torch.rand(2, 1, 8, 8).round(), torch.randn(2, 5, 8), torch.randn(1, 1, 8)
    person = torch.cat([agnostic, mask, dense], 1)

    def eps(x, t, words, strength=1.0):
        """The U-Net's blocks in a row; each map enters before the skip is joined."""
        x = torch.cat([x, person], 1)
        maps = network.maps(x, t, words, hint)
        embedding, kept, h = unet.time_embed(timestep_embedding(t, 32)), [], x
        for block in unet.input_blocks:
            h = forward_timestep_embed(block, h, embedding, words)
            kept.append(h)
        h = forward_timestep_embed(unet.middle_block, h, embedding, words)
        for number, block in enumerate(unet.output_blocks):
            h = network.enter(number, h, maps, strength)
            skip = kept.pop()
            h = torch.cat([h, skip], 1)
            h = forward_timestep_embed(block, h, embedding, words, {}, kept[-1].shape if kept else None)
        return unet.out(h)

    f = {"in.noisy_latent": x, "in.agnostic_latent": agnostic, "in.keep_mask": mask, "in.densepose_latent": dense,
         "in.context": words, "in.timesteps": t, "in.hint_latent": hint, "in.x13": torch.cat([x, person], 1),
         "eps": eps(x, t, words), "eps_zeroconv_zero": eps(x, t, words, 0.0), "warp0.hint": torch.randn(2, 32, 4, 4),
         "warp0.in": torch.randn(2, 32, 4, 4), "plms.x_T": start, "plms.uncond_context": empty}  # fmt: skip
    f |= {f"control.{n:02d}": one for n, one in enumerate(network.maps(f["in.x13"], t, words, hint))}
    f["warp0.out"] = network.enter(3, f["warp0.in"], [f["warp0.hint"]] * 13)
    abar = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2, 0)
    f |= {"schedule.alphas_cumprod": abar, "plms.timesteps": torch.tensor([751, 501, 251, 1])}
    for guidance in (1, 5):

        def guided(x, at, guidance=guidance):
            times = torch.full((2,), at)
            none = eps(x, times, empty.expand(2, -1, -1))
            return none + guidance * (eps(x, times, words) - none)

        f[f"plms.final_cfg{guidance}"] = plms(guided, start, f["plms.timesteps"].tolist(), abar)
    keep("diffusion_weights", state)
    keep("diffusion_io", f)


def plms(eps, x, times, abar):
    """Liu et al. 2022, Eq. 12 and its shorter starts: Adams-Bashforth over the last noises, DDIM transfer."""
    old = []

    def to(x, noise, k):
        here, there = float(abar[times[k]]), float(abar[times[k + 1]] if k + 1 < len(times) else abar[0])
        return (there / here) ** 0.5 * (x - (1 - here) ** 0.5 * noise) + (1 - there) ** 0.5 * noise

    for k, t in enumerate(times):
        noise = eps(x, t)
        if not old:
            used = (noise + eps(to(x, noise, 0), times[1])) / 2
        else:
            weights = {1: (3, -1), 2: (23, -16, 5), 3: (55, -59, 37, -9)}[min(3, len(old))]
            used = sum(w * one for w, one in zip(weights, [noise, *reversed(old)])) / sum(weights)
        x, old = to(x, used, k), [*old, noise]
    return x


@pytest.fixture(scope="module")
def folder(host, tmp_path_factory):
    made = tmp_path_factory.mktemp("parity") / "unifashion"
    made.mkdir()
    torch.manual_seed(0)

    def keep(name, tensors):
        plain = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
        save_file(plain, made / f"{name}.safetensors")

    qformer(keep)
    keep("losses", single_losses())
    keep("query_tokens", query_tokens())
    diffusion(keep)
    (made / "metrics.json").write_text(json.dumps(metrics()))
    (made / "qformer_config_hf.json").write_text(json.dumps(BLIP2))
    facts = {"qformer_inputs.safetensors": {"meta": {"config": QFORMER}},
             "diffusion_weights.safetensors": {"meta": {"config": UNET}}}  # fmt: skip
    (made / "index.json").write_text(json.dumps({"files": facts}))
    return made


def test_every_check_runs(parity, folder):
    figures = parity.figures("unifashion", folder)
    assert all((folder / name).exists() for name in tool.CHECKS), "a kind of recording that this test lacks"
    for kind in ("qformer lm_logits", "qformer transformers itc", "qformer layouts", "cls.loss_itm.grad.query_tokens",
                 "rerank.loss_ttc.grad.temp", "losses q2i d/d eps_pred", "losses hard negative", "query tokens spliced",
                 "metrics CIDEr", "metrics R@5", "metrics FID", "diffusion copy map 12", "diffusion warp block",
                 "diffusion eps", "diffusion PLMS cfg 5"):  # fmt: skip
        assert any(name.startswith(kind) for name in figures), kind
    assert math.isfinite(sum(figures.values()))


QFORMER_FILES = ("qformer_weights_hf.safetensors", "qformer_weights_lavis.safetensors", "qformer_config_hf.json",
                 "qformer_inputs.safetensors", "qformer_outputs.safetensors")  # fmt: skip


@pytest.mark.parametrize("file,key,fails,needs", [
    ("qformer_outputs", "orig.lm_logits", {"qformer lm_logits"}, QFORMER_FILES),
    ("qformer_outputs", "cls.loss_itc.grad.query_tokens", {"cls.loss_itc.grad.query_tokens"}, QFORMER_FILES),
    ("losses", "ttc.grad.caption", {"losses ttc d/d caption"}, ()),
    ("query_tokens", "encoder_hidden_states", {"query tokens spliced"}, ()),
    ("diffusion_io", "eps", {"diffusion eps"}, ("diffusion_weights.safetensors",)),
    ("diffusion_io", "control.07", {"diffusion copy map 7"}, ("diffusion_weights.safetensors",)),
])  # fmt: skip
def test_a_changed_recording_is_noticed(parity, folder, tmp_path, file, key, fails, needs):
    keep = ["index.json", *needs]
    assert parity.after("unifashion", folder, tmp_path / "changed", f"{file}.safetensors", key, keep) == fails


def test_changed_metrics_are_noticed(parity, tmp_path):
    folder = tmp_path / "metrics"
    folder.mkdir()
    recorded = metrics()
    (folder / "metrics.json").write_text(json.dumps(recorded))
    assert max(parity.figures("unifashion", folder).values()) <= tool.METRICS
    recorded["captions"]["cider"] += 0.01
    recorded["retrieval"]["rank0"][2] += 1
    (folder / "metrics.json").write_text(json.dumps(recorded))
    changed = parity.figures("unifashion", folder, rc=1)
    failed = {name for name, error in changed.items() if error > tool.METRICS}
    assert failed == {"metrics CIDEr", "metrics ranks differ"}
