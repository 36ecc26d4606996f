import type { CloseReason } from '../platform/errors.ts';
import type { EnvelopeFrame } from './envelope.ts';

/** The player behind a verified session token. */
export interface AuthenticatedUser {
  /** Canonical UUID. */
  readonly id: string;
  /** As it was when the token was issued. */
  readonly username: string;
  readonly vars: Readonly<Record<string, string>>;
  /** Token id shared by the session and refresh token of one login; empty on tokens that have none. */
  readonly tokenId: string;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** One open socket. Lives on the node that accepted it. */
export interface SocketSession {
  /** UUID, unique per connection. */
  readonly id: string;
  readonly user: AuthenticatedUser;
  readonly format: 'json' | 'protobuf';
  /** The `lang` query parameter, default `en`. */
  readonly lang: string;
  readonly clientAddress: string;
  readonly clientPort: string;
  /** Unix milliseconds at which the socket opened. */
  readonly connectedAt: number;
  /** True from the moment a close was decided, by either side. */
  readonly closed: boolean;
  /** Queues a frame; frames leave in the order of these calls. Never blocks; a socket that cannot keep up is closed. */
  send(frame: EnvelopeFrame): void;
  /** Ends the socket. `last` is written before the close frame. Repeated calls are ignored. */
  close(reason: CloseReason, last?: EnvelopeFrame): void;
}
