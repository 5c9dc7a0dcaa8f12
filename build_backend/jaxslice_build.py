"""The build backend of this project: setuptools, and before it the native engine's C compiler.

Where the machine has no C compiler, the build asks for ziglang, which is one. Where the library
cannot be built all the same, that is said once and the package is installed without it: XLA then
runs what the native engine would.

A wheel that holds the library is tagged `py3-none-PLATFORM`: the library depends on the platform,
but on no version of Python. A wheel without it is tagged `py3-none-any`.

The same sources, compiler and setuptools make the same bytes, in any folder and at any time.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import jaxslice_reproducible
from setuptools import Distribution, build_meta
from setuptools.build_meta import (
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)
from setuptools.command.bdist_wheel import bdist_wheel

__all__ = [
    "PlatformWheel",
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

_ZIG = "ziglang>=0.13"
_PLATFORMS = {"linux", "darwin"}
"""Elsewhere ziglang may lack a wheel, and the library is not built."""


def _native_build() -> ModuleType:
    """`jaxslice.native.build`, without importing jaxslice, whose dependencies are not here."""
    path = Path(__file__).parents[1] / "jaxslice" / "native" / "build.py"
    spec = importlib.util.spec_from_file_location("jaxslice_native_build", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class PlatformWheel(bdist_wheel):
    """The command that writes a wheel, with the tag of what the wheel holds.

    setuptools knows of no library that it did not build itself. It is told of one by
    `has_ext_modules`, before the commands decide between the folders for pure and other packages.
    """

    def __init__(self, distribution: Distribution, **options):
        super().__init__(distribution, **options)
        native = _native_build()
        self._has_library = (native.FOLDER / native.library_name()).exists()
        if self._has_library:
            distribution.has_ext_modules = lambda: True

    def get_tag(self) -> tuple[str, str, str]:
        """The tag: Python version, ABI and platform."""
        python, abi, platform = super().get_tag()
        return ("py3", "none", platform) if self._has_library else (python, abi, platform)


def _compile() -> None:
    try:
        print(f"jaxslice: built {_native_build().build()}", file=sys.stderr)
    except (RuntimeError, OSError) as error:
        print(f"jaxslice: the native engine was not built, XLA runs instead: {error}",
              file=sys.stderr)  # fmt: skip


def _compiler() -> list[str]:
    """What a build needs beside setuptools: a compiler, if the machine has none."""
    missing = sys.platform in _PLATFORMS and _native_build().compiler() is None
    return [_ZIG] if missing else []


def get_requires_for_build_wheel(config_settings=None):
    return build_meta.get_requires_for_build_wheel(config_settings) + _compiler()


def get_requires_for_build_editable(config_settings=None):
    return build_meta.get_requires_for_build_editable(config_settings) + _compiler()


def build_sdist(sdist_directory, config_settings=None):
    name = build_meta.build_sdist(sdist_directory, config_settings)
    jaxslice_reproducible.normalise_sdist(Path(sdist_directory, name))
    return name


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    _compile()
    name = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    jaxslice_reproducible.normalise_wheel(Path(wheel_directory, name))
    return name


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    _compile()
    return build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
