"""HieraFashDiff's schedules as its released code has them: prompt C(t), pose M(t), DDIM timesteps, edit starts.

t is the integer training timestep 0..999 (999 = pure noise). Where a value is ours and not published it says
"reconstructed".
"""

from __future__ import annotations

TIMESTEPS = 1000
PROMPT_BORDERS = (900, 800, 710, 630, 560, 500)
CONCEPT_ITEMS = 5
POSE_START = {"published": 1000, "disabled rule": 950}  # the pose map is shown for t < start, a black one above
EDITS = ("A1", "A2", "A3", "A4", "A5")
EDIT_START_INDEX = dict(zip(EDITS, (8, 16, 24, 32, 40)))
EDIT_START_T = dict(
    zip(EDITS, (911, 831, 751, 671, 591))
)  # the published starts at 100 steps, used for any count (reconstructed)
GUESS_MODE_DECAY = 0.825


def prompt_at(caption: str, t: int) -> str:
    """C(t): the first 5..10 comma items, stripped and joined with ','; below t = 500 the caption untouched."""
    for index, border in enumerate(PROMPT_BORDERS):
        if t >= border:
            return ",".join(item.strip() for item in caption.split(",")[: CONCEPT_ITEMS + index])
    return caption


def pose_shown(t: int, rule: str = "published") -> bool:
    """M(t): True where the ControlNet sees the pose map, False where it sees a black one (it runs either way)."""
    return t < POSE_START[rule]


def ddim_timesteps(steps: int) -> list[int]:
    """The timesteps that the published sampler visits, falling, the last one always 1.

    They are 1 + c*k with c = 1000 // steps, so there are often more of them than asked for.
    Raises ValueError for step counts whose list would begin at t = 1000 (the original fails there) or outside 1..1000.
    """
    if not 1 <= steps <= TIMESTEPS:
        raise ValueError(f"steps is {steps}; the published sampler takes 1 to {TIMESTEPS}.")
    stride = TIMESTEPS // steps
    if (TIMESTEPS - 1) % stride == 0:
        raise ValueError(
            f"The published timestep list for {steps} steps begins at t = 1000, which does not exist; "
            "take another number, for example 20, 30, 50 or 100."
        )
    return [t + 1 for t in range(0, TIMESTEPS, stride)][::-1]


def edit_timesteps(attribute: str, steps: int, *, by_index: bool = True) -> list[int]:
    """The timesteps of an edit, falling: where the published start lies and everything after it.

    by_index: skip the first 8, 16, 24, 32, 40 steps for A1..A5, as published (fewer steps then start much later).
    Otherwise begin at the first step with t <= 911, 831, 751, 671, 591 (reconstructed; the same depth at any step
    count).
    Raises ValueError for an unknown attribute or when no step is left.
    """
    if attribute not in EDIT_START_INDEX:
        raise ValueError(f"attribute is {attribute!r}; expected one of {', '.join(EDITS)}.")
    timesteps = ddim_timesteps(steps)
    if not by_index:
        return [t for t in timesteps if t <= EDIT_START_T[attribute]]
    # The original indexes all five starts at once, so that every edit needs a 41st step.
    if len(timesteps) <= EDIT_START_INDEX["A5"]:
        raise ValueError(
            f"The published start needs more than {EDIT_START_INDEX['A5']} steps, and {steps} gives {len(timesteps)}; "
            "raise steps or start by noise level."
        )
    return timesteps[EDIT_START_INDEX[attribute] :]


def guess_mode_scales(strength: float, count: int) -> list[float]:
    """Control scales of guess mode: strength * 0.825^(count-1-i); the last one is the middle block's."""
    return [strength * GUESS_MODE_DECAY ** (count - 1 - i) for i in range(count)]


def picture_size(height: int, width: int, resolution: int = 512) -> tuple[int, int]:
    """(height, width) that the published code resizes a picture to: short side `resolution`, both sides multiples of
    64.

    Halves round to even, as in the original.
    """
    scale = resolution / min(height, width)
    return round(height * scale / 64) * 64, round(width * scale / 64) * 64
