/** What stands where a secret was. */
export const redacted = 'REDACTED';

/**
 * The address without the password in it, with or without a scheme: `postgresql://user:REDACTED@host/db`. A `password`
 * query parameter goes too.
 */
export function redactUrl(url: string): string {
  return redactQuery(url.replace(/^([a-z][a-z0-9+.-]*:\/\/)?([^:@/?#\s]*):.*@/i, `$1$2:${redacted}@`));
}

/** Free text, such as an error's message, without the passwords of the URLs in it. */
export function redactText(text: string): string {
  if (!text.includes('://')) return text;
  return redactQuery(text.replace(/(\b[a-z][a-z0-9+.-]*:\/\/[^:@/?#\s]*):[^\s]*@/gi, `$1:${redacted}@`));
}

function redactQuery(text: string): string {
  return text.replace(/([?&](?:password|token|access_token|http_key)=)[^&#\s]*/gi, `$1${redacted}`);
}
