"""Keys that the JSON files of a folder in transformers' layout may have, beside the arguments of its classes."""

from __future__ import annotations

# Followed by the libraries to code, to another repository or to another folder. Refused wherever they stand.
CODE = {
    "auto_map", "custom_pipelines", "custom_generate", "trust_remote_code", "code_revision", "base_model_name_or_path",
    "pretrained_model_name_or_path", "repo_id", "hf_model_name", "hf_tokenizer_name", "peft_config",
    "assistant_model", "use_kernels", "kernel_config",
}  # fmt: skip

# Names that the library wrote down for people. They are taken out, so that nobody can follow them.
NAMES = {"_name_or_path", "name_or_path", "_attn_implementation", "attn_implementation", "_commit_hash"}

# What the library and the published families have written into config.json over the years.
CONFIG = NAMES | {
    "_attn_implementation_autoset", "_attn_implementation_internal", "_flash_attn_2_enabled", "_output_attentions",
    "_remove_final_layer_norm", "add_cross_attention", "architectures", "bad_words_ids", "begin_suppress_tokens",
    "bos_token_id", "chunk_size_feed_forward", "cross_attention_hidden_size", "decoder_start_token_id",
    "diversity_penalty", "do_sample", "downsampling_rates", "dtype", "early_stopping",
    "encoder_no_repeat_ngram_size", "eos_token_id", "exponential_decay_length_penalty", "finetuning_task",
    "forced_bos_token_id", "forced_eos_token_id", "freeze_config", "gradient_checkpointing", "head_dim",
    "hidden_act", "id2label", "ignore_index", "image_seq_len", "image_seq_length", "image_token_id",
    "image_token_index", "in_chans", "initializer_factor", "initializer_range", "is_decoder", "is_encoder_decoder",
    "label2id", "length_penalty", "max_length", "max_num_images", "max_window_layers", "min_length", "model_type",
    "neftune_noise_alpha", "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_labels",
    "num_return_sequences", "output_attentions", "output_hidden_states", "output_scores", "pad_token_id",
    "perceiver_config", "pixel_shuffle_factor", "prefix", "problem_type", "projection_dim", "pruned_heads",
    "qk_layer_norms", "qk_layer_norms_perceiver", "remove_invalid_values", "repetition_penalty",
    "reshape_last_stage", "return_dict", "return_dict_in_generate", "rope_scaling", "rope_theta", "sep_token_id",
    "size", "sliding_window", "spatial_patch_size", "suppress_tokens", "task_specific_params", "temperature",
    "tf_legacy_loss", "tie_encoder_decoder", "tie_word_embeddings", "tokenizer_class", "top_k", "top_p",
    "torch_dtype", "torchscript", "transformers.js_config", "transformers_version", "typical_p", "use_bfloat16",
    "use_cache", "use_decoder_only_language_model", "use_resampler", "use_return_dict", "use_sliding_window",
    "video_token_id", "vision_end_token_id", "vision_start_token_id", "vision_token_id", "vocab_size",
    "word_embed_proj_dim",
}  # fmt: skip
# Entries of CONFIG that hold objects; every other object is a part with a class of its own.
OBJECTS = {"id2label", "label2id", "task_specific_params", "transformers.js_config", "perceiver_config",
           "pruned_heads", "rope_scaling", "freeze_config"}  # fmt: skip

_PICTURE = {
    "_valid_processor_keys", "crop_size", "data_format", "default_to_square", "device", "disable_grouping",
    "do_align_long_axis", "do_center_crop", "do_convert_rgb", "do_image_splitting", "do_normalize", "do_pad",
    "do_reduce_labels", "do_rescale", "do_resize", "do_sample_frames", "do_thumbnail", "feature_extractor_type",
    "fps", "ignore_index", "image_grid_pinpoints", "image_mean", "image_processor_type", "image_seq_length",
    "image_std", "image_token", "input_data_format", "max_frames", "max_image_size", "max_pixels", "merge_size",
    "min_frames", "min_pixels", "num_additional_image_tokens", "num_frames", "pad_size", "patch_size",
    "processor_class", "reduce_labels", "resample", "rescale_factor", "return_metadata", "return_row_col_info",
    "return_tensors", "size", "size_divisor", "temporal_patch_size", "video_metadata", "video_processor_type",
    "video_sampling", "vision_feature_select_strategy",
}  # fmt: skip
_PROCESSOR = {
    "chat_template", "image_break_token", "image_end_token", "image_processor", "image_seq_len", "image_seq_length",
    "image_token", "num_additional_image_tokens", "num_image_tokens", "num_query_tokens", "patch_size",
    "post_processor_config", "processor_class", "tokenizer", "video_processor", "video_token",
    "vision_aspect_ratio", "vision_feature_select_strategy",
}  # fmt: skip
_GENERATION = CONFIG | {
    "_from_model_config", "assistant_confidence_threshold", "assistant_early_exit", "assistant_lookbehind",
    "cache_implementation", "disable_compile", "encoder_repetition_penalty", "epsilon_cutoff", "eta_cutoff",
    "force_words_ids", "guidance_scale", "is_assistant", "low_memory", "max_matching_ngram_size", "max_new_tokens",
    "max_time", "min_new_tokens", "min_p", "num_assistant_tokens", "num_assistant_tokens_schedule", "output_logits",
    "penalty_alpha", "prefill_chunk_size", "prompt_lookup_num_tokens", "renormalize_logits", "return_legacy_cache",
    "sequence_bias", "stop_strings", "target_lookbehind", "token_healing",
}  # fmt: skip
# The other JSON files that the library reads from a folder; None: tokens, whose names are the model's own.
SIDE_FILES: dict[str, set[str] | None] = {
    "preprocessor_config.json": _PICTURE,
    "video_preprocessor_config.json": _PICTURE,
    "processor_config.json": _PROCESSOR,
    "generation_config.json": _GENERATION,
    "tokenizer_config.json": None,
    "special_tokens_map.json": None,
    "added_tokens.json": None,
    "chat_template.json": {"chat_template"},
}
# Entries that name a class of the library, and what such names end in.
CLASSES = {
    "tokenizer_class": ("Tokenizer", "TokenizerFast"),
    "processor_class": ("Processor",),
    "image_processor_type": ("ImageProcessor", "ImageProcessorFast"),
    "feature_extractor_type": ("FeatureExtractor", "ImageProcessor"),
    "video_processor_type": ("VideoProcessor",),
}
