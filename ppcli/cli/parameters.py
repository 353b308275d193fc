"""Builds the parameters of Typer commands from options dataclasses."""

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from ppcli.errors import ExitCode
from ppcli.options import OptionField, Options, option_fields


class Defaults:
    """Defaults of one command that differ from those of an options dataclass.

    Belongs in the annotation of the command's argument: `Annotated[OutputOptions, Defaults(…)]`.
    """

    def __init__(self, **values: Any) -> None:  # noqa: ANN401
        self.values = values


def with_options(command: Callable[..., ExitCode]) -> Callable[..., ExitCode]:
    """Give a command one parameter for each field of the options dataclasses that it takes.

    The command itself is called with instances of the dataclasses. Its other parameters, such as
    a `typer.Context`, stay as they are.

    Args:
        command: all of its options dataclasses are annotated as such.

    Returns:
        A function with a flat signature for Typer. It raises `UsageError` for invalid values.
    """
    hints = get_type_hints(command, include_extras=True)
    groups, others = [], []
    for parameter in inspect.signature(command).parameters.values():
        group = _Group.of(parameter.name, hints[parameter.name])
        if group is None:
            others.append(parameter.replace(annotation=hints[parameter.name]))
        else:
            groups.append(group)

    @functools.wraps(command)
    def run(**values: Any) -> ExitCode:  # noqa: ANN401
        filled = {group.name: group.filled(values) for group in groups}
        return command(**filled, **{other.name: values[other.name] for other in others})

    parameters = [*others, *(one for group in groups for one in group.parameters())]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


@dataclass(frozen=True, slots=True)
class _Group:
    """An options dataclass as the argument of a command."""

    name: str
    kind: type[Options]
    defaults: dict[str, Any]

    @classmethod
    def of(cls, name: str, annotation: Any) -> "_Group | None":  # noqa: ANN401
        kind, *metadata = get_args(annotation) if _is_annotated(annotation) else [annotation]
        if not (isinstance(kind, type) and issubclass(kind, Options)):
            return None
        values = [one.values for one in metadata if isinstance(one, Defaults)]
        return cls(name, kind, values[0] if values else {})

    def parameters(self) -> Iterator[inspect.Parameter]:
        for field in option_fields(self.kind):
            default = self.defaults.get(field.name, field.default)
            yield _parameter(field, self.kind.panel, default)

    def filled(self, values: dict[str, Any]) -> Options:
        fields = option_fields(self.kind)
        return self.kind(**{field.name: _converted(values[field.name], field) for field in fields})


def _is_annotated(annotation: Any) -> bool:  # noqa: ANN401
    return get_origin(annotation) is Annotated


def _parameter(field: OptionField, panel: str | None, default: Any) -> inspect.Parameter:  # noqa: ANN401
    option = field.option
    annotation, flags = field.type | None if field.optional else field.type, option.flags
    if option.off_flag is not None:
        default, flags = False, (option.off_flag,)
    elif option.parse is not None:
        default = option.default_text
        annotation = str | None if default is None else str
    elif field.type == tuple[str, ...]:
        annotation, default = list[str] | None, None
    elif option.choices is not None:
        annotation = option.choices | None if field.optional else option.choices
    elif field.type is bool and not flags and not default:
        flags = (_flag(field.name),)  # without a negative form
    common: dict[str, Any] = {"metavar": option.metavar, "help": option.help}
    if option.parse is None:
        common |= {"min": option.min, "max": option.max}
    info = (
        typer.Argument(**common)
        if option.is_argument
        else typer.Option(*flags, **common, rich_help_panel=panel)
    )
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if default is MISSING else default,
        annotation=Annotated[annotation, info],
    )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _converted(value: Any, field: OptionField) -> Any:  # noqa: ANN401
    """Return the value of a field from that of its parameter."""
    if field.option.off_flag is not None:
        return not value
    if field.option.parse is not None and value is not None:
        return field.option.parse(value)
    return tuple(value or ()) if field.type == tuple[str, ...] else value
