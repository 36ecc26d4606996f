import { afterAll, beforeAll, describe, expect } from 'vitest';
import { Database } from '../../store/database.ts';
import { serverKinds, startTestServer, type TestServer } from '../../testing/server.ts';
import { quiet } from '../../testing/store.ts';

/** What a suite about many at once works on; there while its tests run. */
export interface LoadStage {
  readonly server: TestServer;
  /** To look at what the server has stored. */
  readonly db: Database;
}

export const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

/** A suite for servers of each kind, whose nodes log no error in it. */
export function underLoad(what: string, suite: (stage: LoadStage) => void): void {
  describe.each(serverKinds)(`${what} under load on %s`, (kind) => {
    const stage = {} as { server: TestServer; db: Database };
    beforeAll(async () => {
      stage.server = await startTestServer({ kind });
      stage.db = new Database({ url: stage.server.databaseUrl, sharedClients: 1, poolSize: 1 }, quiet);
    });
    afterAll(async () => {
      await stage.db?.close();
      await stage.server?.stop();
      expect(stage.server?.errors).toEqual([]);
    });
    suite(stage);
  });
}
