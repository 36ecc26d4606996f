import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

// X.509 certificates, in as much DER as they need.

export interface TestCertificate {
  readonly name: string;
  readonly der: Buffer;
  /** Its private key. */
  readonly key: KeyObject;
}

interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

export interface CertificateOptions {
  readonly name: string;
  /** Who signs it; without one it signs itself. */
  readonly issuer?: TestCertificate;
  /** Default `prime256v1`, the curve of ES256. */
  readonly curve?: 'prime256v1' | 'secp384r1';
  /** Whose certificate it is, in place of new keys of that curve; RSA or elliptic. */
  readonly keys?: KeyPair;
  /** May it issue others? */
  readonly ca?: boolean;
  /** Object ids of extensions that say nothing but that they are there. */
  readonly marks?: readonly string[];
  /** Unix milliseconds; default from yesterday to tomorrow. */
  readonly validFrom?: number;
  readonly validTo?: number;
}

const dayMs = 86_400_000;
let serial = 0;

export function issueCertificate(options: CertificateOptions): TestCertificate {
  const { name, issuer, curve = 'prime256v1', ca = false, marks = [] } = options;
  const { validFrom = Date.now() - dayMs, validTo = Date.now() + dayMs } = options;
  const { privateKey, publicKey } = options.keys ?? generateKeyPairSync('ec', { namedCurve: curve });
  const signer = issuer?.key ?? privateKey;
  const algorithm = signer.asymmetricKeyType === 'rsa' ? sha256WithRsa : sha256WithEcdsa;
  const extensions = [
    ...(ca ? [sequence(objectId('2.5.29.19'), boolean(true), octets(sequence(boolean(true))))] : []),
    ...marks.map((mark) => sequence(objectId(mark), octets(der(0x05)))),
  ];
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([++serial])),
    algorithm,
    nameOf(issuer?.name ?? name),
    sequence(time(validFrom), time(validTo)),
    nameOf(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    ...(extensions.length > 0 ? [der(0xa3, sequence(...extensions))] : []),
  );
  const signature = sign('sha256', body, signer);
  return { name, der: sequence(body, algorithm, der(0x03, Buffer.from([0]), signature)), key: privateKey };
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head = length < 0x80 ? [tag, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}

const sequence = (...parts: readonly Buffer[]): Buffer => der(0x30, ...parts);
const octets = (content: Buffer): Buffer => der(0x04, content);
const boolean = (value: boolean): Buffer => der(0x01, Buffer.from([value ? 0xff : 0]));
const nameOf = (name: string): Buffer =>
  sequence(der(0x31, sequence(objectId('2.5.4.3'), der(0x0c, Buffer.from(name)))));

function time(unixMs: number): Buffer {
  const text = new Date(unixMs).toISOString().replace(/[-:T]|\.\d+/g, '');
  return der(0x18, Buffer.from(text));
}

function objectId(text: string): Buffer {
  const [first = 0, second = 0, ...others] = text.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const number of others) {
    const digits = [number & 0x7f];
    for (let rest = number >> 7; rest > 0; rest >>= 7) digits.unshift((rest & 0x7f) | 0x80);
    bytes.push(...digits);
  }
  return der(0x06, Buffer.from(bytes));
}

const sha256WithRsa = sequence(objectId('1.2.840.113549.1.1.11'), der(0x05));
const sha256WithEcdsa = sequence(objectId('1.2.840.10045.4.3.2'));
