let made = 0;

/** A text nobody has used yet: for device ids, usernames, addresses. */
export function unique(prefix: string): string {
  return `${prefix}-${process.pid}-${Date.now().toString(36)}-${++made}`;
}
