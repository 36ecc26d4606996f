import { timingSafeEqual } from 'node:crypto';
import type { Sessions } from '../features/sessions/index.ts';
import { unauthenticated } from '../platform/errors.ts';
import type { AuthClass } from '../wire/method.ts';
import type { AuthenticatedUser, SocketSession } from '../wire/session.ts';

/** What a caller presented: every Authorization header it sent, and the socket it speaks through. */
export interface Credentials {
  readonly authorization: readonly string[];
  readonly socket: SocketSession | null;
}

/** Decides who a caller is (spec: http-auth-accounts.md, sections 1.5 and 2.1). */
export class Authenticator {
  readonly #sessions: Sessions;
  readonly #serverKey: Buffer;

  constructor(sessions: Sessions, serverKey: string) {
    this.#sessions = sessions;
    this.#serverKey = Buffer.from(serverKey);
  }

  /**
   * The user behind the credentials, null where the class needs none.
   * Throws UNAUTHENTICATED with the spec's text.
   */
  authenticate(auth: AuthClass, credentials: Credentials): AuthenticatedUser | null {
    if (auth === 'session') return this.#user(credentials);
    if (auth === 'server_key') this.#checkServerKey(credentials.authorization);
    return null;
  }

  #checkServerKey(authorization: readonly string[]): void {
    const [header] = authorization;
    if (header === undefined || authorization.length > 1) throw unauthenticated('Server key required');
    const username = basicUsername(header);
    if (username === null) throw unauthenticated('Server key invalid');
    const given = Buffer.from(username);
    if (given.length !== this.#serverKey.length || !timingSafeEqual(given, this.#serverKey)) {
      throw unauthenticated('Server key invalid');
    }
  }

  #user({ authorization, socket }: Credentials): AuthenticatedUser {
    const [header] = authorization;
    if (header === undefined) {
      if (socket === null) throw unauthenticated('Auth token required');
      // The token may have expired since the handshake (spec: no effect on the socket), but not been revoked.
      if (this.#sessions.isRevoked(socket.user)) throw unauthenticated('Auth token invalid');
      return socket.user;
    }
    if (authorization.length > 1 || !header.startsWith('Bearer ')) throw unauthenticated('Auth token invalid');
    const user = this.#sessions.verify(header.slice('Bearer '.length));
    if (user === null) throw unauthenticated('Auth token invalid');
    return user;
  }

  /** The user behind a socket handshake's token, or null. */
  handshake(authorization: readonly string[], queryToken: string): AuthenticatedUser | null {
    const [header] = authorization;
    if (header === undefined) return queryToken === '' ? null : this.#sessions.verify(queryToken);
    if (authorization.length > 1 || !header.startsWith('Bearer ')) return null;
    return this.#sessions.verify(header.slice('Bearer '.length));
  }
}

/** The text before the first colon of a Basic credential, or null when it is not one. */
function basicUsername(header: string): string | null {
  if (!header.startsWith('Basic ')) return null;
  const encoded = header.slice('Basic '.length);
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(encoded) || encoded.length % 4 !== 0) return null;
  const decoded = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  return colon < 0 ? null : decoded.slice(0, colon);
}
