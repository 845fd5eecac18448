"""Windows in the host: exactly one stage at each model call, for every scheduler, step count and kind of model."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from atelier.craft.prompt import timetable as craft
from atelier.craft.prompt.prompt_text import parse_attributes
from atelier.models.hierafashdiff import schedules


class Patcher:
    """What the windows ask of a MODEL: the host's own model sampling object."""

    def __init__(self, model_sampling):
        self.model_sampling = model_sampling

    def get_model_object(self, name):
        assert name == "model_sampling"
        return self.model_sampling


def sampling_of(kind):
    from comfy import model_sampling as ms

    def settings(**values):
        return SimpleNamespace(sampling_settings=values)

    return {
        "sd15": lambda: ms.ModelSamplingDiscrete(),
        "zero terminal snr": lambda: ms.ModelSamplingDiscrete(zsnr=True),
        "flow": lambda: ms.ModelSamplingDiscreteFlow(settings(shift=3.0)),
        "flow without shift": lambda: ms.ModelSamplingDiscreteFlow(),
        "flux": lambda: ms.ModelSamplingFlux(),
        "edm": lambda: ms.ModelSamplingContinuousEDM(),
        "cascade": lambda: ms.StableCascadeSampling(),
    }[kind]()


@pytest.fixture
def timetable():
    lines = "Long\nLong Sleeve\nPuffed Sleeve\nV-Neck\nRuffle Hem\nred"
    return craft.build("Dress, Elegant", parse_attributes(lines))


def gate(host_samplers, windows, sigma):
    """Which entries the host's own gate lets through at a sigma."""
    x, timestep = torch.zeros(1, 1, 1, 1), torch.tensor([sigma], dtype=torch.float32)
    entry = {"model_conds": {}, "uuid": 0}
    return [
        i
        for i, (start, end) in enumerate(windows)
        if host_samplers.get_area_and_mult({**entry, "timestep_start": start, "timestep_end": end}, x, timestep)
        is not None
    ]


KINDS = ("sd15", "zero terminal snr", "flow", "flow without shift", "flux")


@pytest.mark.parametrize("kind", KINDS)
def test_one_stage_at_every_step_of_every_scheduler(host, timetable, kind):
    """9 schedulers x 1..200 steps. The comparison is the host's, vectorised; near borders the host's own gate is
    asked.
    """
    samplers = host.comfy.samplers
    from atelier.host.prompt import prompt_windows

    model_sampling = sampling_of(kind)
    windows = prompt_windows.resolved(timetable, Patcher(model_sampling)).windows
    assert len(windows) == 7
    found = set()
    for scheduler in samplers.SCHEDULER_NAMES:
        for steps in range(1, 201):
            if scheduler == "kl_optimal" and steps == 1:
                continue  # the host divides by steps - 1 there and gives no finite sigma
            sigmas = samplers.calculate_sigmas(model_sampling, scheduler, steps)
            found.update(sigmas[:-1].tolist())
    sigmas = torch.tensor(sorted(s for s in found if math.isfinite(s)), dtype=torch.float32)
    active = torch.stack([(sigmas <= start) & (sigmas >= end) for start, end in windows]).sum(0)
    assert len(sigmas) > 3000 and active.eq(1).all(), sigmas[active != 1]
    # Without a MODEL the host's percents stand in: their borders are shared, but lie between all steps.
    shared = [
        float(model_sampling.percent_to_sigma(prompt_windows.border_percent(stop.stop)))
        for stop in timetable.stages[:-1]
    ]
    assert not torch.isin(sigmas, torch.tensor(shared)).any()
    borders = torch.tensor([start for start, _ in windows[1:]])
    near = (sigmas[:, None] / borders - 1).abs().amin(1) < 2e-4
    for sigma in torch.cat([sigmas[near], sigmas[::997]]).tolist():
        assert len(gate(samplers, windows, sigma)) == 1


@pytest.mark.parametrize("kind", [*KINDS, "edm", "cascade"])
def test_neighbours_are_one_float32_step_apart(host, timetable, kind):
    from atelier.host.prompt import prompt_windows

    windows = prompt_windows.resolved(timetable, Patcher(sampling_of(kind))).windows
    for (_, end), (start, _) in itertools.pairwise(windows):
        assert np.float32(start) == start and np.nextafter(np.float32(start), np.float32(np.inf)) == end
        assert gate(host.comfy.samplers, windows, start) != gate(host.comfy.samplers, windows, end)
        assert len(gate(host.comfy.samplers, windows, start)) == len(gate(host.comfy.samplers, windows, end)) == 1


def test_the_hosts_percents_do_count_borders_twice(host, timetable):
    """The control: with plain percents the same check fails."""
    model_sampling = sampling_of("sd15")
    percents = [0.0, *(1 - b / 999 for b in schedules.PROMPT_BORDERS), 1.0]
    windows = [
        (model_sampling.percent_to_sigma(a), model_sampling.percent_to_sigma(b))
        for a, b in itertools.pairwise(percents)
    ]
    assert len(gate(host.comfy.samplers, windows, float(model_sampling.sigma(torch.tensor(900.0))))) == 2


