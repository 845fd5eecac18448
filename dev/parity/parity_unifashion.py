"""Replay recorded outputs of the original UniFashion through this pack: `python dev.py parity unifashion DIR`.

Q-Former: our passes on weights in both layouts. Diffusion: the host's own U-Net with the node's patch, and PLMS over
it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from ..pack import ROOT
from .report import Report

QFORMER, DIFFUSION, LOSSES, METRICS = 2e-5, 5e-4, 1e-9, 1e-6


def run(folder: str, json_path: str | None = None) -> int:
    """Compare every recording in `folder`; returns 1 when a tolerance is passed or nothing was found."""
    from ..setup.host_files import find_host
    from ..setup.host_in_process import enter

    recordings, report = Path(folder), Report()
    with tempfile.TemporaryDirectory() as base:
        enter(find_host(ROOT), Path(base))
        index_path = recordings / "index.json"
        index = json.loads(index_path.read_text(encoding="utf-8"))["files"] if index_path.exists() else {}
        for name, check in CHECKS.items():
            if (recordings / name).exists():
                check(report, recordings, index.get(name, {}).get("meta", {}).get("config", {}))
    return report.show(json_path)


# --- Q-Former ------------------------------------------------------------------------------------------------------
def _qformer(report: Report, folder: Path, config: dict) -> None:
    from ...models.unifashion.qformer import QFormer

    inputs, recorded = (
        load_file(folder / "qformer_inputs.safetensors"),
        load_file(folder / "qformer_outputs.safetensors"),
    )
    heads = {"heads": config["heads"], "vision_heads": config["vision_heads"]}
    lavis = QFormer.from_state(load_file(folder / "qformer_weights_lavis.safetensors"), **heads)
    theirs = QFormer.from_state(
        load_file(folder / "qformer_weights_hf.safetensors"),
        json.loads((folder / "qformer_config_hf.json").read_text()),
    )
    with torch.no_grad():
        for name, got in _passes(lavis, inputs, config["vocab"] - 1).items():
            report.compare(f"qformer {name}", got, recorded[f"orig.{name}"], QFORMER)
        for name, got in _transformers(theirs, inputs).items():
            report.compare(f"qformer transformers {name}", got, recorded[f"hf.{name}"], QFORMER)
        names = lavis.state_dict().keys()
        report.compare("qformer layouts differ", float(sum(
            not torch.equal(lavis.state_dict()[n], theirs.state_dict()[n]) for n in names
            if n.startswith("model.") and n in theirs.state_dict())), 0.0, 0.0)  # fmt: skip
    for kind, losses in (("cls", _stage_one(lavis, inputs, config["vocab"] - 1)), ("rerank", _composed(lavis, inputs))):
        for name, loss in losses.items():
            report.compare(f"{kind} {name}", loss.detach(), recorded[f"{kind}.{name}"], QFORMER)
            _gradients(report, lavis, loss, recorded, f"{kind}.{name}.grad.")


def _texts(inputs: dict, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    return inputs[f"in.{name}.input_ids"], inputs[f"in.{name}.attention_mask"]


def _passes(q, inputs: dict, start: int) -> dict[str, torch.Tensor]:
    ids, mask = _texts(inputs, "text")
    caption, caption_mask = _texts(inputs, "target_caption")
    seen, targets = q.see(inputs["in.images"]), q.see(inputs["in.targets"])
    queries, text, joint = q.queries(seen), q.text(ids, mask), q.joint(seen, ids, mask)
    images, words, fused = q.image_vectors(queries), q.text_vectors(text), q.composed_vectors(joint)
    every = torch.einsum("iqd,td->itq", images, words)
    target, captions = q.image_vectors(q.queries(targets)), q.text_vectors(q.text(caption, caption_mask))
    best = torch.einsum("tqd,bd->btq", target, fused).amax(-1)
    started = ids.clone()
    started[:, 0] = start
    return {
        "image_embeds": seen, "target_embeds": targets, "query_output": queries, "image_feats": images,
        "text_cls": text[:, 0], "text_feats": words, "itc_all": every, "itc": every.amax(-1),
        "inference.0": every.amax(-1).T, "inference.1": every.amax(-1), "joint": joint,
        "itm_logits": q.match_logits(joint), "fusion_feats": fused, "cir.target_feats": target,
        "cir.caption_feats": captions, "cir.target_feats_prompt": q.image_vectors(q.queries(targets, q.prompt_tokens)),
        "cir.sim_all": best + fused @ captions.T, "cir.sim_img": best,
        "compute_itm_like": q.match_logits(joint)[:, 1], "lm_logits": q.language(seen, started, mask),
    }  # fmt: skip


def _transformers(q, inputs: dict) -> dict[str, torch.Tensor]:
    ids, mask = _texts(inputs, "text")
    seen = q.see(inputs["in.images"])
    images, words = q.image_vectors(q.queries(seen)), q.text_vectors(q.text(ids, mask))
    joint = q.joint(seen, ids, mask)
    return {"vision": seen, "image_embeds": images, "text_embeds": words, "joint": joint,
            "itc": torch.einsum("iqd,td->itq", images, words).amax(-1),
            "itm_logits": q.match_logits(joint)}  # fmt: skip


def _stage_one(q, inputs: dict, start: int) -> dict[str, torch.Tensor]:
    """The losses of the retrieval class (ITC, ITM with hard negatives, LM)."""
    from ...models.unifashion import losses

    ids, mask = _texts(inputs, "text")
    seen = q.see(inputs["in.images"])
    queries, text = q.queries(seen), q.text(ids, mask)
    images, words = q.model.vision_projection(queries), q.model.text_projection(text[:, 0])
    best = losses.similarity(images, words).amax(-1)
    started = ids.clone()
    started[:, 0] = start
    return {
        "loss_itc": losses.contrastive(images, words, q.temperature),
        "loss_itm": _matching(q, seen, best, (ids, mask), (ids, mask)),
        "loss_lm": losses.language(q.language(seen, started, mask), started),
    }


def _composed(q, inputs: dict) -> dict[str, torch.Tensor]:
    """The losses of the composed-retrieval class (Eq. 10 as coded)."""
    from ...models.unifashion import losses

    ids, mask = _texts(inputs, "text")
    caption = _texts(inputs, "target_caption")
    seen, targets = q.see(inputs["in.images"]), q.see(inputs["in.targets"])
    joint = q.joint(seen, ids, mask)
    wanted = q.model.vision_projection(q.queries(targets, q.prompt_tokens))
    fused = q.model.text_projection(joint[:, q.query_count])
    said = q.model.text_projection(q.text(*caption)[:, 0])
    best = losses.similarity(wanted, fused).amax(-1)
    return {
        "loss_itc": losses.contrastive(wanted, fused, q.temperature),
        "loss_ttc": losses.composed_to_caption(
            q.model.vision_projection(joint[:, : q.query_count]), said, q.temperature
        ),
        # Matching uses prompt_tokens too; its hard texts are the modifying ones.
        "loss_itm": _matching(q, targets, best, caption, (ids, mask), q.prompt_tokens),
    }


def _matching(q, seen, best, own, negatives, tokens=None) -> torch.Tensor:
    from ...models.unifashion import losses

    text, image = losses.hard_negatives(best)
    pictures = torch.cat([seen, seen[image], seen])
    ids, mask = (torch.cat([mine, mine, other[text]]) for mine, other in zip(own, negatives))
    joint = q.joint(pictures, ids, mask, tokens)
    labels = torch.tensor([1] * len(seen) + [0] * 2 * len(seen))
    return losses.matching(q.model.itm_head(joint[:, : q.query_count]), labels)


def _gradients(report: Report, q, loss: torch.Tensor, recorded: dict, prefix: str) -> None:
    from ...models.unifashion.qformer_keys import transformers_name

    own = dict(q.named_parameters())
    wanted = [name.removeprefix(prefix) for name in recorded if name.startswith(prefix)]
    parameters = [q.temperature if name == "temp" else own["model." + transformers_name(name)] for name in wanted]
    for name, gradient in zip(wanted, torch.autograd.grad(loss, parameters, retain_graph=True)):
        expected = recorded[prefix + name]
        tolerance = 1e-5 + 1e-3 * float(expected.abs().max())
        report.compare(f"{prefix}{name}", gradient, expected, tolerance)


# --- losses, query tokens, metrics ---------------------------------------------------------------------------------
def _losses(report: Report, folder: Path, config: dict) -> None:
    from ...models.unifashion import losses

    f = load_file(folder / "losses.safetensors")
    images, text, caption, temperature, scores, logits, predicted = (
        f[f"in.{name}"].clone().requires_grad_()
        for name in ("image_queries", "text", "caption", "temp", "itm_query_logits", "lm_logits", "eps_pred")
    )
    every = losses.similarity(images, text)
    report.compare("losses sim_all", every.detach(), f["sim_all"], LOSSES)
    report.compare("losses sim_max", every.detach().amax(-1), f["sim_max"], LOSSES)
    made = {
        "itc": (losses.contrastive(images, text, temperature),
        {"image_queries": images, "text": text, "temp": temperature}),
        "itc_lavis": (losses.contrastive_lavis(images, text, temperature),
                      {"image_queries": images, "text": text, "temp": temperature}),
        "itc_eq3": (losses.contrastive_eq3(images, text, temperature),
                    {"image_queries": images, "text": text, "temp": temperature}),
        "ttc": (losses.composed_to_caption(images, caption, temperature),
                {"image_queries": images, "caption": caption, "temp": temperature}),
        "itm": (losses.matching(scores, f["itm.labels"]), {"itm_query_logits": scores}),
        "lm": (losses.language(logits, f["in.lm_ids"]), {"lm_logits": logits}),
        "lm_plain": (losses.language(logits, f["in.lm_ids"], smoothing=0.0), {"lm_logits": logits}),
        "q2i": (losses.query_to_image(f["in.eps"], predicted), {"eps_pred": predicted}),
    }  # fmt: skip
    for name, (loss, inputs) in made.items():
        report.compare(f"losses {name}", loss.detach(), f[name], LOSSES)
        for part, gradient in zip(inputs, torch.autograd.grad(loss, list(inputs.values()), retain_graph=True)):
            report.compare(f"losses {name} d/d {part}", gradient, f[f"{name}.grad.{part}"], LOSSES)
    for kind, lavis in (("lavis_row", True), ("unifashion", False)):
        negatives = losses.hard_negatives(every.detach().amax(-1), as_lavis=lavis)
        for part, got in zip(("text_for_image", "image_for_text"), negatives):
            differ = int((got != f[f"hard_negative.{part}.{kind}"]).sum())
            report.compare(f"losses hard negative {part} {kind}", float(differ), 0.0, 0.0)


def _query_tokens(report: Report, folder: Path, config: dict) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    from ...models.unifashion.query_tokens import QueryAdapter, encode_with_queries

    f = load_file(folder / "query_tokens.safetensors")
    adapter_state = {n.removeprefix("w.proj_layer."): t for n, t in f.items() if n.startswith("w.proj_layer.")}
    state = {n.removeprefix("w.text_encoder."): t for n, t in f.items() if n.startswith("w.text_encoder.")}
    tokens, hidden = state["text_model.embeddings.token_embedding.weight"].shape
    layers = 1 + max(int(n.split(".")[3]) for n in state if ".layers." in n)
    model = CLIPTextModel(CLIPTextConfig(
        vocab_size=tokens, hidden_size=hidden,
        intermediate_size=state["text_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=layers, num_attention_heads=4, hidden_act="quick_gelu",
        max_position_embeddings=state["text_model.embeddings.position_embedding.weight"].shape[0],
    )).eval()  # fmt: skip
    missing = [n for n in model.load_state_dict(state, strict=False).missing_keys if "position_ids" not in n]
    adapter = QueryAdapter(hidden, adapter_state["dense1.weight"].shape[0]).eval()
    adapter.load_state_dict(adapter_state)
    with torch.no_grad():
        queries = adapter(f["in.queries"])
        report.compare("query tokens missing weights", float(len(missing)), 0.0, 0.0)
        report.compare("query tokens adapter", queries, f["ctx_embeddings"], QFORMER)
        mixed = encode_with_queries(model.text_model, f["in.input_ids"], queries)
        report.compare("query tokens spliced", mixed, f["encoder_hidden_states"], QFORMER)
        plain = encode_with_queries(model.text_model, f["in.input_ids"], queries[:, :0])
        report.compare("query tokens plain text", plain, f["plain_text_hidden_states"], QFORMER)


def _metrics(report: Report, folder: Path, config: dict) -> None:
    import numpy as np

    from ...craft.measure import picture_metrics, retrieval_metrics

    recorded = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    texts = recorded["captions"]
    found = {f.name: f.value for f in retrieval_metrics.captions(list(texts["references"].values()),
                                                                list(texts["hypotheses"].values()))}  # fmt: skip
    for number, value in enumerate(texts["bleu1_4"], 1):
        report.compare(f"metrics BLEU-{number}", found[f"BLEU-{number}"], value, METRICS)
    report.compare("metrics CIDEr", found["CIDEr"], texts["cider"], METRICS)
    report.compare("metrics ROUGE-L", found["ROUGE-L"], texts["rouge_l"], METRICS)
    table = recorded["retrieval"]
    relevant = [{index} for index in table["target"]]
    placed = [row[0] for row in retrieval_metrics.ranks(np.array(table["scores"]), relevant)]
    report.compare("metrics ranks differ", float(sum(a != b for a, b in zip(placed, table["rank0"]))), 0.0, 0.0)
    scored = {f.name: f.value for f in retrieval_metrics.retrieval(np.array(table["scores"]), relevant)}
    for k, value in table["recall"].items():
        report.compare(f"metrics R@{k}", scored[f"R@{k}"], value, METRICS)
    report.compare("metrics MRR", scored["MRR"], table["mrr"], METRICS)
    sets = recorded["distribution"]
    a, b = (torch.tensor(sets[name], dtype=torch.float64) for name in ("features_a", "features_b"))
    distances = {f.name: f.value for f in picture_metrics.set_distances(a, b, "recorded")}
    report.compare("metrics FID", distances["FID"], sets["fid"], METRICS)
    report.compare("metrics KID", picture_metrics.kernel_distance(a, b), sets["kid_unbiased_full"], METRICS)


# --- diffusion -----------------------------------------------------------------------------------------------------
def _diffusion(report: Report, folder: Path, config: dict) -> None:
    from ...host.design.zero_cross_attention import MAPS
    from ...models.unifashion.zero_cross_attention import ZeroCrossAttention, person_channels

    state = {name: tensor.float() for name, tensor in load_file(folder / "diffusion_weights.safetensors").items()}
    f = load_file(folder / "diffusion_io.safetensors")
    network, unet = ZeroCrossAttention.from_state(state, config["num_heads"]), _host_unet(state, config)

    def noise(x, t, tokens, person, strength=1.0):
        maps = network.maps(torch.cat([x, person], 1), t, tokens, f["in.hint_latent"])

        def enter(h, skip, options):
            return network.enter(options["block"][1], h, options[MAPS], strength), skip

        options = {"patches": {"output_block_patch": [enter]}, MAPS: maps}
        return unet(torch.cat([x, person], 1), t, context=tokens, transformer_options=options)

    with torch.inference_mode():
        person = person_channels(f["in.agnostic_latent"], f["in.keep_mask"], f["in.densepose_latent"])
        report.compare("diffusion 13 channels", torch.cat([f["in.noisy_latent"], person], 1), f["in.x13"], DIFFUSION)
        maps = network.maps(f["in.x13"], f["in.timesteps"], f["in.context"], f["in.hint_latent"])
        for number, got in enumerate(maps):
            report.compare(f"diffusion copy map {number}", got, f[f"control.{number:02d}"], DIFFUSION)
        fed = [f["warp0.hint"]] * len(maps)
        report.compare("diffusion warp block", network.enter(3, f["warp0.in"], fed), f["warp0.out"], DIFFUSION)
        for name, strength in (("eps", 1.0), ("eps_zeroconv_zero", 0.0)):
            got = noise(f["in.noisy_latent"], f["in.timesteps"], f["in.context"], person, strength)
            report.compare(f"diffusion {name}", got, f[name], DIFFUSION)
        for guidance in (1, 5):
            _plms(report, f, person, noise, guidance)


def _host_unet(state: dict, config: dict):
    unet = _empty_unet(config)
    prefix = "model.diffusion_model."
    own = {name.removeprefix(prefix): tensor for name, tensor in state.items()
           if name.startswith(prefix) and ".warp_" not in name}  # fmt: skip
    unet.load_state_dict(own)
    return unet.eval()


def _empty_unet(config: dict):
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    levels, blocks = len(config["channel_mult"]), config["num_res_blocks"]
    attended = [int(2**level in config["attention_resolutions"]) for level in range(levels)]
    return UNetModel(
        image_size=32, in_channels=config["in_channels"], out_channels=config["out_channels"],
        model_channels=config["model_channels"], num_res_blocks=[blocks] * levels, channel_mult=config["channel_mult"],
        num_heads=config["num_heads"], use_spatial_transformer=True, context_dim=config["context_dim"], legacy=False,
        transformer_depth=[depth for depth in attended for _ in range(blocks)], transformer_depth_middle=1,
        transformer_depth_output=[depth for depth in attended for _ in range(blocks + 1)],
        operations=comfy.ops.disable_weight_init,
    )  # fmt: skip


def _plms(report: Report, f: dict, person: torch.Tensor, noise, guidance: int) -> None:
    """The published sampler is diffusers' PNDM without its Runge-Kutta steps; it asks twice at the second timestep."""
    from diffusers import PNDMScheduler

    scheduler = PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True,
                              set_alpha_to_one=False, steps_offset=1)  # fmt: skip
    scheduler.set_timesteps(len(f["plms.timesteps"]))
    used, x = sorted(set(scheduler.timesteps.tolist()), reverse=True), f["plms.x_T"]
    report.compare(f"diffusion PLMS cfg {guidance} timesteps differ",
                   float(sum(a != b for a, b in zip(used, f["plms.timesteps"].tolist()))), 0.0, 0.0)  # fmt: skip
    report.compare("diffusion alphas", scheduler.alphas_cumprod.double(), f["schedule.alphas_cumprod"], 1e-6)
    for t in scheduler.timesteps:
        times = t.expand(len(x))
        eps = noise(x, times, f["in.context"], person)
        if guidance != 1:
            empty = noise(x, times, f["plms.uncond_context"].expand(len(x), -1, -1), person)
            eps = empty + guidance * (eps - empty)
        x = scheduler.step(eps, t, x).prev_sample
    expected = f[f"plms.final_cfg{guidance}"]
    report.compare(f"diffusion PLMS cfg {guidance}", x, expected, 5e-3 + 1e-3 * float(expected.abs().max()))


# A recording -> its check(report, folder, the config that index.json gives for it).
CHECKS: dict[str, Callable] = {
    "qformer_inputs.safetensors": _qformer,
    "losses.safetensors": _losses,
    "query_tokens.safetensors": _query_tokens,
    "metrics.json": _metrics,
    "diffusion_weights.safetensors": _diffusion,
}
