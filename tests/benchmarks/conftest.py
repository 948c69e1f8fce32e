"""What several benchmarks share: networks whose weights are random, because speed does not depend on them."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def random_model():
    """A function from a specification to a network with random weights."""
    from effnet_lab.images import ORIGINAL
    from effnet_lab.models import LoadedModel, build_model

    def build(spec) -> LoadedModel:
        names = tuple(map(str, range(1000)))
        preprocess = ORIGINAL(spec.resolution)
        return LoadedModel(name=spec.name, spec=spec, keras=build_model(spec), preprocess=preprocess, classes=names)

    return build
