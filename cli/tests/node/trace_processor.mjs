// Asks Perfetto's trace_processor about a trace.
//
//   node trace_processor.mjs ENGINE TRACE SQL...
//
// ENGINE is a folder with engine_bundle.js and trace_processor.wasm as Perfetto's user interface has them.
// For each SQL a line is printed: {"columns": [...], "rows": [[...], ...]}, numbers with all their digits.
//
// In the browser the engine is a web worker that gets a MessagePort and loads its web assembly with a
// synchronous XMLHttpRequest. Here those three (self, the port, the request) are made of what node has.
// The engine speaks TraceProcessorRpc (protos/perfetto/trace_processor/trace_processor.proto).

import { existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { basename, join } from 'node:path';

const [engine, trace, ...queries] = process.argv.slice(2);
if (queries.length === 0) {
  console.error('usage: trace_processor.mjs ENGINE TRACE SQL...');
  process.exit(2);
}

// ---- protobuf: what TraceProcessorRpc needs ----

function varint(value) {
  const bytes = [];
  let rest = BigInt(value);
  do {
    const more = rest > 0x7fn;
    bytes.push(Number(rest & 0x7fn) | (more ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return bytes;
}

const uint = (field, value) => Buffer.from([...varint(field << 3), ...varint(value)]);
const bytes = (field, value) => Buffer.concat([Buffer.from([...varint(field << 3 | 2), ...varint(value.length)]), value]);

// A cursor over a buffer.
class Reader {
  constructor(buffer) { this.buffer = buffer; this.at = 0; }
  get left() { return this.at < this.buffer.length; }
  varint() {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.buffer[this.at++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }
  take(length) { this.at += length; return this.buffer.subarray(this.at - length, this.at); }
}

// [field, value] pairs: a BigInt for a varint, a Buffer for everything else.
function* fields(buffer) {
  const reader = new Reader(buffer);
  while (reader.left) {
    const key = Number(reader.varint());
    const type = key & 7;
    if (type === 0) yield [key >> 3, reader.varint()];
    else yield [key >> 3, reader.take(type === 2 ? Number(reader.varint()) : type === 1 ? 8 : 4)];
  }
}

const field = (buffer, wanted) => [...fields(buffer)].find(([number]) => number === wanted)?.[1];

function packedVarints(buffer) {
  if (typeof buffer === 'bigint') return [buffer];
  const reader = new Reader(buffer);
  const values = [];
  while (reader.left) values.push(reader.varint());
  return values;
}

// ---- the engine, in this thread ----

const answers = [];
const port = { onmessage: null, postMessage: (data) => answers.push(Buffer.from(data)) };
const worker = { onmessage: null, location: { href: 'file:///engine_bundle.js' }, console };
globalThis.self = worker;
globalThis.location = worker.location;
globalThis.WorkerGlobalScope = class {};
globalThis.importScripts = () => {};
globalThis.XMLHttpRequest = class {
  open(_method, url) { this.file = join(engine, basename(String(url))); }
  send() {
    const file = readFileSync(this.file);
    this.response = file.buffer.slice(file.byteOffset, file.byteOffset + file.length);
    this.status = 200;
  }
};
if (!existsSync(join(engine, 'trace_processor_memory64.wasm'))) {
  // The engine asks whether memories may have 64-bit addresses, with a module of one such memory.
  WebAssembly.Module = new Proxy(WebAssembly.Module, {
    construct(module, [code, ...rest]) {
      if (code[8] === 5 && code[11] === 4) throw new Error('there is no 64-bit engine here');
      return new module(code, ...rest);
    },
  });
}
console.warn = () => {};
const node = process;
node.on('uncaughtException', (error) => fail(error.stack ?? error));
function fail(why) {
  console.error(String(why).slice(0, 2000));
  node.exit(1);
}
// The bundle must take itself to be in a browser: it sees none of node's globals that it looks for.
const bundle = readFileSync(join(engine, 'engine_bundle.js'), 'utf8');
new Function('self', 'process', 'require', 'module', 'exports', bundle)(worker);
worker.onmessage({ data: port });

// ---- TraceProcessorRpc ----

const APPEND = 1, FINALIZE = 2, QUERY = 3, STATUS = 10;
let sequence = 0;

// Sends a request and returns the answers, each as {field number: value}.
function call(method, ...args) {
  const message = Buffer.concat([uint(1, sequence++), uint(2, method), ...args]);
  answers.length = 0;
  port.onmessage({ data: new Uint8Array(bytes(1, message)) });
  const stream = Buffer.concat(answers);
  return [...fields(stream)].map(([, answer]) => {
    const found = Object.fromEntries(fields(answer));
    if (found[5]) throw new Error(`trace_processor: ${found[5]}`);
    return found;
  });
}

function load(path) {
  const file = openSync(path);
  const piece = Buffer.alloc(8 << 20);
  const check = (results, kind, errorField) => {
    for (const result of results) {
      const error = result[kind] && field(result[kind], errorField);
      if (error?.length) fail(`trace_processor refuses ${path}: ${error}`);
    }
  };
  for (let length; (length = readSync(file, piece)) > 0;) {
    check(call(APPEND, bytes(101, piece.subarray(0, length))), 201, 2);
  }
  check(call(FINALIZE), 212, 1);
}

// The cells of a batch come as their types, and apart from them the values of each type in order.
function* cells(batch) {
  const types = [], numbers = [], floats = [], blobs = [];
  let texts = [];
  for (const [number, value] of fields(batch)) {
    if (number === 1) types.push(...packedVarints(value));
    else if (number === 2) numbers.push(...packedVarints(value).map((n) => BigInt.asIntN(64, n)));
    else if (number === 3) for (let at = 0; at < value.length; at += 8) floats.push(value.readDoubleLE(at));
    else if (number === 4) blobs.push(value.toString('hex'));
    else if (number === 5) texts = value.toString().split('\0');
  }
  const next = (list) => { const iterator = list.values(); return () => iterator.next().value; };
  const of = { 1: () => null, 2: next(numbers), 3: next(floats), 4: next(texts), 5: next(blobs) };
  for (const type of types) yield of[Number(type)]();
}

function query(sql) {
  const columns = [], rows = [];
  let row = [];
  for (const answer of call(QUERY, bytes(103, bytes(1, Buffer.from(sql))))) {
    for (const [number, value] of fields(answer[203] ?? Buffer.alloc(0))) {
      if (number === 1) columns.push(value.toString());
      else if (number === 2 && value.length) fail(`${sql}\n${value}`);
      else if (number === 3) for (const cell of cells(value)) {
        row.push(cell);
        if (row.length === columns.length) { rows.push(row); row = []; }
      }
    }
  }
  return { columns, rows };
}

const json = (value) => typeof value === 'bigint' ? value.toString() : JSON.stringify(value ?? null);
// The engine is compiled when it gets its port, and ready when what that has promised is done.
await new Promise((resolve) => setTimeout(resolve, 0));
call(STATUS);
load(trace);
const lines = queries.map((sql) => {
  const { columns, rows } = query(sql);
  const cells = rows.map((row) => `[${row.map(json).join(',')}]`);
  return `{"columns":${JSON.stringify(columns)},"rows":[${cells.join(',')}]}\n`;
});
// The engine keeps node running, and leaving must wait for whoever reads from a pipe.
node.stdout.write(lines.join(''), () => node.exit());
