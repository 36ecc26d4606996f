import { amountsText, parseAmounts } from './amounts.ts';
import type { WalletChange, WalletResult } from './posting.ts';

// How changes and their results are written for `Idempotency`. Results lie at the places of their changes, which say
// whose they are; null for an unknown user.

/** The same for the same changes, in whatever order their currencies come. */
export function changesText(changes: readonly WalletChange[]): string {
  const parts = changes.map(({ userId, changeset, metadata }) => [
    userId,
    amountsText(Object.entries(changeset).sort(([a], [b]) => (a < b ? -1 : 1))),
    metadata ?? '{}',
  ]);
  return JSON.stringify(parts);
}

export function resultsText(changes: readonly WalletChange[], results: readonly WalletResult[]): string {
  let next = 0;
  const parts = changes.map(({ userId }) => {
    const result = results[next];
    if (result?.userId !== userId) return null;
    next++;
    return [result.previous, result.updated].map((amounts) => amountsText(Object.entries(amounts)));
  });
  return JSON.stringify(parts);
}

export function parseResults(changes: readonly WalletChange[], text: string): WalletResult[] {
  const parts = JSON.parse(text) as ([previous: string, updated: string] | null)[];
  return changes.flatMap(({ userId }, place) => {
    const part = parts[place];
    if (part == null) return [];
    return [{ userId, previous: parseAmounts(part[0]), updated: parseAmounts(part[1]) }];
  });
}
