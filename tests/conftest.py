"""The pack under the name `atelier`, and the real host: in this process and as a server."""

import asyncio
import importlib
import os
import sys
import uuid
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _register_pack() -> None:
    spec = spec_from_file_location("atelier_pack_alias", ROOT / "dev" / "pack.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.register()


_register_pack()

import torch  # noqa: E402

torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "2"))))


@pytest.fixture(scope="session")
def drawn_street():
    """The module that writes a tiny Clothing Co-Parsing of drawn pictures."""
    spec = spec_from_file_location("drawn_street", ROOT / "tests" / "drawn_street.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def host_folder() -> Path:
    from atelier.dev.setup.host_files import find_host

    return find_host(ROOT)


@pytest.fixture(scope="session")
def host(host_folder, tmp_path_factory):
    """The host's modules, importable in this process: comfy, nodes, folder_paths, execution."""
    from atelier.dev.setup.host_in_process import enter

    base = tmp_path_factory.mktemp("host")
    enter(host_folder, base)
    modules = {name: importlib.import_module(name) for name in ("comfy", "nodes", "folder_paths", "execution")}
    for name in ("comfy.sd", "comfy.sample", "comfy.samplers", "comfy.model_management"):
        importlib.import_module(name)
    return SimpleNamespace(base=base, **modules)


class _Listener:
    """What a PromptExecutor needs of the server; keeps every event for the test to look at."""

    def __init__(self):
        self.client_id, self.last_node_id, self.last_prompt_id, self.sockets_metadata = None, None, None, {}
        self.events: list[tuple[str, dict]] = []

    def send_sync(self, event, data, sid=None):
        self.events.append((event, data))

    def queue_updated(self):
        pass


@pytest.fixture(scope="session")
def executor_host(host):
    """The host with all of its own nodes and the pack's, and an event loop for validation."""
    loop = asyncio.new_event_loop()
    import server

    server.PromptServer(loop)
    loop.run_until_complete(host.nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
    import atelier.nodes

    host.nodes.NODE_CLASS_MAPPINGS.update(atelier.nodes.NODE_CLASS_MAPPINGS)
    yield SimpleNamespace(host=host, loop=loop)
    loop.close()


class GraphRun:
    """Runs API prompts one after another through one executor, so that the host's cache lives on between them."""

    def __init__(self, host, loop):
        self.host, self.loop, self.listener = host, loop, _Listener()
        execution = host.execution
        self.executor = execution.PromptExecutor(
            self.listener,
            cache_type=execution.CacheType.CLASSIC,
            cache_args={"lru": 0, "ram": 0.0, "ram_inactive": 0.0},
        )

    def validate(self, prompt: dict):
        return self.loop.run_until_complete(self.host.execution.validate_prompt(str(uuid.uuid4()), prompt, None))

    def __call__(self, prompt: dict) -> SimpleNamespace:
        """Validate and run; returns ui outputs by node id and the events. Raises AssertionError with the host's
        message.
        """
        valid, error, outputs, node_errors = self.validate(prompt)
        assert valid and not node_errors, f"the host refused the graph: {error} {node_errors}"
        self.listener.events.clear()
        prompt_id = str(uuid.uuid4())
        self.executor.execute(prompt, prompt_id, {}, outputs)
        if not self.executor.success:
            failed = [data for event, data in self.executor.status_messages if event == "execution_error"]
            raise AssertionError(failed[0]["exception_message"] if failed else "the run was interrupted")
        history = self.executor.history_result
        return SimpleNamespace(outputs=history["outputs"], events=list(self.listener.events))


@pytest.fixture
def run_graph(executor_host):
    return GraphRun(executor_host.host, executor_host.loop)


@pytest.fixture(scope="session")
def server(host_folder, tmp_path_factory):
    """A real host process with the pack in its custom_nodes, driven over HTTP and WebSocket."""
    from atelier.dev.setup.host_process import HostProcess

    with HostProcess(host_folder, ROOT, tmp_path_factory.mktemp("server"), python=sys.executable) as process:
        yield process


LEFT_OUT = pytest.StashKey[int]()
# What --fast leaves out, beside tests marked `slow` and those of a host process (the fixture `server`).
SLOW_FOLDERS = {
    "dev": "training, benches, parity and set-up",
    "host": "networks that the host samples",
    "nodes": "graphs through the host's executor",
    "web": "pages in a browser",
}


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="also run the tests marked `long`")
    parser.addoption("--fast", action="store_true", help="only what is done within a minute: no tests of "
                     + ", of ".join(SLOW_FOLDERS.values()) + ", none marked `slow`")  # fmt: skip


def pytest_configure(config):
    if config.getoption("--all") and config.getoption("--fast"):
        raise pytest.UsageError("--all and --fast exclude each other: give one of them.")


def is_fast(item) -> bool:
    folder = item.path.relative_to(ROOT / "tests").parts[0]
    return folder not in SLOW_FOLDERS and "server" not in item.fixturenames and not item.get_closest_marker("slow")


def pytest_collection_modifyitems(config, items):
    chosen = [item for item in items if config.getoption("--all") or not item.get_closest_marker("long")]
    if config.getoption("--fast"):
        slow = [item for item in chosen if not is_fast(item)]
        config.stash[LEFT_OUT] = len(slow)
        chosen = [item for item in chosen if is_fast(item)]
    if len(chosen) < len(items):
        kept = set(chosen)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = chosen


def pytest_terminal_summary(terminalreporter, config):
    if config.stash.get(LEFT_OUT, 0):
        terminalreporter.line(f"--fast left out {config.stash[LEFT_OUT]} tests; `python dev.py test` runs them too.")
