"""The fixtures themselves: a graph of host nodes runs in process."""


def test_a_graph_runs(run_graph):
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 8, "batch_size": 1, "color": 255}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    assert run_graph(graph).outputs["2"]["images"]
