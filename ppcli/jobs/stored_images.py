"""The images of a dataset that `analyze` wrote, as inputs of `infer`."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, islice
from typing import Any, ClassVar

from ppcli.engine.arrivals import Arrivals
from ppcli.engine.stopping import Stop
from ppcli.errors import DamagedError, ErrorCode, ImageError, UsageError
from ppcli.files import InputFile
from ppcli.filesystems.schemes import SCHEMES, is_url, scheme_of
from ppcli.filesystems.store_faults import StoreError
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import DEFAULT_MAX_IMAGE_PIXELS
from ppcli.inputs.refs import ImageRef, Input
from ppcli.inputs.sniff import has_image_extension
from ppcli.inputs.unique import UniqueNames
from ppcli.jobs.page_analysis import PageResult
from ppcli.jobs.prepare import PreparedRequest, page_request
from ppcli.models.serving.generation_request import GenerationRequest
from ppcli.store.completeness import PageCheck
from ppcli.store.manifest import DATASET_KIND, MANIFEST, Manifest
from ppcli.store.metadata_checks import check_statistics_config
from ppcli.store.patch_codec import check_declared_size
from ppcli.store.places.place import place_of
from ppcli.store.reader import patch_files, read_patch_rows, read_rows
from ppcli.store.rows import (
    OK,
    SEQUENCE,
    STATS,
    PatchRow,
    StatsRow,
    as_error_row,
    without_page,
)
from ppcli.store.shards import shard_path

_NEWER_COLUMNS = ("fingerprint", "kept_intra")  # that rows did not have up to version 0.1.0


def is_dataset(path: str) -> bool:
    """Return whether a folder, or a URL of one, has the manifest of a dataset, damaged or not."""
    if not path or (is_url(path) and not _may_be_far_dataset(path)):
        return False
    try:
        return DATASET_KIND.encode() in (place_of(path) / MANIFEST).read()
    except (OSError, ValueError, DamagedError, StoreError):
        return False


def _may_be_far_dataset(url: str) -> bool:
    """Return whether it is worth a request to look for a dataset; web servers list no folders."""
    scheme = SCHEMES.get(scheme_of(url))
    return scheme is not None and scheme.lists_folders and not has_image_extension(url)


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One input of the run that made the dataset.

    Attributes:
        rows: the statistics of its pages.
        shard: number of the shard that they are in.
        suffix: appended to its name if an earlier input has the same, such as `~2`; else empty.
    """

    rows: list[StatsRow]
    shard: int
    suffix: str = ""
    columns: ClassVar = None  # those of the dataset stay there

    @property
    def image_id(self) -> str:
        """The identity of its first page."""
        return self.name_of(self.rows[0])

    @property
    def far_files(self) -> tuple[InputFile, ...]:
        """None: its patch sets are read in the run itself."""
        return ()

    @property
    def name(self) -> str:
        """The identity of the file."""
        return without_page(self.image_id, self.rows[0].page)

    @property
    def images(self) -> tuple[ImageRef, ...]:
        """None: its pixels are in the dataset."""
        return ()

    def name_of(self, row: StatsRow) -> str:
        """Return the identity of the answer about a page."""
        page = f"#{row.page}"
        if not row.image_id.endswith(page):
            return row.image_id + self.suffix
        return row.image_id.removesuffix(page) + self.suffix + page

    def fingerprint(self, failed: bool, with_path: bool = False) -> bytes:
        """Return all columns of its rows but times and paths; only its name if it failed."""
        rows = [] if failed else [asdict(row) for row in self.rows]
        excluded = () if with_path else ("path",)
        columns = [
            {
                name: value
                for name, value in row.items()
                if not name.endswith("_ms") and name not in excluded
                if value is not None or name not in _NEWER_COLUMNS
            }
            for row in rows
        ]
        path = [self.rows[0].path] if with_path else []
        return json.dumps([self.image_id, *path, columns], sort_keys=True).encode()

    def difference(self, row: Any, failed: bool) -> str | None:  # noqa: ANN401
        """Return how it differs from the input of a row; None if no difference shows."""
        if row.image_id != self.image_id:
            return f"expected {row.image_id}, found {self.image_id}"
        return None


