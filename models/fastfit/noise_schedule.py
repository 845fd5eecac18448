"""The noise levels that a FastFit network was trained on, and the timesteps of its published DDPM run.

The published pipeline runs DDPM (Ho et al. 2020, eq. 6-7) over `leading` timesteps with an offset of 1, from
Stable Diffusion 1.5's `scaled_linear` betas. The weights' own `scheduler_config.json`, or the pack's metadata,
overrides each value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

HOST_NAMES = {"linear": "scaled_linear", "sqrt_linear": "linear"}  # the host's names for the same betas
PREDICTIONS = {"epsilon": "epsilon", "eps": "epsilon", "v_prediction": "v", "v": "v"}


@dataclass(frozen=True)
class NoiseSchedule:
    """Names and values as in diffusers' scheduler configs; `prediction` is "epsilon" or "v"."""

    prediction: str = "epsilon"
    beta_schedule: str = "scaled_linear"
    beta_start: float = 0.00085
    beta_end: float = 0.012
    trained_betas: tuple[float, ...] | None = None
    num_train_timesteps: int = 1000
    zsnr: bool = False
    steps_offset: int = 1
    timestep_spacing: str = "leading"
    clip_sample: bool = False
    clip_sample_range: float = 1.0

    @classmethod
    def from_config(cls, config: Mapping) -> NoiseSchedule:
        """Read a `scheduler_config.json` or the pack's metadata; what it does not say keeps the published value.

        Metadata with `linear_start`, `linear_end` calls the betas as the host does. With zero terminal SNR and no
        spacing given, timesteps are `trailing`: the last level, which carries the whole picture there, is never left
        out.
        """
        if "linear_start" in config:
            betas = {"beta_start": config["linear_start"], "beta_end": config.get("linear_end")}
            name = config.get("beta_schedule", "linear")
            config = {**config, **betas, "beta_schedule": HOST_NAMES.get(name, name)}
        prediction = config.get("prediction", config.get("prediction_type", "epsilon"))
        if prediction not in PREDICTIONS:
            raise ValueError(f"The try-on model predicts {prediction!r}; epsilon or v is expected.")
        variance = config.get("variance_type", "fixed_small")
        if variance != "fixed_small":
            raise ValueError(
                f"The try-on model's scheduler config asks for variance_type {variance!r}; only fixed_small is "
                "published."
            )
        trained = config.get("trained_betas")
        values: dict[str, Any] = {
            name: config[name]
            for name in cls.__dataclass_fields__
            if config.get(name) is not None and name not in ("prediction", "trained_betas")
        }
        if "rescale_betas_zero_snr" in config:
            values["zsnr"] = bool(config["rescale_betas_zero_snr"])
        if values.get("zsnr"):
            values.setdefault("timestep_spacing", "trailing")
        return cls(prediction=PREDICTIONS[prediction], trained_betas=tuple(trained) if trained else None, **values)

    def sigmas(self) -> torch.Tensor:
        """sqrt((1 - a_t) / a_t) of every training timestep, ascending, float32 [num_train_timesteps]."""
        alphas = torch.cumprod(1.0 - self._betas(), 0)
        if self.zsnr:
            alphas = _zero_terminal_snr(alphas)
        return ((1.0 - alphas) / alphas).sqrt().float()

    def _betas(self) -> torch.Tensor:
        n, start, end = self.num_train_timesteps, self.beta_start, self.beta_end
        if self.trained_betas:
            return torch.tensor(self.trained_betas, dtype=torch.float64)
        if self.beta_schedule == "scaled_linear":
            return torch.linspace(start**0.5, end**0.5, n, dtype=torch.float64) ** 2
        if self.beta_schedule == "linear":
            return torch.linspace(start, end, n, dtype=torch.float64)
        if self.beta_schedule == "squaredcos_cap_v2":

            def bar(t: float) -> float:
                return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

            return torch.tensor([min(1 - bar((i + 1) / n) / bar(i / n), 0.999) for i in range(n)], dtype=torch.float64)
        raise ValueError(
            f"The try-on model's beta schedule is {self.beta_schedule!r}; scaled_linear, linear or "
            "squaredcos_cap_v2 is expected."
        )

    def timesteps(self, steps: int) -> list[int]:
        """The published run's timesteps, from noisy to clean."""
        n = self.num_train_timesteps
        if not 1 <= steps <= n:
            raise ValueError(f"{steps} steps were asked for; the published run has 1 to {n}.")
        if self.timestep_spacing == "leading":
            return [min(round(i * (n // steps)) + self.steps_offset, n - 1) for i in reversed(range(steps))]
        if self.timestep_spacing == "trailing":
            return [round(n - i * n / steps) - 1 for i in range(steps)]
        if self.timestep_spacing == "linspace":
            return [round(t) for t in torch.linspace(n - 1, 0, steps, dtype=torch.float64).tolist()]
        raise ValueError(
            f"The try-on model's timestep spacing is {self.timestep_spacing!r}; leading, trailing or linspace is "
            "expected."
        )


def _zero_terminal_snr(alphas: torch.Tensor) -> torch.Tensor:
    """Lin et al. 2024, algorithm 1; the last level keeps the smallest value that the host uses in place of 0."""
    root = alphas.sqrt()
    root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
    alphas = root**2
    alphas[-1] = 4.8973451890853435e-08
    return alphas
