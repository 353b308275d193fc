"""Everything that rows depend on. Imports little: workers start first."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ppcli.coding.coder_options import CoderOptions, require_decodable
from ppcli.coding.sequence_options import SequenceOptions
from ppcli.imaging.fit_options import FitOptions
from ppcli.imaging.image_choices import DEFAULT_FPS, Frames
from ppcli.imaging.page_formats import has_pages, may_have_pages
from ppcli.imaging.reading_options import ReadingOptions
from ppcli.inputs.refs import ImageRef
from ppcli.inputs.sniff import sniffed_format
from ppcli.store.formats import ZSTD_LEVEL

if TYPE_CHECKING:
    from ppcli.models.costs import NamedModel


@dataclass(frozen=True, slots=True)
class AnalysisOptions:
    """Everything that the rows of an input depend on.

    Attributes:
        coder: method, metric and threshold.
        fit: the grid and the limits.
        reading: which pages of a file become rows, and how they become pixels.
        patches: whether to make patch sets.
        zstd_level: how their tiles are compressed. No row depends on it.
        rebuildable: whether patch sets must be decodable; those for a model need not be.
        estimate: a model whose costs are computed, for all tokens and for the kept ones.
        sequence: whether images are frames of sequences.

    Raises:
        UsageError: patch sets of the method cannot be decoded, or the estimated model has tiles
            of another size.
    """

    coder: CoderOptions
    fit: FitOptions
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    patches: bool = True
    zstd_level: int = ZSTD_LEVEL
    rebuildable: bool = True
    estimate: "NamedModel | None" = None
    sequence: SequenceOptions = field(default_factory=SequenceOptions)

    def __post_init__(self) -> None:
        self.sequence.check_coder(self.coder)
        if self.patches and self.rebuildable:
            require_decodable(self.coder)
        if self.estimate is not None:
            self.estimate.check_fit(self.fit.tile, self.fit.limits)

    def as_config(self) -> dict[str, Any]:
        """Return the options that have an effect, flat and JSON-ready, for stored metadata."""
        nested: dict[str, Any] = asdict(self)
        coder = nested.pop("coder")
        del nested["rebuildable"], nested["zstd_level"], nested["sequence"]
        nested["estimate"] = self.estimate.identity if self.estimate is not None else None
        for name in self.coder.unused_options:
            del coder[name]
        reading = nested.pop("reading")
        pages = self.reading.pages
        reading["pages"] = None if pages is None else str(pages)
        if self.reading.fps == DEFAULT_FPS:  # what datasets without it were made with
            del reading["fps"]
        reading["background"] = "#{:02x}{:02x}{:02x}".format(*self.reading.background)
        flat: dict[str, Any] = coder | nested.pop("fit") | reading | nested
        return flat | self.sequence.as_config()


def may_be_many_tasks(ref: ImageRef, options: AnalysisOptions) -> bool:
    """Guess from its name whether a file gives more than one row; it is not opened."""
    return options.reading.frames is Frames.ALL or may_have_pages(ref.file.name)


def may_give_several(ref: ImageRef, options: AnalysisOptions) -> bool:
    """Return whether a file may give more than one row, judged by its first bytes."""
    return options.reading.frames is Frames.ALL or has_pages(sniffed_format(ref.file))


def load_kernels(options: AnalysisOptions) -> None:
    """Compile the kernels that images need, or load them from disk, before the first image."""
    from ppcli.jit.kernel import prepare
    from ppcli.jobs.pages import kernels_of

    prepare(kernels_of(options))
