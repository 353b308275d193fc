"""The images of a dataset that `analyze` wrote, as inputs of another run."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, islice
from typing import Any, ClassVar

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.stopping import Stop
from ppcli.errors import DamagedError, ErrorCode, ImageError, UsageError
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.inputs.refs import Input
from ppcli.inputs.unique import UniqueNames
from ppcli.jobs.pages import PageResult
from ppcli.jobs.prepare import Prepared, asked_of
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.completeness import PageCheck
from ppcli.store.journal import read_own_file
from ppcli.store.manifest import DATASET_KIND, MANIFEST, Manifest, shard_path
from ppcli.store.metadata_checks import check_statistics_config
from ppcli.store.patch_codec import check_declared_size
from ppcli.store.reader import patch_files, read_patch_rows, read_rows
from ppcli.store.rows import OK, STATS, PatchRow, StatsRow, as_error_row


def is_dataset(path: str) -> bool:
    """Whether a folder is one that `analyze` wrote to, damaged or not."""
    try:
        return bool(path) and DATASET_KIND.encode() in read_own_file(os.path.join(path, MANIFEST))
    except (OSError, ValueError, DamagedError):
        return False


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One input of an earlier run: the statistics of its pages.

    Attributes:
        rows: of its pages.
        number: stands behind its name where that came before, such as `~2`; else empty.
    """

    rows: list[StatsRow]
    number: str = ""

    @property
    def image_id(self) -> str:
        """The identity of its first row."""
        return self.name_of(self.rows[0])

    def name_of(self, row: StatsRow) -> str:
        """The identity of the answer about a page."""
        page = f"#{row.page}"
        if not row.image_id.endswith(page):
            return row.image_id + self.number
        return row.image_id.removesuffix(page) + self.number + page

    def fingerprint(self, failed: bool, with_path: bool = False) -> bytes:
        """All that its rows say, times and paths apart; its name alone where it failed."""
        rows = [] if failed else [asdict(row) for row in self.rows]
        left_out = () if with_path else ("path",)
        said = [
            {
                name: value
                for name, value in row.items()
                if not name.endswith("_ms") and name not in left_out
            }
            for row in rows
        ]
        path = [self.rows[0].path] if with_path else []
        return json.dumps([self.image_id, *path, said], sort_keys=True).encode()

    def difference(self, row: Any, failed: bool) -> str | None:  # noqa: ANN401
        """How it differs from the input that gave a row, as far as that shows."""
        if row.image_id != self.image_id:
            return f"{self.image_id} where {row.image_id} was"
        return None


@dataclass(slots=True)
class StoredImages:
    """The inputs of a dataset; iterating gives a `StoredImage` for each, lazily.

    Attributes:
        root: the dataset folder.
        limit: stop after so many.
        skipped: nothing is.
        repeated: the first name that came before, as it was changed; empty when there is none.
    """

    root: str
    limit: int | None = None
    skipped: int = 0
    repeated: str = field(default="", init=False)
    repeatable: ClassVar = False  # not for the sake of a count

    def check(self, fit: FitOptions, prune: bool) -> None:
        """See that the patch sets suit a model.

        Args:
            fit: what the model's own processor does.
            prune: false where all tiles are wanted.

        Raises:
            UsageError: naming what differs.
            DamagedError: when the manifest is unreadable.
        """
        manifest = Manifest.read(self.root)
        config = manifest.config
        if manifest.main_kind != STATS or not manifest.has_patches:
            raise UsageError(f"{self.root} has no patch sets; analyze writes them to a folder")
        check_statistics_config(config, self.root)
        wanted = asdict(fit) | {"fit": fit.fit.value}
        differing = [
            f"{name.replace('_', ' ')} {config.get(name)} there and {value} in the model"
            for name, value in wanted.items()
            if config.get(name) != value
        ]
        if differing:
            raise UsageError(
                f"{self.root} was not made for this model ({', '.join(differing)}); "
                "analyze the images again with these settings, or name the images"
            )
        if not prune and config["threshold"] > 0:
            raise UsageError(
                f"{self.root} was made with threshold {config['threshold']}, so that not all "
                "pixels are left for --no-prune; name the images"
            )
        if not manifest.finished:
            raise UsageError(f"{self.root} is unfinished; the same analyze command finishes it")

    def __iter__(self) -> Iterator[StoredImage]:
        """The inputs.

        Raises:
            DamagedError: when a file is not readable, a checksum is wrong, or pages are missing.
        """
        return islice(self._named_once(), self.limit)

    def _named_once(self) -> Iterator[StoredImage]:
        """Datasets of old may name two images alike."""
        unique, self.repeated = UniqueNames(), ""
        for one in self._all():
            number = unique(one.image_id).removeprefix(one.image_id)
            self.repeated = unique.first
            yield replace(one, number=number)

    def _all(self) -> Iterator[StoredImage]:
        manifest = Manifest.read(self.root)
        check = PageCheck(manifest.config)
        for number in range(len(manifest.shards)):
            rows: list[StatsRow] = []
            path = shard_path(self.root, STATS, number)
            if change := manifest.shards[number].files[STATS].change(path):
                raise DamagedError(f"{path} {change}; pixelprune verify tells more")
            for row in read_rows(path, STATS):
                if rows and row.begins_input(rows[-1]):
                    yield _stored(rows, check)
                    rows = []
                rows.append(row)
            if rows:
                yield _stored(rows, check)


