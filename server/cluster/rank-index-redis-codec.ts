import type { EntryVersion, RankEntry, RankSet, SeenEntry } from './rank-index.ts';

/*
 * An owner's entry is kept twice: as member of a sorted set whose scores are all 0, so that Redis orders the members as
 * bytes, and as value of a hash by owner:
 *
 *   member = score, subscore, owner (16 bytes)
 *   value  = created (7 bytes), writes (4 bytes), score, subscore; of an owner whose record was removed only the first two
 *
 * Scores are non-negative 64-bit integers, written as their length in bytes and then these, greatest first. A longer
 * number is greater, and none is the beginning of another, so members compare as (score, subscore, owner) do. Short ones
 * save Redis 16 bytes a member in the usual case.
 */

export const ownerBytes = 16;
export const versionBytes = 11;
const createdBytes = 7;

export function encodeOwner(owner: string): Buffer {
  return Buffer.from(owner.replaceAll('-', ''), 'hex');
}

export function decodeOwner(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

export function encodeVersion({ created, writes }: EntryVersion): Buffer {
  const bytes = Buffer.allocUnsafe(versionBytes);
  writeVersion(bytes, created, writes);
  return bytes;
}

function writeVersion(bytes: Buffer, created: number, writes: number): void {
  // No record is from before 1970, but a clock may have been.
  const micros = Math.max(0, created);
  bytes.writeUInt32BE(Math.floor(micros / 2 ** 24), 0);
  bytes.writeUIntBE(micros % 2 ** 24, 4, createdBytes - 4);
  bytes.writeUInt32BE(writes, createdBytes);
}

/** The value of an entry. Its member is what follows the version, and the owner. */
export function encodeEntry({ version, score, subscore }: RankEntry): Buffer {
  const [scoreLength, subscoreLength] = [lengthOf(score), lengthOf(subscore)];
  const bytes = Buffer.allocUnsafe(versionBytes + 2 + scoreLength + subscoreLength);
  writeVersion(bytes, version.created, version.writes);
  const next = writeNumber(bytes, versionBytes, score, scoreLength);
  writeNumber(bytes, next, subscore, subscoreLength);
  return bytes;
}

export function decodeSeen(raw: Buffer): SeenEntry {
  const version = {
    created: raw.readUInt32BE(0) * 2 ** 24 + raw.readUIntBE(4, createdBytes - 4),
    writes: raw.readUInt32BE(createdBytes),
  };
  if (raw.length <= versionBytes) return { version, raw };
  const { value: score, next } = readNumber(raw, versionBytes);
  return { version, score: { score, subscore: readNumber(raw, next).value }, raw };
}

export function decodeMember(member: Buffer): Pick<RankEntry, 'owner' | 'score' | 'subscore'> {
  const { value: score, next } = readNumber(member, 0);
  const subscore = readNumber(member, next).value;
  return { owner: decodeOwner(member.subarray(-ownerBytes)), score, subscore };
}

function lengthOf(value: bigint): number {
  if (value <= 0xffffffffn) {
    const number = Number(value);
    return number > 0xffffff ? 4 : number > 0xffff ? 3 : number > 0xff ? 2 : number > 0 ? 1 : 0;
  }
  let length = 4;
  for (let rest = value >> 32n; rest > 0n; rest >>= 8n) length++;
  return length;
}

function writeNumber(bytes: Buffer, at: number, value: bigint, length: number): number {
  bytes[at] = length;
  if (length <= 4) {
    if (length > 0) bytes.writeUIntBE(Number(value), at + 1, length);
  } else {
    bytes.writeUIntBE(Number(value >> 32n), at + 1, length - 4);
    bytes.writeUInt32BE(Number(value & 0xffffffffn), at + 1 + length - 4);
  }
  return at + 1 + length;
}

function readNumber(bytes: Buffer, at: number): { value: bigint; next: number } {
  const length = bytes[at] ?? 0;
  const next = at + 1 + length;
  let value = 0n;
  for (let i = at + 1; i < next; i++) value = (value << 8n) | BigInt(bytes[i] ?? 0);
  return { value, next };
}

/** Boards are named by any bytes, braces and blanks included; what keys hold of them is harmless. */
export function encodeBoard(board: string): string {
  return Buffer.from(board).toString('base64url');
}

export function encodeSet({ board, expiry }: RankSet): string {
  return `${encodeBoard(board)}.${expiry}`;
}

export function decodeSet(name: string): RankSet {
  const dot = name.lastIndexOf('.');
  return { board: Buffer.from(name.slice(0, dot), 'base64url').toString(), expiry: Number(name.slice(dot + 1)) };
}
