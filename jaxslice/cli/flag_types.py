"""Types of flag values that absl does not have. Each refuses an empty value.

An empty value is mostly a shell variable that is not set: `--bbox=$BOX` must not become "the whole
volume".
"""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags

from jaxslice.core.box import Box, Triple, parse_shape


class TextParser(flags.ArgumentParser[str]):
    """Any text but an empty one."""

    def parse(self, argument: str) -> str:
        if not argument.strip():
            raise ValueError("Got an empty value, expected some text.")
        return argument


class BoxParser(flags.ArgumentParser[Box]):
    """A box, written `z0:z1,y0:y1,x0:x1`."""

    syntactic_help = "z0:z1,y0:y1,x0:x1"

    def parse(self, argument: str | Box) -> Box:
        return argument if isinstance(argument, Box) else Box.parse(argument)


class ShapeParser(flags.ArgumentParser[Triple]):
    """A shape, written `z,y,x`."""

    syntactic_help = "z,y,x"

    def parse(self, argument: str | Triple) -> Triple:
        return parse_shape(argument) if isinstance(argument, str) else argument


class NumbersParser(flags.ArgumentParser[tuple[float, float, float]]):
    """Three numbers, written `z,y,x`."""

    syntactic_help = "z,y,x"

    def parse(self, argument: str | tuple[float, float, float]) -> tuple[float, float, float]:
        if not isinstance(argument, str):
            return argument
        try:
            z, y, x = (float(part) for part in argument.split(","))
        except ValueError:
            raise ValueError(f"Got {argument!r}, expected z,y,x such as 40,4,4.") from None
        return (z, y, x)


class IntegersParser(flags.ArgumentParser[tuple[int, ...]]):
    """Integers within bounds, separated by commas."""

    def __init__(self, lower_bound: int, upper_bound: int) -> None:
        """Takes the least and the largest of the integers."""
        self._bounds = (lower_bound, upper_bound)
        self.syntactic_help = f"integers from {lower_bound} to {upper_bound}, such as 1,4"

    def parse(self, argument: str | tuple[int, ...]) -> tuple[int, ...]:
        if not isinstance(argument, str):
            return argument
        least, most = self._bounds
        try:
            numbers = tuple(int(part) for part in argument.split(","))
        except ValueError:
            numbers = ()
        if not numbers or not all(least <= number <= most for number in numbers):
            raise ValueError(f"Got {argument!r}, expected {self.syntactic_help}.")
        return numbers


class EffortParser(flags.ArgumentParser[int | str]):
    """Name of an effort; those that are numbers become integers."""

    def __init__(self, names: Sequence[str]) -> None:
        """Takes the names that there are."""
        self.enum_values = tuple(names)
        self.syntactic_help = f"one of {', '.join(names)}"

    def parse(self, argument: str | int) -> int | str:
        name = str(argument)
        if name not in self.enum_values:
            raise ValueError(f"{name} is not {self.syntactic_help}")
        return int(name) if name.isdigit() else name


class EffortsParser(flags.ArgumentParser[tuple[int | str, ...]]):
    """Names of efforts, separated by commas; those that are numbers become integers."""

    def __init__(self, names: Sequence[str]) -> None:
        """Takes the names that there are."""
        self.enum_values = tuple(names)
        self.syntactic_help = f"some of {','.join(names)}"

    def parse(self, argument: str | tuple[int | str, ...]) -> tuple[int | str, ...]:
        parts = argument.split(",") if isinstance(argument, str) else tuple(map(str, argument))
        if not parts or not set(parts) <= set(self.enum_values):
            raise ValueError(f"Got {argument!r}, expected {self.syntactic_help}.")
        return tuple(int(part) if part.isdigit() else part for part in parts)


class ScalesParser(flags.ArgumentParser[tuple[str, ...]]):
    """Names of scales, separated by commas, or all."""

    syntactic_help = "all, or indices or keys such as 0,1"

    def parse(self, argument: str | tuple[str, ...]) -> tuple[str, ...]:
        if not isinstance(argument, str):
            return argument
        names = tuple(part.strip() for part in argument.split(","))
        if not all(names):
            raise ValueError(f"Got {argument!r}, expected {self.syntactic_help}.")
        return names


class CommaSerializer(flags.ArgumentSerializer):
    """Values as the parsers above read them."""

    def serialize(self, value: tuple[int | str, ...]) -> str:
        return ",".join(map(str, value))


def define_text(
    values: flags.FlagValues, name: str, default: str | None, help_text: str, group: str
) -> None:
    """Defines a flag whose value is any text but an empty one."""
    flags.DEFINE(
        TextParser(), name, default, help_text, values, flags.ArgumentSerializer(),
        module_name=group,
    )  # fmt: skip