def _stored(rows: list[StatsRow], check: PageCheck) -> StoredImage:
    for row in rows:
        check.add(row)
    if missing := check.missing():
        raise DamagedError(f"{rows[0].image_id}: {missing}; the same analyze command adds them")
    return StoredImage(rows)


@dataclass(frozen=True, slots=True)
class StoredSource:
    """One request for each image of a dataset, the same thing asked of all.

    Attributes:
        root: the dataset folder.
        ask: what is asked.
        most_pixels: the most that the raster of a patch set may have.
    """

    root: str
    ask: GenerationRequest
    most_pixels: int = DEFAULT_MAX_IMAGE_PIXELS
    item: ClassVar = "image"

    def expect(self, inputs: Arrivals[Any]) -> None:
        """Nothing to prepare."""

    def prepared(
        self, inputs: Arrivals[Any], stop: Stop
    ) -> Iterator[tuple[Input, Iterator[Prepared]]]:
        """Each input with its pages; the patch sets are read along, one page at a time.

        Raises:
            DamagedError: when a file is not readable, a checksum is wrong, or a patch set missing.
        """
        files = patch_files(self.root)
        patches = chain.from_iterable(read_patch_rows(path) for path in files)
        for one in inputs:
            if stop():
                return
            yield one, self._pages(one, patches)

    def _pages(self, one: StoredImage, patches: Iterator[PatchRow]) -> Iterator[Prepared]:
        for row in one.rows:
            of_page = _of_page(row, patches)
            yield self._asked(replace(row, image_id=one.name_of(row)), of_page)

    def _asked(self, row: StatsRow, patches: PatchRow | None) -> Prepared:
        """The request about a page; an error where its patch set claims what is too much."""
        prepared = asked_of(PageResult(row, patches), self.ask)
        if patches is None:
            return prepared
        try:
            check_declared_size(patches, self.most_pixels)
        except DamagedError as error:
            refused = ImageError(ErrorCode.CORRUPT, f"its patch set is damaged: {error}")
        except ImageError as error:
            refused = error
        else:
            return prepared
        return Prepared(as_error_row(prepared.row, refused))

    def close(self) -> None:
        """Nothing is left behind."""


def _of_page(row: StatsRow, patches: Iterator[PatchRow]) -> PatchRow | None:
    """The patch set of a page; those of inputs that are not asked about are passed over."""
    if row.status != OK:
        return None
    for one in patches:
        if one.image_id == row.image_id:
            return one
    raise DamagedError(f"the patch set of {row.image_id} is missing; pixelprune verify tells more")
