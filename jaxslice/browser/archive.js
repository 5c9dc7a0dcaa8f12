// Where an archive's scales and payloads are, over HTTP: FORMAT.md, section 1.
import { DamageError } from "./engine.js";

const BITS = { uint8: 8, uint16: 16 };

async function jsonOf(url) {
  const response = await fetch(`${url}/zarr.json`);
  if (!response.ok) throw new Error(`Got the status ${response.status} for ${url}/zarr.json. `
    + "Is it an archive, and may this page read it (CORS)?");
  return response.json();
}

// The scales of an archive, the finest first.
export async function openArchive(url) {
  const group = await jsonOf(url), multiscales = group.attributes?.ome?.multiscales;
  if (!multiscales || !group.attributes.jaxslice)
    throw new Error(`Got no jaxslice archive at ${url}.`);
  return Promise.all(multiscales[0].datasets.map(async ({ path }) => {
    const array = await jsonOf(`${url}/${path}`), chunk = array.chunk_grid.configuration.chunk_shape;
    const [outer] = array.codecs, isSharded = outer.name === "sharding_indexed";
    const codec = isSharded ? outer.configuration.codecs[0] : outer;
    if (codec.name !== "jaxslice" || !BITS[array.data_type])
      throw new Error(`This page reads uint8 and uint16 coded by jaxslice; got ${array.data_type} `
        + `coded by ${codec.name}.`);
    const blockShape = isSharded ? outer.configuration.chunk_shape : chunk;
    return { url: `${url}/${path}`, shape: array.shape, blockShape, codec,
      bits: BITS[array.data_type],
      perShard: isSharded ? chunk.map((n, axis) => n / blockShape[axis]) : null };
  }));
}

// Bytes of an object; null if it is not there. Servers that know no ranges send it whole.
async function bytesOf(url, range, cut) {
  const response = await fetch(url, range ? { headers: { Range: `bytes=${range}` } } : {});
  if (response.status === 404 || response.status === 403) return null;
  if (!response.ok) throw new Error(`Got the status ${response.status} for ${url}.`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  return range && response.status === 200 ? cut(bytes) : bytes;
}

const indices = new Map();

async function shardIndex(engine, url, blocks) {
  const size = 16 * blocks + 4;
  const bytes = await bytesOf(url, `-${size}`, (whole) => whole.subarray(-size));
  if (!bytes) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length !== size
      || engine.crc32c(bytes.subarray(0, -4)) !== view.getUint32(size - 4, true))
    throw new DamageError(`Got a damaged index in ${url}.`);
  return view;
}

// The payload of a block; null if there is none.
export async function payloadOf(engine, scale, index) {
  if (!scale.perShard) return bytesOf(`${scale.url}/c/${index.join("/")}`);
  const url = `${scale.url}/c/${index.map((n, i) => Math.floor(n / scale.perShard[i])).join("/")}`;
  const [z, y, x] = scale.perShard, [bz, by, bx] = index.map((n, i) => n % scale.perShard[i]);
  if (!indices.has(url)) indices.set(url, shardIndex(engine, url, z * y * x));
  const view = await indices.get(url), entry = 16 * ((bz * y + by) * x + bx);
  if (!view || view.getBigUint64(entry, true) === 2n ** 64n - 1n) return null;
  const start = Number(view.getBigUint64(entry, true));
  const end = start + Number(view.getBigUint64(entry + 8, true));
  return bytesOf(url, `${start}-${end - 1}`, (whole) => whole.subarray(start, end));
}
