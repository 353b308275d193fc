"""A few steps of training: it learns, goes on where it stopped, and gives a checkpoint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen3VLForConditionalGeneration

from ppcli.models.checkpoints.checkpoint_weights import CheckpointWeights
from ppcli.models.families.family_registry import read_config
from ppcli.models.onnx.export import Export
from training.average import main as average
from training.batches import Batch, Stage, batch_of
from training.samples import IMAGE_MEAN, TRAIN
from training.train import Course, Learning, Twin, train, validation, write_checkpoint

pytestmark = pytest.mark.oracle

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def learnt() -> tuple[Learning, Twin, list[float]]:
    """Some steps over the same few pictures, by heart."""
    learning = Learning.fresh(CPU)
    twin = Twin(learning, compiled=False)
    batch = batch_of(TRAIN, range(4), (6, 3), (15, 20))
    losses = []
    for _ in range(24):
        loss, _ = twin.losses(batch, answers=True)
        twin.step(loss, 2e-3)
        losses.append(loss.item())
    return learning, twin, losses


def test_it_learns(learnt) -> None:
    _, _, losses = learnt
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.5 * losses[0]


def test_the_twin_is_the_model_in_half_precision(learnt) -> None:
    learning, twin, _ = learnt
    for own, other in zip(twin._model.parameters(), learning.model.parameters(), strict=True):
        assert torch.equal(own, other.bfloat16())


def test_what_fills_up_teaches_nothing(learnt) -> None:
    """The loss of pictures with few tiles is the same beside one with many."""
    _, twin, _ = learnt
    batch = batch_of(TRAIN, range(4), (6, 3), (15, 20), pruned=True)
    counts = (batch.kept >= 0).sum(1)
    assert counts.min() < 18, "pictures of which something is pruned"
    wider = replace(batch, kept=torch.nn.functional.pad(batch.kept, (0, 5), value=-1))
    for answers in (False, True):
        wide, _ = twin.losses(wider, answers)
        loss, _ = twin.losses(batch, answers)
        whole, _ = twin.losses(replace(batch, kept=None), answers)
        assert loss.item() == pytest.approx(wide.item(), rel=1e-2)
        assert loss.item() != pytest.approx(whole.item(), rel=2e-2)


@pytest.mark.parametrize("pruned", [False, True])
def test_shares_of_what_is_right(learnt, pruned: bool) -> None:
    _, twin, _ = learnt
    right = validation(twin, Stage(until=1, sizes=((6, 3),), tiles=18), pruned)
    assert set(right) == {"loss", "cells", "characters", "tokens", "answers"}
    assert all(0 <= right[name] <= 1 for name in set(right) - {"loss"})


def test_it_goes_on_where_it_stopped(learnt, tmp_path: Path) -> None:
    learning, _, _ = learnt
    learning.pictures, learning.steps = 48, 12
    learning.save(tmp_path / "state.pt")
    again = Learning.fresh(CPU)
    again.load(tmp_path / "state.pt")
    assert (again.pictures, again.steps) == (48, 12)
    batch = batch_of(TRAIN, range(4), (6, 3))
    weights = []
    for one in (learning, again):
        twin = Twin(one, compiled=False)
        loss, _ = twin.losses(batch, answers=True)
        twin.step(loss, 1e-3)
        weights.append(torch.cat([weight.flatten() for weight in one.parameters()]))
    assert torch.allclose(*weights, atol=1e-5)


def test_the_checkpoint_is_one_that_export_takes(learnt, tmp_path: Path) -> None:
    learning, _, _ = learnt
    write_checkpoint(learning.model, tmp_path)
    config = read_config(str(tmp_path))
    weights = CheckpointWeights(str(tmp_path), config.family.canonical_tensor_name)
    weights.check(config.tensor_shapes())
    export = Export(str(tmp_path), "float16", "a test")
    assert export.config.image_token == config.image_token
    size = sum(path.stat().st_size for path in tmp_path.glob("*.safetensors"))
    assert size < 16_000_000
    assert f'"image_mean": [{IMAGE_MEAN}' in (tmp_path / "preprocessor_config.json").read_text()


def test_two_runs_from_one_state_see_the_same_pictures(tmp_path: Path, monkeypatch) -> None:
    """Pruned or whole, as many as asked for, and the rate ends at nothing."""
    seen: dict[bool, list[torch.Tensor]] = {False: [], True: []}
    rates: list[float] = []

    def losses(twin: Twin, batch: Batch, answers: bool) -> tuple[torch.Tensor, dict]:
        seen[batch.kept is not None].append(batch.rasters)
        return torch.zeros((), requires_grad=True), {}

    monkeypatch.setattr(Twin, "losses", losses)
    monkeypatch.setattr(Twin, "step", lambda twin, loss, rate: rates.append(rate))
    monkeypatch.setattr("training.train.validation", lambda *given: {})
    for pruned in (False, True):
        learning = Learning.fresh(CPU)
        learning.pictures = 300_000
        train(learning, tmp_path, Course(40, pruned, decay=True))
        assert learning.pictures >= 300_040
        assert rates.pop() == 0
    assert len(seen[False]) == len(seen[True]) > 1
    assert all(map(torch.equal, seen[False], seen[True]))


def test_the_mean_of_models_is_that_of_their_weights(learnt, tmp_path: Path) -> None:
    learning, _, _ = learnt
    fresh = Learning.fresh(CPU)
    for name, one in (("a", learning), ("b", fresh)):
        (tmp_path / name).mkdir()
        one.save(tmp_path / name / "state.pt")
    average(tmp_path / "mean", [tmp_path / "a", tmp_path / "b"])
    made = Qwen3VLForConditionalGeneration.from_pretrained(tmp_path / "mean", dtype=torch.float32)
    theirs = dict(learning.model.named_parameters()), dict(fresh.model.named_parameters())
    for name, weight in made.named_parameters():
        expected = (theirs[0][name] + theirs[1][name]) / 2
        assert torch.allclose(weight, expected, rtol=1e-3, atol=1e-6), name
