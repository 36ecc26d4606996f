import type { Envelope, TestSocket } from '../../testing/socket.ts';

export const RoomType = { UNSPECIFIED: 0, ROOM: 1 } as const;

/** A time as live messages and history carry it: at most microseconds, as stored. */
export const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}(\d{3})?)?Z$/;
export const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export const roomId = (name: string): string => `2...${name}`;

/** Joins a room and answers the `channel`. */
export async function join(socket: TestSocket, target: string, options: object = {}): Promise<Envelope> {
  const { channel, error } = await socket.request({ channel_join: { target, type: RoomType.ROOM, ...options } });
  if (error) throw new Error(`join of ${target} failed: ${error.message}`);
  return channel;
}

/** Sends to a channel and answers the `channel_message_ack`. */
export async function send(socket: TestSocket, channel_id: string, content = '{}'): Promise<Envelope> {
  const { channel_message_ack: ack, error } = await socket.request({ channel_message_send: { channel_id, content } });
  if (error) throw new Error(`message was refused: ${error.message}`);
  return ack;
}

/** The error that a request is answered with, undefined when it succeeds. */
export async function errorOf(socket: TestSocket, payload: object): Promise<Envelope> {
  return (await socket.request(payload)).error;
}
