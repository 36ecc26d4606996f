/**
 * How frames look between processes: one version byte, then the payload. Within a version the payload may gain
 * protobuf fields; the version rises only when an older node could misread it. A node drops and counts frames of a
 * newer version, and must understand the one before its own, so that two releases can run side by side.
 */
export const frameVersion = 1;

export function encodeFrame(payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(payload.byteLength + 1);
  frame[0] = frameVersion;
  frame.set(payload, 1);
  return frame;
}

/** The payload (a view, not a copy), or undefined when this node cannot read the frame and has to drop it. */
export function decodeFrame(frame: Uint8Array): Uint8Array | undefined {
  const version = frame[0];
  if (version === undefined || version === 0 || version > frameVersion) return undefined;
  return frame.subarray(1);
}
