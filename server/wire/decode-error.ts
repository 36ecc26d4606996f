/** Text or bytes from outside that are not what they should be. The message is safe to show to the sender. */
export class WireDecodeError extends Error {
  override readonly name = 'WireDecodeError';
}
