import type { Queryable } from '../../store/transaction.ts';
import type { Board } from './board.ts';
import { type ListedRow, type NeighbourRow, recordsAround } from './record-queries.ts';

/** The record of an owner and those next to it, the nearest first on each side. */
export interface Neighbours {
  readonly own: ListedRow;
  /** Of better ranks. */
  readonly above: readonly ListedRow[];
  readonly below: readonly ListedRow[];
  /** As many were looked for on each side: where there are fewer, the board ends. */
  readonly most: number;
}

/** Neighbours enough for a page of up to `limit` records, and to know whether there are more; null without a record. */
export async function readNeighbours(
  db: Queryable,
  board: Pick<Board, 'id' | 'descending'>,
  expiry: number,
  ownerId: string,
  limit: number,
): Promise<Neighbours | null> {
  const half = Math.floor(limit / 2);
  const read = async (most: number): Promise<Neighbours | null> =>
    toNeighbours(await db.query(recordsAround, [board.id, expiry, ownerId, most]), board.descending, most);
  const near = await read(half + 1);
  if (near === null || (near.above.length >= half && near.below.length >= half)) return near;
  // At an end of the board more of the other side are shown.
  return await read(limit);
}

function toNeighbours(rows: readonly NeighbourRow[], descending: boolean, most: number): Neighbours | null {
  let own: ListedRow | undefined;
  const above: ListedRow[] = [];
  const below: ListedRow[] = [];
  for (const row of rows) {
    if (row.side === 0) own = row;
    else if (row.side > 0 === descending) above.push(row);
    else below.push(row);
  }
  return own === undefined ? null : { own, above, below, most };
}

/** Which records are on a page, in the board's order. */
export interface AroundPage {
  readonly rows: readonly ListedRow[];
  /** How many of them come before the owner's. */
  readonly shownAbove: number;
  /** Are there records before, and after? */
  readonly prev: boolean;
  readonly next: boolean;
}

/**
 * Half of the limit below the owner, the rest above, and more of one side where the other has too few (spec:
 * leaderboards-tournaments.md, section 12).
 */
export function pageAround({ own, above, below }: Neighbours, limit: number): AroundPage {
  const half = Math.floor(limit / 2);
  const isAtTop = above.length < half;
  const shownBelow = Math.min(below.length, isAtTop ? limit - 1 - above.length : half);
  const shownAbove = isAtTop ? above.length : Math.min(above.length, limit - 1 - shownBelow);
  return {
    rows: [...above.slice(0, shownAbove).reverse(), own, ...below.slice(0, shownBelow)],
    shownAbove,
    prev: above.length > shownAbove,
    next: below.length > shownBelow,
  };
}
