"""XXH3-64 with the seed 0 and the default secret, from the specification of xxHash 0.8."""

import numpy as np

_SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)
_PRIME32 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
_PRIME64 = (
    *(0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9),
    *(0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5),
)
_MASK = 2**64 - 1
_STRIPE, _BLOCK = 64, 1024
_BLOCKS_TOGETHER = 4096


def xxh3(data: bytes) -> int:
    """The hash of at least 17 bytes."""
    size = len(data)
    if size <= 128:
        total = size * _PRIME64[0]
        for i in range((size - 1) // 32, -1, -1):
            total += _mix(data, 16 * i, 32 * i) + _mix(data, size - 16 * (i + 1), 32 * i + 16)
        return _avalanche(total)
    if size <= 240:
        total = size * _PRIME64[0] + sum(_mix(data, 16 * i, 16 * i) for i in range(8))
        total = _avalanche(total)
        total += sum(_mix(data, 16 * i, 16 * i - 125) for i in range(8, size // 16))
        return _avalanche(total + _mix(data, size - 16, 119))
    return _long(data)


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _folded(a: int, b: int) -> int:
    product = a * b
    return (product & _MASK) ^ (product >> 64)


def _mix(data: bytes, at: int, key: int) -> int:
    low, high = (_word(data, at + i) ^ _word(_SECRET, key + i) for i in (0, 8))
    return _folded(low, high)


def _avalanche(value: int) -> int:
    value &= _MASK
    value = ((value ^ (value >> 37)) * 0x165667919E3779F9) & _MASK
    return value ^ (value >> 32)


def _keys(at: int, stripes: int) -> np.ndarray:
    """The words of the secret for some stripes, uint64 [stripe, lane]."""
    words = [[_word(_SECRET, at + 8 * (s + lane)) for lane in range(8)] for s in range(stripes)]
    return np.array(words, np.uint64)


def _accumulated(stripes: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """What stripes, uint64 [..., stripe, lane], add to the accumulators."""
    keyed = stripes ^ keys
    products = (keyed & np.uint64(2**32 - 1)) * (keyed >> np.uint64(32))
    return products.sum(-2) + stripes[..., [1, 0, 3, 2, 5, 4, 7, 6]].sum(-2)


def _long(data: bytes) -> int:
    one, two, three = _PRIME32
    lanes = np.array([three, *_PRIME64[:4], two, _PRIME64[4], one], np.uint64)
    blocks = (len(data) - 1) // _BLOCK
    keys, last_key = _keys(0, _BLOCK // _STRIPE), _keys(128, 1)[0]
    for first in range(0, blocks, _BLOCKS_TOGETHER):
        part = data[first * _BLOCK : min(first + _BLOCKS_TOGETHER, blocks) * _BLOCK]
        for sums in _accumulated(np.frombuffer(part, "<u8").reshape(-1, 16, 8), keys):
            lanes = lanes + sums
            lanes = (lanes ^ (lanes >> np.uint64(47)) ^ last_key) * np.uint64(one)
    rest = data[blocks * _BLOCK :]
    whole = (len(rest) - 1) // _STRIPE
    stripes = np.frombuffer(rest[: whole * _STRIPE], "<u8").reshape(whole, 8)
    lanes = lanes + _accumulated(stripes, keys[:whole])
    end = np.frombuffer(data[-_STRIPE:], "<u8").reshape(1, 8)
    lanes = (lanes + _accumulated(end, _keys(121, 1))).tolist()
    total = len(data) * _PRIME64[0]
    for i in range(0, 8, 2):
        keyed = (lanes[i + j] ^ _word(_SECRET, 11 + 8 * (i + j)) for j in (0, 1))
        total += _folded(*keyed)
    return _avalanche(total)
