// Fetches and decodes blocks, one message each, for page.js.
import { payloadOf } from "./archive.js";
import { DamageError, Engine } from "./engine.js";
import { modelOf } from "./model.js";
import { decodePayload } from "./payload.js";

const engine = Engine.load(new URL("jaxslice.wasm", import.meta.url));
const models = new Map();

async function blockOf(scale, index) {
  const ready = await engine, bytes = await payloadOf(ready, scale, index);
  if (!models.has(scale.url))
    models.set(scale.url, modelOf(ready, scale.codec, scale.bits, scale.blockShape));
  const model = models.get(scale.url), began = performance.now();
  if (!bytes) {
    if (model.sealed || model.version < 4) throw new DamageError("Got no payload: it is lost.");
    const count = scale.blockShape.reduce((a, b) => a * b);
    return { voxels: scale.bits === 16 ? new Uint16Array(count) : new Uint8Array(count), ms: 0 };
  }
  const voxels = decodePayload(ready, model, bytes, index);
  return { voxels, ms: performance.now() - began };
}

onmessage = async ({ data: { id, scale, index } }) => {
  try {
    const { voxels, ms } = await blockOf(scale, index);
    postMessage({ id, voxels, ms }, [voxels.buffer]);
  } catch (error) {
    postMessage({ id, error: `Block ${index.join("/")}: ${error.message}` });
  }
};
