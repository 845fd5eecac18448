"""How UniFashion prepares pictures and words for its Q-Former."""

from __future__ import annotations

import re

MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
# TargetPad: beyond this ratio of sides the shorter one is filled with black before the centre cut.
PAD_RATIO = 1.25
MOST_WORDS, MOST_TOKENS = 50, 64


def clean_text(text: str) -> str:
    """Lower case, punctuation to spaces, at most 50 words."""
    words = re.sub(r"[.!\"()*#:;~]", " ", text.lower()).split()
    return " ".join(words[:MOST_WORDS])
