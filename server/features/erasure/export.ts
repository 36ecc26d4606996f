import { nilUuid } from '../../platform/ids.ts';
import type { Accounts } from '../accounts/index.ts';
import { toAccount } from '../accounts/index.ts';
import { exportItem } from '../export-items.ts';
import type { ExportList, UserData } from '../feature.ts';

/** What the system user has besides its account. */
const systemLists: ReadonlySet<string> = new Set(['objects']);

/**
 * Everything the server knows of a user, as the text of one JSON document, piece by piece: account, then a list per
 * kind of thing (spec: http-auth-accounts.md, section 5.6). Nothing is gathered in memory. Throws NOT_FOUND before the
 * first piece when there is no such account.
 */
export async function* exportAccount(
  accounts: Accounts,
  userData: readonly UserData[],
  userId: string,
): AsyncGenerator<string> {
  const row = await accounts.get(userId);
  yield `{"account":${exportItem('nakama.api.Account', toAccount(row, false, 'shown'))}`;
  for (const { key, items } of listsOf(userData, userId)) {
    yield `,${JSON.stringify(key)}:[`;
    let separator = '';
    for await (const item of items(userId)) {
      yield separator + item;
      separator = ',';
    }
    yield ']';
  }
  yield '}';
}

function listsOf(userData: readonly UserData[], userId: string): ExportList[] {
  const lists = userData.flatMap((part) => part.lists ?? []);
  return userId === nilUuid ? lists.filter(({ key }) => systemLists.has(key)) : lists;
}
