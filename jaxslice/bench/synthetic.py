"""Seeded volumes that look and compress like electron microscopy of nervous tissue.

They serve tests, demonstrations and timings wherever no real volume may be shipped. The tissue is
a drawing: every cell is a chain of weighted points, each voxel belongs to the chain that is nearest
to it (a power diagram, bent by smooth noise), and grey depends on how far the next cell's membrane
is. What makes such data hard to compress is the noise, so that is modelled with more care: its
variance grows with brightness and neighbouring voxels share a little of it.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from jaxslice.core.box import Box, Triple
from jaxslice.core.errors import UsageError

# Lengths are in voxels of the x axis, brightness is in grey levels.
_SLAB_SLICES = 16  # slices drawn at once: bounds the memory next to the volume itself
_TILE_LENGTH = 24  # of a tile's edge: small, so that few chains can reach it
_MARGIN = 48.0  # chains also start outside the volume, so that its border looks like its inside
_VOXELS_PER_CHAIN = 50_000.0
_VOXELS_PER_VESICLE = 3_000.0
_VESICLE_REACH = 6  # a vesicle has no effect farther from its centre
_MEMBRANE_WIDTH = 3.4
_MEMBRANE_GREY = 86.0
_MITOCHONDRION_GREY = 84.0
# Mean square, over all phases, of a sum of unit normals under cubic B-spline weights: 151 / 315.
_SPLINE_VARIANCE = 151.0 / 315.0
_NOISE_BASE_VARIANCE = 8.0
_NOISE_VARIANCE_PER_GREY = 0.25
_NOISE_SIDE_X, _NOISE_SIDE_Y = 0.22, 0.08  # a scanning beam smears most along its fast axis, x
_NOISE_CARRY_Z = 0.12  # correlation of a voxel's noise with that of the slice before


def synthetic_volume(
    shape: tuple[int, ...], seed: int = 0, *, anisotropy: float = 1.0
) -> np.ndarray:
    """Draws a volume [z,y,x] of imaginary tissue, the same for the same arguments.

    Only elementwise operations are used, no matrix product and no Fourier transform, so that the
    voxels depend as little as NumPy allows on the machine.

    Args:
      shape: voxels along z, y and x, each at least 1.
      seed: any integer from 0.
      anisotropy: voxel size along z over voxel size along x, at least 0.1; 1 resembles FIB-SEM and
        5 to 12 serial sections, whose slices also vary more in brightness.

    Returns:
      The volume, uint8.

    Raises:
      UsageError: an argument is outside the range given above.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise UsageError(f"Got the shape {shape}, expected three numbers of at least 1.")
    if seed < 0:
        raise UsageError(f"Got the seed {seed}, expected an integer from 0.")
    if not (math.isfinite(anisotropy) and anisotropy >= 0.1):
        raise UsageError(f"Got the anisotropy {anisotropy}, expected a number of at least 0.1.")
    depth, height, width = shape
    tissue_seed, noise_seed = np.random.SeedSequence(seed).spawn(2)
    tissue = _random_tissue(_generator(tissue_seed), (depth, height, width), anisotropy)
    noise = _generator(noise_seed)
    volume = np.empty(shape, np.uint8)
    shared = np.zeros((height, width), np.float32)
    # Sections are cut and stained one by one; a milled face is imaged under steady conditions.
    jitter = min(0.4 + 1.2 * max(anisotropy - 1.0, 0.0), 8.0)
    carry = _NOISE_CARRY_Z / max(anisotropy, 1.0)
    for start in range(0, depth, _SLAB_SLICES):
        slab = Box((start, 0, 0), (min(start + _SLAB_SLICES, depth), height, width))
        for z, clean in enumerate(_draw_slab(tissue, slab), start):
            clean = clean + np.float32(jitter * noise.standard_normal())
            fresh = _slice_noise(noise, height, width)
            shared = fresh if z == 0 else carry * shared + math.sqrt(1 - carry**2) * fresh
            variance = _NOISE_BASE_VARIANCE + _NOISE_VARIANCE_PER_GREY * np.maximum(clean, 0)
            volume[z] = np.clip(np.rint(clean + shared * np.sqrt(variance)), 0, 255)
    return volume


