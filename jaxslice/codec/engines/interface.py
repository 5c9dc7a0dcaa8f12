"""The interface of engines, which run the march: symbols to messages and back.

All engines give the same bytes and the same symbols. `block` adds voxels, level tables and payloads
to them. `engine_named` imports an engine's module when it is first requested, so that JAX starts
only if it is used.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import os
import pkgutil
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from jaxslice.codec.network import AnyArchitecture, IntegerNetwork, Model
from jaxslice.core.box import Triple
from jaxslice.core.errors import UsageError
from jaxslice.core.types import AlphabetSizes, BlockSymbols, Device, Extents, Words

AUTO = "auto"
"""The first of `_PREFERRED` that is available."""

_MODULES = {
    "native": "jaxslice.codec.engines.native",
    "xla": "jaxslice.codec.engines.xla",
    "pallas": "jaxslice.codec.engines.pallas.engine",
}
"""Name of each engine -> its module, whose attribute ENGINE is the engine."""

_PREFERRED = ("native", "xla")
"""What "auto" tries, in this order, on CPUs; on accelerators it is xla. The Pallas kernel runs only
where it is requested."""

_ACCELERATORS = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm7_plugin", "libtpu")
"""Packages that bring JAX an accelerator, as a plug-in or by themselves."""

_PLUGINS = "jax_plugins"
"""The entry points, and the namespace package, in which JAX looks for plug-ins."""

NAMES = (AUTO, *_MODULES)


@runtime_checkable
class Engine(Protocol):
    """Encodes and decodes batches of blocks of one shape. Safe to use from several threads.

    A batch may contain blocks with the extent (0, 0, 0), whose message is empty. They pad a
    batch to the size that was compiled.
    """

    @property
    def name(self) -> str:
        """Name of the engine in `engine_named`."""
        ...

    def is_available(self) -> bool:
        """Whether the engine can run in this process."""
        ...

    def runs_on_host(self) -> bool:
        """Whether the engine runs on the host's cores, not on accelerators."""
        ...

    def devices(self) -> Sequence[Device | None]:
        """The devices that the engine can run on; [None] if there is no choice."""
        ...

    def encode(
        self,
        symbols: BlockSymbols,
        sizes: AlphabetSizes,
        extents: Extents,
        model: Model,
        networks: Sequence[IntegerNetwork] | None = None,
        device: Device | None = None,
        choices: np.ndarray | None = None,
    ) -> list[Words]:
        """Encodes a batch of blocks.

        Args:
          symbols: [block, z, y, x], below the slice's alphabet size; beyond the extent anything.
          sizes: int32 [block, z], alphabet size of each slice, at most 256; 0 beyond the extent.
          extents: int32 [block, 3], voxels along z, y and x.
          model: the architecture, and the network that predicts. `network.prove` must accept it.
          networks: a network for each block, instead of the model's. The same holds for these.
          device: the device to run on; the engine's default if None.
          choices: uint8 [block, z], of several linear predictors the one of each slice; 0 beyond
            the extent. The first for all if None.

        Returns:
          The message of each block, flattened.

        Raises:
          UsageError: the engine cannot run on the device.
          MemoryError: this machine has too little memory for a block.
        """
        ...

    def decode(
        self,
        messages: Sequence[Words],
        sizes: AlphabetSizes,
        extents: Extents,
        block_shape: Triple,
        model: Model,
        networks: Sequence[IntegerNetwork] | None = None,
        device: Device | None = None,
        choices: np.ndarray | None = None,
    ) -> BlockSymbols:
        """Decodes a batch of blocks: the inverse of `encode`.

        Args:
          messages: the message of each block, uint32 [word]. They may be damaged.
          sizes: as for `encode`.
          extents: as for `encode`.
          block_shape: (z, y, x) of all blocks.
          model: as for `encode`.
          networks: as for `encode`.
          device: as for `encode`.
          choices: as for `encode`.

        Returns:
          [block, z, y, x]. Values beyond a block's extent are unspecified.

        Raises:
          FormatError: a message is too short or too long, a head is out of range, or a lane does
            not end where every lane starts.
          UsageError: as for `encode`.
          MemoryError: as for `encode`.
        """
        ...

    def compile_for(
        self,
        block_shape: Triple,
        architecture: AnyArchitecture,
        batch: int,
        *,
        encoder: bool = True,
        decoder: bool = True,
        block_networks: bool = False,
    ) -> int:
        """Compiles the programs for batches of one kind, on every device.

        Args:
          block_shape: (z, y, x) of the blocks.
          architecture: architecture of the networks.
          batch: number of blocks in a batch.
          encoder: whether to compile for `encode`.
          decoder: whether to compile for `decode`.
          block_networks: whether `networks` will be given.

        Returns:
          Bytes of device memory that a batch takes while it runs.
        """
        ...


def engine_named(name: str = AUTO, device: Device | None = None) -> Engine:
    """The engine of a name; "auto" is the fastest one that is available.

    Args:
      name: one of `NAMES`.
      device: where it is to run, if that is given. On an accelerator "auto" is xla.

    Raises:
      UsageError: there is no engine with this name, or it cannot run in this process.
    """
    if name == AUTO:
        on_accelerator = _has_accelerator() if device is None else device.platform != "cpu"
        if on_accelerator:
            return _load("xla")
        return next(engine for engine in map(_load, _PREFERRED) if engine.is_available())
    if name not in _MODULES:
        raise UsageError(f"Got the engine {name!r}, expected one of {', '.join(NAMES)}.")
    engine = _load(name)
    if not engine.is_available():
        raise UsageError(f"Got the engine {name!r}, which cannot run here, expected {AUTO!r}.")
    return engine


@functools.cache
def _has_accelerator() -> bool:
    """Whether JAX would run on one by default. Starts JAX only if it might.

    JAX takes the first of the platforms that JAX_PLATFORMS lists, whatever plug-ins there are.
    """
    if os.environ.get("JAX_PLATFORMS", "").split(",")[0].strip() == "cpu":
        return False
    if not _has_plugin():
        return False
    import jax

    return jax.default_backend() != "cpu"


def _has_plugin() -> bool:
    """Whether anything is installed that could bring JAX an accelerator. Imports none of it."""
    if os.environ.get("PJRT_NAMES_AND_LIBRARY_PATHS"):
        return True
    if any(map(importlib.util.find_spec, _ACCELERATORS)):
        return True
    if importlib.metadata.entry_points(group=_PLUGINS):
        return True
    namespace = importlib.util.find_spec(_PLUGINS)
    folders = namespace.submodule_search_locations if namespace else None
    return any(True for _ in pkgutil.iter_modules(folders or []))


@functools.cache
def _load(name: str) -> Engine:
    return importlib.import_module(_MODULES[name]).ENGINE
