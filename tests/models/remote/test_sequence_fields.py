"""What a server is told of the images of a request that are a sequence."""

from types import SimpleNamespace

import numpy as np
import pytest

from ppcli.coding.coder_options import CoderOptions
from ppcli.coding.patchset import encode
from ppcli.coding.sequence_options import Direction
from ppcli.errors import UsageError
from ppcli.imaging.image_choices import Fit
from ppcli.models.remote.answering_server import AnsweringServer
from ppcli.models.remote.chat_body import pruning_fields
from ppcli.models.remote.server_check import Pruning, ServerFacts
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.patch_codec import to_patch_row
from ppcli.store.rows import AnswerRow


def test_a_sequence_is_named_only_where_there_is_one() -> None:
    def told(*how: object) -> dict[str, object]:
        return pruning_fields(*how)["mm_processor_kwargs"]["pixelprune"]

    plain = told(CoderOptions())
    assert "sequence" not in plain
    for direction in Direction:
        assert told(CoderOptions(), direction) == plain | {"sequence": direction.value}
    assert told(None, Direction.FORWARD) == {"enabled": False}


def test_a_stored_frame_is_not_sent_without_the_one_before() -> None:
    """Its unchanged tiles would be missing."""
    raster = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    frame = encode(raster, 32, CoderOptions(), before=raster)
    size = (64, 64)
    stored = to_patch_row("b.png", size, size, Fit.PAD, frame, "", reference="a.png")
    facts = ServerFacts("a model", Pruning.BY_REQUEST)
    connection = SimpleNamespace(facts=facts)
    server = AnsweringServer(connection, Direction.FORWARD)
    with pytest.raises(UsageError, match="the frame depends on the one before"):
        server.start(AnswerRow(image_id="b.png"), GenerationRequest("?"), [stored])
