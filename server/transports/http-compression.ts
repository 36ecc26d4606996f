import { constants, deflateRawSync, gunzipSync, gzipSync, inflateRawSync } from 'node:zlib';

export type ContentEncoding = 'gzip' | 'deflate';

/** The first encoding in the list that is exactly one of ours (spec: http-auth-accounts.md, section 1.4). */
export function chooseEncoding(acceptEncoding: string | undefined): ContentEncoding | undefined {
  return acceptEncoding
    ?.split(',')
    .map((token) => token.trim())
    .find((token): token is ContentEncoding => token === 'gzip' || token === 'deflate');
}

// Answers are small and frequent: the fastest level, and little memory for each.
const compressOptions = { level: constants.Z_BEST_SPEED, memLevel: 6 };

/** `deflate` is raw DEFLATE, without the zlib wrapper. */
export function compress(body: string, encoding: ContentEncoding): Buffer {
  return encoding === 'gzip' ? gzipSync(body, compressOptions) : deflateRawSync(body, compressOptions);
}

/**
 * Unpacks a request body. An unknown encoding leaves it as it is, and nothing is nothing in any encoding. 'too-large'
 * when it unpacks to more than `limit` bytes; 'broken' when it is not what it says.
 */
export function decompress(body: Buffer, encoding: string | undefined, limit: number): Buffer | 'too-large' | 'broken' {
  if (body.length === 0 || (encoding !== 'gzip' && encoding !== 'deflate')) return body;
  try {
    const options = { maxOutputLength: limit };
    return encoding === 'gzip' ? gunzipSync(body, options) : inflateRawSync(body, options);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? 'too-large' : 'broken';
  }
}
