"""Pose Schedule against the host's own Apply ControlNet, in runs of its sampler with tiny networks."""

from types import SimpleNamespace

import pytest
import torch
from atelier.tests.nodes.prompt.prompt_networks import prompts, sample, tiny_control_net, tiny_model


@pytest.fixture
def pose_run(host):
    import comfy.samplers

    model = tiny_model("sd15")
    positive, negative, _, _ = prompts("sd15", model)
    pose = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(4))
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 10)
    return SimpleNamespace(
        model=model, positive=positive, negative=negative, pose=pose, net=tiny_control_net(), sigmas=sigmas, host=host
    )


def controlled(run, pose_from=1000.0, guess=False, net=None, pose=None, sigmas=None):
    from atelier.nodes.design import PoseSchedule

    both = PoseSchedule().execute(
        run.positive,
        run.negative,
        net or run.net,
        run.pose if pose is None else pose,
        0.7,
        pose_from,
        guess,
        model=run.model,
    )
    return sample(run.model, *both, run.sigmas if sigmas is None else sigmas)


def test_the_published_pose_schedule_is_the_hosts_plain_control(pose_run):
    apply = pose_run.host.nodes.ControlNetApplyAdvanced()
    plain = apply.apply_controlnet(pose_run.positive, pose_run.negative, pose_run.net, pose_run.pose, 0.7, 0.0, 1.0)
    expected = sample(pose_run.model, *plain, pose_run.sigmas)
    assert torch.equal(controlled(pose_run), expected)
    assert "control" not in pose_run.positive[0][1]
    without = sample(pose_run.model, pose_run.positive, pose_run.negative, pose_run.sigmas)
    black = controlled(pose_run, pose=torch.zeros_like(pose_run.pose))
    assert (expected - without).abs().max() > 1e-3 and (black - without).abs().max() > 1e-3, (
        "a black pose is not the same as no control"
    )


def test_the_disabled_rule_shows_black_above_its_level(pose_run):
    """Only the first of ten steps (t = 999) lies above 950: a run of that step alone is all black, one from the second
    on has no black.
    """
    black = torch.zeros_like(pose_run.pose)
    first = pose_run.sigmas[:2]
    assert torch.equal(controlled(pose_run, 950.0, sigmas=first), controlled(pose_run, pose=black, sigmas=first))
    assert torch.equal(
        controlled(pose_run, 950.0, sigmas=pose_run.sigmas[1:]), controlled(pose_run, sigmas=pose_run.sigmas[1:])
    )
    assert not torch.equal(controlled(pose_run, 950.0), controlled(pose_run))


def test_guess_mode_fades_and_leaves_the_negative_alone(pose_run):
    from atelier.host.prompt.pose_schedule import apply, fading

    positive, negative = apply(pose_run.positive, pose_run.negative, pose_run.net, pose_run.pose, 0.5, guess_mode=True)
    assert all("control" in values for _, values in positive) and all("control" not in values for _, values in negative)
    control = {"output": [torch.ones(1, 2, 2, 2) for _ in range(4)], "middle": [torch.ones(1, 2, 2, 2)]}
    merged = positive[0][1]["control"].control_merge(control, None, None)
    scales = [float(t.mean()) for t in (*merged["output"], *merged["middle"])]
    assert scales == pytest.approx([0.5 * 0.825**k for k in (4, 3, 2, 1, 0)])
    assert (
        positive[0][1]["control"].copy().control_merge is not None
        and type(positive[0][1]["control"].copy()).__name__ == "FadingControl"
    )
    assert (controlled(pose_run, guess=True) - controlled(pose_run)).abs().max() > 1e-3
    with pytest.raises(ValueError, match="needs a ControlNet"):
        fading(object())


def test_controls_chain(pose_run):
    from atelier.host.prompt.pose_schedule import apply

    first = apply(pose_run.positive, pose_run.negative, pose_run.net, pose_run.pose, 0.4, model=pose_run.model)
    second, _ = apply(*first, pose_run.net, pose_run.pose, 0.3, 950.0, model=pose_run.model)
    controls = [values["control"] for _, values in second]
    assert all(control.previous_controlnet is first[0][0][1]["control"] for control in controls)
    assert len({id(control) for control in controls}) == 2, "one copy for the black map, one for the pose"
    assert apply(*first, pose_run.net, pose_run.pose, 0.0) == first
    with pytest.raises(ValueError, match="never be shown"):
        apply(*first, pose_run.net, pose_run.pose, 0.5, 0.0)
