// One block's payload to voxels: FORMAT.md, sections 3, 7, 10 and 11.
import { DamageError } from "./engine.js";
import { changed } from "./model.js";

const UNKNOWN = 0xffffffff;
const CONSTANT = 255;

// The parts of a payload's head. The checksum, the place and the rest of it are checked.
function headOf(engine, model, bytes, index) {
  const isNew = model.version === 4, size = isNew ? 46 : 20;
  if (bytes.length < size + 4) throw new DamageError(`Got ${bytes.length} bytes of a payload.`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const triple = (at) => [0, 4, 8].map((step) => view.getUint32(at + step, true));
  if (engine.crc32c(bytes.subarray(0, -4)) !== view.getUint32(bytes.length - 4, true))
    throw new DamageError("Got a payload with another checksum: it is damaged.");
  const version = bytes[0], mode = bytes[1];
  if (isNew ? version !== 4 : version !== 1 && version !== 2)
    throw new DamageError(`Got a payload of version ${version} in an archive of ${model.version}.`);
  if (mode > 2 || (isNew && bytes[3])) throw new DamageError(`Got a payload of mode ${mode}.`);
  const flags = isNew ? bytes[2] : version - 1;
  if (flags > 3 || (flags & 1 && (mode !== 2 || !model.ownNetworks)) || (flags & 2 && !mode))
    throw new DamageError(`Got the flags ${flags} with the mode ${mode}.`);
  if (isNew) {
    const found = triple(12), isUnknown = found.every((n) => n === UNKNOWN);
    if (model.identity.some((byte, i) => byte !== bytes[4 + i]))
      throw new DamageError("Got a payload of another array.");
    if (isUnknown ? model.sealed : found.some((n, axis) => n !== index[axis]))
      throw new DamageError(`Got the payload of the block ${found}, expected ${index}.`);
  }
  const fill = isNew ? view.getUint16(36, true) : bytes[2];
  if (fill >= 2 ** model.bits) throw new DamageError(`Got the fill ${fill}.`);
  const extent = triple(isNew ? 24 : 4);
  if (extent.some((n, axis) => n > model.blockShape[axis] || (mode ? n === 0 : n > 0)))
    throw new DamageError(`Got the extent ${extent}.`);
  return { isNew, mode, extent, own: flags & 1, hasSlices: flags & 2,
    fill, place: bytes.subarray(4, 24),
    digest: isNew ? view.getBigUint64(38, true) : view.getUint32(16, true),
    body: bytes.subarray(size, -4) };
}

// Cuts bytes off the front of a body.
class Cursor {
  constructor(bytes) { this.rest = bytes; }
  take(count) {
    if (count > this.rest.length) throw new DamageError("Got a payload whose body ends early.");
    const taken = this.rest.subarray(0, count);
    this.rest = this.rest.subarray(count);
    return taken;
  }
  number() {
    for (let value = 0, shift = 0; shift < 21; shift += 7) {
      const byte = this.take(1)[0];
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw new DamageError("Got a number of more than three bytes.");
  }
  short() { const [low, high] = this.take(2); return low | high << 8; }
}

// A table of levels for each of some slices; null where every level is used.
function levelTables(cursor, depth, bits) {
  const kind = cursor.take(1)[0];
  const each = (make) => Array.from({ length: depth }, make);
  if (kind > (bits === 16 ? 1 : 2)) throw new DamageError(`Got level tables of kind ${kind}.`);
  if (bits === 16) {
    if (kind === 1) return each(() => runsOfLevels(cursor));
    const shared = runsOfLevels(cursor);
    return each(() => shared);
  }
  if (kind === 0) return each(() => null);
  const isSet = (bytes, bit) => bytes[bit >> 3] >> (7 - (bit & 7)) & 1;
  const bitmap = cursor.take(32), union = [...Array(256).keys()].filter((n) => isSet(bitmap, n));
  if (kind === 1) return each(() => union);
  const used = cursor.take(Math.ceil(depth * union.length / 8));
  return each((_, z) => union.filter((_, n) => isSet(used, z * union.length + n)));
}

function runsOfLevels(cursor) {
  const start = cursor.short(), step = cursor.short(), levels = [];
  for (let runs = cursor.number(), place = 0, isFirst = true; runs > 0; runs--, isFirst = false) {
    if (!isFirst) place += cursor.number();
    for (let length = cursor.number(); length > 0; length--) levels.push(start + step * place++);
    if (levels.at(-1) > 65535) break;
  }
  if (!step || !levels.length || levels.at(-1) > 65535) throw new DamageError("Got levels beyond 65535.");
  return levels;
}

// The coded slices of an extent, in C's memory: where their voxels begin.
function codedVoxels(engine, model, head, cursor, own, extent) {
  const [depth, height, width] = extent, { architecture: a, bits } = model;
  const tables = levelTables(cursor, depth, bits);
  const counts = Int32Array.from(tables, (table) => table?.length ?? 256);
  const frame = [...model.blockShape, ...extent, depth], context = Int32Array.from(model.context);
  const choices = a.kind !== "linear" || a.predictors === 1 ? new Uint8Array(depth)
    : cursor.take(depth);
  const count = depth * height * width, message = cursor.rest, bytes = bits / 8;
  const most = 2 * height + Math.floor(count * bytes / 4) + 1;
  if (message.length % 4 || message.length / 4 > most)
    throw new DamageError(`Got a message of ${message.length} bytes.`);
  const put = (array) => engine.put(array);
  let start;
  if (a.kind === "linear") {
    const { scalars, weights, sizes, curves } = model.linear;
    start = engine.march("linear", [context.length / 3, a.fallback, a.shear, a.scales, a.phases,
      a.predictors, ...frame, 0, put(context), put(scalars), put(weights), put(sizes),
      put(curves), put(choices), put(counts)], message, count, bytes);
  } else {
    const { weights, biases } = own ? changed(engine, model, model.network, own, 64)
      : model.network;
    const hidden = [...a.hidden, 0, 0, 0, 0].slice(0, 4);
    start = engine.march("march", [context.length / 3, a.activity_count, a.activity_offset,
      a.fallback, a.shear, a.components, a.hidden.length, ...hidden, ...frame, bits, 0,
      weights.length, 0, biases.length, 0, put(context), put(weights), put(biases), put(counts)],
      message, count, bytes);
  }
  const symbols = engine.voxels(start, count, bits);
  tables.forEach((table, z) => {
    if (!table) return;
    const levels = bits === 16 ? Uint16Array.from(table) : Uint8Array.from(table);
    const slice = symbols.subarray(z * height * width, (z + 1) * height * width);
    for (let i = 0; i < slice.length; i++) slice[i] = levels[slice[i]];
  });
  return symbols;
}

// Puts the slices of the extent into the block; repeated and constant ones come from the table.
function placeSlices(block, [, height, width], shape, kinds, values, coded) {
  const plane = shape[1] * shape[2];
  let next = 0, constant = 0;
  kinds.forEach((kind, z) => {
    const target = block.subarray(z * plane, (z + 1) * plane);
    if (kind && kind !== CONSTANT) {
      if (kind > z) throw new DamageError("Got a slice that repeats one before the first.");
      target.set(block.subarray((z - kind) * plane, (z - kind + 1) * plane));
      return;
    }
    for (let y = 0; y < height; y++) {
      const row = target.subarray(y * shape[2], y * shape[2] + width);
      if (kind) row.fill(values[constant]);
      else row.set(coded.subarray((next * height + y) * width, (next * height + y + 1) * width));
    }
    if (kind) constant++; else next++;
  });
}

// Little-endian voxels that begin anywhere.
const aligned = (bytes, bits) => bits === 16 ? new Uint16Array(bytes.slice().buffer) : bytes;

// Decodes the block at `index` of the grid; a Uint8Array or Uint16Array, x fastest.
export function decodePayload(engine, model, bytes, index) {
  engine.reset();
  const head = headOf(engine, model, bytes, index), shape = model.blockShape, bits = model.bits;
  const count = shape[0] * shape[1] * shape[2], start = engine.reserve(64 + count * bits / 8) + 64;
  const cursor = new Cursor(head.body), kinds = new Uint8Array(head.extent[0]);
  let own = null, values = [], coded = [];
  if (head.own) {
    const [a, b, c, d] = cursor.take(4);
    own = cursor.take((a | b << 8 | c << 16) + d * 2 ** 24);
  }
  if (head.hasSlices) {
    kinds.set(cursor.take(kinds.length));
    const constants = kinds.filter((kind) => kind === CONSTANT).length;
    values = aligned(cursor.take(constants * bits / 8), bits);
  }
  const extent = [kinds.filter((kind) => !kind).length, ...head.extent.slice(1)];
  if (head.mode === 2) {
    if (!extent[0]) throw new DamageError("Got a coded block without coded slices.");
    coded = codedVoxels(engine, model, head, cursor, own, extent);
  } else {
    coded = aligned(cursor.take(extent[0] * extent[1] * extent[2] * bits / 8), bits);
    if (cursor.rest.length) throw new DamageError("Got more bytes than voxels.");
  }
  const block = engine.voxels(start, count, bits).fill(head.fill);
  placeSlices(block, extent, shape, kinds, values, coded);
  checkDigest(engine, model, head, start, count);
  return block.slice();
}

function checkDigest(engine, model, head, start, count) {
  const size = count * model.bits / 8;
  if (!head.isNew) {
    if (engine.exports.page_crc32c(start, BigInt(size)) >>> 0 !== head.digest)
      throw new DamageError("Got voxels with another checksum.");
    return;
  }
  const record = 33;
  if (record + size <= 240)
    throw new Error("This page does not read blocks of so few voxels. Read them with jaxslice.");
  const before = engine.bytes(start - record, record);
  before.set(head.place);
  const view = new DataView(before.buffer, before.byteOffset);
  model.blockShape.forEach((n, axis) => view.setUint32(20 + 4 * axis, n, true));
  before[32] = model.bits / 8;
  if (BigInt.asUintN(64, engine.exports.page_xxh3(start - record, BigInt(record + size)))
      !== head.digest)
    throw new DamageError("Got voxels with another digest.");
}
