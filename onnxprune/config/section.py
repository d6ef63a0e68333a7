"""What all sections of a configuration have in common: strict keys, and errors in plain words.

A key is written with hyphens, as in the options of the command line; underscores are taken as well.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo

from onnxprune.errors import InvalidConfigError, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ConfigPath", "Metavar", "Section", "hyphenated", "parse_section"]

AnySection = TypeVar("AnySection", bound="Section")


def hyphenated(name: str) -> str:
    """Return the key of a field.

    Examples:
        >>> hyphenated("max_macs_ratio")
        'max-macs-ratio'
    """
    return name.replace("_", "-")


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, and nothing changes afterwards."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=hyphenated, allow_inf_nan=False
    )


@dataclass(frozen=True, slots=True)
class Metavar:
    """How the option of a key is shown.

    Attributes:
        text: What stands for its value.
        many: Whether it may be repeated.
    """

    text: str
    many: bool = False


def _beneath(path: Path, info: ValidationInfo) -> Path:
    return info.context["folder"] / path if info.context else path


ConfigPath = Annotated[Path, AfterValidator(_beneath)]
"""A path; one in a file is relative to the folder of that file."""


def parse_section(
    kind: type[AnySection], values: Mapping[str, Any], *, where: str, folder: Path | None = None
) -> AnySection:
    """Check values and return them as a section.

    Args:
        kind: The section.
        values: Keys and values, as a file or a command line has them.
        where: Where they are, for the message.
        folder: What paths among them are relative to.

    Raises:
        InvalidConfigError: A key is unknown, or a value is not what its key takes.

    Examples:
        >>> from onnxprune.config.check import CheckSection
        >>> parse_section(CheckSection, {"max-macs-ratio": 0.6}, where="here").max_macs_ratio
        0.6
    """
    context = None if folder is None else {"folder": folder}
    given = _normal(values, kind)
    try:
        return kind.model_validate(given, context=context)
    except ValidationError as error:
        # Where a key takes one thing or another, the error that goes deepest is the one meant.
        errors = error.errors(include_url=False, include_context=False)
        places = [[str(part) for part in e["loc"] if part != ""] for e in errors]
        first, place = max(zip(errors, places, strict=True), key=lambda e: len(_path(e[1], given)))
        if first["type"] == "extra_forbidden":
            raise _unknown(place, kind, where) from None
        message = f"{where}: '{printable('.'.join(_path(place, given)))}' is "
        message += f"{printable(repr(first['input']))}: {_lower(first['msg'])}"
        raise InvalidConfigError(message, hint=_SCHEMA_HINT) from None


_SCHEMA_HINT = "`onnxprune schema config` lists every key and what it takes"


def _normal(values: Mapping[str, Any], kind: type[Section]) -> dict[str, Any]:
    """Return the values with hyphens in the keys that are ours, sections inside included."""
    known = {f.alias or n: f.annotation for n, f in kind.model_fields.items()}
    found: dict[str, Any] = {}
    for name, value in values.items():
        key = hyphenated(name)
        if key in found:
            message = f"'{key}' is given twice, with hyphens and with underscores"
            raise InvalidConfigError(message)
        inner = next(_sections(known.get(key)), None)
        found[key] = _normal(value, inner) if inner and isinstance(value, dict) else value
    return found


def _path(place: list[str], values: Any) -> list[str]:  # noqa: ANN401  # nested as it is
    """Return the keys on the way to a value; between them are names of types that were tried."""
    found = []
    for name in place:
        if isinstance(values, list) and name.isdecimal():
            values = values[int(name)]
        elif isinstance(values, dict) and name in values:
            values = values[name]
        else:
            continue
        found.append(name)
    return found


def _sections(annotation: Any) -> Iterator[type[Section]]:  # noqa: ANN401  # any annotation
    for part in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(part, type) and issubclass(part, Section):
            yield part


def _unknown(place: list[str], kind: type[Section], where: str) -> InvalidConfigError:
    for name in place[:-1]:
        field = next(f for n, f in kind.model_fields.items() if name in {n, f.alias})
        kind = next(_sections(field.annotation), kind)
        where = f"{where} [{name}]"
    known = [f.alias or n for n, f in kind.model_fields.items()]
    message = f"{where}: there is no key '{printable(place[-1])}'"
    near = difflib.get_close_matches(place[-1], known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"keys: {', '.join(known)}"
    return InvalidConfigError(message, hint=hint)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
