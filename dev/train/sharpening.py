"""What makes results crisp: a small patch discriminator that tells made pictures from true ones, and its features.

Squared and absolute errors are lowest for the mean of everything that a picture could be, which is soft. That does not
fool a discriminator. Hinge loss (Lim and Ye 2017), patches (Isola et al. 2017), feature matching (Wang et al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...models.studio.autoencoder import VAE_SCALE
from .latents import PATCH
from .picture_loss import picture_loss


class PatchDiscriminator(nn.Module):
    """[B,3,H,W] in 0..1 -> [three layers' features, score [B,1,H/8,W/8]]: true (> 0) or made; one sees 54 pixels."""

    def __init__(self, widths: tuple[int, int, int] = (32, 64, 96)):
        super().__init__()
        first, second, third = widths
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(3, first, 4, 2, 1),
                nn.Conv2d(first, second, 4, 2, 1),
                nn.Conv2d(second, third, 4, 2, 1),
                nn.Sequential(nn.Conv2d(third, third, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(third, 1, 3, 1, 1)),
            ]
        )

    def forward(self, picture: Tensor) -> list[Tensor]:
        found, x = [], picture * 2 - 1
        for layer in self.layers:
            x = layer(x)
            if layer is not self.layers[-1]:
                x = F.leaky_relu(x, 0.2)
            found.append(x)
        return found

    def frozen(self, picture: Tensor) -> list[Tensor]:
        """The same without a gradient for the discriminator's own weights."""
        return torch.func.functional_call(self, {name: p.detach() for name, p in self.named_parameters()}, (picture,))


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum() / where.sum().clamp(min=1)


def discriminator_loss(discriminator: PatchDiscriminator, made: Tensor, true: Tensor, where: Tensor) -> Tensor:
    """Hinge loss on the patches in `where` [B,1,H/8,W/8]."""
    real, fake = discriminator(true.detach())[-1].float(), discriminator(made.detach())[-1].float()
    return _mean(F.relu(1 - real), where) + _mean(F.relu(1 + fake), where)


def sharpening_gradient(
    discriminator: PatchDiscriminator, made: Tensor, true: Tensor, where: Tensor, shares: tuple[float, float, float]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The direction [B,3,H,W] that a made picture is pushed along, of unit length, and the three losses.

    shares: of picture loss, feature matching and adversarial loss. Each one's gradient is brought to unit length before
    they are mixed, so that a share means the same at every step.
    """
    made = made.detach().float().requires_grad_()
    with torch.enable_grad():
        features = discriminator.frozen(made)
        with torch.no_grad():
            wanted = discriminator(true)
        pairs = [(a.float(), b.float()) for a, b in zip(features[:-1], wanted[:-1])]
        matching = sum((a - b).abs().mean() / b.abs().mean() for a, b in pairs)
        fooled = -_mean(features[-1].float(), where)
        losses = {"picture": picture_loss(made, true.float()), "matching": matching, "fooled": fooled}
        total = torch.zeros_like(made)
        for share, loss in zip(shares, losses.values()):
            if share:
                (gradient,) = torch.autograd.grad(loss, made, retain_graph=True)
                total += share * gradient / gradient.norm().clamp(min=1e-12)
    return total / total.norm().clamp(min=1e-12), {name: loss.detach() for name, loss in losses.items()}


@dataclass(frozen=True)
class SharpeningRecipe:
    strength: float = 0.5  # length of the push on the latents over that of the squared error's gradient
    shares: tuple[float, float, float] = (0.5, 0.5, 0.5)  # picture loss, feature matching, adversarial
    crop: int = 16  # latent cells a side
    warm_up: int = 60  # steps in which the discriminator learns before it is asked
    lr: float = 1e-3


class Sharpening:
    """A push on one-step latents towards pictures that the discriminator takes for round trips of true ones.

    The decoder is the shipped one and stays as it is. True pictures go through it too: what it cannot draw is not asked
    for. The discriminator learns beside, with an optimizer of its own; `state_dict` holds both for a resumed run.
    """

    def __init__(self, decoder: nn.Module, recipe: SharpeningRecipe = SharpeningRecipe()):
        self.decoder, self.recipe, self.steps = decoder, recipe, 0
        self.discriminator = PatchDiscriminator()
        self.optimizer = torch.optim.Adam(self.discriminator.parameters(), recipe.lr, betas=(0.5, 0.99))

    def __call__(
        self,
        made: Tensor,
        clean: Tensor,
        mask: Tensor,
        error: Tensor,
        generator: torch.Generator,
        own: bool = False,
    ) -> tuple[Tensor, dict]:
        """(a loss whose gradient on `made` is the push, what it measured); the discriminator takes a step.

        made, clean: [B,C,h,w]; mask: [B,1,8h,8w] 0/1; error: [B,C,h,w], gradient of the latent loss on `made`. own:
        `made` has led itself there, so that `clean` is another picture of the same: only the discriminator is asked.
        """
        size = min(self.recipe.crop, *made.shape[2:])
        top, left = (int(torch.randint(n - size + 1, (1,), generator=generator)) for n in made.shape[2:])

        def cut(x: Tensor, scale: int = 1) -> Tensor:
            return x[..., scale * top : scale * (top + size), scale * left : scale * (left + size)]

        touched = F.max_pool2d(cut(mask, PATCH), PATCH)
        if not touched.any():
            return made.sum() * 0, {}
        for network in (self.decoder, self.discriminator):
            network.to(made.device)
        with torch.enable_grad():
            latent = (cut(made) * touched + cut(clean) * (1 - touched)).detach().requires_grad_()
            picture = self.decoder(latent * VAE_SCALE).float()
        with torch.no_grad():
            true = self.decoder(cut(clean) * VAE_SCALE).float()
        self.optimizer.zero_grad()
        judged = discriminator_loss(self.discriminator, picture, true, touched)
        judged.backward()
        self.optimizer.step()
        self.steps += 1
        picture_share, matching_share, adversarial_share = self.recipe.shares
        paired = (0.0, 0.0) if own else (picture_share, matching_share)
        shares = (*paired, adversarial_share if self.steps > self.recipe.warm_up else 0.0)
        push, measured = sharpening_gradient(self.discriminator, picture, true, touched, shares)
        (push,) = torch.autograd.grad(picture, latent, push.to(picture.dtype))
        push = push * touched
        length = (cut(error) * touched).norm() / push.norm().clamp(min=1e-12)
        loss = (cut(made) * (self.recipe.strength * length * push).detach()).sum()
        return loss, {**measured, "judged": judged.detach()}

    def state_dict(self) -> dict:
        held = {"discriminator": self.discriminator, "optimizer": self.optimizer}
        return {name: part.state_dict() for name, part in held.items()} | {"steps": self.steps}

    def load_state_dict(self, state: dict) -> None:
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps = state["steps"]
