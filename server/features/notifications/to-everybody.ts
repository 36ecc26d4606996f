import type { Logger } from 'pino';
import { newId, nilUuid } from '../../platform/ids.ts';
import type { Database } from '../../store/database.ts';
import type { Transaction } from '../../store/transaction.ts';
import type { JobKind, JobRun, Jobs } from '../jobs/index.ts';
import type { Broadcast } from './broadcast.ts';
import { insertForNextUsers, insertNotifications, insertParams } from './queries.ts';
import type { Notice } from './wire.ts';

/** Users who are served by one statement. */
const pageUsers = 1000;
/** A node is not to be busy with nothing else when game code sends many. */
const concurrency = 2;

/** As far as it has come. */
interface Progress {
  readonly notice: Notice;
  /** The last user served. */
  readonly after: string;
}

/**
 * Stores a notice for every user there is, page by page: a job, whose checkpoint says which user comes next. A page and
 * its checkpoint are one transaction, so each user gets one, whichever nodes end meanwhile. Sockets hear of it after the
 * commit; those of a page whose node ends just then find it stored.
 */
export class ToEverybody implements JobKind {
  readonly kind = 'notify_all';
  readonly concurrency = concurrency;
  readonly #db: Database;
  readonly #jobs: Jobs;
  readonly #broadcast: Broadcast;
  readonly #log: Logger;

  constructor(db: Database, jobs: Jobs, broadcast: Broadcast, log: Logger) {
    this.#db = db;
    this.#jobs = jobs;
    this.#broadcast = broadcast;
    this.#log = log;
  }

  /** Resolves when it is certain that everybody will get it. */
  async begin({ subject, content, code, senderId, persistent }: Notice): Promise<void> {
    const notice: Notice = { subject, content, code, senderId, persistent };
    const progress: Progress = { notice, after: nilUuid };
    await this.#db.transaction(async (tx) => {
      // The system user has the lowest id of all, and gets one, too. What cannot be stored fails here.
      await tx.query(insertNotifications, insertParams([{ ...notice, userId: nilUuid, id: newId() }]));
      const payload = JSON.stringify(progress);
      await this.#jobs.schedule(tx, { kind: this.kind, subject: newId(), period: '', payload });
    });
  }

  async run(run: JobRun): Promise<void> {
    while (!run.signal.aborted) {
      let page: { notice: Notice; userIds: string[]; ids: string[] } | undefined;
      await run.checkpoint(async (tx, payload) => {
        const { notice, after } = JSON.parse(payload) as Progress;
        const { subject, content, code, senderId } = notice;
        const params = [after, pageUsers, subject, content, code, senderId || nilUuid];
        const rows = await tx.query(insertForNextUsers, params);
        page = { notice, userIds: rows.map((row) => row.user_id), ids: rows.map(({ id }) => id) };
        return JSON.stringify({ notice, after: page.userIds.reduce((last, id) => (id > last ? id : last), after) });
      });
      if (page === undefined || page.ids.length === 0) return;
      await this.#broadcast.publish(page.notice, page.userIds, page.ids).catch((error) => {
        this.#log.warn({ err: error }, 'could not push stored notifications');
      });
    }
  }

  /** What is still to be sent in the name of a user who is erased is nobody's. */
  async forgetSender(tx: Transaction, userId: string): Promise<void> {
    await this.#jobs.amend(tx, this.kind, userId, (payload) => {
      const progress = JSON.parse(payload) as Progress;
      if (progress.notice.senderId !== userId) return payload;
      return JSON.stringify({ ...progress, notice: { ...progress.notice, senderId: '' } });
    });
  }
}
