import { Char, JsonReader } from '../../wire/json-reader.ts';

/** Whole amounts by currency, as results and changesets carry them: 64 bits each, never a double. */
export type Amounts = Readonly<Record<string, bigint>>;

/**
 * The accounts of one wallet. `null` is an account that other software has filled with something else than a 64-bit
 * whole number: it stays as it is, and cannot be posted to.
 */
export type Balances = Map<string, bigint | null>;

const maxAmount = 2n ** 63n - 1n;

/** Does it fit the 64 bits of an account? */
export const isAmount = (value: bigint): boolean => value <= maxAmount && value >= -maxAmount - 1n;

/** Reads the text of a JSON object, without a number ever becoming a double. */
export function parseBalances(text: string): Balances {
  const balances: Balances = new Map();
  const reader = new JsonReader(text);
  reader.enter(Char.OPEN_OBJECT);
  for (let first = true; reader.more(first, Char.CLOSE_OBJECT); first = false) {
    const key = reader.key();
    balances.set(key, parseAmount(reader.raw()));
  }
  return balances;
}

function parseAmount(token: string): bigint | null {
  // 20 characters hold every 64-bit integer: a long row of digits is not worth a bigint.
  if (token.length > 20 || !/^-?\d+$/.test(token)) return null;
  const amount = BigInt(token);
  return isAmount(amount) ? amount : null;
}

/** What of a wallet or a ledger row is proper amounts. */
export function toAmounts(balances: Balances): Amounts {
  const amounts: [string, bigint][] = [];
  for (const [key, amount] of balances) if (amount !== null) amounts.push([key, amount]);
  return Object.fromEntries(amounts);
}

/** Reads the text of a wallet or of a ledger row's changeset; what is no 64-bit whole number is left out. */
export const parseAmounts = (text: string): Amounts => toAmounts(parseBalances(text));

/** The JSON text of amounts, exact to the last digit. */
export function amountsText(amounts: Iterable<readonly [key: string, amount: bigint]>): string {
  const members: string[] = [];
  for (const [key, amount] of amounts) members.push(`${JSON.stringify(key)}:${amount}`);
  return `{${members.join(',')}}`;
}
