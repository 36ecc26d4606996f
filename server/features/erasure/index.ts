import { api } from '../../wire/method.ts';
import type { Accounts } from '../accounts/index.ts';
import type { Feature, FeatureKit, UserData } from '../feature.ts';
import type { Sessions, Sockets } from '../sessions/index.ts';
import { Erasure } from './erasure.ts';
import { exportAccount } from './export.ts';

export type { Erasure } from './erasure.ts';

export interface ErasureFeature extends Feature {
  /** nk: accountDeleteId; the console deletes with it, too. */
  readonly erasure: Erasure;
  /** nk: accountExportId. The text of a JSON document, piece by piece; throws NOT_FOUND. */
  exportAccount(userId: string): AsyncIterable<string>;
}

interface Others {
  readonly accounts: Accounts;
  readonly sessions: Sessions;
  readonly sockets: Sockets;
  readonly userData: readonly UserData[];
}

/** All that is known of a user, out of the server or out of the world. */
export function createErasure(
  { db }: Pick<FeatureKit, 'db'>,
  { accounts, sessions, sockets, userData }: Others,
): ErasureFeature {
  const erasure = new Erasure({ db, sessions, sockets, userData });
  return {
    name: 'erasure',
    methods: [
      api('DeleteAccount', { auth: 'session' }, async ({ user }) => {
        await erasure.deleteAccount(user.id);
        return {};
      }),
    ],
    erasure,
    exportAccount: (userId) => exportAccount(accounts, userData, userId),
  };
}
