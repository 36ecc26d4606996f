import type { Features } from '../../app/features.ts';
import type { TournamentNotice } from '../../features/tournaments/index.ts';
import { sleep } from '../../testing/wait.ts';

const everybody = 100;
/** So many are paid at once, with a pause before the next: nodes are to die in the middle of it. */
const paidAtOnce = 25;
const pauseMs = 20;

/** Coins for a place, from 1. */
export const prizeOf = (place: number): bigint => BigInt(1000 - place);

/** Game code for tests: who took part gets coins at the end of a tournament, and the winner a cup at its reset. */
export function payPrizes({ tournaments: { tournaments }, wallet: { wallets } }: Features): void {
  const pay = async (notice: TournamentNotice, what: string, places: number, prize: (place: number) => bigint) => {
    const { key, reset, tournament } = notice;
    const which = { tournamentId: tournament.board.id, expiry: reset };
    const request = { ownerIds: [], limit: Math.min(places, everybody), cursor: '' };
    const { records } = await tournaments.listRecords(which, request, 'server');
    const metadata = JSON.stringify({ tournament: tournament.board.id, what });
    const changes = records.map(({ owner_id }, index) => ({
      ...{ userId: owner_id, changeset: { [what]: prize(index + 1) }, metadata },
    }));
    for (let paid = 0; paid < changes.length; paid += paidAtOnce) {
      const some = changes.slice(paid, paid + paidAtOnce);
      await wallets.updateMany(some, { updateLedger: true, key: `${key}:${paid}` });
      await sleep(pauseMs);
    }
  };
  tournaments.onEnd((notice) => pay(notice, 'coins', everybody, prizeOf));
  tournaments.onReset((notice) => pay(notice, 'cups', 1, () => 1n));
}
