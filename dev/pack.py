"""Import the pack outside the host under the fixed name `atelier` (its folder may be called anything)."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def register() -> None:
    """Make `import atelier...` work in this process. The host loads the pack by path, tests and tools by this name."""
    if "atelier" in sys.modules:
        return
    spec = spec_from_file_location("atelier", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    module = module_from_spec(spec)
    sys.modules["atelier"] = module
    spec.loader.exec_module(module)
