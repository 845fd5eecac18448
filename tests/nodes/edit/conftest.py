"""Edit Part itself."""

import pytest


@pytest.fixture(scope="module")
def edit(host):
    import atelier.nodes.edit as module

    return module.EditPart()
