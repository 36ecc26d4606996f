import type { Socket } from 'node:net';

/** What is copied into one chunk; the messages of larger batches are written as they are. */
const maxCopiedBytes = 16 * 1024;
/** The longest head of an unmasked frame: two bytes, and eight for the length. */
const maxHeadBytes = 10;
const finalFragment = 0x80;
const textFrame = 0x01;
const binaryFrame = 0x02;

/** WebSocket messages from the server (RFC 6455, section 5.2: whole, unmasked, uncompressed) on their way into one write. */
export class FrameBatch {
  /** At most what will be written. */
  bytes = 0;
  readonly #messages: Uint8Array[] = [];
  readonly #opcodes: number[] = [];

  add(message: Uint8Array, binary: boolean): void {
    this.#messages.push(message);
    this.#opcodes.push(binary ? binaryFrame : textFrame);
    this.bytes += maxHeadBytes + message.length;
  }

  /** @param written is called once all of it was written. */
  writeTo(socket: Socket, written: (error?: Error | null) => void): void {
    if (this.bytes <= maxCopiedBytes) {
      socket.write(this.#copy(), written);
      return;
    }
    socket.cork();
    const last = this.#messages.length - 1;
    for (let index = 0; index <= last; index++) {
      const head = Buffer.allocUnsafe(maxHeadBytes);
      socket.write(head.subarray(0, this.#writeHead(head, 0, index)));
      socket.write(this.#messages[index] as Uint8Array, index === last ? written : undefined);
    }
    socket.uncork();
  }

  #copy(): Buffer {
    const buffer = Buffer.allocUnsafe(this.bytes);
    let at = 0;
    for (let index = 0; index < this.#messages.length; index++) {
      const message = this.#messages[index] as Uint8Array;
      at = this.#writeHead(buffer, at, index);
      buffer.set(message, at);
      at += message.length;
    }
    return buffer.subarray(0, at);
  }

  #writeHead(buffer: Buffer, at: number, index: number): number {
    buffer[at] = finalFragment | (this.#opcodes[index] as number);
    return writeLength(buffer, at + 1, (this.#messages[index] as Uint8Array).length);
  }
}

function writeLength(buffer: Buffer, at: number, length: number): number {
  if (length < 126) return buffer.writeUInt8(length, at);
  if (length < 65_536) {
    buffer[at] = 126;
    return buffer.writeUInt16BE(length, at + 1);
  }
  buffer[at] = 127;
  buffer.writeUInt32BE(0, at + 1);
  return buffer.writeUInt32BE(length, at + 5);
}
