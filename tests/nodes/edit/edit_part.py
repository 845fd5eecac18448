"""Pictures, masks and runs of Edit Part for its tests."""

import torch

SIZE = (64, 80)
DEFAULTS = {
    "start": "A3 sleeve type (751)",
    "start_level": 700.0,
    "seed": 1,
    "steps": 6,
    "cfg": 2.0,
    "sampler_name": "euler",
    "scheduler": "normal",
    "grow": 0,
    "feather": 0,
    "soft_mask": False,
    "seam_colour": 0.0,
    "variants": 1,
    "blending": "exact background",
}


def picture(count=1, size=SIZE, seed=0):
    return torch.rand(count, size[1], size[0], 3, generator=torch.Generator().manual_seed(seed))


def box(size=SIZE, rows=(16, 48), cols=(16, 40), count=1, value=1.0):
    mask = torch.zeros(count, size[1], size[0])
    mask[:, rows[0] : rows[1], cols[0] : cols[1]] = value
    return mask


def run(edit, parts, image, mask, **changes):
    latent, result, report = edit.execute(**parts, image=image, mask=mask, **{**DEFAULTS, **changes})["result"]
    return latent["samples"], result, report
