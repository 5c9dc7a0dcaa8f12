"""The interface of engines, which run the march: symbols to messages and back.

All engines give the same bytes and the same symbols. `block` adds voxels, level tables and payloads
to them. `engine_named` imports an engine's module when it is first requested, so that JAX starts
only if it is used.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxslice.codec.architecture import Architecture
from jaxslice.codec.network import IntegerNetwork, Model
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
"""Packages without which JAX has no accelerator."""

NAMES = (AUTO, *_MODULES)


@runtime_checkable
class Engine(Protocol):
    """Encodes and decodes batches of blocks of one shape. Safe to use from several threads.

    A batch may contain blocks with the extent (0, 0, 0), whose symbols are -1 and whose message is
    empty. They pad a batch to the size that was compiled.
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
    ) -> list[Words]:
        """Encodes a batch of blocks.

        Args:
          symbols: int16 [block, z, y, x], below the slice's alphabet size; -1 beyond the extent.
          sizes: int32 [block, z], alphabet size of each slice, at most 256; 0 beyond the extent.
          extents: int32 [block, 3], voxels along z, y and x.
          model: the architecture, and the network that predicts. `network.prove` must accept it.
          networks: a network for each block, instead of the model's. The same holds for these.
          device: the device to run on; the engine's default if None.

        Returns:
          The message of each block, uint32 [word]; see `message.flatten`.
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

        Returns:
          int16 [block, z, y, x]. Values beyond a block's extent are unspecified.

        Raises:
          FormatError: a message is too short or too long, a head is out of range, or the final
            state of a lane is wrong.
        """
        ...

    def compile_for(
        self,
        block_shape: Triple,
        architecture: Architecture,
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


def engine_named(name: str = AUTO) -> Engine:
    """Returns the engine with a name; "auto" is the fastest available engine.

    Raises:
      UsageError: there is no engine with this name, or it cannot run in this process.
    """
    if name == AUTO:
        if _has_accelerator():
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
    """Whether JAX runs on an accelerator by default. Starts JAX only if this is possible."""
    if os.environ.get("JAX_PLATFORMS", "").startswith("cpu"):
        return False
    if not any(map(importlib.util.find_spec, _ACCELERATORS)):
        return False
    import jax

    return jax.default_backend() != "cpu"


@functools.cache
def _load(name: str) -> Engine:
    return importlib.import_module(_MODULES[name]).ENGINE
