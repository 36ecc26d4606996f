// What a run can be told with `-e NAME=value`. Each scenario has its own defaults.

/** The servers under test, as http://host:port; players are spread over them. */
export const servers = (__ENV.URLS || __ENV.URL || 'http://127.0.0.1:7350').split(',').map((entry) => {
  const url = entry.trim().replace(/\/+$/, '');
  if (!/^https?:\/\/[^/]+/.test(url)) throw new Error(`URL must look like http://host:port, not "${entry}"`);
  return url;
});

/** The key that clients present to sign in. */
export const serverKey = __ENV.KEY || 'defaultkey';

/** What device ids and rooms begin with. Two k6 at once need two of them. */
export const prefix = __ENV.PREFIX || 'loadtest';

/** A number above 0. */
export function number(name, fallback) {
  const value = Number(__ENV[name] || fallback);
  if (!(value > 0 && Number.isFinite(value))) throw new Error(`${name} must be a number above 0, not "${__ENV[name]}"`);
  return value;
}

/** A whole number above 0. */
export function whole(name, fallback) {
  const value = number(name, fallback);
  if (!Number.isInteger(value)) throw new Error(`${name} must be a whole number, not "${__ENV[name]}"`);
  return value;
}

/** A span such as 45s, 2m or 90, in seconds. */
export function seconds(name, fallback) {
  const text = __ENV[name] || fallback;
  const [, amount, unit] = /^(\d+)(s|m|h|)$/.exec(text) ?? [];
  const value = Number(amount) * ({ m: 60, h: 3600 }[unit] ?? 1);
  if (!(value > 0)) throw new Error(`${name} must look like 30s or 2m, not "${text}"`);
  return value;
}

/** `true` or `false`. */
export function flag(name, fallback) {
  const text = __ENV[name] || String(fallback);
  if (text !== 'true' && text !== 'false') throw new Error(`${name} must be true or false, not "${text}"`);
  return text === 'true';
}