def test_the_stage_of_every_timestep_is_the_published_one(host):
    from atelier.host.prompt import prompt_windows

    caption = "Dress,Elegant,Party,Slimming,Drape Feeling,Long,Sleeveless,Regular Sleeve,V-Neck,Ruffle Hem, more "
    timetable = craft.build(caption, (), join="published caption")
    model_sampling = sampling_of("sd15")
    windows = prompt_windows.resolved(timetable, Patcher(model_sampling)).windows
    for t in range(1000):
        sigma = float(model_sampling.sigmas[t])
        (stage,) = gate(host.comfy.samplers, windows, sigma)
        assert timetable.stages[stage].text == schedules.prompt_at(caption, t), t


def test_a_flow_border_is_a_fraction_of_the_models_time_axis(host):
    from atelier.host.prompt import prompt_windows

    for kind in ("flow", "flow without shift", "flux"):
        model_sampling = sampling_of(kind)
        for level in schedules.PROMPT_BORDERS:
            on_border = model_sampling.percent_to_sigma(1 - level / 1000)
            border = prompt_windows.border_sigma(model_sampling, level)
            assert border < np.float32(on_border) and border == pytest.approx(on_border, rel=2e-6), (
                "a step on the border is above it"
            )


@pytest.mark.filterwarnings("ignore:Should have", "ignore:To copy construct")
def test_intermediate_sigmas_of_second_order_samplers(host, timetable):
    """heun and dpm_2 call the model between the steps; the stage follows each call's own sigma."""
    from atelier.host.prompt import prompt_windows

    samplers = host.comfy.samplers
    for kind in ("sd15", "flow"):
        model_sampling = sampling_of(kind)
        windows = prompt_windows.resolved(timetable, Patcher(model_sampling)).windows
        for name in ("heun", "dpm_2", "dpmpp_2s_ancestral", "dpmpp_sde", "dpm_adaptive", "heunpp2"):
            calls = []

            class Model:
                inner_model = SimpleNamespace(
                    inner_model=SimpleNamespace(model_sampling=model_sampling), model_patcher=Patcher(model_sampling)
                )

                def __call__(self, x, sigma, calls=calls, **extra):
                    calls.append(float(sigma[0]))
                    return x * 0.5

            sigmas = samplers.calculate_sigmas(model_sampling, "sgm_uniform", 10)
            x = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(1))
            samplers.ksampler(name).sampler_function(
                Model(), x, sigmas, extra_args={"seed": 1}, callback=None, disable=True
            )
            between = set(calls) - set(sigmas.tolist())
            assert between or name.startswith("heun")  # heun evaluates at the next step's own sigma
            assert all(len(gate(samplers, windows, sigma)) == 1 for sigma in calls), (kind, name)


def test_without_a_model_the_percents_give_the_right_stage(host, timetable):
    """Percents of the reference: right for every integer timestep; the border itself stays shared, as the host has
    it.
    """
    from atelier.host.prompt import prompt_windows

    model_sampling = sampling_of("sd15")
    for level in schedules.PROMPT_BORDERS:
        sigma = model_sampling.percent_to_sigma(prompt_windows.border_percent(level))
        assert float(model_sampling.sigmas[level - 1]) < sigma < float(model_sampling.sigmas[level])
    assert prompt_windows.border_percent(900) == pytest.approx(0.0996006, abs=1e-7)


def test_restrict_keeps_a_window_that_is_there(host):
    from atelier.host.prompt.prompt_windows import restrict

    model = Patcher(sampling_of("sd15"))
    plain = [[torch.zeros(1, 154, 8), {"pooled_output": torch.ones(1, 3)}]]
    (first,) = restrict(plain, 900, 500, model, first_chunk=True)
    assert (
        first[0].shape == (1, 77, 8) and first[1]["pooled_output"].eq(1).all() and "timestep_start" not in plain[0][1]
    )
    (second,) = restrict([first], 1000, 700, model)
    assert (
        second[1]["timestep_start"] == first[1]["timestep_start"]
        and second[1]["timestep_end"] > first[1]["timestep_end"]
    )
    with pytest.raises(ValueError, match="never active"):
        restrict([first], 400, 100, model)
    with pytest.raises(ValueError, match="empty"):
        restrict(plain, 400, 400, model)
    (hooked,) = restrict([[plain[0][0], {"clip_start_percent": 0.0, "clip_end_percent": 0.3}]], 900, 500, model)
    assert set(hooked[1]) == {"timestep_start", "timestep_end"}, (
        "the host would overwrite the window by the hook's percents"
    )
    assert hooked[1]["timestep_end"] == pytest.approx(model.model_sampling.percent_to_sigma(0.3))
    (percent,) = restrict(restrict(plain, 900, 500), 800, 0)
    assert 0.19 < percent[1]["start_percent"] < 0.21 and 0.49 < percent[1]["end_percent"] < 0.51
    with pytest.raises(ValueError, match="connect the MODEL"):
        restrict([first], 900, 500)


def test_levels_of_sigmas(host):
    from atelier.host.prompt.prompt_windows import levels_of

    discrete, flow = sampling_of("sd15"), sampling_of("flow")
    assert levels_of(discrete, discrete.sigmas[[999, 500, 0]]) == [999, 500, 0]
    sigmas = torch.tensor([flow.percent_to_sigma(p) for p in (0.1, 0.5, 0.9)])
    assert levels_of(flow, sigmas) == pytest.approx([900, 500, 100], abs=0.01)


def test_borders_too_close_for_a_model_are_refused(host):
    from atelier.host.prompt.prompt_windows import windows

    with pytest.raises(ValueError, match="too short"):
        windows(sampling_of("sd15"), [0.2, 0.1, 0.0])
