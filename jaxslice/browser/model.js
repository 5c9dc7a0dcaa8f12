// What an archive's codec says: the architecture, and its network or linear predictors.
// FORMAT.md, sections 1, 7 and 11.
import { DamageError } from "./engine.js";

export function modelOf(engine, codec, bits, blockShape) {
  const configuration = codec.configuration, version = configuration.format_version;
  if (version !== 3 && version !== 4)
    throw new Error(`This page reads the format versions 3 and 4; the archive has ${version}. `
      + "Read it with jaxslice.");
  const architecture = { shear: 2, activity_offset: 16, kind: "network", voxel_bits: 8,
    ...configuration.architecture };
  if (architecture.voxel_bits !== bits)
    throw new DamageError(`Got a codec of ${architecture.voxel_bits} bits, expected ${bits}.`);
  const model = { version, bits, blockShape, architecture, context: architecture.context.flat(),
    sealed: Boolean(configuration.sealed), ownNetworks: Boolean(configuration.own_networks),
    identity: Uint8Array.from((configuration.identity ?? "").match(/../g) ?? [],
      (pair) => parseInt(pair, 16)) };
  const packed = Uint8Array.from(atob(configuration.network), (letter) => letter.charCodeAt(0));
  const checksum = new DataView(packed.buffer).getUint32(packed.length - 4, true);
  const numbers = packed.subarray(0, packed.length - 4);
  engine.reset();
  if (engine.crc32c(numbers) !== checksum)
    throw new DamageError("Got an archive's network with another checksum.");
  if (architecture.kind === "linear") model.linear = predictorsOf(architecture, numbers);
  else if (architecture.kind === "network")
    model.network = changed(engine, model, { weights: null, biases: null }, numbers, 256);
  else throw new Error(`This page does not know the kind of architecture ${architecture.kind}.`);
  return model;
}

function predictorsOf(architecture, bytes) {
  const { predictors, scales } = architecture, count = architecture.context.length;
  const size = 6 + 2 * count + 5 * scales, parts = { scalars: [], weights: [], sizes: [], curves: [] };
  if (bytes.length !== predictors * size)
    throw new DamageError(`Got ${bytes.length} bytes of predictors, expected ${predictors * size}.`);
  for (let at = 0; at < bytes.length; at += size) {
    const offset = new DataView(bytes.buffer, bytes.byteOffset + at + 2).getUint32(0, true);
    parts.scalars.push(bytes[at], bytes[at + 1], offset);
    parts.weights.push(...bytes.subarray(at + 6, at + 6 + count));
    parts.sizes.push(...bytes.subarray(at + 6 + count, at + 6 + 2 * count));
    parts.curves.push(...bytes.subarray(at + 6 + 2 * count, at + size));
  }
  return { scalars: Int32Array.from(parts.scalars), weights: Uint8Array.from(parts.weights),
    sizes: Uint8Array.from(parts.sizes), curves: Uint8Array.from(parts.curves) };
}

// The network that a difference makes of another one; that one is of zeros if it is null.
export function changed(engine, model, base, bytes, biasUnit) {
  const { hidden, components } = model.architecture;
  const widths = [model.context.length / 3 + 2, ...hidden, 3 * components];
  const tensors = hidden.concat(0).flatMap((_, i) => [widths[i] * widths[i + 1], widths[i + 1]]);
  const records = [], sizes = [];
  let at = 0;
  for (const size of tensors) {
    const zeros = bytes[at] === 255;
    records.push(zeros ? [0, 0, 0] : [...bytes.subarray(at, at + 3)]);
    sizes.push(zeros ? 0 : size);
    at += zeros ? 1 : 3;
  }
  const message = bytes.subarray(at);
  if (at > bytes.length || message.length % 4)
    throw new DamageError("Got a difference that is not of this architecture.");
  const values = engine.difference(records, sizes, message);
  const total = (first) => tensors.filter((_, i) => i % 2 === first).reduce((a, b) => a + b, 0);
  const weights = Int32Array.from(base.weights ?? new Int32Array(total(0)));
  const biases = Int32Array.from(base.biases ?? new Int32Array(total(1)));
  let value = 0, weight = 0, bias = 0;
  tensors.forEach((size, i) => {
    const [target, from, unit] = i % 2 ? [biases, bias, biasUnit] : [weights, weight, 1];
    for (let n = 0; n < sizes[i]; n++) target[from + n] += unit * values[value++];
    if (i % 2) bias += size; else weight += size;
  });
  if (weights.some((w) => Math.abs(w) > 127))
    throw new DamageError("Got a difference that makes a weight larger than 127.");
  return { weights: Int8Array.from(weights), biases };
}
