"""The XLA engine, for CPUs, GPUs and TPUs.

A program is compiled once for each block shape, architecture and batch size. It also runs blocks
with smaller extents, such as those at a volume's edges.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxslice.codec import limits
from jaxslice.codec.engines import xla_lanes
from jaxslice.codec.engines.xla_options import compiler_options
from jaxslice.codec.geometry import Geometry
from jaxslice.codec.linear import LinearArchitecture
from jaxslice.codec.linear_mixture import CHOICE_UNIT
from jaxslice.codec.march import shear, unshear, voxels_of
from jaxslice.codec.message import LOWER_BOUND, check_finished, flatten, unflatten
from jaxslice.codec.network import AnyArchitecture, IntegerNetwork, Model, blank
from jaxslice.core.box import Triple
from jaxslice.core.errors import FormatError
from jaxslice.core.types import AlphabetSizes, BlockSymbols, Device, Extents, Words

_INT16 = np.dtype(np.int16)


class XlaEngine:
    """See `interface.Engine`."""

    name = "xla"

    def is_available(self) -> bool:
        """XLA runs wherever JAX does."""
        return True

    def runs_on_host(self) -> bool:
        """Whether JAX has no accelerator."""
        return jax.default_backend() == "cpu"

    def devices(self) -> Sequence[Device | None]:
        """JAX's local devices."""
        return jax.local_devices()

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
        """See `interface.Engine.encode`."""
        program, arguments = self._encoder_call(
            symbols, _with_choices(sizes, choices), extents, model, networks, device
        )
        with jax.enable_x64(True):
            heads, words, emitted = jax.device_get(program(*arguments))
        return [
            _message(heads[block, :rows], words[:, block], emitted[:, block])
            for block, (_, rows, _) in enumerate(extents)
        ]

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
        """See `interface.Engine.decode`."""
        program, arguments, tails = self._decoder_call(
            messages, _with_choices(sizes, choices), extents, block_shape, model, networks, device
        )
        with jax.enable_x64(True):
            sheared, last, used = jax.device_get(program(*arguments))
        for head, taken, tail in zip(last, used, tails, strict=True):
            check_finished(head, int(taken), tail)
        geometry = Geometry.of(block_shape, model.architecture, len(messages))
        symbols = unshear(sheared, geometry)
        if isinstance(model.architecture, LinearArchitecture):
            _check_symbols(symbols, sizes)
        return symbols

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
        """Runs the programs with 0 time steps; see `interface.Engine.compile_for`."""
        model = Model(architecture, blank(architecture))
        networks = [model.network] * batch if block_networks else None
        sizes, extents = np.zeros((batch, block_shape[0]), np.int32), np.zeros((batch, 3), np.int32)
        taken = [0]
        for device in jax.local_devices():
            if encoder:
                symbols = np.zeros((batch, *block_shape), architecture.dtype)
                program, arguments = self._encoder_call(
                    symbols, sizes, extents, model, networks, device
                )
                taken.append(_run_once(program, arguments))
            if decoder:
                empty = [np.zeros(0, np.uint32)] * batch
                program, arguments, _ = self._decoder_call(
                    empty, sizes, extents, block_shape, model, networks, device
                )
                taken.append(_run_once(program, arguments))
        return max(taken)

    def _encoder_call(
        self,
        symbols: BlockSymbols,
        sizes: AlphabetSizes,
        extents: Extents,
        model: Model,
        networks: Sequence[IntegerNetwork] | None,
        device: Device | None,
    ) -> tuple[Any, tuple[Any, ...]]:
        """The encoder and its arguments, on the device."""
        batch, depth, height, width = symbols.shape
        geometry = Geometry.of_encoder((depth, height, width), model.architecture, batch)
        program = encoder_program(
            geometry, model.architecture, networks is not None, _platform(device)
        )
        network = model.network if networks is None else stacked(networks)
        dtype = model.architecture.symbol_dtype
        sheared = shear(symbols, extents, geometry, dtype)
        limits = sheared_limits(sizes, extents, geometry, dtype)
        with jax.enable_x64(True):
            arguments = (network, sheared, limits, _steps_for(extents, geometry))
            return program, jax.device_put(arguments, device)

    def _decoder_call(
        self,
        messages: Sequence[Words],
        sizes: AlphabetSizes,
        extents: Extents,
        block_shape: Triple,
        model: Model,
        networks: Sequence[IntegerNetwork] | None,
        device: Device | None,
    ) -> tuple[Any, tuple[Any, ...], list[int]]:
        """The decoder, its arguments on the device, and the number of words of each tail."""
        geometry = Geometry.of(block_shape, model.architecture, len(messages))
        program = self.decoder_program(
            geometry, model.architecture, networks is not None, _platform(device)
        )
        network = model.network if networks is None else stacked(networks)
        heads, words, tails = _arrays(
            messages, extents, block_shape, geometry, model.architecture.dtype
        )
        limits = sheared_limits(sizes, extents, geometry, model.architecture.symbol_dtype)
        with jax.enable_x64(True):
            arguments = (network, heads, words, limits, _steps_for(extents, geometry))
            return program, jax.device_put(arguments, device), tails

    def decoder_program(
        self, geometry: Geometry, architecture: AnyArchitecture, block_networks: bool, platform: str
    ) -> Any:
        """The compiled decoder."""
        return decoder_program(geometry, architecture, block_networks, platform)


ENGINE = XlaEngine()


