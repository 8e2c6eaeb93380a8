// Arrays of numbers in the page: {type, shape, base64}.

/** What is between two half floats of one exponent, by the exponent; subnormal ones are those of exponent 1. */
const HALF_STEPS = Float32Array.from({length: 32}, (_, exponent) => 2 ** (Math.max(exponent, 1) - 25));

function halfToFloat(half) {
  const exponent = (half >> 10) & 31;
  const digits = (half & 1023) + (exponent ? 1024 : 0);
  return (half & 0x8000 ? -1 : 1) * digits * HALF_STEPS[exponent];
}

/** The numbers of an array of the page; half floats become floats. */
function decoded({type, base64}) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  if (type === "float16") return Float32Array.from(new Uint16Array(bytes.buffer), halfToFloat);
  return type === "uint32" ? new Uint32Array(bytes.buffer) : new Float32Array(bytes.buffer);
}

/** The page's data with its arrays decoded, however deep they lie. */
function decodedTree(node) {
  if (node === null || typeof node !== "object") return node;
  if (Array.isArray(node)) return node.map(decodedTree);
  if ("base64" in node) return decoded(node);
  return Object.fromEntries(Object.entries(node).map(([name, value]) => [name, decodedTree(value)]));
}