@dataclass(slots=True)
class StoredImages:
    """The inputs of a dataset. Iterating reads them lazily.

    Attributes:
        root: path or URL of the dataset folder.
        limit: how many inputs to use; None for all.
        skipped: always 0.
        repeated: the new name of the first input whose name had come before; else empty.
    """

    root: str
    limit: int | None = None
    skipped: int = 0
    repeated: str = field(default="", init=False)
    repeatable: ClassVar = False  # reading all rows just to count them would take too long

    @property
    def _shown(self) -> str:
        return str(place_of(self.root))

    @property
    def incomplete(self) -> str:
        """Why some may be missing that still exist; empty if all are there."""
        return "" if self.limit is None else "--limit leaves inputs out"

    def check(self, fit: FitOptions, prune: bool) -> None:
        """Check that a model can use the patch sets.

        Args:
            fit: what the image processor of the model does.
            prune: whether pruned tiles are left out.

        Raises:
            UsageError: if it cannot; the message names the differences.
            DamagedError: if the manifest is unreadable.
        """
        manifest = Manifest.read(self.root)
        config = manifest.config
        if manifest.main_kind != STATS or not manifest.has_patches:
            raise UsageError(
                f"{self._shown} has no patch sets; analyze writes them if the output is a folder"
            )
        check_statistics_config(config, self._shown)
        if SEQUENCE in config:
            raise UsageError(
                f"{self._shown} was made with --sequence, so a frame by itself lacks what the one "
                "next to it shows; pass the images themselves"
            )
        wanted = asdict(fit) | {"fit": fit.fit.value}
        differing = [
            f"{name.replace('_', ' ')} is {config.get(name)}, the model needs {value}"
            for name, value in wanted.items()
            if config.get(name) != value
        ]
        if differing:
            raise UsageError(
                f"{self._shown} was not made for this model ({'; '.join(differing)}); "
                "analyze the images again with these settings, or pass the images themselves"
            )
        if not prune and config["threshold"] != 0:
            raise UsageError(
                f"{self._shown} was made with threshold {config['threshold']}, so the exact pixels "
                "for --no-prune are lost; pass the images themselves"
            )
        if not manifest.finished:
            raise UsageError(
                f"{self._shown} is unfinished; run the same analyze command to finish it"
            )

    def __iter__(self) -> Iterator[StoredImage]:
        """Iterate over the inputs.

        Raises:
            DamagedError: if a file is unreadable, a checksum is wrong, or pages are missing.
        """
        return islice(self._with_unique_names(), self.limit)

    def _with_unique_names(self) -> Iterator[StoredImage]:
        """Number repeated names, which version 0.1.0 allowed."""
        unique, self.repeated = UniqueNames(), ""
        for one in self._all():
            suffix = unique(one.image_id).removeprefix(one.image_id)
            self.repeated = unique.first
            yield replace(one, suffix=suffix)

    def _all(self) -> Iterator[StoredImage]:
        manifest = Manifest.read(self.root)
        check = PageCheck(manifest.config)
        for number in range(len(manifest.shards)):
            rows: list[StatsRow] = []
            with shard_path(self.root, STATS, number).near() as path:
                if change := manifest.shards[number].files[STATS].difference(path):
                    raise DamagedError(f"{path} {change}; run pixelprune verify for details")
                for row in read_rows(path, STATS):
                    if rows and row.begins_input(rows[-1]):
                        yield _stored(rows, number, check)
                        rows = []
                    rows.append(row)
            if rows:
                yield _stored(rows, number, check)


def _stored(rows: list[StatsRow], shard: int, check: PageCheck) -> StoredImage:
    for row in rows:
        check.add(row)
    if missing := check.missing():
        raise DamagedError(
            f"{rows[0].image_id}: {missing}; run the same analyze command to add them"
        )
    return StoredImage(rows, shard)


@dataclass(frozen=True, slots=True)
class StoredRequests:
    """One request per page of each image of a dataset, all with the same prompt.

    Attributes:
        root: path or URL of the dataset folder.
        request: prompt and settings of all requests.
        max_pixels: of the raster of a patch set; a larger one is an error row.
    """

    root: str
    request: GenerationRequest
    max_pixels: int = DEFAULT_MAX_IMAGE_PIXELS
    item: ClassVar = "image"

    def prestart(self, inputs: Arrivals[Any]) -> None:
        """Do nothing: there are no workers."""

    def requests(
        self, inputs: Arrivals[Any], stop: Stop
    ) -> Iterator[tuple[Input, Iterator[PreparedRequest]]]:
        """Yield each input with the requests about its pages. Patch sets are read one at a time.

        Raises:
            DamagedError: if a file is unreadable, a checksum is wrong, or a patch set is missing.
        """
        patches = _PatchSets(self.root)
        for one in inputs:
            if stop():
                return
            yield one, self._pages(one, patches)

    def _pages(self, one: StoredImage, patches: "_PatchSets") -> Iterator[PreparedRequest]:
        for row in one.rows:
            patch_set = patches.find(row, one.shard) if row.status == OK else None
            yield self._prepared(replace(row, image_id=one.name_of(row)), patch_set)

    def _prepared(self, row: StatsRow, patches: PatchRow | None) -> PreparedRequest:
        """Make the request about a page; an error row if its patch set claims to be too large."""
        prepared = page_request(PageResult(row, patches), self.request)
        if patches is None:
            return prepared
        try:
            check_declared_size(patches, self.max_pixels)
        except DamagedError as error:
            refused = ImageError(ErrorCode.CORRUPT, f"its patch set is damaged: {error}")
        except ImageError as error:
            refused = error
        else:
            return prepared
        return PreparedRequest(as_error_row(prepared.row, refused))

    def close(self) -> None:
        """Do nothing: no resources are held."""


class _PatchSets:
    """Finds the patch sets of a dataset, which are mostly asked for in its order.

    Then each file is read once. A run that begins in the middle reads nothing before that.
    """

    def __init__(self, root: str) -> None:
        self._files = patch_files(root)
        self._shard = -1
        self._rest: Iterator[PatchRow] = iter(())

    def find(self, row: StatsRow, shard: int) -> PatchRow:
        """Return the patch set of a page: the next one of its name, or else the first.

        Args:
            row: the page.
            shard: number of its shard.

        Raises:
            DamagedError: it is missing, or a file is damaged.
        """
        found = self._next(row.image_id) if shard == self._shard else None
        if found is None:  # an update of the answers may have another order
            files, self._shard = self._files[shard : shard + 1], shard
            rows = (read_patch_rows(path, first=row.image_id) for path in files)
            self._rest = chain.from_iterable(rows)
            found = self._next(row.image_id)
        if found is None:
            raise DamagedError(
                f"the patch set of {row.image_id} is missing; run pixelprune verify for details"
            )
        return found

    def _next(self, image_id: str) -> PatchRow | None:
        return next((one for one in self._rest if one.image_id == image_id), None)
