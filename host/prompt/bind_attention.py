"""Bind Attributes: an adjective looks where its noun looks.

Which tokens belong together is kept in the conditioning entries, so every entry of a schedule has its own token layout;
the model carries only the wrapper that acts on them. Forms: `mix` (attention columns, `models/equifashion`), `phrases`
(the values of a phrase's tokens come from the phrase encoded alone, the keys stay), `guidance` (`bind_guidance`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import comfy.model_management
import torch

from ...craft.prompt.phrases import Pair, find_pairs, own_pairs, pairs_of_lines, token_spans
from ...craft.text_door import checked_items
from ...models.equifashion.bundled_attention import bundle_change
from .. import run_patches
from . import bind_guidance, prompt_tokens
from .prompt_graph import literal_brackets

if TYPE_CHECKING:
    from ...craft.prompt.timetable import Timetable
    from ..host_types import Clip, Guider, Model

KEY = "atelier_bind"
FORMS = ("mix", "phrases", "guidance")


@dataclass(frozen=True)
class BoundPair:
    """A pair as rows of its conditioning entry."""

    label: str
    modifiers: tuple[int, ...]
    noun: tuple[int, ...]

    @property
    def rows(self) -> tuple[int, ...]:
        return (*self.modifiers, *self.noun)


@dataclass(frozen=True)
class Binding:
    """What to do with one conditioning entry. `values` [1, length, width]: the phrase vectors of the form `phrases`."""

    form: str
    strength: float
    start: float
    end: float
    length: int
    pairs: tuple[BoundPair, ...]
    values: torch.Tensor | None = None


def bind(
    model: Model,
    clip: Clip,
    conditioning: list,
    prompts: Sequence[str],
    *,
    own: str = "",
    form: str = "mix",
    strength: float = 0.5,
    start_percent: float = 0.0,
    end_percent: float = 1.0,
) -> tuple[object, list, str]:
    """(model, conditioning, report). Entries are recognised by encoding `prompts` again: only an entry that is one of
    them is bound; the report says what was bound and what was not. Strength 0 gives back what came in.

    Raises ValueError when the model has no text attention, when no entry is one of the prompts, or when no pair was
    found.
    """
    if form not in FORMS:
        raise ValueError(f"Form {form!r} is unknown; expected one of {', '.join(FORMS)}.")
    if not _text_blocks(run_patches.unet_of(model, "Bind Attributes")):
        raise ValueError(
            "This model has no attention to text, so there is nothing to bind; use a text-to-image checkpoint."
        )
    start, end = run_patches.window(model, start_percent, end_percent)
    known = [(prompt, prompt_tokens.encode(clip, prompt)) for prompt in dict.fromkeys(prompts)]
    _check_own(own, prompts)
    bound, lines = [], []
    for number, (tensor, values) in enumerate(conditioning, 1):
        prompt = next((text for text, vectors in known if _same(vectors, tensor)), None)
        if prompt is None:
            lines.append(f"entry {number}: not made from any of these prompts, left alone")
            bound.append([tensor, values])
            continue
        tokens = prompt_tokens.tokens_of(clip, prompt)
        pairs = _bound_pairs(tokens, own, tensor.shape[1])
        lines.append(f"entry {number}: {prompt}")
        lines += [f"  {pair.label}   tokens {_list(pair.modifiers)} → {_list(pair.noun)}" for pair in pairs] or [
            "  no pair"
        ]
        vectors = _phrase_values(clip, tokens, own, tensor) if form == "phrases" and pairs else None
        binding = Binding(form, strength, start, end, tensor.shape[1], pairs, vectors)
        bound.append([tensor, {**values, KEY: (*values.get(KEY, ()), binding)} if pairs else values])
    if all(line.endswith("left alone") for line in lines):
        raise ValueError(
            "None of the conditioning entries was made from the given text by this CLIP; connect "
            "the text (or the timetable) "
            "and the CLIP that made them, and bind before nodes that mix conditionings."
        )
    if all(KEY not in values for _, values in bound):
        raise ValueError("No attribute pair was found; write your own, one a line, as `red lace: cuff`.")
    if strength == 0:
        return model, conditioning, "\n".join(["strength 0: nothing is bound", *lines])
    model = model.clone()
    model.remove_wrappers_with_key(run_patches.RUN, KEY)
    run_patches.add_run_wrapper(model, KEY, _prepare)
    return model, bound, "\n".join([f"{form}, strength {strength:g}", *lines])


def prompts_of(timetable: Timetable) -> list[str]:
    """Every text that a timetable has the host encode, in both spellings of literal brackets."""
    texts = [stage.text for stage in timetable.stages]
    return [*texts, *(literal_brackets(text) for text in texts)] if timetable.literal else texts


def bindings_of_run(guider: Guider) -> dict:
    """Bindings by the uuid that the host gave each conditioning entry of this run."""
    return {
        entry["uuid"]: entry[KEY]
        for name, entries in guider.conds.items()
        for entry in entries or ()
        if KEY in entry and name != "negative"
    }


def _prepare(guider, sigmas, options) -> None:
    bindings = bindings_of_run(guider)
    forms = {binding.form for entry in bindings.values() for binding in entry}
    if "mix" in forms:
        for place in _text_blocks(guider.inner_model.diffusion_model):
            run_patches.wrap_attention(options, "attn2", place, lambda previous: _mixing(previous, bindings))
    if "phrases" in forms:
        patches = options["transformer_options"].setdefault("patches", {})
        patches["attn2_patch"] = [*patches.get("attn2_patch", ()), _phrasing(bindings)]
    if "guidance" in forms:
        bind_guidance.install(guider, options, bindings)


def _mixing(previous, bindings):
    def attention(q, k, v, extra_options):
        out = previous(q, k, v, extra_options)
        copied = False
        for rows, binding in active(bindings, extra_options, q.shape[0], "mix"):
            copies = repetitions(binding.length, k.shape[1])
            groups = [
                [i + copy * binding.length for copy in range(copies) for i in pair.rows] for pair in binding.pairs
            ]
            change = bundle_change(q[rows], k[rows], v[rows], extra_options["n_heads"], groups, binding.strength)
            if not copied:
                out, copied = out.clone(), True
            out[rows] += change.to(out.dtype)
        return out

    return attention


def _phrasing(bindings):
    def patch(q, context, value, extra_options):
        copied = False
        for rows, binding in active(bindings, extra_options, value.shape[0], "phrases"):
            copies = repetitions(binding.length, value.shape[1])
            touched = sorted({i for pair in binding.pairs for i in pair.rows})
            if not copied:
                value, copied = value.clone(), True
            vectors = binding.values[:, touched].to(value)
            for copy in range(copies):
                places = [i + copy * binding.length for i in touched]
                value[rows, places] = torch.lerp(value[rows][:, places], vectors, binding.strength)
        return q, context, value

    return patch


def active(
    bindings: Sequence[Binding], extra_options: dict, row_count: int, form: str
) -> Iterator[tuple[Binding, slice]]:
    """(slice of rows, binding) for every chunk of this model call that has a binding of this form at this sigma."""
    size = run_patches.chunk_rows(extra_options, row_count)
    for chunk, uuid in enumerate(extra_options["uuids"]):
        for binding in bindings.get(uuid, ()):
            if binding.form == form and run_patches.in_window(extra_options, binding.start, binding.end):
                yield slice(chunk * size, (chunk + 1) * size), binding


def repetitions(length: int, tokens: int) -> int:
    """How often the host repeated the entry's rows to match a longer prompt in the same call."""
    if tokens % length:
        raise ValueError(
            f"Bind Attributes cannot tell the words apart: the model reads {tokens} text tokens where the prompt "
            f"has {length}; "
            "another node adds tokens to the text. Bind without that node."
        )
    return tokens // length


