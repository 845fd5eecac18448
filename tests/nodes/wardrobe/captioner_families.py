"""A captioner of every family with tiny random weights, in transformers' own layout."""

import torch

CLASSES = {
    "florence2": "Florence2ForConditionalGeneration", "idefics3": "Idefics3ForConditionalGeneration",
    "smolvlm": "SmolVLMForConditionalGeneration", "qwen2_vl": "Qwen2VLForConditionalGeneration",
    "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration", "llava": "LlavaForConditionalGeneration",
}  # fmt: skip
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}:{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE{% else %}{{ part['text'] }}{% endif %}{% endfor %}<end>{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "max_position_embeddings": 2048,
        "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}  # fmt: skip


def words(*special):
    """Every letter a token, after <s> </s> <pad> and the family's own; nothing to download."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    names = ["<s>", "</s>", "<pad>", "<unk>", *special, "\u0120", *map(chr, range(33, 127))]
    tokenizer = Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, len(names), {name: number for number, name in enumerate(names)}


def fast(cls, tokenizer, special, **more):
    return cls(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
               additional_special_tokens=list(special), vocab_file=None, merges_file=None,
               model_input_names=["input_ids", "attention_mask"], **more)  # fmt: skip


def lively(model, seed):
    """Weights whose greedy text depends on the picture and on every word asked."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            scale = 0.1 if parameter.ndim == 1 else 1.5 * max(1, noise[0].numel()) ** -0.5
            one = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(noise * (1.0 if "embed_tokens" in name or "shared" in name else scale) + float(one))
    return model


def florence2(kind):
    from transformers import (
        BartTokenizerFast,
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
    )

    tokenizer, size, ids = words("<image>")
    config = Florence2Config(
        vision_config={"depths": [1, 1], "patch_size": [7, 3], "patch_stride": [4, 2], "patch_padding": [3, 1],
                       "patch_prenorm": [False, True], "embed_dim": [16, 32], "num_heads": [2, 2], "num_groups": [2, 2],
                       "window_size": 2, "projection_dim": 32},
        text_config={"model_type": "bart", "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "vocab_size": size,
                     "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32,
                     "decoder_ffn_dim": 32, "max_position_embeddings": 256, "bos_token_id": 0, "eos_token_id": 1,
                     "pad_token_id": 2, "decoder_start_token_id": 1, "forced_eos_token_id": 1},
        image_token_id=ids["<image>"], bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )  # fmt: skip
    model = lively(Florence2ForConditionalGeneration(config), 1)
    images = CLIPImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False)
    images.image_seq_length = 17
    text = fast(BartTokenizerFast, tokenizer, [], extra_special_tokens={"image_token": "<image>"})
    return model, Florence2Processor(images, text)


def smol(kind):
    import transformers as t

    small = kind == "smolvlm"
    special = ["<image>", "<fake_token_around_image>", "<global-img>", "<end>",
               *(f"<row_{row}_col_{column}>" for row in range(1, 4) for column in range(1, 4))]  # fmt: skip
    tokenizer, size, ids = words(*special)
    config = (t.SmolVLMConfig if small else t.Idefics3Config)(
        vision_config={"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                       "image_size": 16, "patch_size": 4},
        text_config={"model_type": "llama", **TEXT, "vocab_size": size},
        scale_factor=2, image_token_id=ids["<image>"], pad_token_id=2, tie_word_embeddings=False,
    )  # fmt: skip
    model = lively((t.SmolVLMForConditionalGeneration if small else t.Idefics3ForConditionalGeneration)(config), 2)
    sizes = {"size": {"longest_edge": 32}, "max_image_size": {"longest_edge": 16}}
    text = fast(t.PreTrainedTokenizerFast, tokenizer, special)
    template = TEMPLATE.replace("IMAGE", "<image>")
    if small:
        videos = t.SmolVLMVideoProcessor(**sizes)
        return model, t.SmolVLMProcessor(t.SmolVLMImageProcessor(**sizes), text, videos, 4, chat_template=template)
    return model, t.Idefics3Processor(t.Idefics3ImageProcessor(**sizes), text, 4, chat_template=template)


def qwen(kind):
    import transformers as t

    newer = kind == "qwen2_5_vl"
    special = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<end>"]
    tokenizer, size, ids = words(*special)
    vision = {"depth": 1, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
    vision |= {"embed_dim": 32, "hidden_size": 32, "mlp_ratio": 1} if not newer else {
        "hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 32, "window_size": 16,
        "fullatt_block_indexes": [0]}  # fmt: skip
    config = (t.Qwen2_5_VLConfig if newer else t.Qwen2VLConfig)(
        text_config={**TEXT, "vocab_size": size, "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}},
        vision_config=vision, image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )  # fmt: skip
    model = lively((t.Qwen2_5_VLForConditionalGeneration if newer else t.Qwen2VLForConditionalGeneration)(config), 3)
    sizes = {"patch_size": 4, "merge_size": 2, "temporal_patch_size": 2, "min_pixels": 64, "max_pixels": 1024}
    text = fast(t.Qwen2TokenizerFast, tokenizer, special)
    template = TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
    return model, (t.Qwen2_5_VLProcessor if newer else t.Qwen2VLProcessor)(
        t.Qwen2VLImageProcessor(**sizes), text, t.Qwen2VLVideoProcessor(**sizes), chat_template=template
    )


def llava(kind):
    import transformers as t

    tokenizer, size, ids = words("<image>", "<end>")
    config = t.LlavaConfig(
        vision_config={"model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 32, "patch_size": 8,
                       "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "projection_dim": 16},
        text_config={"model_type": "llama", **TEXT, "vocab_size": size}, image_token_id=ids["<image>"],
    )  # fmt: skip
    images = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    text = fast(t.PreTrainedTokenizerFast, tokenizer, ["<image>", "<end>"])
    template = TEMPLATE.replace("IMAGE", "<image>")
    processor = t.LlavaProcessor(images, text, patch_size=8, vision_feature_select_strategy="default",
                                 chat_template=template, num_additional_image_tokens=1)  # fmt: skip
    return lively(t.LlavaForConditionalGeneration(config), 4), processor
