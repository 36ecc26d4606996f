import { createHash, type KeyObject, verify, X509Certificate } from 'node:crypto';
import type { Clock } from '../../../platform/clock.ts';
import { refusal } from '../refusals.ts';
import { extensionIds } from './certificate-extensions.ts';
import { type Fields, parseFields } from './json.ts';

/** Three parts: what the App Store signs, be it a transaction or a notification. */
export const isSigned = (text: string): boolean => text.split('.').length === 3;

// Apple's root issues certificates for other purposes, to every developer who asks for one. These marks, as hex of their
// object ids 1.2.840.113635.100.6.11.1 and 1.2.840.113635.100.6.2.1, are what tells the App Store's.
const leafMark = '2a864886f76364060b01';
const issuerMark = '2a864886f76364060201';

/** A key of the App Store, as a chain of certificates has proved. */
interface Signer {
  readonly key: KeyObject;
  /** Unix milliseconds between which all certificates of the chain are valid. */
  readonly from: number;
  readonly to: number;
}

/** Signers that are remembered: the App Store has few, and their chains take most of the time. */
const maxSigners = 100;

/** Checks what the App Store signs (spec: storage-wallet-purchases.md, section 6.2). */
export class AppleSignatures {
  readonly #roots: ReadonlySet<string>;
  readonly #clock: Clock;
  /** By the SHA-256 of their chain. */
  readonly #signers = new Map<string, Signer>();

  /** @param roots SHA-256 fingerprints, as hex with or without colons. */
  constructor(roots: readonly string[], clock: Clock) {
    this.#roots = new Set(roots.map(normal));
    this.#clock = clock;
  }

  /** The payload of a signed text. */
  open(jws: string): Fields {
    const [header = '', payload = '', signature = ''] = jws.split('.');
    try {
      const { key, from, to } = this.#signerOf(parsePart(header));
      const now = this.#clock.now();
      if (!(now >= from && now <= to)) throw new Error('its certificates have expired');
      const isGenuine = verify(
        'sha256',
        Buffer.from(`${header}.${payload}`),
        { key, dsaEncoding: 'ieee-p1363' },
        Buffer.from(signature, 'base64url'),
      );
      if (!isGenuine) throw new Error('its signature is wrong');
      return parsePart(payload);
    } catch (error) {
      throw refusal(`JWS verification failed: ${(error as Error).message}`, error);
    }
  }

  #signerOf({ alg, x5c }: Fields): Signer {
    if (alg !== 'ES256') throw new Error('its algorithm is not ES256');
    const chain: unknown[] = Array.isArray(x5c) ? x5c.slice(0, 3) : [];
    if (chain.length < 3 || !chain.every(isText)) throw new Error('it has no certificates');
    const name = createHash('sha256').update(chain.join()).digest('base64');
    const known = this.#signers.get(name);
    if (known !== undefined) return known;
    const signer = this.#proven(chain.map((each) => new X509Certificate(Buffer.from(each, 'base64'))));
    if (this.#signers.size >= maxSigners) this.#signers.clear();
    this.#signers.set(name, signer);
    return signer;
  }

  #proven(chain: readonly X509Certificate[]): Signer {
    const [leaf, issuer, root] = chain as [X509Certificate, X509Certificate, X509Certificate];
    if (!this.#roots.has(normal(root.fingerprint256))) throw new Error('its root certificate is not trusted');
    requireIssued(issuer, root);
    requireIssued(leaf, issuer);
    if (!extensionIds(issuer.raw).includes(issuerMark) || !extensionIds(leaf.raw).includes(leafMark)) {
      throw new Error('its certificates are not those of the App Store');
    }
    const key = leaf.publicKey;
    if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('its key is not one of ES256');
    return {
      key,
      from: Math.max(...chain.map(({ validFrom }) => Date.parse(validFrom))),
      to: Math.min(...chain.map(({ validTo }) => Date.parse(validTo))),
    };
  }
}

const isText = (value: unknown): value is string => typeof value === 'string';

/** The payload of a signed text whose signature is not looked at, because what it came in was signed. */
export function openEnclosed(jws: string): Fields {
  try {
    return parsePart(jws.split('.')[1] ?? '');
  } catch (error) {
    throw refusal('signed data is malformed', error);
  }
}

function parsePart(part: string): Fields {
  const fields = parseFields(Buffer.from(part, 'base64url').toString('utf8'));
  if (fields === null) throw new Error('it is malformed');
  return fields;
}

function requireIssued(certificate: X509Certificate, issuer: X509Certificate): void {
  const isIssued = issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  if (!isIssued) throw new Error('its certificates do not form a chain');
}

const normal = (fingerprint: string): string => fingerprint.replaceAll(':', '').toLowerCase();