def _text_blocks(unet) -> list[tuple[str, int, int]]:
    return [place for place, block in run_patches.transformer_blocks(unet) if hasattr(block.attn2, "to_q")]


def _same(vectors: torch.Tensor, tensor: torch.Tensor) -> bool:
    """Whether a conditioning tensor is this encoding, whole or cut to its first rows."""
    vectors = vectors[:, : tensor.shape[1]]
    return vectors.shape == tensor.shape and torch.allclose(vectors.to(tensor), tensor, rtol=1e-3, atol=1e-4)


def _check_own(own: str, prompts: Sequence[str]) -> None:
    """Every line must be well formed and be said by one of the prompts at least."""
    for found in zip(*(pairs_of_lines(own, prompt) for prompt in dict.fromkeys(prompts))):
        if all(isinstance(pair, ValueError) for pair in found):
            raise found[-1]


def _pairs(prompt: str, own: str) -> list[Pair]:
    """The pairs of one prompt: the parser's, or, of the person's own lines, those that this stage of a schedule
    says."""
    if not own.strip():
        return find_pairs(prompt)
    return [pair for pair in pairs_of_lines(own, prompt) if not isinstance(pair, ValueError)]


def _pairs_with_spans(tokens: prompt_tokens.PromptTokens, own: str) -> list[tuple[Pair, list[list[int]]]]:
    """Every pair of the prompt with the rows of its words, modifiers first."""
    pairs = checked_items(_pairs(tokens.prompt, own), "text", "pairs of words and noun")
    words = [word for pair in pairs for word in (*pair.modifiers, *pair.noun)]
    spans = iter(token_spans(words, tokens.prompt, tokens.pieces))
    return [(pair, [next(spans) for _ in (*pair.modifiers, *pair.noun)]) for pair in pairs]


def _bound_pairs(tokens: prompt_tokens.PromptTokens, own: str, length: int) -> tuple[BoundPair, ...]:
    """The pairs that stand whole within the first `length` rows."""
    bound = []
    for pair, spans in _pairs_with_spans(tokens, own):
        count = len(pair.modifiers)
        modifiers = tuple(i for span in spans[:count] for i in span)
        noun = tuple(i for span in spans[count:] for i in span)
        if max(*modifiers, *noun) < length:
            bound.append(BoundPair(str(pair), modifiers, noun))
    return tuple(bound)


def _phrase_values(clip, tokens: prompt_tokens.PromptTokens, own: str, tensor: torch.Tensor) -> torch.Tensor:
    """The entry's vectors with every pair's rows taken from its phrase encoded alone, with the words' own weights."""
    values = tensor.clone()
    for pair, spans in _pairs_with_spans(tokens, own):
        comfy.model_management.throw_exception_if_processing_interrupted()
        words = (*pair.modifiers, *pair.noun)
        phrase = " ".join(f"({word.text}:{tokens.weights[span[0]]:g})" for word, span in zip(words, spans))
        alone = prompt_tokens.tokens_of(clip, phrase)
        own_words = [w for p in own_pairs(_as_line(pair), phrase) for w in (*p.modifiers, *p.noun)]
        vectors = prompt_tokens.encode(clip, phrase)
        for span, source in zip(spans, token_spans(own_words, phrase, alone.pieces)):
            if max(span) < tensor.shape[1] and len(span) == len(source):
                values[:, span] = vectors[:, source].to(values)
    return values


def _as_line(pair: Pair) -> str:
    return f"{' '.join(word.text for word in pair.modifiers)}: {pair.noun_text}"


def _list(rows: Sequence[int]) -> str:
    return ", ".join(str(row) for row in rows)
