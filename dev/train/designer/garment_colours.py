"""Does every garment of a guess have its colours? Their mean, or their whole distribution, held to the true one.

The error of a latent at high noise levels is mostly where things end, which no prompt tells, and at low ones a pattern
of the right colours in other places is no worse than a blur of them. So plain garments were drawn in their colour (0.93
read right) and the grounds of dotted and flowered ones in a neighbouring one (0.33 and 0.40 of the bottoms). Asked
for here: at high noise levels a garment's mean colour, at lower ones how its pixels' colours are distributed, by the
sliced Wasserstein distance (Rabin et al. 2011; on textures Heitz et al. 2021), which does not ask where they lie. Our
own use; the sources have no such loss.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..latents import PATCH, Latents
from ..layout import garment_edges

SETTLED = 600  # below this timestep a guess shows patterns
DIRECTIONS = torch.tensor(
    [[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [1, -1, 0], [1, 0, -1], [0, 1, -1]]
)  # in RGB; together they weigh every colour alike


def inside(owner: Tensor, labels: Tensor | None) -> Tensor:
    """bool [B,h,w]: cells that show one garment and nothing else. owner: int8 [B,h,w]; labels: as `garment_edges`."""
    whole = owner >= 0
    return whole if labels is None else whole & (garment_edges(labels) == 0)


def colour_error(guess: Tensor, clean: Tensor, owner: Tensor, where: Tensor, t: Tensor, latents: Latents):
    """Mean squared error of the garments' colours, in units of 0..1; None where no garment is seen.

    guess, clean: latents [B,C,h,w]; owner: int8 [B,h,w], the garment that a cell shows; where: bool [B,h,w], the cells
    that count; t: [B], timesteps. Every garment counts alike, however large it is. Of one colour throughout, mean and
    distribution have the same error.
    """
    made, true = (latents.decode(x).unflatten(2, (-1, PATCH)).unflatten(4, (-1, PATCH)) for x in (guess, clean))
    errors = []
    for row in range(len(guess)):
        for garment in owner[row][where[row]].unique():
            cells = where[row] & (owner[row] == garment)
            own, wanted = (x[row].permute(1, 3, 0, 2, 4)[cells].movedim(1, 0).flatten(1) for x in (made, true))
            off = (own - wanted).mean(1) if t[row] >= SETTLED else distribution_error(own, wanted)
            errors.append((off**2).mean())
    return torch.stack(errors).mean() if errors else None


def distribution_error(own: Tensor, wanted: Tensor) -> Tensor:
    """[directions, pixels]: by how much colours [3, pixels] differ from others, the least first along each direction,
    scaled so that the same shift of all pixels gives its own mean square.
    """
    directions = DIRECTIONS.to(own) * (len(DIRECTIONS) / DIRECTIONS.square().sum()) ** 0.5
    return (directions @ own).sort(1).values - (directions @ wanted).sort(1).values
