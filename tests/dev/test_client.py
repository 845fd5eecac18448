"""The API client and the demo's runner, against a real host over HTTP and WebSocket."""

import pytest
from atelier.dev.client import Client, GraphRefused
from atelier.dev.demo.demo import Line, run_jobs
from atelier.dev.demo.job import Job, changed


def _graph(color: int = 255) -> dict:
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 24, "height": 16, "batch_size": 1, "color": color},
            "_meta": {"title": "Colour"},
        },
        "2": {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": "client_test"},
            "_meta": {"title": "Result"},
        },
    }


def test_a_run_is_followed_to_its_end(server):
    seen = []
    result = Client(server.url).run(_graph(), lambda event, data: seen.append(event))
    assert result.outputs["2"]["images"][0]["filename"].startswith("client_test")
    assert seen[-1] == "executing" and "executed" in seen


def test_a_refused_graph_says_why(server):
    graph = _graph()
    graph["1"]["inputs"]["width"] = -5
    with pytest.raises(GraphRefused, match=r"EmptyImage.*smaller than min"):
        Client(server.url).run(graph)


def test_jobs_are_spread_over_hosts(server, tmp_path):
    jobs = [Job("colour", changed(_graph(), {"Colour": {"color": 1000 + i}}), str(i)) for i in range(5)]
    run_jobs(jobs, [Client(server.url), Client(server.url)], tmp_path, Line())
    assert all(len(job.pictures) == 1 and job.pictures[0].stat().st_size > 0 for job in jobs)
    assert len({path for job in jobs for path in job.pictures}) == 5


def test_a_failing_job_ends_the_run(server, tmp_path):
    bad = changed(_graph(), {"Colour": {"width": 0}})
    with pytest.raises(GraphRefused):
        run_jobs([Job("bad", bad)], [Client(server.url)], tmp_path, Line())


def test_changes_name_the_nodes_there_are():
    with pytest.raises(KeyError, match="Colour"):
        changed(_graph(), {"Color": {"color": 1}})
    assert changed(_graph(), {"Colour": {"color": 7}})["1"]["inputs"]["color"] == 7
    assert _graph()["1"]["inputs"]["color"] == 255
