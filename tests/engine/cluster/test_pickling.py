"""Everything that travels between the command and its workers can be pickled, and is the same."""

import importlib
import json
import pickle
import pkgutil
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import ppcli
from ppcli import errors
from ppcli.engine.arrivals import Arrivals
from ppcli.engine.attaching import Attaching
from ppcli.engine.cluster.cluster import News, Order, Outcome
from ppcli.engine.cluster.node_check import NodeCheck
from ppcli.engine.cluster.row_setup import RowSetup
from ppcli.engine.cluster.row_tasks import NewInputs
from ppcli.engine.worker_options import WorkerOptions
from ppcli.errors import ErrorCode, ExitCode, ImageError, PixelpruneError, StoppedError
from ppcli.filesystems.store_faults import FaultKind, StoreError
from ppcli.inputs.containers.member_files import NoImagesError
from ppcli.inputs.input_options import RequestOptions
from ppcli.inputs.listing import Listing
from ppcli.inputs.refs import Input
from ppcli.jobs.analysis_recipe import AnalysisRecipe
from ppcli.jobs.stored_images import StoredImages
from tests.command import pixelprune
from tests.inputs.containers.images import png
from tests.object_store import ObjectStore
from tests.store import kept_run
from tests.store.small_run import OPTIONS
from tests.store.staged_run import opened


def again(one: Any) -> Any:
    """Return what the other side gets."""
    return pickle.loads(pickle.dumps(one, pickle.HIGHEST_PROTOCOL))


def error_classes() -> Iterator[type[PixelpruneError]]:
    """All errors of the package, in whatever module."""
    for module in pkgutil.walk_packages(ppcli.__path__, "ppcli."):
        if "integrations" not in module.name and "__main__" not in module.name:
            importlib.import_module(module.name)
    waiting = [PixelpruneError]
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        yield one


def made(kind: type[PixelpruneError]) -> PixelpruneError:
    """Return an error of a class."""
    if issubclass(kind, StoppedError):
        return kind(ExitCode.TERMINATED, "terminated", {"rows": 1})
    if issubclass(kind, StoreError):
        return kind(FaultKind.DENIED, "no access", "s3://b/k")
    if issubclass(kind, ImageError) and kind is not NoImagesError:
        return kind(ErrorCode.TRUNCATED, "the file is truncated")
    return kind("a sentence")


def test_errors() -> None:
    classes = list(error_classes())
    assert {errors.OutputError, StoreError, errors.StoppedError} < set(classes)
    for kind in classes:
        one = made(kind)
        other = again(Outcome(error=one)).error
        assert type(other) is kind
        assert (str(other), other.args) == (str(one), one.args)
        assert vars(other) == vars(one)
        assert other.exit_code == one.exit_code


def test_a_setup_and_orders() -> None:
    recipe = AnalysisRecipe(OPTIONS, WorkerOptions(2))
    setup = RowSetup(recipe, NodeCheck.of(("in",), ""), retry_failed=True)
    assert again(setup) == setup
    order = Order(0.5, stop=ExitCode.INTERRUPTED)
    assert again(order) == order
    news = News(3, [], [(30, "text")], Outcome("value"))
    assert again(news) == news


def same(refs: Iterable[Input], out: Path, images: int) -> None:
    """Inputs that travelled in a task are opened and read as the others are."""
    listed = list(refs)
    with opened(out) as dataset:
        task = NewInputs(dataset.area(), 5, listed)
        other = again(task)
    assert (other.inputs, other.label) == (len(listed), task.label)
    for one, copy in zip(listed, other.refs, strict=True):
        assert (copy.image_id, copy.name) == (one.image_id, one.name)
        assert copy.fingerprint(failed=False) == one.fingerprint(failed=False)
        assert copy.columns == one.columns
    assert contents(other.refs) == (found := contents(listed))
    assert len(found) == images
    assert all(found)


def contents(refs: Iterable[Any]) -> list[bytes]:
    """Read all images of some inputs, as a run does."""
    images = (image for ref in refs for image in ref.images)
    found = []
    with Arrivals(images) as arrivals, closing(Attaching(arrivals)) as attaching:
        for image in attaching:
            with image.file.open() as file:
                found.append(file.read())
            attaching.finished()
    return found


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(png(number))
    return folder


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "gztar"])
def test_files_and_members(pictures: Path, tmp_path: Path, kind: str) -> None:
    path = pictures
    if kind != "folder":
        path = Path(shutil.make_archive(str(tmp_path / "all"), kind, root_dir=pictures))
    same(Listing((str(path),)), tmp_path / "out", images=3)


def test_rows_of_a_parquet_file(tmp_path: Path) -> None:
    table = kept_run.source_table([png(number) for number in range(5)])
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=2)
    listing = Listing((str(tmp_path / "in.parquet"),), keep_columns=("label", "boxes", "when"))
    listing.check()
    same(listing, tmp_path / "out", images=5)


def test_objects_and_members_of_far_archives(pictures, tmp_path, s3: ObjectStore) -> None:
    for kind in ("zip", "gztar"):
        shutil.make_archive(str(pictures / "all"), kind, root_dir=pictures)
    url = s3.upload(pictures, "pickled-inputs")
    same(Listing((url,)), tmp_path / "out", images=9)


def test_requests(pictures: Path, tmp_path: Path) -> None:
    lines = [
        {"custom_id": "one", "image": "0.png", "prompt": "What?"},
        {"custom_id": "two", "images": ["1.png", "2.png"], "prompt": "Which?"},
    ]
    path = pictures / "requests.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    requests = RequestOptions(requests=str(path)).request_file(None, for_server=False)
    requests.check()
    same(requests, tmp_path / "out", images=3)


def test_stored_images(pictures: Path, tmp_path: Path) -> None:
    done = pixelprune("analyze", pictures, "-o", tmp_path / "data")
    assert done.returncode == ExitCode.OK, done.stderr
    listed = list(StoredImages(str(tmp_path / "data"), None))
    copies = again(listed)
    assert [one.image_id for one in copies] == [one.image_id for one in listed]
    assert [one.fingerprint(failed=False) for one in copies] == [
        one.fingerprint(failed=False) for one in listed
    ]
    assert len(listed) == 3
