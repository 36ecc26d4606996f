import { type KeyObject, verify, X509Certificate } from 'node:crypto';
import { invalidArgument } from '../../../platform/errors.ts';
import { Cached } from './cached.ts';
import { type Credential, credential, type ProviderKit, toVerified } from './provider.ts';

/** What the Game Center SDK hands to a game. */
export interface GameCenterPlayer {
  readonly player_id: string;
  readonly bundle_id: string;
  /** Unix seconds. */
  readonly timestamp_seconds: bigint;
  readonly salt: string;
  readonly signature: string;
  readonly public_key_url: string;
}

const hourMs = 3_600_000;
/** Certificates that are kept; players choose among those of Apple, of which there are a few at a time. */
const maxCertificates = 64;

const required = [
  ['bundle_id', 'bundle ID'],
  ['player_id', 'player ID'],
  ['public_key_url', 'public key URL'],
  ['salt', 'salt'],
  ['signature', 'signature'],
] as const;

/** Apple's Game Center: a player is signed with a certificate that Apple publishes. */
export class GameCenter {
  readonly #kit: ProviderKit;
  readonly #keys = new Map<string, Cached<KeyObject>>();
  /** Those that are read for the first time. */
  readonly #tried = new Map<string, Cached<KeyObject>>();

  constructor(kit: ProviderKit) {
    this.#kit = kit;
  }

  /** Throws INVALID_ARGUMENT when something is missing. */
  credential(player: GameCenterPlayer | null): Credential {
    if (player === null) throw invalidArgument('GameCenter access credentials are required.');
    for (const [field, name] of required) {
      if (player[field] === '') throw invalidArgument(`GameCenter ${name} is required.`);
    }
    if (player.timestamp_seconds === 0n) throw invalidArgument('GameCenter timestamp is required.');
    const whole = required.map(([field]) => player[field]).join('');
    return credential('GameCenter', whole, this.#kit.log, async () => {
      const key = await this.#key(player.public_key_url);
      const signature = decodeBase64(player.signature);
      if (!verify('RSA-SHA256', signedBytes(player), key, signature)) throw new Error('wrong signature');
      return toVerified('gamecenter', { id: player.player_id });
    });
  }

  async #key(address: string): Promise<KeyObject> {
    checkAddress(address);
    const known = this.#keys.get(address);
    if (known !== undefined) {
      this.#keep(address, known);
      return known.get();
    }
    const cached = this.#tried.get(address) ?? this.#cached(address);
    this.#tried.set(address, cached);
    try {
      const key = await cached.get();
      // Only what was there is kept, or made-up addresses would push out the real ones.
      this.#keep(address, cached);
      return key;
    } finally {
      this.#tried.delete(address);
    }
  }

  #cached(address: string): Cached<KeyObject> {
    return new Cached(this.#kit.clock, async () => {
      const value = await this.#readKey(address);
      const now = this.#kit.clock.now();
      return { value, freshUntil: now + hourMs, usableUntil: now + 24 * hourMs };
    });
  }

  /** As the one that was used last; the one that was used longest ago may go. */
  #keep(address: string, cached: Cached<KeyObject>): void {
    this.#keys.delete(address);
    this.#keys.set(address, cached);
    const [oldest] = this.#keys.keys();
    if (this.#keys.size > maxCertificates && oldest !== undefined) this.#keys.delete(oldest);
  }

  async #readKey(url: string): Promise<KeyObject> {
    const { status, body } = await this.#kit.outbound.call({ party: 'gamecenter', url });
    if (status !== 200) throw new Error(`gamecenter answered with status ${status}`);
    const key = new X509Certificate(body).publicKey;
    if (key.asymmetricKeyType !== 'rsa') throw new Error('expected a certificate with an RSA key');
    return key;
  }
}

/** The certificate has to come from Apple. */
function checkAddress(address: string): void {
  const { protocol, host, username, password, pathname } = new URL(address);
  const isApple = protocol === 'https:' && host.endsWith('.apple.com') && username === '' && password === '';
  if (!isApple || pathname === '/') throw new Error('the public key is not at an address of Apple');
}

function signedBytes(player: GameCenterPlayer): Buffer {
  const timestamp = Buffer.alloc(8);
  timestamp.writeBigUInt64BE(BigInt.asUintN(64, player.timestamp_seconds));
  return Buffer.concat([
    Buffer.from(player.player_id),
    Buffer.from(player.bundle_id),
    timestamp,
    decodeBase64(player.salt),
  ]);
}

/** Standard base64 with its padding. Throws for anything else, which Buffer would read in part. */
function decodeBase64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw new Error('expected base64');
  return bytes;
}
