"""The images of a dataset that `analyze` wrote, as inputs of another run."""

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, ClassVar

from ppcli.errors import DamagedError, UsageError
from ppcli.imaging.fit import FitOptions
from ppcli.inputs.refs import Input
from ppcli.run.analysis import PageResult
from ppcli.run.arrivals import Arrivals
from ppcli.run.infer import Prepared, asked_of
from ppcli.run.stopping import StopRequest
from ppcli.store.manifest import MANIFEST, Manifest, shard_path
from ppcli.store.reader import read_patch_rows, read_rows
from ppcli.store.rows import OK, PATCHES, STATS
from ppcli.vlm.engine import Ask

logger = logging.getLogger("pixelprune")


def is_dataset(path: str) -> bool:
    """Whether a folder is one that `analyze` wrote to."""
    return os.path.isfile(os.path.join(path, MANIFEST))


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One input of an earlier run, with all its pages."""

    pages: list[PageResult]

    @property
    def image_id(self) -> str:
        """The identity of its first row."""
        return self.pages[0].row.image_id

    def fingerprint(self, failed: bool) -> bytes:
        """All that its rows say, times apart."""
        rows = [
            {name: value for name, value in asdict(page.row).items() if not name.endswith("_ms")}
            for page in self.pages
        ]
        digests = [page.patches and page.patches.raster_digest for page in self.pages]
        return json.dumps([rows, digests], sort_keys=True).encode()

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
    """

    root: str
    limit: int | None = None
    skipped: int = 0
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
            logger.warning("%s is unfinished; only what it has is asked about", self.root)

    def __iter__(self) -> Iterator[StoredImage]:
        """The inputs.

        Raises:
            DamagedError: when a file is not readable or a checksum is wrong.
        """
        return islice(self._all(), self.limit)

    def _all(self) -> Iterator[StoredImage]:
        manifest = Manifest.read(self.root)
        for number in range(len(manifest.shards)):
            patches = read_patch_rows(shard_path(self.root, PATCHES, number))
            pages: list[PageResult] = []
            for row in read_rows(shard_path(self.root, STATS, number), STATS):
                if row.page == 1 and pages:
                    yield StoredImage(pages)
                    pages = []
                of_page = next(patches, None) if row.status == OK else None
                if of_page is not None and of_page.image_id != row.image_id:
                    raise DamagedError(
                        f"shard {number} of {self.root} has the patch set of {of_page.image_id} "
                        f"where that of {row.image_id} should be; pixelprune verify tells more"
                    )
                pages.append(PageResult(row, of_page))
            if pages:
                yield StoredImage(pages)


@dataclass(frozen=True, slots=True)
class StoredSource:
    """One request for each image of a dataset, the same thing asked of all.

    Attributes:
        ask: what is asked.
    """

    ask: Ask
    item: ClassVar = "image"

    def expect(self, inputs: Arrivals[Any]) -> None:
        """Nothing to prepare."""

    def prepared(
        self, inputs: Arrivals[Any], stop: StopRequest
    ) -> Iterator[tuple[Input, Iterator[Prepared]]]:
        """Each input with its pages."""
        for one in inputs:
            if stop():
                return
            yield one, (asked_of(page, self.ask) for page in one.pages)

    def close(self) -> None:
        """Nothing is left behind."""
