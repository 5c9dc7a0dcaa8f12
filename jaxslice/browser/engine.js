// The native engine as WebAssembly: its memory, its tasks and its errors. See native/march.h.

export class DamageError extends Error {}

const ERRORS = {
  "-1": "an architecture out of its ranges", "-2": "a network that does not fit or could overflow",
  "-3": "a shape that does not fit", "-4": "a slice without levels or with too many",
  "-6": "a message with a head out of range", "-7": "a message that ends early",
  "-8": "a message that has too many words or leaves a lane unfinished",
};
const TASK_BYTES = { march: 112, linear: 84 };
const PAGE = 65536;

export class Engine {
  static async load(url) {
    const { instance } = await WebAssembly.instantiateStreaming(fetch(url), {});
    return new Engine(instance.exports);
  }

  constructor(exports) {
    this.exports = exports;
    for (const [kind, bytes] of Object.entries(TASK_BYTES)) {
      const found = Number(exports[`${kind}_task_bytes`]());
      if (found !== bytes) throw new Error(`Got a task of ${found} bytes, expected ${bytes}.`);
    }
    this.reset();
  }

  // Forgets all that was put into memory.
  reset() {
    this.top = Math.ceil(this.exports.__heap_base.value / 64) * 64;
  }

  reserve(bytes) {
    const start = this.top;
    this.top += Math.ceil(bytes / 64) * 64;
    const missing = this.top - this.exports.memory.buffer.byteLength;
    if (missing > 0) this.exports.memory.grow(Math.ceil(missing / PAGE));
    return start;
  }

  bytes(start, size) {
    return new Uint8Array(this.exports.memory.buffer, start, size);
  }

  voxels(start, count, bits) {
    const kind = bits === 16 ? Uint16Array : Uint8Array;
    return new kind(this.exports.memory.buffer, start, count);
  }

  put(array) {
    const start = this.reserve(array.byteLength);
    this.bytes(start, array.byteLength)
      .set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    return start;
  }

  crc32c(bytes) {
    const top = this.top;
    const value = this.exports.page_crc32c(this.put(bytes), BigInt(bytes.length)) >>> 0;
    this.top = top;
    return value;
  }

  call(name, ...values) {
    const result = Number(this.exports[name](...values));
    if (result < 0) throw new DamageError(`Got ${ERRORS[result] ?? `the error ${result}`}.`);
    return result;
  }

  // Decodes a message to symbols; returns where they begin. `fields` are those of the task.
  march(kind, fields, message, count, symbolBytes) {
    const task = this.put(Int32Array.from(fields));
    const scratchBytes = this.call(`${kind}_scratch_bytes`, task, 0);
    const words = this.put(message), symbols = this.reserve(count * symbolBytes);
    this.call(`${kind}_decode`, task, 0, words, BigInt(message.length >> 2), symbols,
      BigInt(count), this.reserve(scratchBytes), BigInt(scratchBytes));
    return symbols;
  }

  // The values of a difference's tensors, whose records and sizes are given.
  difference(records, sizes, message) {
    const count = sizes.reduce((sum, size) => sum + size, 0);
    const values = this.reserve(count);
    this.call("page_difference", this.put(Uint8Array.from(records.flat())),
      this.put(Int32Array.from(sizes)), sizes.length, this.put(message),
      BigInt(message.length >> 2), values);
    return new Int8Array(this.exports.memory.buffer.slice(values, values + count));
  }
}