def _with_choices(sizes: AlphabetSizes, choices: np.ndarray | None) -> AlphabetSizes:
    """Alphabet sizes that also say which linear predictor a slice has; see `linear_mixture`."""
    return sizes if choices is None else sizes + np.int32(CHOICE_UNIT) * choices


def _check_symbols(symbols: BlockSymbols, sizes: AlphabetSizes) -> None:
    """Refuses symbols that their slices have no levels for: a damaged message can lead to them."""
    if (symbols.max(axis=(2, 3)) >= np.maximum(sizes, 1)).any():
        raise FormatError("Got a symbol beyond its slice's levels: the message is damaged.")


def _run_once(program: Any, arguments: tuple[Any, ...]) -> int:
    """Compiles and runs a program. Returns the bytes of memory that it takes on its device."""
    with jax.enable_x64(True):
        sizes = program.lower(*arguments).compile().memory_analysis()
        jax.block_until_ready(program(*arguments))
    parts = ("argument", "output", "temp", "generated_code")
    return sum(getattr(sizes, f"{part}_size_in_bytes") for part in parts)


def _platform(device: Device | None) -> str:
    return device.platform if device else jax.default_backend()


def _steps_for(extents: Extents, geometry: Geometry) -> np.int32:
    """Number of time steps for the longest extent; 0 if all extents are empty."""
    coded = [(int(z), int(y), int(x)) for z, y, x in extents if z]
    return np.int32(max(map(geometry.steps_for, coded), default=0))


def _message(head: np.ndarray, words: np.ndarray, emitted: np.ndarray) -> Words:
    """The message of a block, from words [t, lane] and a mask [t, lane] of the emitted ones."""
    return flatten(head, np.compress(emitted.ravel(), words.ravel()))


def _arrays(
    messages: Sequence[Words],
    extents: Extents,
    block_shape: Triple,
    geometry: Geometry,
    dtype: np.dtype,
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Heads uint64 [block, lane], padded tails uint32 [block, word], and the tails' true sizes."""
    batch, sizes = len(messages), []
    heads = np.full((batch, geometry.lanes), LOWER_BOUND, np.uint64)
    words = np.zeros((batch, limits.most_words(block_shape, dtype.itemsize)), np.uint32)
    for block, message in enumerate(messages):
        rows = int(extents[block][1])
        heads[block, :rows], tail = unflatten(message, rows)
        if tail.size > words.shape[1]:
            raise FormatError(
                f"Got a message of {tail.size} words, expected at most {words.shape[1]}."
            )
        words[block, : tail.size] = tail
        sizes.append(tail.size)
    return heads, words, sizes


def stacked(networks: Sequence[IntegerNetwork]) -> IntegerNetwork:
    """Stacks networks of one architecture along a leading axis [block]."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *networks)


def sheared_limits(
    sizes: AlphabetSizes, extents: Extents, geometry: Geometry, dtype: np.dtype = _INT16
) -> np.ndarray:
    """[t, block, lane]: alphabet size of each voxel, 0 where a lane is idle. Read-only."""
    return _cached_limits(sizes.tobytes(), extents.tobytes(), geometry, dtype)


@functools.lru_cache(maxsize=2)
def _cached_limits(sizes: bytes, extents: bytes, geometry: Geometry, dtype: np.dtype) -> np.ndarray:
    """Limits rarely change between blocks: one entry for encoding and one for decoding suffice."""
    alphabets = np.frombuffer(sizes, np.int32).reshape(geometry.blocks, -1)
    limits = np.zeros((geometry.num_rows, geometry.blocks, geometry.lanes), dtype)
    voxels = voxels_of(limits, geometry)
    for block, extent in enumerate(np.frombuffer(extents, np.int32).reshape(-1, 3)):
        depth, height, width = extent
        voxels[block, :depth, :height, :width] = alphabets[block, :depth, None, None]
    limits.flags.writeable = False
    return limits


def compiled(function: Any, platform: str, **static: Any) -> Any:
    """Jits a function with its static arguments and the options of `xla_options`."""
    options = compiler_options(platform)
    return jax.jit(functools.partial(function, **static), compiler_options=options)


def _predictor(geometry: Geometry, architecture: AnyArchitecture, block_networks: bool) -> Any:
    """What both directions call to predict, with its static arguments."""
    return functools.partial(
        xla_lanes.predict,
        geometry=geometry,
        architecture=architecture,
        block_networks=block_networks,
    )


@functools.lru_cache(maxsize=32)
def encoder_program(
    geometry: Geometry, architecture: AnyArchitecture, block_networks: bool, platform: str
) -> Any:
    """The jitted encoder of batches, `xla_lanes.encode_lanes`."""
    predict = _predictor(geometry, architecture, block_networks)
    return compiled(xla_lanes.encode_lanes, platform, geometry=geometry, predict=predict)


@functools.lru_cache(maxsize=32)
def decoder_program(
    geometry: Geometry, architecture: AnyArchitecture, block_networks: bool, platform: str
) -> Any:
    """The jitted decoder of batches, `xla_lanes.decode_lanes`."""
    predict = _predictor(geometry, architecture, block_networks)
    return compiled(xla_lanes.decode_lanes, platform, geometry=geometry, predict=predict)


def programs_of(
    shape: Triple, architecture: AnyArchitecture, batch: int, block_networks: bool, platform: str
) -> tuple[Any, Any]:
    """The encoder and the decoder of batches of blocks."""
    key = architecture, block_networks, platform
    encoder = encoder_program(Geometry.of_encoder(shape, architecture, batch), *key)
    return encoder, decoder_program(Geometry.of(shape, architecture, batch), *key)
