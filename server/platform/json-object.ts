/**
 * Is this text a JSON object? The text itself is what gets stored and hashed, so it is only looked at: parsing it and
 * writing it again would lose 64-bit integers and key order.
 */
export function isJsonObject(text: string): boolean {
  if (!/^[ \t\r\n]*\{/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
