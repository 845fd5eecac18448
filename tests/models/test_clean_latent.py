"""The designer's posterior mean: equal to the closed form by brute force, and right at both ends of the noise."""

import torch
from atelier.models.studio.designer.clean_latent import clean_latent, open_spread


def test_it_is_the_mean_of_the_posterior():
    grid = torch.linspace(-12, 12, 20001, dtype=torch.float64)
    for guess, variance, seen, sigma in ((0.3, 0.5, 1.7, 0.8), (-1.0, 2.0, 3.0, 2.5), (0.0, 0.05, -0.4, 0.1)):
        chance = torch.exp(-((grid - guess) ** 2) / (2 * variance) - (seen - grid) ** 2 / (2 * sigma**2))
        expected = (grid * chance).sum() / chance.sum()
        answer = torch.tensor([guess, torch.tensor(variance).log()]).view(1, 2, 1, 1)
        made = clean_latent(answer, torch.full((1, 1, 1, 1), seen), torch.tensor(sigma))
        torch.testing.assert_close(made.item(), expected.item(), rtol=1e-5, atol=1e-5)


def test_without_noise_the_input_counts_and_in_noise_alone_the_guess():
    answer = torch.cat([torch.randn(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)], 1)
    noised = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(clean_latent(answer, noised, torch.tensor(1e-4)), noised, rtol=0, atol=1e-6)
    far = clean_latent(answer, 4519 * noised, torch.tensor(4519.0))
    torch.testing.assert_close(far, answer[:, :3], rtol=0, atol=2e-3)
    sure = torch.cat([answer[:, :3], torch.full_like(noised, -100.0)], 1)  # control: a sure guess lets nothing through
    torch.testing.assert_close(clean_latent(sure, noised, torch.tensor(1.0)), answer[:, :3], rtol=0, atol=1e-4)


def test_it_begins_equally_open_everywhere():
    bias = torch.zeros(8)
    open_spread(bias, 0.3)
    assert torch.equal(bias[:4], torch.zeros(4)) and torch.allclose(bias[4:].exp(), torch.tensor(0.3))
