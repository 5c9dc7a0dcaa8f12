// The page: which blocks a slice needs, workers that decode them, and a canvas.
import { openArchive } from "./archive.js";

const CACHE_BYTES = 2 ** 28;
const element = (id) => document.getElementById(id);

// Blocks by key, decoded by all cores; those used least recently are forgotten.
class Blocks {
  constructor() {
    this.kept = new Map();
    this.waiting = new Map();
    this.queue = [];
    this.stats = { blocks: 0, bytes: 0, ms: 0 };
    const count = Math.min(navigator.hardwareConcurrency || 2, 8);
    this.idle = Array.from({ length: count }, () => {
      const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
      worker.onmessage = ({ data }) => this.finish(worker, data);
      worker.onerror = () => show("error", "A worker cannot start: WebAssembly with SIMD is needed.");
      return worker;
    });
  }

  // Only the last view's blocks wait for a worker.
  request(scale, wanted) {
    for (const { key } of this.queue) this.waiting.delete(key);
    this.queue = wanted.map((index) => ({ key: `${scale.url} ${index}`, scale, index }))
      .filter(({ key }) => !this.kept.has(key) && !this.waiting.has(key));
    for (const { key } of this.queue) this.waiting.set(key, true);
    this.start();
    return wanted.map((index) => this.kept.get(`${scale.url} ${index}`));
  }

  start() {
    while (this.idle.length && this.queue.length) {
      const { key, scale, index } = this.queue.shift();
      this.idle.pop().postMessage({ id: key, scale, index });
    }
  }

  finish(worker, { id, voxels, ms, error }) {
    this.idle.push(worker);
    this.waiting.delete(id);
    this.kept.set(id, { voxels, error });
    if (voxels) {
      this.stats.blocks++;
      this.stats.bytes += voxels.byteLength;
      this.stats.ms += ms;
    }
    let bytes = 0;
    for (const [key, block] of [...this.kept].reverse()) {
      bytes += block.voxels?.byteLength ?? 0;
      if (bytes > CACHE_BYTES && key !== id) this.kept.delete(key);
    }
    this.start();
    draw();
  }
}

const blocks = new Blocks();
const view = { scales: [], scale: null, z: 0, top: 0, left: 0 };
window.jaxslice = { view, stats: blocks.stats };

function show(state, text) {
  document.body.dataset.state = state;
  element("status").textContent = text;
}

// The part of the slice that the window has room for, and the blocks below it.
function shownPart() {
  const [, height, width] = view.scale.shape;
  const rows = Math.min(height, Math.max(innerHeight - 90, 64));
  const columns = Math.min(width, Math.max(innerWidth - 20, 64));
  view.top = Math.max(0, Math.min(view.top, height - rows));
  view.left = Math.max(0, Math.min(view.left, width - columns));
  const [bz, by, bx] = view.scale.blockShape, wanted = [];
  for (let y = Math.floor(view.top / by); y * by < view.top + rows; y++)
    for (let x = Math.floor(view.left / bx); x * bx < view.left + columns; x++)
      wanted.push([Math.floor(view.z / bz), y, x]);
  return { rows, columns, wanted };
}

// Copies from blocks to the shown part, [rows][columns].
function gather({ rows, columns, wanted }, found) {
  const [bz, by, bx] = view.scale.blockShape, values = new Uint16Array(rows * columns);
  found.forEach((block, i) => {
    if (!block?.voxels) return;
    const [, y0, x0] = wanted[i], plane = (view.z % bz) * by * bx;
    const left = Math.max(x0 * bx, view.left), right = Math.min((x0 + 1) * bx, view.left + columns);
    for (let y = Math.max(y0 * by, view.top); y < Math.min((y0 + 1) * by, view.top + rows); y++) {
      const from = plane + (y - y0 * by) * bx - x0 * bx;
      values.set(block.voxels.subarray(from + left, from + right),
        (y - view.top) * columns + left - view.left);
    }
  });
  return values;
}

function draw() {
  if (!view.scale) return;
  const part = shownPart(), found = blocks.request(view.scale, part.wanted);
  const values = gather(part, found), canvas = element("slice");
  const wide = view.scale.bits === 16;
  const low = wide ? values.reduce((a, b) => Math.min(a, b), 65535) : 0;
  const range = wide ? Math.max(values.reduce((a, b) => Math.max(a, b), 0) - low, 1) : 255;
  canvas.height = part.rows;
  canvas.width = part.columns;
  const image = new ImageData(part.columns, part.rows), pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++)
    pixels[i] = 0xff000000 | Math.floor((values[i] - low) * 255 / range) * 0x010101;
  canvas.getContext("2d").putImageData(image, 0, 0);
  const left = found.filter((block) => !block).length, { bytes, ms } = blocks.stats;
  const error = found.find((block) => block?.error)?.error;
  const grey = wide ? `, grey ${low} to ${low + range}` : "";
  show(left ? "loading" : error ? "error" : "ready", error ?? (left ? `${left} blocks to come`
    : `slice ${view.z} of ${view.scale.shape[0]}${grey}; decoded ${(bytes / 1e6).toFixed(1)} MB, `
      + `${(bytes / 1e3 / Math.max(ms, 1)).toFixed(1)} MB/s for each core`));
}

function chooseScale(scale) {
  const before = view.scale?.shape ?? scale.shape;
  view.z = Math.min(Math.floor((view.z + 0.5) * scale.shape[0] / before[0]), scale.shape[0] - 1);
  view.top = Math.floor(view.top * scale.shape[1] / before[1]);
  view.left = Math.floor(view.left * scale.shape[2] / before[2]);
  view.scale = scale;
  element("z").max = scale.shape[0] - 1;
  element("z").value = view.z;
  draw();
}

async function open(address) {
  view.scale = null;
  show("loading", "opening");
  try {
    view.scales = await openArchive(new URL(address, location.href).href.replace(/\/$/, ""));
  } catch (error) {
    return show("error", error.message);
  }
  element("scale").replaceChildren(...view.scales.map(({ shape }, i) =>
    new Option(shape.toReversed().join(" x "), i)));
  view.z = Math.floor(view.scales[0].shape[0] / 2);
  chooseScale(view.scales[0]);
}

function goTo(z) {
  if (!view.scale) return;
  view.z = Math.max(0, Math.min(z, view.scale.shape[0] - 1));
  element("z").value = view.z;
  draw();
}

element("z").oninput = (event) => goTo(Number(event.target.value));
element("scale").onchange = (event) => chooseScale(view.scales[event.target.value]);
element("slice").onwheel = (event) => { event.preventDefault(); goTo(view.z + Math.sign(event.deltaY)); };
element("slice").onpointermove = (event) => {
  if (!event.buttons) return;
  view.top -= event.movementY;
  view.left -= event.movementX;
  draw();
};
window.onresize = draw;

const address = new URLSearchParams(location.search).get("archive");
element("address").value = address ?? "";
if (address) open(address);
