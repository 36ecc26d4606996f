import { invalidArgument } from '../platform/errors.ts';
import { nilUuid } from '../platform/ids.ts';

/** What messages fan out over: a chat channel, match, party, somebody's status. Equal when all four parts are. */
export interface Stream {
  /** 0-255; see `StreamMode`. */
  readonly mode: number;
  /** UUID, '' when absent. */
  readonly subject: string;
  /** UUID, '' when absent. */
  readonly subcontext: string;
  readonly label: string;
}

/** Modes with a meaning of their own; 8-255 belong to studio code. */
export const StreamMode = {
  NOTIFICATIONS: 0,
  STATUS: 1,
  CHANNEL: 2,
  GROUP: 3,
  DIRECT_MESSAGE: 4,
  MATCH_RELAYED: 5,
  MATCH_AUTHORITATIVE: 6,
  PARTY: 7,
} as const;
export type StreamMode = (typeof StreamMode)[keyof typeof StreamMode];

export function makeStream(mode: number, subject = '', subcontext = '', label = ''): Stream {
  return {
    mode,
    subject: subject === nilUuid ? '' : subject,
    subcontext: subcontext === nilUuid ? '' : subcontext,
    label,
  };
}

/** `<mode>.<subject>.<subcontext>.<label>`; only the label may hold dots. */
export function streamKey(stream: Stream): string {
  const { mode, subject, subcontext, label } = stream;
  if (!Number.isInteger(mode) || mode < 0 || mode > 255) throw invalidArgument('stream mode must be 0-255');
  if (subject.includes('.') || subcontext.includes('.')) {
    throw invalidArgument('stream subject and subcontext must be UUIDs');
  }
  // Joined, it is one flat string. A template would keep its parts for as long as a key is kept, three times its size.
  return [mode, subject, subcontext, label].join('.');
}

export function parseStreamKey(key: string): Stream {
  const first = key.indexOf('.');
  const second = key.indexOf('.', first + 1);
  const third = key.indexOf('.', second + 1);
  const mode = Number(key.slice(0, Math.max(first, 0)));
  // One spelling per stream: Number also reads '02' and '0x2'.
  const isMode = Number.isInteger(mode) && mode >= 0 && mode <= 255 && key.startsWith(`${mode}.`);
  if (first < 1 || second < 0 || third < 0 || !isMode) throw invalidArgument('malformed stream key');
  return {
    mode,
    subject: key.slice(first + 1, second),
    subcontext: key.slice(second + 1, third),
    label: key.slice(third + 1),
  };
}

/** The bus topic that carries the stream's messages and presence events. */
export const streamTopic = (stream: Stream): string => streamKeyTopic(streamKey(stream));

export const streamKeyTopic = (key: string): string => ['stream', key].join(':');
