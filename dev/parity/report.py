"""What a parity tool reports: a table of errors against tolerances, the same as JSON, and the exit status."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from ..figures import write_figures


@dataclass
class Report:
    """Worst error of each quantity of each recording, against its tolerance."""

    worst: dict[str, float] = field(default_factory=dict)
    tolerance: dict[str, float] = field(default_factory=dict)

    def compare(self, name: str, got, recorded, tolerance: float) -> None:
        got, recorded = (torch.as_tensor(value, dtype=torch.float64) for value in (got, recorded))
        error = (got - recorded).abs().max().item() if got.shape == recorded.shape else float("inf")
        self.worst[name] = max(self.worst.get(name, 0.0), error if error == error else float("inf"))
        self.tolerance[name] = tolerance

    def count(self, name: str, differences: int) -> None:
        """A check that must be exact: the number of differences."""
        self.compare(name, float(differences), 0.0, 0.0)

    def relative(self, name: str, got: torch.Tensor, recorded: torch.Tensor, tolerance: float) -> None:
        """As `compare`, for values above 1 in shares of the largest recorded one."""
        scale = max(1.0, float(recorded.abs().max()))
        self.compare(name, got / scale, recorded / scale, tolerance)

    def show(self, json_path: str | None) -> int:
        """Print the table. Returns 1 when a tolerance is passed or nothing was compared."""
        width = max(map(len, self.worst), default=10)
        print(f"{'quantity':{width}}  {'worst':>10}  {'tolerance':>9}")
        for name, error in self.worst.items():
            print(
                f"{name:{width}}  {error:10.2e}  {self.tolerance[name]:9.0e}  "
                f"{'ok' if error <= self.tolerance[name] else 'FAIL'}"
            )
        failed = [name for name, error in self.worst.items() if error > self.tolerance[name]]
        print(f"{len(self.worst) - len(failed)} of {len(self.worst)} within tolerance")
        write_figures(json_path, self.worst)
        return 1 if failed or not self.worst else 0
