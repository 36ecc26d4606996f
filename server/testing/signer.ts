import { constants, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A key pair with a name, as a provider has, and what it signs. */
export class Signer {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly #algorithm: 'RS256' | 'ES256';

  constructor(kid: string, algorithm: 'RS256' | 'ES256' = 'RS256') {
    const { privateKey, publicKey } =
      algorithm === 'RS256'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.kid = kid;
    this.privateKey = privateKey;
    this.publicKey = publicKey;
    this.#algorithm = algorithm;
  }

  /** The public key as key sets list it. */
  get jwk(): object {
    return { ...this.publicKey.export({ format: 'jwk' }), kid: this.kid, use: 'sig', alg: this.#algorithm };
  }

  /** A signed token. @param header replaces or adds fields, and leaves out those that are undefined. */
  token(claims: object, header: object = {}): string {
    const full = { alg: this.#algorithm as string, kid: this.kid, typ: 'JWT', ...header };
    const text = `${part(full)}.${part(claims)}`;
    const padding =
      full.alg === 'PS256'
        ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
        : {};
    const key = { key: this.privateKey, dsaEncoding: 'ieee-p1363' as const, ...padding };
    return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`;
  }
}

/** The same token with another payload, under the old signature. */
export function tampered(token: string, claims: object): string {
  const [header = '', payload = '', signature = ''] = token.split('.');
  const old = JSON.parse(Buffer.from(payload, 'base64url').toString());
  return `${header}.${part({ ...old, ...claims })}.${signature}`;
}

/** A token with that header and signature, whatever they are. */
export function unsignedToken(header: object, claims: object, makeSignature: (text: string) => string): string {
  const text = `${part(header)}.${part(claims)}`;
  return `${text}.${makeSignature(text)}`;
}
