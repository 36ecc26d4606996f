interface Element {
  readonly tag: number;
  readonly content: Buffer;
}

const sequence = 0x30;
const objectId = 0x06;
/** `extensions [3]` of a certificate. */
const extensionsTag = 0xa3;

/** The extensions that a certificate has, each as the hex of its encoded object id. Throws for broken DER. */
export function extensionIds(certificate: Buffer): string[] {
  const [body] = elements(certificate);
  const [signed] = elements(body?.content ?? empty);
  const extensions = elements(signed?.content ?? empty).find(({ tag }) => tag === extensionsTag);
  const [list] = elements(extensions?.content ?? empty);
  return elements(list?.content ?? empty)
    .filter(({ tag }) => tag === sequence)
    .flatMap(({ content }) => elements(content).filter(({ tag }) => tag === objectId))
    .map(({ content }) => content.toString('hex'));
}

const empty = Buffer.alloc(0);

/** The elements that follow each other in a piece of DER. */
function elements(der: Buffer): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < der.length; ) {
    const tag = der.readUInt8(at);
    const first = der.readUInt8(at + 1);
    const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
    const length = lengthBytes === 0 ? first : der.readUIntBE(at + 2, lengthBytes);
    const start = at + 2 + lengthBytes;
    if (first === 0x80 || start + length > der.length) throw new RangeError('DER element has no length that fits');
    found.push({ tag, content: der.subarray(start, start + length) });
    at = start + length;
  }
  return found;
}