def _generator(seed: np.random.SeedSequence) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _slice_noise(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Noise [y,x] of unit variance, weakly correlated along x and y."""
    noise = generator.standard_normal((height + 2, width + 2), dtype=np.float32)
    noise = noise[:, 1:-1] + _NOISE_SIDE_X * (noise[:, :-2] + noise[:, 2:])
    noise = noise[1:-1] + _NOISE_SIDE_Y * (noise[:-2] + noise[2:])
    return noise / math.sqrt((1 + 2 * _NOISE_SIDE_X**2) * (1 + 2 * _NOISE_SIDE_Y**2))


@dataclasses.dataclass(frozen=True)
class _Field:
    """Smooth noise of unit variance: cubic B-splines on a lattice of random numbers [z,y,x]."""

    lattice: np.ndarray
    spacing: float
    z_step: float  # length of one voxel along z

    def on(self, box: Box) -> np.ndarray:
        """The noise at the voxels of `box`, float32."""
        values = self.lattice
        for axis, (start, stop) in enumerate(zip(box.start, box.stop, strict=True)):
            step = (self.z_step if axis == 0 else 1.0) / self.spacing
            position = np.arange(start, stop) * step
            whole = np.floor(position).astype(int)
            u = position - whole
            weights = np.stack(
                [(1 - u) ** 3, 4 - 6 * u**2 + 3 * u**3, 1 + 3 * (u + u**2 - u**3), u**3]
            )
            weights = (weights / (6 * math.sqrt(_SPLINE_VARIANCE))).astype(np.float32)
            along = [1, 1, 1]
            along[axis] = -1
            values = sum(
                np.take(values, whole + tap, axis) * weights[tap].reshape(along) for tap in range(4)
            )
        return np.asarray(values)


@dataclasses.dataclass(frozen=True)
class _Tissue:
    """What is drawn, before it is cut into voxels. Points are sorted by their chain."""

    points: np.ndarray  # [point, 3] z,y,x
    chain: np.ndarray  # [point] index of the chain that a point belongs to
    first_point: np.ndarray  # [chain]
    radius: np.ndarray  # [point]
    mitochondrion_radius: np.ndarray  # [point], 0 in a chain that has none
    grey: np.ndarray  # [point]
    roughness: np.ndarray  # [point] contrast of the cytoplasm's texture
    vesicles: np.ndarray  # [vesicle, 3] z,y,x
    warp: tuple[_Field, _Field, _Field]  # displacement along z, y and x
    coarse: _Field
    fine: _Field
    anisotropy: float


def _random_tissue(generator: np.random.Generator, shape: Triple, anisotropy: float) -> _Tissue:
    extent = np.array([shape[0] * anisotropy, shape[1], shape[2]])
    chains = math.ceil(np.prod(extent + 2 * _MARGIN) / _VOXELS_PER_CHAIN)
    length = generator.integers(1, 9, chains)
    chain = np.repeat(np.arange(chains), length)
    first_point = np.concatenate([[0], np.cumsum(length)[:-1]])
    radius = np.clip(np.exp(generator.normal(2.95, 0.45, chains)), 6, 48)
    # A chain is a walk whose direction changes slowly; its steps are shorter than its radius.
    heading = generator.standard_normal((chains, 3))[chain]
    heading += 0.45 * generator.standard_normal(heading.shape)
    heading /= np.sqrt((heading**2).sum(1, keepdims=True))
    walk = np.cumsum(heading * (0.9 * radius)[chain, None], axis=0)
    origin = generator.uniform(-_MARGIN, extent + _MARGIN, (chains, 3))
    points = walk - walk[first_point][chain] + origin[chain]

    has_mitochondrion = (radius > 18) & (generator.random(chains) < 0.5)
    mitochondrion = has_mitochondrion * radius * generator.uniform(0.3, 0.6, chains)
    # Thick processes are mostly pale, thin ones and glia grey.
    paleness = np.clip((radius - 8) / 18, 0, 1)
    grey = generator.normal(116 + 54 * paleness, 14, chains)
    vesicles = math.ceil(np.prod(extent) / _VOXELS_PER_VESICLE)

    def field(spacing: float) -> _Field:
        lattice_shape = [math.ceil(n / spacing) + 4 for n in extent]
        lattice = generator.standard_normal(lattice_shape, dtype=np.float32)
        return _Field(lattice, spacing, anisotropy)

    return _Tissue(
        points=points.astype(np.float32),
        chain=chain,
        first_point=first_point,
        radius=radius[chain].astype(np.float32),
        mitochondrion_radius=mitochondrion[chain].astype(np.float32),
        grey=np.clip(grey, 95, 190)[chain].astype(np.float32),
        roughness=generator.uniform(4, 18, chains)[chain].astype(np.float32),
        vesicles=generator.uniform(0, extent, (vesicles, 3)),
        warp=(field(26.0), field(26.0), field(26.0)),
        coarse=field(9.0),
        fine=field(4.2),
        anisotropy=anisotropy,
    )


def _draw_slab(tissue: _Tissue, slab: Box) -> np.ndarray:
    """The noiseless brightness of the voxels of `slab`, float32 [z,y,x]."""
    place = []
    for axis, field in enumerate(tissue.warp):
        straight = np.arange(slab.start[axis], slab.stop[axis], dtype=np.float32)
        along = [1, 1, 1]
        along[axis] = -1
        step = tissue.anisotropy if axis == 0 else 1.0
        place.append(np.float32(6.0) * field.on(slab) + (step * straight).reshape(along))
    coarse, fine = tissue.coarse.on(slab), tissue.fine.on(slab)
    brightness = np.empty(slab.shape, np.float32)
    tile_slices = max(1, round(_TILE_LENGTH / tissue.anisotropy))
    for tile in slab.tiles((tile_slices, _TILE_LENGTH, _TILE_LENGTH)):
        (z0, y0, x0), (z1, y1, x1) = tile.start, tile.stop
        cut = np.s_[z0 - slab.start[0] : z1 - slab.start[0], y0:y1, x0:x1]
        z, y, x = (np.ascontiguousarray(p[cut]) for p in place)
        brightness[cut] = _draw_tile(tissue, (z, y, x), coarse[cut], fine[cut])
    _stamp_vesicles(tissue, slab, brightness)
    return _blur_slices(brightness)


def _blur_slices(slices: np.ndarray) -> np.ndarray:
    """Each slice under the weights 1 2 1 along y and x: no microscope draws a perfect edge."""
    padded = np.pad(slices, ((0, 0), (1, 1), (1, 1)), mode="edge")
    along_x = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    return (along_x[:, :-2] + 2 * along_x[:, 1:-1] + along_x[:, 2:]) / 16


def _draw_tile(
    tissue: _Tissue,
    place: tuple[np.ndarray, np.ndarray, np.ndarray],
    coarse: np.ndarray,
    fine: np.ndarray,
) -> np.ndarray:
    """Brightness at the warped coordinates `place`, with the texture fields on the same voxels."""
    own, other, own_power, other_power = _nearest_points(tissue, place)
    between = tissue.points[own] - tissue.points[other]
    # Between two points of a power diagram the border is a plane, at this distance from the voxel.
    membrane_distance = (other_power - own_power) / (2 * np.sqrt((between**2).sum(-1)) + 1e-3)
    to_point = np.sqrt(np.maximum(own_power + tissue.radius[own] ** 2, 0))
    depth = tissue.mitochondrion_radius[own] - to_point + coarse  # above 0 in a mitochondrion

    texture = tissue.roughness[own] * (0.5 * coarse + 0.8 * fine)
    brightness = tissue.grey[own] + texture
    inside = _smoothstep(depth / 4 + 0.5)
    # Its matrix is even but for faint cristae, and a pale seam parts it from the cytoplasm.
    brightness += 10 * np.exp(-(((depth + 4.5) / 3) ** 2))
    matrix = _MITOCHONDRION_GREY + 3 * np.sin(0.9 * place[1] + 0.5 * place[0] + 2 * coarse)
    brightness += inside * (matrix + 2 * fine - brightness)
    covered = np.exp(-((membrane_distance / _MEMBRANE_WIDTH) ** 2))
    return brightness + covered * (_MEMBRANE_GREY + 5 * coarse - brightness)


def _nearest_points(
    tissue: _Tissue, place: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The nearest point and the nearest of any other chain, then their powers.

    The power of a point is the squared distance to it minus its squared radius.
    """
    low = np.array([p.min() for p in place])
    high = np.array([p.max() for p in place])
    weight = tissue.radius**2
    away = np.maximum(np.maximum(low - tissue.points, tissue.points - high), 0)
    least = (away**2).sum(1) - weight
    most = (np.maximum(high - tissue.points, tissue.points - low) ** 2).sum(1) - weight
    # Points that at least two chains beat everywhere in the tile cannot be first or second in it.
    enough = np.partition(np.minimum.reduceat(most, tissue.first_point), 1)[1]
    candidates = np.flatnonzero(least <= enough)

    own = other = np.zeros(place[0].shape, int)
    own_power = other_power = np.full(place[0].shape, np.inf, np.float32)
    for chain in np.split(candidates, np.flatnonzero(np.diff(tissue.chain[candidates])) + 1):
        members = chain.tolist()
        chain_power, nearest = _power(tissue, members[0], place), np.full_like(own, members[0])
        for point in members[1:]:
            power = _power(tissue, point, place)
            nearest[power < chain_power] = point
            chain_power = np.minimum(chain_power, power)
        first, second = chain_power < own_power, chain_power < other_power
        other = np.where(first, own, np.where(second, nearest, other))
        other_power = np.minimum(other_power, np.maximum(own_power, chain_power))
        own = np.where(first, nearest, own)
        own_power = np.minimum(own_power, chain_power)
    return own, other, own_power, other_power


def _power(tissue: _Tissue, point: int, place: tuple[np.ndarray, ...]) -> np.ndarray:
    z, y, x = (p - c for p, c in zip(place, tissue.points[point], strict=True))
    return z * z + y * y + x * x - tissue.radius[point] ** 2


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _stamp_vesicles(tissue: _Tissue, slab: Box, brightness: np.ndarray) -> None:
    """Darkens `brightness` in place by small dark rings, some of them filled."""
    reach = np.array([_VESICLE_REACH / tissue.anisotropy, _VESICLE_REACH, _VESICLE_REACH])
    voxels = tissue.vesicles / (tissue.anisotropy, 1, 1)
    touched = (voxels[:, 0] > slab.start[0] - reach[0]) & (voxels[:, 0] < slab.stop[0] + reach[0])
    for number in np.flatnonzero(touched):
        voxel = voxels[number]
        z, y, x = (
            np.arange(max(math.ceil(c - r), a), min(math.floor(c + r) + 1, b))
            for c, r, a, b in zip(voxel, reach, slab.start, slab.stop, strict=True)
        )
        across = np.hypot(
            ((z - voxel[0]) * tissue.anisotropy)[:, None, None],
            np.hypot((y - voxel[1])[:, None], x - voxel[2]),
        )
        ring = 0.0 if number % 4 == 0 else 2.8
        dark = 32 * np.exp(-(((across - ring) / 1.6) ** 2))
        cut = np.ix_(z - slab.start[0], y, x)
        brightness[cut] -= np.minimum(dark, np.maximum(brightness[cut] - 80, 0))
